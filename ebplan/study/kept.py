"""Runs that are finished, kept on disk: a study that was interrupted goes on where it was.

What a run depends on is its numbers and its policy; their digest names the file, with the names of
what is kept: a run that was kept with other columns is not found.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ebplan import __version__
from ebplan.document import make_folder, write_atomically
from ebplan.study.build import Built
from ebplan.study.decisions import GroupTrack, Track
from ebplan.study.numbers import StudyNumbers

DECIDE_NOTHING = {"penalty_per_kwh", "unavailable_times", "imbalance_per_kwh", "clipped"}
"""Numbers that no policy looks at: they are reckoned with afterwards."""


def track_key(built: Built, policy: str) -> str:
    """Return the digest of everything that decides a run."""
    digest = hashlib.sha256(f"{__version__} {policy} {built.spec.seed}".encode())
    digest.update(built.spec.policy.model_dump_json().encode())
    digest.update(" ".join(f.name for of in (Track, GroupTrack) for f in fields(of)).encode())
    _feed(digest, built.numbers)
    return digest.hexdigest()[:24]


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        digest.update(np.ascontiguousarray(value).tobytes())
    elif is_dataclass(value):
        for field in fields(value):
            if field.name in DECIDE_NOTHING:
                continue
            _feed(digest, getattr(value, field.name))
    elif isinstance(value, tuple):
        for one in value:
            _feed(digest, one)
    else:
        digest.update(repr(value).encode())


def write_track(folder: Path, key: str, track: Track) -> None:
    """Keep a finished run, whole or not at all.

    Raises:
        InputError: the folder cannot be written.
    """
    arrays = {f.name: getattr(track, f.name) for f in fields(track) if f.name != "groups"}
    for i, group in enumerate(track.groups):
        arrays |= {f"{i}.{f.name}": getattr(group, f.name) for f in fields(group)}
    sink = BytesIO()
    np.savez_compressed(sink, **arrays)
    make_folder(folder)
    write_atomically(folder / f"{key}.npz", sink.getvalue())


def read_track(folder: Path, key: str, numbers: StudyNumbers) -> Track | None:
    """Return a run that was kept; None where there is none."""
    path = folder / f"{key}.npz"
    if not path.exists():
        return None
    with np.load(path) as kept:
        groups = tuple(
            GroupTrack(**{f.name: kept[f"{i}.{f.name}"] for f in fields(GroupTrack)})
            for i in range(len(numbers.groups))
        )
        own = {f.name: kept[f.name] for f in fields(Track) if f.name != "groups"}
    return Track(groups=groups, **own)

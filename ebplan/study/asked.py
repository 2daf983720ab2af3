"""What is asked of the planner about compute, and answers that are kept on disk.

A frontier costs seconds of planning and depends on neither battery nor prices: what decides it is
digested, and the digest names the file of the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ebplan import __version__
from ebplan.document import make_folder, read_json, write_atomically
from ebplan.site import Site
from ebplan.study.frontier import Frontier, LoadByPool, Segment, frontier

Told = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Question:
    """What is asked of the planner: a frontier of a site at a load."""

    site: Site
    load: LoadByPool
    activations_s: tuple[float, ...]
    without: tuple[str, ...]

    @property
    def id(self) -> str:
        """Return the digest of everything that decides the answer; the battery does not."""
        plain = {
            "ebplan": __version__,
            "site": self.site.model_copy(update={"battery": None}).digest(),
            "load": {pool: dict(by) for pool, by in self.load.items()},
            "activations_s": self.activations_s,
            "without": self.without,
        }
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:24]


def ask(question: Question) -> Frontier:
    """Return the answer; the work of one worker."""
    return frontier(
        question.site,
        question.load,
        activations_s=question.activations_s,
        without=question.without,
    )


class Frontiers:
    """Compute frontiers, each asked of the planner once.

    Args:
        told: called with progress.
        kept: folder in which answers are kept, and found again.
        expected: how many will be asked for in all, where that is known.
    """

    def __init__(
        self, told: Told | None = None, kept: Path | None = None, *, expected: int = 0
    ) -> None:
        self._known: dict[str, Frontier] = {}
        self._told = told
        self._kept = kept
        self._done, self._wanted, self._expected = 0, 0, expected

    def of(
        self, site: Site, loads: list[LoadByPool], activations_s: list[float], without: list[str]
    ) -> list[Frontier]:
        """Return the frontier at each load.

        Raises:
            InputError: a mechanism is unknown, or the load leaves the range of the site's models.
        """
        questions = [Question(site, load, tuple(activations_s), tuple(without)) for load in loads]
        new = {one.id: one for one in questions if one.id not in self._known}
        self._wanted += len(new)
        for name, question in new.items():
            self._tell()
            self._known[name] = self._answer(question)
            self._done += 1
        if new:
            self._tell()
        return [self._known[one.id] for one in questions]

    def _tell(self) -> None:
        if self._told is not None:
            of = max(self._wanted, self._expected)
            self._told("asking the planner what compute can release", self._done, of)

    def _answer(self, question: Question) -> Frontier:
        if self._kept is None:
            return ask(question)
        answer = read_answer(self._kept, question.id)
        if answer is None:
            answer = ask(question)
            make_folder(self._kept)
            write_answer(self._kept, question.id, answer)
        return answer


def write_answer(folder: Path, name: str, found: Frontier) -> None:
    """Keep an answer."""
    plain = asdict(found)
    plain["alone_kw"] = list(found.alone_kw.items())
    write_atomically(folder / f"{name}.json", json.dumps(plain, indent=1))


def read_answer(folder: Path, name: str) -> Frontier | None:
    """Return an answer that was kept; None where there is none."""
    path = folder / f"{name}.json"
    if not path.exists():
        return None
    plain: dict[str, Any] = read_json(path)
    return Frontier(
        baseline_kw=plain["baseline_kw"],
        segments=tuple(Segment(**one) for one in plain["segments"]),
        alone_kw={float(at): float(kw) for at, kw in plain["alone_kw"]},
    )

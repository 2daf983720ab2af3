"""Verifiers that share no code with ebplan come to the same verdict as ebplan's."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_logs import FIRST, MADE, NAME, SECOND, copy, opened, plain

from ebplan.audit import SigningKey, VerifyKey, verify
from ebplan.audit.folder import segments

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE = shutil.which("node")
VERIFIERS = [
    pytest.param((sys.executable, EXAMPLES / "verify_audit.py"), id="python"),
    pytest.param(
        (NODE, EXAMPLES / "verify_audit.mjs"),
        id="node",
        marks=[
            pytest.mark.real,
            pytest.mark.skipif(NODE is None, reason="node is not installed: apt install nodejs"),
        ],
    ),
]
Verifier = tuple[str, Path]
EDITS = 50
"""Seeded changes of each log that Python is tried with; node, which starts slower, with fewer."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("logs")
    for name, (make, _) in MADE.items():
        make(root / name)
    return {name: root / name for name in MADE}


def told(verifier: Verifier, folder: Path, key: VerifyKey) -> tuple[int, str]:
    """Return exit code and line of a second verifier, which cannot import ebplan."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, verifier), str(folder), str(key)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=environment,
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.returncode, done.stdout


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", MADE)
def test_a_good_log_is_proven(verifier: Verifier, name: str, logs: dict[str, Path]) -> None:
    key = MADE[name][1].verify_key
    verdict = verify(logs[name], key)
    assert verdict.ok, verdict.faults
    assert told(verifier, logs[name], key) == (0, f"ok {verdict.records - verdict.first} records\n")


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_what_is_not_signed_for_is_counted(verifier: Verifier, tmp_path: Path) -> None:
    plain(tmp_path)
    last = segments(tmp_path)[-1]
    notes = last.checkpoints.read_text().split("\n\n")
    last.checkpoints.write_text("\n\n".join(notes[:-2]) + "\n")
    verdict = verify(tmp_path, FIRST.verify_key)
    assert verdict.ok
    assert verdict.unsigned > 0
    said = f"ok {verdict.records} records, {verdict.unsigned} not signed for\n"
    assert told(verifier, tmp_path, FIRST.verify_key) == (0, said)


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_log_that_nobody_signed_is_not_proven(verifier: Verifier, tmp_path: Path) -> None:
    plain(tmp_path)
    segments(tmp_path)[-1].checkpoints.unlink()
    assert not verify(tmp_path, FIRST.verify_key).ok
    code, said = told(verifier, tmp_path, FIRST.verify_key)
    assert code == 6
    assert "nothing is signed for" in said


def edited(chance: random.Random, folder: Path, file: Path) -> str:
    raw = bytearray(file.read_bytes())
    at = chance.randrange(len(raw))
    raw[at] ^= 1 << chance.randrange(8)
    file.write_bytes(raw)
    return f"a bit of byte {at} turned"


def deleted(chance: random.Random, folder: Path, file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    at = chance.randrange(len(lines))
    del lines[at]
    file.write_bytes(b"".join(lines))
    return f"line {at + 1} deleted"


def swapped(chance: random.Random, folder: Path, file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    one, other = chance.sample(range(len(lines)), 2)
    lines[one], lines[other] = lines[other], lines[one]
    file.write_bytes(b"".join(lines))
    return f"lines {one + 1} and {other + 1} swapped"


def repeated(chance: random.Random, folder: Path, file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    at = chance.randrange(len(lines))
    lines.insert(at, lines[at])
    file.write_bytes(b"".join(lines))
    return f"line {at + 1} twice"


def truncated(chance: random.Random, folder: Path, file: Path) -> str:
    raw = file.read_bytes()
    at = chance.randrange(1, len(raw))
    file.write_bytes(raw[:at])
    return f"cut off at byte {at}"


def gone(chance: random.Random, folder: Path, file: Path) -> str:
    file.unlink()
    return "gone"


def exchanged(chance: random.Random, folder: Path, file: Path) -> str:
    """Another file of the log in its place."""
    others = sorted(f for f in folder.rglob("*") if f.is_file() and f.name != "lock" and f != file)
    if other := [f for f in others if f.suffix == file.suffix]:
        chosen = chance.choice(other)
        file.write_bytes(chosen.read_bytes())
        return f"holds {chosen.name}"
    return edited(chance, folder, file)


CHANGES: list[Callable[[random.Random, Path, Path], str]] = [
    *(edited, deleted, swapped, repeated, truncated, exchanged, gone)
]


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("name", MADE)
def test_both_come_to_the_same_verdict_on_a_changed_log(
    verifier: Verifier, name: str, logs: dict[str, Path], tmp_path: Path
) -> None:
    key = MADE[name][1].verify_key
    found = 0
    count = EDITS if verifier[1].suffix == ".py" else EDITS // 4
    for seed in range(count):
        chance = random.Random(f"{name} {seed}")
        folder = copy(logs[name], tmp_path / "changed")
        files = sorted(
            file for file in folder.rglob("*") if file.is_file() and "torn" not in str(file)
        )
        file = chance.choice(files)
        change = chance.choice(CHANGES)
        few_lines = change is swapped and file.read_bytes().count(b"\n") < 2
        only_one = change is gone and [s.path for s in segments(folder)] == [file]
        if few_lines or only_one:
            change = edited
        what = change(chance, folder, file)
        verdict = verify(folder, key)
        code, said = told(verifier, folder, key)
        assert code == (0 if verdict.ok else 6), (seed, file.name, what, verdict, said)
        if code:
            assert said.startswith((str(folder), "the key")), said
            found += 1
    assert found > count // 2


@pytest.mark.parametrize("verifier", VERIFIERS)
@pytest.mark.parametrize("key", [SECOND, SigningKey("another.example.com", bytes([1]) * 32)])
def test_another_key_proves_nothing(
    verifier: Verifier, key: SigningKey, logs: dict[str, Path]
) -> None:
    assert not verify(logs["plain"], key.verify_key).ok
    code, said = told(verifier, logs["plain"], key.verify_key)
    assert code == 6
    assert ".checkpoints:1: not signed by" in said


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_key_that_was_not_handed_over_is_found(verifier: Verifier, tmp_path: Path) -> None:
    """Somebody with a key of their own writes on, as if it had always been theirs."""
    with opened(tmp_path / "own", SECOND) as log:
        log.record("note", {"what": "all is well"})
    with opened(tmp_path / "site", FIRST) as log:
        log.record("note", {"what": "all is well"})
    own, site = (segments(tmp_path / name)[0] for name in ("own", "site"))
    site.path.write_bytes(own.path.read_bytes())
    site.checkpoints.write_bytes(own.checkpoints.read_bytes())
    assert not verify(tmp_path / "site", FIRST.verify_key).ok
    assert told(verifier, tmp_path / "site", FIRST.verify_key)[0] == 6


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_a_text_that_is_no_key_is_one_line(verifier: Verifier, logs: dict[str, Path]) -> None:
    for text in (NAME, f"{NAME}+00000000+AAAA", str(FIRST.verify_key).replace("+", "+0", 1)):
        done = subprocess.run(
            [*map(str, verifier), str(logs["plain"]), text], capture_output=True, text=True
        )
        assert done.returncode == (2 if text == NAME else 6)
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""

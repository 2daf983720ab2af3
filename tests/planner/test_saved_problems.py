"""The folder of problems that a solver failed on does not grow without end."""

from __future__ import annotations

import os
from pathlib import Path

from ebplan.planner.climb import KEPT_PROBLEMS, _keep_newest


def test_the_newest_problems_are_kept_and_other_files_are_left_alone(tmp_path: Path) -> None:
    for n in range(KEPT_PROBLEMS + 3):
        file = tmp_path / f"ebplan-problem-{n:012d}.json"
        file.write_text("{}")
        os.utime(file, (1_000_000 - n, 1_000_000 - n))  # the last one is the oldest
    (tmp_path / "mine.json").write_text("{}")
    os.utime(tmp_path / "mine.json", (1.0, 1.0))
    _keep_newest(tmp_path)
    left = {file.name for file in tmp_path.iterdir()}
    kept = {f"ebplan-problem-{n:012d}.json" for n in range(KEPT_PROBLEMS)}
    assert left == {*kept, "mine.json"}

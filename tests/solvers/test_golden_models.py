"""Every block says the same as in its golden file, row by row, and every block has one.

Where a change is meant, `python -m tests.solvers.golden_models --write` writes the files anew.
"""

from __future__ import annotations

import re

import pytest
from golden_models import FOLDER, WRITE, block_names, golden_texts

NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return golden_texts()


def test_every_block_has_a_golden_file_and_every_file_a_block() -> None:
    files = sorted(file.stem for file in FOLDER.glob("*.txt"))
    assert files == block_names(), f"write the files of new blocks with: {WRITE}"


def test_every_block_is_exercised(written: dict[str, str]) -> None:
    assert sorted(written) == block_names()


@pytest.mark.parametrize("block", block_names())
def test_the_block_says_what_its_golden_file_says(block: str, written: dict[str, str]) -> None:
    """Word for word, and number for number to five digits: the last may differ by machine."""
    golden = (FOLDER / f"{block}.txt").read_text(encoding="utf-8").splitlines()
    now = written[block].splitlines()
    assert [NUMBER.sub("#", line) for line in now] == [NUMBER.sub("#", line) for line in golden]
    for was, line in zip(golden, now, strict=True):
        numbers, others = NUMBER.findall(line), NUMBER.findall(was)
        assert [float(n) for n in numbers] == [
            pytest.approx(float(n), rel=1e-5, abs=1e-9) for n in others
        ], line

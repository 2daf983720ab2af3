"""The drift section finds what it injects; the whole of it is a benchmark."""

from __future__ import annotations

import pytest

from benchmarks.validation.drift import GOAL_S, INJECTED, SECTIONS, found_after_s

BY_CELLS = next(n for n, one in enumerate(INJECTED) if one.cells)


@pytest.mark.parametrize("number", [1, 5, BY_CELLS])
def test_a_drift_that_is_injected_is_found(number: int) -> None:
    found = found_after_s(INJECTED[number], seed=7)
    assert found is not None
    assert 0.0 < found <= GOAL_S


def test_the_sections_need_no_data() -> None:
    assert all(section.files == () for section in SECTIONS)

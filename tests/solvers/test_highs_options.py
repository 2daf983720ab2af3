"""The options of HiGHS that are chosen: the installed one knows them, and a benchmark has them."""

from __future__ import annotations

from typing import Any

import highspy
import pytest

from benchmarks.options import SETTINGS
from benchmarks.reference import SAME_TASK
from ebplan.solvers.highs import OPTIONS, RETRIES

CHOSEN = [(f"retry {i}", retry) for i, retry in enumerate(RETRIES) if retry] + [("all", OPTIONS)]
OF_THE_TASK = {*SAME_TASK, "log_to_console"}
"""What does not steer the search: silence, threads and the gap asked for."""


@pytest.mark.parametrize("options", [o for _, o in CHOSEN], ids=[name for name, _ in CHOSEN])
def test_the_installed_highs_takes_each_option(options: dict[str, Any]) -> None:
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    for name, value in options.items():
        assert solver.setOptionValue(name, value) == highspy.HighsStatus.kOk, name
        status, kept = solver.getOptionValue(name)
        assert status == highspy.HighsStatus.kOk
        assert kept == value, name


@pytest.mark.parametrize("option", sorted(OPTIONS.keys() - OF_THE_TASK))
def test_each_option_is_measured_against_its_opposite(option: str) -> None:
    _, by_default = highspy.Highs().getOptionValue(option)
    measured = {settings.get(option, by_default) for settings in SETTINGS.values()}
    assert measured > {OPTIONS[option]}

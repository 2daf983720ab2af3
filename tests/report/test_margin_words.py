"""Margins on the terminal: what is held back, and what of it is not."""

from __future__ import annotations

import pytest
from sample_plan import under_frequency
from test_terminal import printed

from ebplan.plan import MarginResult
from ebplan.report.margin_words import margin_words
from ebplan.solvers.margins import what_is_held_back

HELD = MarginResult(
    confidence=0.975,
    power_kw=0.5611,
    held_kw=(0.5611,),
    energy_kwh=1.0163,
    missing_kw=0.0,
    missing_kwh=0.0,
)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ({}, "all held"),
        ({"missing_kw": 0.25}, "0.25 kW not held"),
        ({"missing_kwh": 0.1}, "0.100 kWh not held"),
        ({"missing_kw": 0.25, "missing_kwh": 0.1}, "0.25 kW and 0.100 kWh not held"),
    ],
)
def test_what_is_not_held_is_named(missing: dict[str, float], words: str) -> None:
    margin = HELD.model_copy(update=missing)
    assert margin_words(margin) == f"97.5 % confidence: 0.56 kW and 1.016 kWh, {words}"
    problem, plan = under_frequency()
    (sentence,) = what_is_held_back(plan.model_copy(update={"margin": margin}))
    assert sentence.startswith("97.5 % confidence asks for 0.56 kW and 1.016 kWh")
    assert ("all of it is held" in sentence) == (not missing)
    assert f"Margin  97.5 % confidence: 0.56 kW and 1.016 kWh, {words}" in printed(
        problem, plan.model_copy(update={"margin": margin})
    )


def test_a_plan_without_margins_does_not_speak_of_them() -> None:
    problem, plan = under_frequency()
    assert "Margin" not in printed(problem, plan)
    assert what_is_held_back(plan) == []
    assert '"margin"' not in plan.to_json()

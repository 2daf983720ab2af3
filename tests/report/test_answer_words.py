"""How an answer came about is said in one line, what went wrong below it."""

from __future__ import annotations

from typing import get_args

import pytest

from ebplan.plan import Answer, PlanWarning, Rung
from ebplan.report.answer_words import RUNG_WORDS, answer_words


@pytest.mark.parametrize("rung", get_args(Rung))
def test_every_rung_has_words(rung: Rung) -> None:
    assert answer_words(Answer(rung=rung)) == RUNG_WORDS[rung]


def test_time_and_deadline_are_told() -> None:
    words = answer_words(Answer(rung="rounded", took_s=0.012, deadline_s=0.2))
    assert words == "whole numbers from the linear relaxation, in 12 ms of 200 ms"


def test_a_warning_names_the_saved_problem() -> None:
    lost = PlanWarning(kind="solver_lost", message="ended by signal 9", problem_file="p.json")
    words = answer_words(Answer(rung="merit_order", warnings=(lost,)))
    assert words.splitlines()[1].strip() == "solver_lost: ended by signal 9 (problem: p.json)"

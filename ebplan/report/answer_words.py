"""How a plan that was asked for by a deadline came about, in words."""

from __future__ import annotations

from ebplan.plan import Answer
from ebplan.words import time_words

RUNG_WORDS = {
    "exact": "the search for the optimum",
    "rounded": "whole numbers from the linear relaxation",
    "merit_order": "the escalation rule, no solver",
    "carried": "the plan before, under the new state",
    "armed": "a plan computed in advance",
}


def answer_words(answer: Answer) -> str:
    """Say which rung answered, in what time, and what went wrong on the way."""
    words = RUNG_WORDS[answer.rung]
    if answer.took_s is not None:
        words += f", in {_short(answer.took_s)}"
    if answer.deadline_s is not None:
        words += f" of {_short(answer.deadline_s)}"
    for warning in answer.warnings:
        file = f" (problem: {warning.problem_file})" if warning.problem_file else ""
        words += f"\n       {warning.kind}: {warning.message}{file}"
    return words


def _short(seconds: float) -> str:
    return f"{1000.0 * seconds:.0f} ms" if seconds < 1.0 else time_words(seconds)

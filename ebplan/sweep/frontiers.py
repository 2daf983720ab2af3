"""Compute frontiers of a sweep: asked once for all scenarios, wherever there is a worker.

A frontier costs seconds of planning, and scenarios that differ in battery or prices share theirs.
So a study is first built without them, which tells what is to be asked (and refuses a scenario that
is wrong before anything is worked out), then they are asked, then studies are built for good.
"""

from __future__ import annotations

from dataclasses import replace

from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.site.uncertainty import MOST_EATEN, NORMAL
from ebplan.study.asked import Frontiers, Question
from ebplan.study.frontier import Frontier, LoadByPool


class Wanted(Frontiers):
    """Notes what a study would ask, and answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: dict[str, Question] = {}

    def of(
        self, site: Site, loads: list[LoadByPool], activations_s: list[float], without: list[str]
    ) -> list[Frontier]:
        """Note the questions; what is returned only has the right shape."""
        for load in loads:
            question = Question(site, load, tuple(activations_s), tuple(without))
            self.questions[question.id] = question
        nothing = Frontier(1.0, (), dict.fromkeys(activations_s, 0.0))
        return [nothing] * len(loads)


class Answered(Frontiers):
    """Gives what was asked before.

    Args:
        answers: by the question's id.
        share: of what compute is told to give, what is reckoned with.
    """

    def __init__(self, answers: dict[str, Frontier], share: float) -> None:
        super().__init__()
        self._answers = answers
        self._share = share

    def of(
        self, site: Site, loads: list[LoadByPool], activations_s: list[float], without: list[str]
    ) -> list[Frontier]:
        """Return the frontier at each load."""
        questions = [Question(site, load, tuple(activations_s), tuple(without)) for load in loads]
        return [firm(self._answers[question.id], self._share) for question in questions]


def kept_share(confidence: float | None, response_std: float | None) -> float:
    """Return the share of a planned response that is there with a probability.

    The error is normal and lasts for the event: 1 - z s, z the quantile of the confidence.

    Raises:
        InputError: the margin would take back more than half.
    """
    if confidence is None or response_std is None:
        return 1.0
    eaten = NORMAL.inv_cdf(confidence) * response_std
    if eaten > MOST_EATEN:
        raise InputError(
            field="response_std",
            value=response_std,
            allowed=f"a margin of at most {MOST_EATEN:.0%} at a confidence of {confidence:g}",
            remedy="measure the response, or ask for less confidence",
        )
    return 1.0 - eaten


def firm(found: Frontier, share: float) -> Frontier:
    """Return a frontier of which only a share is reckoned with, at the cost of the whole."""
    if share == 1.0:
        return found
    return replace(
        found,
        segments=tuple(
            replace(
                one,
                kw=one.kw * share,
                price_per_kwh=one.price_per_kwh / share,
                rejected_per_kwh=one.rejected_per_kwh / share,
            )
            for one in found.segments
        ),
        alone_kw={at: kw * share for at, kw in found.alone_kw.items()},
    )

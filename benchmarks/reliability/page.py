"""Promises carried out, as a section of a page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.machine import describe_machine
from benchmarks.reliability.outcomes import ONE_SIDED, Outcome, together
from benchmarks.reliability.promises import (
    LOAD_FORECAST_STD,
    SCENARIOS,
    promised,
    subjects,
)
from benchmarks.tables import table
from ebplan.offers.errors import fitted_spread
from ebplan.offers.firm import Firm
from ebplan.offers.kept import probability_kept
from ebplan.offers.tails import LAWS

CONTINUOUS_POINTS = 2.0
HEAD = """\
## Promises

Written by `python -m benchmarks.reliability --write docs/reliability.md`.

{calls:,} calls of promises by `ebplan offer` under each law of the errors, simulated on the fluid
plant: the load strays {load:.1%} of the draw (one standard deviation, the forecast's {forecast:.0%}
and the fitted power law's spread together), what compute moves by {response:.0%}; errors last for
a whole call, and over the calls of a day where there are several. *Heavy* errors are Student's t
with 4 degrees of freedom at the same standard deviation. A call is kept where the draw stays within
the promise in every step and the battery's reserve is untouched. The converter is told the draw
that is promised.

With errors of the *models* the plant draws by a power law that is off by the fitted law's own
spread ({spread:.1%}, normal), on top of the forecast's error and the response's.

*Computed* is the probability that the offer itself states for that law. *At least as often* is a
one-sided test at {one_sided:.0%}: of the promises of a confidence with a continuous margin
together, and of each promise, where the {one_sided:.0%} are those of its table: if each were kept
as often as stated, one of them would be kept so seldom once in a hundred tables. The *excess* is
how much more often promises are kept than stated, in points; where the margin is continuous (energy
or converter power limit the promise) it is to stay within {points:g} points under normal errors.
Where a contract limits the promise, little that errs in the battery or the load can break it.
"""


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the section."""
    first = subjects()[0].question.errors
    head = HEAD.format(
        calls=sum(o.calls for o in outcomes if o.scenario == SCENARIOS[0].name),
        spread=fitted_spread(subjects()[0].question.site),
        load=first.load_std,
        forecast=LOAD_FORECAST_STD,
        response=first.response_std,
        one_sided=ONE_SIDED,
        points=CONTINUOUS_POINTS,
    )
    parts = [head, "### Promises with a continuous margin together\n", *_together(outcomes), ""]
    for scenario in SCENARIOS:
        own = [o for o in outcomes if o.scenario == scenario.name]
        parts += [f"### Errors: {scenario.name}\n", *_cells(own), ""]
    parts += ["### Margins: tuned against added\n", *_margins(), ""]
    return "\n".join([*parts, *describe_machine()]) + "\n"


def _cells(outcomes: Sequence[Outcome]) -> list[str]:
    rows = [
        [
            o.subject,
            f"{100.0 * o.confidence:g} %",
            f"{o.kw:.3f}",
            f"{o.kept:,} of {o.calls:,}",
            f"{100.0 * o.kept / o.calls:.1f} %",
            f"{100.0 * o.computed:.1f} %",
            "yes" if o.is_often_enough(len(outcomes)) else "no",
        ]
        for o in outcomes
    ]
    headers = ["promise", "stated", "kW", "kept", "share", "computed", "at least as often"]
    return table(headers, rows)


def _together(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table of the promises taken together."""
    rows = []
    for t in together(outcomes):
        goal = CONTINUOUS_POINTS if t.scenario == SCENARIOS[0].name else None
        near = goal is None or t.excess_points <= goal
        rows.append(
            [
                f"{t.scenario}, {100.0 * t.confidence:g} %",
                f"{t.kept:,} of {t.calls:,}",
                "yes" if t.is_often_enough else "no",
                f"{t.excess_points:+.2f}",
                "" if goal is None else f"<= {goal:g}",
                "yes" if near and t.is_often_enough else "no",
            ]
        )
    head = [
        "errors, stated", "kept", "at least as often", "excess, points", "goal", "reached",
    ]  # fmt: skip
    return table(head, rows)


def _margins() -> list[str]:
    """Return promises with the plan's own margins, which add errors up, beside the tuned ones."""
    rows = []
    for subject in (s for s in subjects() if s.continuous):
        for confidence in (0.9, 0.99):
            calls = subject.question.request.calls.per_day
            added, _ = Firm(subject.question.problem(confidence), calls).most()
            tuned = promised(subject.name, confidence)
            found = [tuned.probability[law.name] for law in LAWS]
            before = [0.0 if added is None else probability_kept(added, law) for law in LAWS]
            rows.append(
                [
                    f"{subject.name}, {100.0 * confidence:g} %",
                    "-" if added is None else f"{added.kw:.3f}",
                    *(f"{100.0 * p:.1f} %" for p in before),
                    f"{tuned.kept.kw:.3f}",
                    *(f"{100.0 * p:.1f} %" for p in found),
                ]
            )
    laws = [law.name for law in LAWS]
    head = ["promise", "added, kW", *laws, "tuned, kW", *laws]
    return table(head, rows)

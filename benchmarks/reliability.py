"""Are promises kept as often as stated? ``python -m benchmarks.reliability --help``.

Each promise is carried out on the fluid plant, call after call, with errors drawn anew for each:
the load strays by a share of the draw from the start on, compute moves less than it should by a
share of it. A call is kept where the draw stays within the promise in every step of the
plan and the battery's reserve is untouched. The plan is not made again on the way: what a
controller could still mend is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from math import lgamma, log
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.tables import table
from ebplan.case import load_case, load_site
from ebplan.document import write_atomically
from ebplan.offers.errors import errors_of, fitted_spread
from ebplan.offers.firm import Firm, Kept
from ebplan.offers.kept import Sure, probability_kept, surest
from ebplan.offers.question import Question, questions
from ebplan.offers.request import Calls, OfferRequest
from ebplan.offers.tails import LAWS, Law
from ebplan.plan import Plan
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.state import MeteredPower
from ebplan.twin.disturbances import OtherLoadStep
from ebplan.twin.fluid import FluidPlant
from ebplan.twin.plant import Measurements
from ebplan.twin.run import carry_out
from ebplan.twin.settings import Bias

EXAMPLES = Path(__file__).parents[1] / "examples"
CONFIDENCES = (0.5, 0.9, 0.95, 0.99)
LOAD_FORECAST_STD, RESPONSE_STD = 0.02, 0.05
"""Assumed: a good hourly forecast, and caps and consolidation as the tracked twin shows them."""
SAME_KW = 2e-3
"""A draw this close to the promise keeps it: what a meter of class 0.2 tells apart on 1 kW."""
SAME_SOC = 1e-5
COOLING_SHARE = 0.25
"""Of the import limit."""
CONTINUOUS_POINTS = 2.0
ONE_SIDED = 0.99
HEAD = """\
# Reliability

Written by `make reliability` (`python -m benchmarks.reliability --write docs/reliability.md`); do
not edit.

## Promises

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


@dataclass(frozen=True)
class Scenario:
    """How errors come about."""

    name: str
    law: Law
    """Of the errors of load and response."""
    models_err: bool = False
    """Whether the plant's power law is off as well; the forecast then errs by its own part."""


NORMAL, HEAVY = LAWS
SCENARIOS = (
    Scenario("normal", NORMAL),
    Scenario("heavy", HEAVY),
    Scenario("models", NORMAL, models_err=True),
)


@dataclass(frozen=True)
class Subject:
    """A promise that is carried out."""

    name: str
    question: Question
    continuous: bool
    """Whether its margin is continuous; if not, a contract limits it."""


@cache
def subjects() -> tuple[Subject, ...]:
    """Return the promises."""
    case = load_case(EXAMPLES / "curtailment_3h.json")
    battery = case.site.battery
    assert battery is not None
    unreserved = case.site.model_copy(
        update={"battery": battery.model_copy(update={"reserve_soc": battery.soc_min})}
    )
    mixed = load_case(EXAMPLES / "mixed_pools.json")
    asked = (
        ("release 30 min", case.site, case.state, "release", 1800.0, True),
        ("release 3 h", case.site, case.state, "release", 10_800.0, True),
        ("release 2 h, no reserve", unreserved, case.state, "release", 7200.0, True),
        ("absorb 3 h", case.site, case.state, "absorb", 10_800.0, True),
        ("release 1 h, two pools", load_site("two-pools"), mixed.state, "release", 3600.0, True),
        ("release 30 min, 4 calls", case.site, case.state, "release", 1800.0, True),
        ("release 5 min", case.site, case.state, "release", 300.0, False),
    )
    found = []
    for name, bare, state, direction, duration_s, continuous in asked:
        site = _with_cooling(bare)
        request = OfferRequest(
            directions=(direction,),
            durations_s=(duration_s,),
            confidences=CONFIDENCES,
            load_forecast_std=LOAD_FORECAST_STD,
            response_std=RESPONSE_STD,
            calls=Calls(per_day=4, rest_s=3600.0) if "calls" in name else Calls(),
        )
        question = next(questions(request, site, state, errors_of(request, site)))
        found.append(Subject(name, question, continuous))
    return tuple(found)


def _with_cooling(site: Site) -> Site:
    """Return a site with more load that is not planned, so that an error can lower it far enough.

    The contract grows by as much.
    """
    point = site.connection_point
    wider = point.model_copy(
        update={
            "other_load_kw": point.other_load_kw + COOLING_SHARE * point.import_limit_kw,
            "import_limit_kw": (1.0 + COOLING_SHARE) * point.import_limit_kw,
        }
    )
    return site.model_copy(update={"connection_point": wider})


@dataclass(frozen=True)
class Outcome:
    """How often a promise was kept."""

    subject: str
    confidence: float
    scenario: str
    calls: int
    kept: int
    computed: float
    """Probability that the offer states."""
    kw: float
    continuous: bool

    def is_often_enough(self, tested: int) -> bool:
        """Tell whether it was kept at least as often as stated, one of so many tested at once."""
        return at_most(self.kept, self.calls, self.confidence) > (1.0 - ONE_SIDED) / tested

    @property
    def excess_points(self) -> float:
        """How much more often it was kept than stated, in points."""
        return 100.0 * (self.kept / self.calls - self.confidence)


def at_most(kept: int, calls: int, confidence: float) -> float:
    """Return the probability of at most so many kept calls where each is kept so surely."""
    k = np.arange(kept + 1)
    logs = np.array([lgamma(calls + 1) - lgamma(i + 1) - lgamma(calls - i + 1) for i in k])
    return float(np.exp(logs + k * log(confidence) + (calls - k) * log(1.0 - confidence)).sum())


def simulate(name: str, confidence: float, scenario: str, calls: int, seed: int) -> Outcome:
    """Carry a promise out so often.

    Args:
        name: of the subject.
        confidence: that is stated.
        scenario: of the errors.
        calls: how often.
        seed: of the errors.
    """
    names = [s.name for s in subjects()]
    subject, sure = subjects()[names.index(name)], _sure(name, confidence)
    how = next(s for s in SCENARIOS if s.name == scenario)
    seeds = [names.index(name), CONFIDENCES.index(confidence), SCENARIOS.index(how)]
    rng = np.random.default_rng([seed, *seeds])
    u, v, off = (law.draw(rng, calls) for law in (how.law, how.law, NORMAL))
    spread = fitted_spread(subject.question.site) or 0.0
    kept = 0
    for i in range(calls):
        load, power = subject.question.errors.load_std * u[i], 1.0
        if how.models_err:
            load, power = LOAD_FORECAST_STD * u[i], 1.0 + spread * off[i]
        kept += is_kept(subject, sure, float(load), RESPONSE_STD * float(v[i]), float(power))
    return Outcome(
        subject=name,
        confidence=confidence,
        scenario=scenario,
        calls=calls,
        kept=kept,
        computed=sure.probability[how.law.name],
        kw=sure.kept.kw,
        continuous=subject.continuous,
    )


@cache
def _sure(name: str, confidence: float) -> Sure:
    subject = next(s for s in subjects() if s.name == name)
    calls = subject.question.request.calls.per_day
    found = surest(subject.question.problem(confidence), confidence, calls=calls)
    if found is None:
        raise ValueError(f"{name} promises nothing at {confidence}")
    return found


def is_kept(subject: Subject, sure: Sure, load: float, less: float, power: float = 1.0) -> bool:
    """Carry a day's calls out on fresh plants and tell whether the promise was kept in each.

    The meter reads the plan's baseline at the start, whatever the plant's own models. What compute
    moves too little, and what the load strays, is drawn by the load that is not planned.

    Args:
        subject: the promise.
        sure: its plan.
        load: what is drawn too much (to absorb: too little), as a share of the pools' draw.
        less: what compute moves too little, as a share of what it is planned to move.
        power: the plant's power law, as a multiple of the planner's.
    """
    kept, question = sure.kept, subject.question
    soc = question.state.soc
    for call in range(kept.calls):
        upsets = _upsets(kept, load, less, power)
        held, soc_after = _carried_out(kept, question, upsets, power, soc)
        if not held:
            return False
        if call + 1 < kept.calls and soc is not None and soc_after is not None:
            soc = _restored(kept, soc, soc_after)
    return True


def _upsets(kept: Kept, load: float, less: float, power: float) -> list[OtherLoadStep]:
    """Return the load that is not planned, step by step."""
    problem, sign = kept.problem, -kept.problem.direction
    pools_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    rest_kw = problem.baseline_kw[0] - power * pools_kw
    upsets = []
    for step in kept.plan.steps:
        moved_kw = max(sign * (pools_kw - step.compute_kw), 0.0)
        beyond_kw = load * pools_kw + less * moved_kw
        upsets.append(OtherLoadStep(at_s=step.t_s, kw=max(rest_kw + sign * beyond_kw, 0.0)))
    return upsets


def _carried_out(
    kept: Kept,
    question: Question,
    upsets: Sequence[OtherLoadStep],
    power: float,
    soc: float | None,
) -> tuple[bool, float | None]:
    """Carry one call out: was it kept, and the state of charge at its end."""
    problem, plan = kept.problem, _as_promised(kept.plan)
    meter = MeteredPower(kw=problem.baseline_kw[0], measurement_point="connection_point")
    plant = FluidPlant(
        question.site,
        question.state.model_copy(update={"grid": meter, "soc": soc}),
        bias=Bias(load_power=power),
        disturbances=upsets,
    )
    ends_s = [step.t_s + step.duration_s for step in plan.steps]
    measured = carry_out(plan, plant, ends_s[-1], measure_at_s=ends_s)
    during = [m.soc for m in measured if m.at_s <= problem.event_end_s + 1e-6]
    return _held(problem, measured), during[-1]


def _as_promised(plan: Plan) -> Plan:
    """Return the plan with the promised draw as the converter's set-point while it is called."""
    steps = tuple(
        step.model_copy(update={"grid_kw": step.baseline_kw + step.target_kw})
        if step.target_kw
        else step
        for step in plan.steps
    )
    return plan.model_copy(update={"steps": steps})


def _restored(kept: Kept, soc: float, soc_after: float) -> float:
    """Return the state of charge at the next call: what the rest can restore is restored."""
    battery = kept.problem.battery
    assert battery is not None
    back = kept.restorable_kwh / battery.energy_kwh
    start = battery.start_kwh / battery.energy_kwh
    if kept.problem.direction < 0:
        return min(start, soc_after + back)
    return max(start, soc_after - back)


def _held(problem: Problem, measured: Sequence[Measurements]) -> bool:
    """Tell whether the draw stays within the promise in each step, and the reserve in the cells."""
    at_s = np.array([0.0, *(m.at_s for m in measured)])
    drawn_kwh = np.array([0.0, *(m.registers.grid_kwh for m in measured)])
    edges_s = np.array(problem.grid.edges_s)
    # registers rise in straight lines between measurements, and every edge is one
    mean_kw = np.diff(np.interp(edges_s, at_s, drawn_kwh)) * 3600.0 / problem.grid.durations_s
    promised_kw = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    beyond_kw = -problem.direction * (mean_kw - promised_kw)
    if float(beyond_kw[problem.in_event].max()) > SAME_KW:
        return False
    battery = problem.battery
    if battery is None:
        return True
    during = [m.soc for m in measured if m.at_s <= problem.event_end_s + 1e-6]
    lowest = min(soc for soc in during if soc is not None)
    return lowest >= battery.kept_kwh / battery.energy_kwh - SAME_SOC


def run(calls: int, *, seed: int, jobs: int) -> Iterator[Outcome]:
    """Yield what became of every promise, in each scenario.

    Args:
        calls: in all in each scenario, shared evenly by the promises.
        seed: of the errors.
        jobs: processes.
    """
    cells = [
        (subject.name, confidence, scenario.name)
        for scenario in SCENARIOS
        for subject in subjects()
        for confidence in CONFIDENCES
    ]
    each = -(-calls // (len(cells) // len(SCENARIOS)))
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(simulate, *cell, each, seed) for cell in cells]
        for future in done:
            yield future.result()


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the page."""
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


@dataclass(frozen=True)
class Together:
    """The promises of one confidence with a continuous margin in one scenario, taken together."""

    scenario: str
    confidence: float
    calls: int
    kept: int

    @property
    def is_often_enough(self) -> bool:
        """Whether they are kept at least as often as stated, by the one-sided test."""
        return at_most(self.kept, self.calls, self.confidence) > 1.0 - ONE_SIDED

    @property
    def excess_points(self) -> float:
        """How much more often than stated they are kept, in points."""
        return 100.0 * (self.kept / self.calls - self.confidence)


def together(outcomes: Sequence[Outcome]) -> list[Together]:
    """Return the promises of each scenario and confidence together; none where there are none."""
    found = []
    for scenario in SCENARIOS:
        for confidence in CONFIDENCES:
            cell = (scenario.name, confidence, True)
            own = [o for o in outcomes if (o.scenario, o.confidence, o.continuous) == cell]
            if own:
                calls, kept = sum(o.calls for o in own), sum(o.kept for o in own)
                found.append(Together(scenario.name, confidence, calls, kept))
    return found


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
            tuned = _sure(subject.name, confidence)
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


@click.command(help=__doc__)
@click.option("--calls", default=10_000, show_default=True, help="In each scenario.")
@click.option("--seed", default=20261126, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
def main(calls: int, seed: int, jobs: int, write: Path | None) -> None:
    """Simulate and report; exits with 1 where a promise is kept too seldom."""
    outcomes = []
    for outcome in run(calls, seed=seed, jobs=jobs):
        outcomes.append(outcome)
        click.echo(
            f"{outcome.scenario:6} {outcome.subject:24} {outcome.confidence:.2f} "
            f"{outcome.kept / outcome.calls:.4f} (computed {outcome.computed:.4f})",
            err=True,
        )
    text = page(outcomes)
    click.echo(text)
    if write is not None:
        write_atomically(write, text.encode())
    tested = len(outcomes) // len(SCENARIOS)
    each = all(outcome.is_often_enough(tested) for outcome in outcomes)
    sys.exit(0 if each and all(t.is_often_enough for t in together(outcomes)) else 1)


if __name__ == "__main__":
    main()

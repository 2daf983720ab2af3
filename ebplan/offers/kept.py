r"""With which probability a plan keeps what it promises, and the margins at which it is the stated.

Two errors last the whole call: u of the load's draw, v of the share of what compute moves, both in
standard deviations (``site/uncertainty.py``). What the converter is asked for beyond its plan is

    n_t(u, v) = load u + r moved_t v

where the converter is told the draw that is promised, so that compute beyond it is credit. The
promise is kept where the power suffices at the worst instant of every step and the energy over all
of them:

    n_t(u, v) <= free_t          for all t
    sum_t h_t g(given_t + n_t(u, v)) <= stored

with g the energy that a power takes out of the cells (to absorb: puts in); of n calls a day the
last begins with what the rests could not restore, under the same errors. Both sides rise with u, so
for each v there is a highest u*(v), and the probability is the mean of F(u*(v)) over v. The
margins of the formulation add up where independent errors do not, so a z below theirs suffices: it
is found by repeating (a margin tuned after the fact, arXiv 2005.13428).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.offers.firm import Firm, Kept
from ebplan.offers.tails import LAWS, Law, nodes
from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.blocks.margin import margin_steps

NORMAL = NormalDist()
HIGHEST_U = 40.0
CLOSE = 2e-3
"""A promise this little surer than stated is tight."""
TRIES, MOST_TRIES = 5, 12
"""Tries to come close to the confidence, and to reach it at all."""
FIRST, STEEP = 0.8, 1.4
"""Where the search for z begins, as a share of the quantile, and how fast the quantile rises with
it where nothing is known yet: two equal errors, and energy summed over both."""


def probability_kept(kept: Kept, law: Law) -> float:
    """Return the probability that a plan keeps its promise, in each call of a day.

    The errors of a day's calls are the same: the last call begins with what the rests could not
    restore of those before.

    Args:
        kept: the plan.
        law: the law of either error, independent of one another.
    """
    margins = kept.problem.margins
    if margins is None:
        return 1.0
    need = _needs(kept)
    load_kw, moved_kw = margins.load_kw, margins.response_share * need.moved_kw
    if load_kw <= 0.0:
        return float(law.probability(np.array(_highest(kept, need, moved_kw[None, :])))[0])
    v = nodes(law)
    other_kw = np.outer(v.value, moved_kw)
    highest = _highest(kept, need, np.full_like(need.free_kw, load_kw)[None, :], other_kw)
    return float(v.weight @ law.probability(highest))


def _highest(
    kept: Kept, need: _Needs, per_error: FloatArray, other_kw: FloatArray | None = None
) -> FloatArray:
    """Return the highest error at which the promise is kept, by bisection, shape (V,).

    Args:
        kept: the plan.
        need: what it asks of the converter.
        per_error: what is asked beyond the plan for each unit of the error, >= 0, shape (1, M).
        other_kw: what another error asks besides, shape (V, M); nothing if absent.
    """
    other_kw = np.zeros_like(per_error) if other_kw is None else other_kw
    low = np.full(len(other_kw), -HIGHEST_U)
    high = -low
    for _ in range(40):
        middle = 0.5 * (low + high)
        beyond_kw = per_error * middle[:, None] + other_kw
        holds = (beyond_kw <= need.free_kw).all(axis=1)
        holds &= _stored_after(kept, need, beyond_kw) >= 0.0
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return np.where(low <= -HIGHEST_U, -np.inf, low)


def _stored_after(kept: Kept, need: _Needs, beyond_kw: FloatArray) -> FloatArray:
    """Return what is left above the reserve (to absorb: below the top) of all calls, kWh, (V,)."""
    each_kwh = _energy_kwh(kept.problem, need, beyond_kw)
    deficit_kwh = np.maximum(each_kwh - kept.restorable_kwh, 0.0)
    return np.asarray(need.stored_kwh - each_kwh - (kept.calls - 1) * deficit_kwh)


@dataclass(frozen=True)
class _Needs:
    """What a plan asks of the converter in the steps of its margin, shape (M,) each."""

    given_kw: FloatArray
    """Planned answer of the battery."""
    free_kw: FloatArray
    """Power left at the worst instant."""
    moved_kw: FloatArray
    """What compute moves in the direction asked."""
    hours: FloatArray
    stored_kwh: float
    """Energy that may be taken, or room for it."""


def _needs(kept: Kept) -> _Needs:
    problem, formulation, x = kept.problem, kept.formulation, kept.x
    margin = formulation.margin
    steps = margin_steps(problem)
    sign = -problem.direction
    start_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    compute_kw = x[formulation.compute.mean][steps]
    aim_kw = (np.array(problem.baseline_kw) + np.array(problem.target_kw))[steps]
    draw_kw = compute_kw + np.array(problem.other_kw)[steps]
    battery = problem.battery
    stored_kwh = np.inf
    if battery is not None and formulation.battery is not None:
        first_kwh = float(x[formulation.battery.energy[steps[0]]])
        stored_kwh = first_kwh - battery.kept_kwh if sign > 0 else battery.max_kwh - first_kwh
    held = np.zeros(problem.grid.n_steps)
    if margin is not None:
        held[margin.steps] = x[margin.held]
    return _Needs(
        given_kw=sign * (draw_kw - aim_kw),
        free_kw=(held + _slack_kw(kept))[steps],
        moved_kw=np.maximum(sign * (start_kw - compute_kw), 0.0),
        hours=problem.grid.durations_s[steps] / 3600.0,
        stored_kwh=stored_kwh,
    )


def _slack_kw(kept: Kept) -> FloatArray:
    """Return the converter power that is neither used nor held at the worst instant, shape (T,)."""
    problem, program = kept.problem, kept.formulation.program
    room = program.row_upper - program.activity(kept.x)
    slack = np.full(problem.grid.n_steps, np.inf)
    asked = np.flatnonzero(problem.in_event)
    for side in ("start", "end"):
        rows = program.row_range(f"converter_limit.{side}")
        slack[asked] = np.minimum(slack[asked], room[rows])
    instants = np.array(kept.formulation.instants_s)
    if len(instants):
        step = np.searchsorted(np.array(problem.grid.edges_s), instants, side="right") - 1
        np.minimum.at(slack, step, room[program.row_range("converter_limit.inside")])
    return np.asarray(np.maximum(slack, 0.0))


def _energy_kwh(problem: Problem, need: _Needs, beyond_kw: FloatArray) -> FloatArray:
    """Return the energy in the cells that a call takes (to absorb: fills), shape (V,)."""
    battery = problem.battery
    if battery is None:
        return np.zeros(len(beyond_kw))
    power_kw = np.maximum(need.given_kw + beyond_kw, 0.0)
    return np.asarray(_in_cells_kw(battery, power_kw, problem.direction) @ need.hours)


def _in_cells_kw(battery: BatteryProblem, power_kw: FloatArray, direction: int) -> FloatArray:
    loss_kw = battery.loss_linear * power_kw + battery.loss_quadratic * power_kw**2 / (
        battery.rated_kw
    )
    if direction < 0:
        return np.asarray((power_kw + loss_kw) / battery.cell_efficiency)
    return np.asarray(np.maximum(power_kw - loss_kw, 0.0) * battery.cell_efficiency)


@dataclass(frozen=True)
class Sure:
    """A promise that is kept with at least the confidence stated."""

    kept: Kept
    bound_kw: float
    """No promise at these margins is larger."""
    confidence: float
    """Stated."""
    probability: dict[str, float]
    """With which it is kept, by law."""
    firm: Firm
    """Finds further plans at the same margins."""

    @property
    def least(self) -> float:
        """The lowest of the probabilities."""
        return min(self.probability.values())


def surest(problem: Problem, confidence: float, *, calls: int = 1) -> Sure | None:
    """Return the largest promise that is kept with a confidence; None where there is none.

    Args:
        problem: what is asked; its margins' errors count, their z is found here.
        confidence: probability with which each call is to be kept, at least.
        calls: how many calls there must be energy for.
    """
    if problem.margins is None:
        return _at(problem, None, confidence, calls)
    first = FIRST * NORMAL.inv_cdf(confidence)
    near = _surest_of(_tries(problem, confidence, calls, first, quick=True), confidence)
    # the instances that keep it for the least money may be others, and as sure at another z
    z = first if near is None or not near.kept.problem.margins else near.kept.problem.margins.z
    return _surest_of(_tries(problem, confidence, calls, z, quick=False), confidence) or near


def _surest_of(tries: Iterator[Sure | None], confidence: float) -> Sure | None:
    """Return the largest of the promises that are sure enough."""
    found = [sure for sure in tries if sure is not None and sure.least >= confidence]
    return max(found, key=lambda sure: sure.kept.kw, default=None)


def _tries(
    problem: Problem, confidence: float, calls: int, first: float, *, quick: bool
) -> Iterator[Sure | None]:
    """Yield promises at margins that close in on the confidence, by the secant of its quantiles."""
    aim = _quantile(confidence + 0.3 * CLOSE)
    z, seen, sure = max(first, 0.0), list[tuple[float, float]](), False
    for tried in range(MOST_TRIES):
        if tried >= TRIES and sure:
            return
        found = _at(problem, z, confidence, calls, quick=quick)
        yield found
        if found is None:
            if z <= 0.0:
                return
            z *= 0.5
            continue
        sure = sure or found.least >= confidence
        if confidence <= found.least and (found.least <= confidence + CLOSE or z <= 0.0):
            return
        seen.append((z, _quantile(found.least)))
        z = _next(seen, aim)


def _next(seen: list[tuple[float, float]], aim: float) -> float:
    """Return the z at which the quantile is likely the one aimed at, between those that enclose it.

    Args:
        seen: margins and quantiles reached, in the order of the tries.
        aim: the quantile to reach.
    """
    below = max(((z, q) for z, q in seen if q < aim), default=None)
    above = min(((z, q) for z, q in seen if q >= aim), default=None)
    if below is not None and above is not None and below[0] < above[0]:
        (low, q_low), (high, q_high) = below, above
        share = (aim - q_low) / (q_high - q_low)
        return low + min(max(share, 0.05), 0.95) * (high - low)
    (z, q), steep = seen[-1], STEEP
    if len(seen) > 1 and seen[-2][0] != z:
        found = (q - seen[-2][1]) / (z - seen[-2][0])
        # a little less steep than it was: the next try shall lie beyond the aim and enclose it
        steep = min(max(0.9 * found, 0.2 * STEEP), 2.0 * STEEP)
    return max(z + (aim - q) / steep, 0.0)


def _quantile(probability: float) -> float:
    return NORMAL.inv_cdf(min(max(probability, 1e-9), 1.0 - 1e-9))


def _at(
    problem: Problem, z: float | None, confidence: float, calls: int, *, quick: bool = False
) -> Sure | None:
    """Return the largest promise with margins of z standard deviations."""
    margins = problem.margins
    if margins is not None and z is not None:
        margins = margins.model_copy(update={"z": z, "confidence": confidence})
        problem = problem.model_copy(update={"margins": margins})
    firm = Firm(problem, calls)
    kept, bound_kw = firm.most(quick=quick)
    if kept is None:
        return None
    probability = {law.name: probability_kept(kept, law) for law in LAWS}
    return Sure(kept, bound_kw, confidence, probability, firm)

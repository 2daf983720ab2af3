"""Replay a plan at fine steps: what the site would really do, instant by instant.

Compute follows its settled inputs through the two response channels. In the event the converter
holds the step's draw, within its limits and from its delay on; where the plan rests the battery it
only keeps the draw at or under the target. Outside the event the battery does as planned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.checker.curves import (
    load_at_start,
    load_curve_kw,
    saturated_kw,
    tier_load_at_start,
)
from ebplan.checker.evidence import INSTANT_S, Evidence, FloatArray, PoolEvidence
from ebplan.checker.tolerances import (
    ENERGY_SHARE,
    KERNEL_WEIGHT,
    LOSS_GAP,
    POWER_KW,
    TRANSIENT_SHARE,
)
from ebplan.checker.warmth import work_kw
from ebplan.problem import BatteryProblem
from ebplan.site import Response

FINE_S = ((600.0, 0.05), (3600.0, 0.25), (np.inf, 1.0))
"""Fine step up to a horizon, seconds."""
SOON_S = np.append(0.0, np.geomspace(0.01, 4.0, 20))
"""Further fine times after each kink of the power, where it moves fastest."""
LATER_S = np.geomspace(4.0, 60.0, 20)
"""The same where fine steps are long."""
ALL_ARRIVED = 40.0
"""Time constants after which a change has arrived, to the last digit of a float."""


@dataclass(frozen=True)
class Replay:
    """The plan replayed over N cells between fine times."""

    times_s: FloatArray
    """Fine times, shape (N + 1,); every step edge is among them."""
    step: NDArray[np.int64]
    """Step of each cell, shape (N,)."""
    begin_kw: FloatArray
    """Draw at the connection point where each cell begins, shape (N,)."""
    end_kw: FloatArray
    """Draw where each cell ends, as its step sees it, shape (N,)."""
    site_begin_kw: FloatArray
    """Draw without the battery where each cell begins, shape (N,)."""
    site_end_kw: FloatArray
    """Draw without the battery where each cell ends, shape (N,)."""
    compute_kw: FloatArray
    """Mean compute power of each step, shape (T,)."""
    compute_allowed_kw: FloatArray
    """How far a truncated kernel may lie from it, shape (T,)."""
    stored_kwh: FloatArray | None
    """Energy in the battery at each step edge, shape (T + 1,)."""
    stored_allowed_kwh: FloatArray | None
    """How far the plan's step means may lie from it, shape (T + 1,)."""


def replay(evidence: Evidence) -> Replay:
    """Replay a plan."""
    of_pools = [changes_kw(evidence, pool) for pool in evidence.pools]
    start_kw, changes = _changes_by_response(of_pools)
    times_s = _fine_times_s(evidence, [delay_s for delay_s, _ in changes])
    edge_cells = np.searchsorted(times_s, evidence.edges_s)
    step = np.repeat(np.arange(len(evidence.hours)), np.diff(edge_cells))
    at_kw, energy_kws = _compute_power(evidence, start_kw, changes, times_s)
    on_its_way_kw, on_its_way_kws = _settling(evidence, times_s)
    at_kw, energy_kws = at_kw + on_its_way_kw, energy_kws + on_its_way_kws
    mean_kw = np.diff(energy_kws[edge_cells]) / np.diff(evidence.edges_s)
    allowed_kw = sum((_truncation_kw(evidence, *kw) for kw in of_pools), start=0.0 * mean_kw)

    cell_s = np.diff(times_s)
    other_kw = evidence.other_kw[step]
    cell_kw = np.diff(energy_kws) / cell_s + other_kw
    begin_kw, end_kw = site_begin_kw, site_end_kw = at_kw[:-1] + other_kw, at_kw[1:] + other_kw
    battery = evidence.problem.battery
    stored = stored_allowed = None
    if battery is not None:
        awake = (
            times_s[:-1] + times_s[1:]
        ) / 2.0 >= evidence.problem.event_start_s + battery.delay_s
        given = _battery_kw(evidence, battery, step, awake, (begin_kw, cell_kw, end_kw))
        # Where the target is missed anyway, the converter shifts energy within the step at most.
        short = evidence.shortfall_kw[step] > POWER_KW
        given[1] = np.where(short, evidence.battery_kw[step], given[1])
        stored = _stored_kwh(battery, given[1], cell_s / 3600.0)[edge_cells]
        stored_allowed = _stored_allowed_kwh(evidence, battery, step, cell_kw, given[1], allowed_kw)
        begin_kw, end_kw = begin_kw - given[0], end_kw - given[2]
    return Replay(
        times_s=times_s,
        step=step,
        begin_kw=begin_kw,
        end_kw=end_kw,
        site_begin_kw=site_begin_kw,
        site_end_kw=site_end_kw,
        compute_kw=mean_kw,
        compute_allowed_kw=allowed_kw,
        stored_kwh=stored,
        stored_allowed_kwh=stored_allowed,
    )


Changes = list[tuple[Response, FloatArray]]
"""By response, what each epoch adds to a pool's draw, (K,)."""


def changes_kw(evidence: Evidence, pool: PoolEvidence) -> tuple[float, Changes]:
    """Return a pool's draw at the start, and by response what each epoch adds to it, (K,).

    Loads, caps, idle instances and a pre-warm at work are followed by ``cap_response``, and in an
    absorb by ``rise_response`` where there is one. An instance that is drained falls by
    ``route_response`` instead, from saturation to idle.
    """
    problem, releases = pool.problem, evidence.releases
    in_tier = 0 if problem.tier is None else problem.tier.active_at_start
    active = np.concatenate([[problem.active_at_start + in_tier], pool.active])
    asleep = np.concatenate([[problem.asleep_at_start], pool.asleep])
    natural_kw = load_curve_kw(problem, np.array([load_at_start(problem)]))
    natural_kw = problem.active_at_start * natural_kw
    # a drained instance falls from its own saturation, which its weights decide
    kept_kw = (saturated_kw(problem) - problem.drained_kw) * pool.own_newly_drained
    if problem.tier is not None:
        of_tier_kw = load_curve_kw(problem.tier, np.array([tier_load_at_start(problem)]))
        natural_kw = natural_kw + in_tier * of_tier_kw
        fall_kw = saturated_kw(problem.tier) - problem.drained_kw
        kept_kw = kept_kw + fall_kw * pool.tier_newly_drained
    power_kw = np.concatenate([natural_kw, pool.power_kw + work_kw(pool, evidence.epoch_starts_s)])
    settled_kw = power_kw + problem.drained_kw * (problem.instances - active - asleep)
    settled_kw += problem.asleep_kw * asleep
    # power not shed yet counts against a release and is no help to an absorb
    kept_kw = kept_kw if releases else 0.0 * kept_kw
    rise = problem.rise_response
    return float(settled_kw[0]), [
        (
            problem.cap_response if releases or rise is None else rise,
            np.diff(settled_kw) + kept_kw,
        ),
        (problem.route_response, -kept_kw),
    ]


def _fine_times_s(evidence: Evidence, delays_s: list[float]) -> FloatArray:
    """Return the fine times: evenly spaced, with every step edge and every kink of the power."""
    horizon_s = float(evidence.edges_s[-1])
    apart_s = next(step_s for up_to_s, step_s in FINE_S if horizon_s <= up_to_s)
    battery = evidence.problem.battery
    kinks = [evidence.epoch_starts_s + delay_s for delay_s in delays_s]
    kinks += [np.array([part.delay_s]) for pool in evidence.problem.pools for part in pool.settling]
    if battery is not None:
        kinks.append(np.array([evidence.problem.event_start_s + battery.delay_s]))
    even = np.arange(0.0, horizon_s, apart_s)
    after_s = SOON_S if apart_s < 1.0 else np.append(SOON_S, LATER_S)
    soon = np.concatenate([np.add.outer(kink, after_s).ravel() for kink in kinks])
    soon = np.unique(soon[(soon >= 0.0) & (soon < horizon_s)])
    # an edge stands for the times next to it
    apart = [_apart_from(times, evidence.edges_s) for times in (even, soon)]
    return _merged(apart[0], _merged(apart[1], evidence.edges_s))


def _apart_from(times_s: FloatArray, edges_s: FloatArray) -> FloatArray:
    """Return the times, in order, that are no instant away from any edge."""
    keep = np.ones(len(times_s), dtype=bool)
    first = np.searchsorted(times_s, edges_s - INSTANT_S)
    last = np.searchsorted(times_s, edges_s + INSTANT_S, "right")
    for i, j in zip(first, last, strict=True):
        keep[i:j] = False
    return times_s[keep]


def _merged(many_s: FloatArray, few_s: FloatArray) -> FloatArray:
    """Return all times in order, each once; either are in order."""
    place = np.searchsorted(many_s, few_s)
    new = np.append(many_s, np.inf)[place] != few_s
    return np.insert(many_s, place[new], few_s[new])


def _changes_by_response(
    of_pools: list[tuple[float, Changes]],
) -> tuple[float, dict[tuple[float, float], FloatArray]]:
    """Sum the changes of all pools that answer alike, by (delay, time constant) in seconds."""
    total_kw, changes = 0.0, dict[tuple[float, float], FloatArray]()
    for start_kw, parts in of_pools:
        total_kw += start_kw
        for response, kw in parts:
            key = (response.delay_s, response.time_constant_s)
            changes[key] = changes.get(key, 0.0) + kw
    return total_kw, changes


def _compute_power(
    evidence: Evidence,
    start_kw: float,
    changes: dict[tuple[float, float], FloatArray],
    times_s: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return compute power in kW and its integral in kW s at the fine times.

    A change at an epoch arrives as 1 - exp(-x / T), whose integral is x - T (1 - exp(-x / T)),
    x the time since the epoch less the delay.
    """
    power, integral = np.full_like(times_s, start_kw), start_kw * times_s
    for (delay_s, constant_s), kw in changes.items():
        for epoch_s, change in zip(evidence.epoch_starts_s, kw, strict=True):
            if change == 0.0:
                continue
            begins_s = epoch_s + delay_s
            over_s = begins_s + ALL_ARRIVED * constant_s
            first, last = np.searchsorted(times_s, [begins_s, over_s])
            arrived = np.ones(len(times_s) - first)
            arrived[: last - first] = -np.expm1((begins_s - times_s[first:last]) / constant_s)
            power[first:] += change * arrived
            integral[first:] += change * (times_s[first:] - begins_s - constant_s * arrived)
    return power, integral


def _settling(evidence: Evidence, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the power on its way from earlier commands, kW, and its integral, kW s.

    It stays until its delay is over and falls by exp(-x / T) from then on.
    """
    power, integral = np.zeros_like(times_s), np.zeros_like(times_s)
    for pool in evidence.problem.pools:
        for part in pool.settling:
            falls_s = np.maximum(times_s - part.delay_s, 0.0)
            left = np.exp(-falls_s / part.time_constant_s)
            power += part.kw * left
            waits_s = np.minimum(times_s, part.delay_s)
            integral += part.kw * (waits_s + part.time_constant_s * (1.0 - left))
    return power, integral


def _truncation_kw(evidence: Evidence, start_kw: float, changes: Changes) -> FloatArray:
    """Bound what folding small kernel weights into the current epoch changes, shape (T,)."""
    (_, fast), (_, slow) = changes
    settled = np.concatenate([[start_kw], start_kw + np.cumsum(fast + slow)])
    apart = np.abs(settled[1:, None] - settled[None, :])
    total = np.tril(apart, k=1).sum(axis=1) + np.cumsum(np.abs(slow))
    return np.asarray(KERNEL_WEIGHT * total[evidence.epoch_of_step])


def _battery_kw(
    evidence: Evidence,
    battery: BatteryProblem,
    step: NDArray[np.int64],
    awake: NDArray[np.bool_],
    draws_kw: tuple[FloatArray, ...],
) -> list[FloatArray]:
    """Return the battery power against each of the site's draws without it, by cell."""
    planned, sign = evidence.battery_kw, evidence.sign
    if evidence.problem.asks == "nothing":
        return [planned[step] for _ in draws_kw]
    if evidence.both_ways:
        tracked = [_tracked_both_ways_kw(evidence, battery, step, kw) for kw in draws_kw]
    else:
        limit_kw = battery.discharge_limit_kw if evidence.releases else battery.charge_limit_kw
        rests = np.abs(planned) <= POWER_KW
        barely_kw = evidence.aim_kw + sign * evidence.shortfall_kw
        hold_kw = np.where(rests, barely_kw, evidence.grid_kw)
        hold_kw = np.where(rests & ~evidence.asked, sign * np.inf, hold_kw)[step]
        tracked = [sign * np.clip(sign * (kw - hold_kw), 0.0, limit_kw) for kw in draws_kw]
    answers = evidence.in_window[step] & awake
    otherwise_kw = np.where(evidence.in_window, 0.0, planned)[step]
    return [np.where(answers, kw, otherwise_kw) for kw in tracked]


def _tracked_both_ways_kw(
    evidence: Evidence, battery: BatteryProblem, step: NDArray[np.int64], site_kw: FloatArray
) -> FloatArray:
    """Return what the converter gives or takes to hold each step's draw, by cell.

    Where the plan rests it, it only keeps the draw inside the band, or where the shortfall ends.
    """
    rests = np.abs(evidence.battery_kw) <= POWER_KW
    band_kw = evidence.problem.tolerance_kw + evidence.shortfall_kw
    highest_kw = np.where(rests, evidence.aim_kw + band_kw, evidence.grid_kw)[step]
    lowest_kw = np.where(rests, evidence.aim_kw - band_kw, evidence.grid_kw)[step]
    gives = np.clip(site_kw - highest_kw, 0.0, battery.discharge_limit_kw)
    takes = np.clip(lowest_kw - site_kw, 0.0, battery.charge_limit_kw)
    return gives - takes


def _loss_kw(battery: BatteryProblem, power_kw: FloatArray) -> FloatArray:
    """Return the converter loss at AC power: b1 x + b2 x^2 / rated."""
    x = np.abs(power_kw)
    return battery.loss_linear * x + battery.loss_quadratic * x**2 / battery.rated_kw


def _stored_kwh(battery: BatteryProblem, power_kw: FloatArray, hours: FloatArray) -> FloatArray:
    """Return the energy in the cells at the ends of the given intervals and at their start."""
    loss = _loss_kw(battery, power_kw)
    eta = battery.cell_efficiency
    from_cells_kw = np.where(power_kw > 0.0, (power_kw + loss) / eta, (power_kw + loss) * eta)
    return np.concatenate([[0.0], -np.cumsum(from_cells_kw * hours)]) + battery.start_kwh


def _stored_allowed_kwh(
    evidence: Evidence,
    battery: BatteryProblem,
    step: NDArray[np.int64],
    site_kw: FloatArray,
    battery_kw: FloatArray,
    truncation_kw: FloatArray,
) -> FloatArray:
    """Bound how far step means may lie from the replay at each step edge, shape (T + 1,)."""
    first = np.searchsorted(step, np.arange(len(evidence.hours)))
    spread_kw = np.maximum.reduceat(site_kw, first) - np.minimum.reduceat(site_kw, first)
    limit_kw = battery.discharge_limit_kw if evidence.releases else battery.charge_limit_kw
    given_kw = evidence.sign * battery_kw
    at_limit = (given_kw <= 0.0) | (given_kw >= limit_kw)
    if evidence.both_ways:
        at_limit = (battery_kw <= -battery.charge_limit_kw) | (
            (battery_kw >= battery.discharge_limit_kw) | (battery_kw == 0.0)
        )
    tracks = np.maximum.reduceat((~at_limit).astype(float), first) > 0.0
    clipped = np.maximum.reduceat(at_limit.astype(float), first) > 0.0
    # only where the converter both tracks and is clipped within one step does a mean mislead
    transient_kw = np.where(evidence.in_window & tracks & clipped, TRANSIENT_SHARE * spread_kw, 0.0)
    if evidence.both_ways:
        # what is given and taken within one step does not cancel in the cells
        turns = np.maximum.reduceat(battery_kw, first) * np.minimum.reduceat(battery_kw, first)
        transient_kw = np.where(turns < 0.0, TRANSIENT_SHARE * spread_kw, transient_kw)
    if evidence.problem.asks == "nothing":
        transient_kw = np.zeros_like(spread_kw)
    busy = (np.abs(evidence.battery_kw) > POWER_KW) | tracks
    tangents_kw = LOSS_GAP * battery.loss_quadratic * battery.rated_kw
    off_kw = np.where(busy, tangents_kw + truncation_kw + POWER_KW, 0.0) + transient_kw
    off_kwh = np.cumsum(off_kw * evidence.hours) / battery.cell_efficiency
    return np.concatenate([[0.0], off_kwh]) + ENERGY_SHARE * battery.energy_kwh

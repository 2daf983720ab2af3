"""Small random problems, each the same for the same seed.

They are stated directly as `Problem` documents, not posed from a site: a generator that went
through the front door would never reach the corners of the formulation. What is random: one or two
pools of one to three instances, two to four epochs, four to ten steps, sleep with its lead times,
dwell and transit, both branches of the cap curve, congestion, work that may wait, battery,
hand-off, baseline, rebound, and every price; further ways to run stand in random_ways.py, limits on
latency in random_latency.py. Low seeds
release, seeds from `ABSORBS_FROM` on absorb, with more drained instances and a battery that
charges. A problem always has a feasible point: whatever cannot be served by the instances awake at
the start may be turned away, and what waits at the start may go on waiting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import small_problems as small
from hypothesis import strategies as st
from random_curves import can_serve, random_cap_curve, random_load_curve
from random_latency import with_latency
from random_ways import with_ways

from ebplan.problem import (
    ArrivalCount,
    BatteryProblem,
    ClassProblem,
    DeferralProblem,
    PoolProblem,
    Prices,
    Problem,
    ValueSegment,
)
from ebplan.site import CongestionStep, Response
from ebplan.solvers.leave_out import available, leave_out
from ebplan.wear import CalendarLine, DepthSegment

Draw = np.random.Generator

_WAITING = (0.35, 0.45, 0.2)
"""How often none, one and both of the classes of a pool may wait."""

_LIMITED = 0.35
"""How often the classes of a problem have a latency, most of them with limits on it."""

ABSORBS_FROM = 4000
"""Seeds below release, seeds from here on absorb."""
EITHER_WAY_FROM = 8000
"""Seeds from here on follow a target both ways, know prices over time, or have energy to restore;
what they add to a release is drawn from a stream of its own."""


def random_problem(seed: int, **limits: Any) -> Problem:
    """Return the problem of a seed.

    Args:
        seed: what everything random follows from.
        limits: ``pools``, ``instances`` (per pool), ``epochs``: how many; ``steps_per_epoch``: at
            most so many; ``battery``, ``sleep``: whether there is one. Random where absent.
            ``ways``: False for pools without further ways to run.
    """
    rng = np.random.default_rng(seed)
    absorbs = ABSORBS_FROM <= seed < EITHER_WAY_FROM
    edges, epoch_steps = _grid(rng, limits)
    steps = len(edges) - 1
    event_from = int(rng.integers(0, 2)) if steps > 2 else 0
    event_to = steps - int(rng.integers(0, max(steps - event_from - 1, 1)))
    # Drawn apart: a pool is otherwise the same whether or not its work may wait.
    waits = np.random.default_rng((seed, 1))
    n_pools = int(limits.get("pools", 1 + int(rng.random() < 0.25)))
    sizes = rng.integers(1, 4 if n_pools == 1 else 3, size=n_pools)
    pools = tuple(
        _pool(rng, f"pool_{i}", int(limits.get("instances", size)), edges, limits, absorbs=absorbs)
        for i, size in enumerate(sizes)
    )
    pools = tuple(_with_deferral(waits, pool, edges[-1]) for pool in pools)
    in_time = np.random.default_rng((seed, 4))
    limited = bool(limits.get("latency", in_time.random() < _LIMITED))
    if limited:  # a pool has either limits on latency or further ways to run
        pools = tuple(with_latency(in_time, pool) for pool in pools)
    if limits.get("ways", not limited):
        more = np.random.default_rng((seed, 5))
        pools = tuple(with_ways(more, pool, edges[-1]) for pool in pools)
    other_kw = float(rng.uniform(0.0, 2.0))
    start_kw = other_kw + sum(p.power_at_start_kw() for p in pools)
    baseline_kw = start_kw * (1.0 if rng.random() < 0.6 else float(rng.uniform(0.9, 1.1)))
    size_kw = float(rng.uniform(0.05, 0.6)) * baseline_kw
    target = np.zeros(steps)
    target[event_from:event_to] = size_kw if absorbs else -size_kw
    if event_to - event_from > 1 and rng.random() < 0.4:  # a ramp, or an initial delay
        target[event_from] *= float(rng.choice([0.0, 0.5]))
    limit = np.full(steps, baseline_kw * (1.5 if rng.random() < 0.7 else 0.98))
    limit[event_to:] = baseline_kw * float(rng.uniform(0.95, 1.05))
    has_battery = limits.get("battery", bool(rng.random() < 0.7))
    hands_over = has_battery and rng.random() < 0.5
    problem = small.problem(
        edges_s=edges,
        epoch_steps=epoch_steps,
        event_id=f"random-{seed}",
        event_start_s=edges[event_from],
        event_end_s=edges[event_to],
        target_kw=tuple(target.tolist()),
        baseline_kw=(baseline_kw,) * steps,
        other_kw=(other_kw,) * steps,
        import_limit_kw=tuple(limit.tolist()),
        export_limit_kw=float(rng.choice([0.0, 0.5, 5.0])),
        handoff_from_s=float(rng.uniform(0.0, edges[event_to - 1])) if hands_over else None,
        handoff_kw=float(rng.choice([0.0, 0.1])) * size_kw,
        pools=pools,
        battery=_with_wear(seed, _battery(rng, edges, absorbs=absorbs)) if has_battery else None,
        prices=_prices(rng),
    )
    if seed < EITHER_WAY_FROM:
        return problem
    return _either_way(np.random.default_rng((seed, 3)), problem)


def _either_way(rng: Draw, problem: Problem) -> Problem:
    """Return the problem with prices over time, energy to restore, or asked both ways."""
    asks = str(rng.choice(["both_ways", "nothing", "one_way"], p=[0.5, 0.35, 0.15]))
    steps, battery = problem.grid.n_steps, problem.battery
    levels = rng.choice([-60.0, -6.0, 0.0, 15.0, 45.0], size=steps)
    held = rng.random(steps) < 0.5  # one price often holds for more than a step
    energy = [float(levels[t - 1] if t and held[t] else levels[t]) for t in range(steps)]
    size_kw = max(map(abs, problem.target_kw))
    changes: dict[str, Any] = {"asks": asks}
    if asks != "one_way":
        changes |= {"handoff_from_s": None, "target_kw": (0.0,) * steps}
    if asks == "both_ways":
        inside = np.array(problem.grid.edges_s[:-1]) >= problem.event_start_s
        inside &= np.array(problem.grid.edges_s[:-1]) < problem.event_end_s
        share = rng.choice([-1.0, -0.4, 0.0, 0.4, 1.0], size=steps)
        changes["target_kw"] = tuple(np.where(inside, size_kw * share, 0.0).tolist())
        changes["tolerance_kw"] = float(rng.choice([0.0, 0.05])) * size_kw
    if battery is not None:
        both_kw = battery.rated_kw * float(rng.uniform(0.5, 1.0))
        changes["battery"] = battery.model_copy(update={"charge_limit_kw": both_kw})
        if asks == "one_way" or rng.random() < 0.5:
            within = float(rng.uniform(battery.min_kwh, battery.max_kwh))
            changes["restore_kwh"] = within
    prices = {"soc_missing_per_kwh": float(rng.choice([5.0, 50.0, 200.0]))}
    if asks == "nothing" or rng.random() < 0.3:
        prices["energy_per_kwh"] = tuple(energy)
    changes["prices"] = problem.prices.model_copy(update=prices)
    return Problem.model_validate({**dict(problem), **changes})


def random_problem_without(seed: int) -> Problem:
    """Return the problem of a seed with one to three of its mechanisms left out, or all of them."""
    problem, rng = random_problem(seed), np.random.default_rng((seed, 6))
    there = available(problem)
    count = min(int(rng.choice([1, 2, 3, len(there)])), len(there))
    return leave_out(problem, rng.choice(there, size=count, replace=False).tolist())


problems = st.builds(random_problem, st.integers(0, 2 * ABSORBS_FROM - 1))
"""Hypothesis strategy of random problems, in both directions."""

problems_with_limits = st.builds(
    random_problem, st.integers(0, 2 * ABSORBS_FROM - 1), latency=st.just(True)
)
"""The same with limits on latency in all of them."""


def _grid(rng: Draw, limits: dict[str, Any]) -> tuple[tuple[float, ...], tuple[int, ...]]:
    epochs = int(limits.get("epochs", rng.integers(2, 5)))
    most = int(limits.get("steps_per_epoch", 4))
    edges, epoch_steps = [0.0], []
    for k in range(epochs):
        epoch_steps.append(len(edges) - 1)
        left = 10 - len(edges) + 1 - (epochs - k - 1)
        least = 2 if k == 0 and epochs < 4 else 1
        for _ in range(int(rng.integers(least, min(most, left) + 1))):
            edges.append(edges[-1] + float(rng.choice([1.0, 7.0, 30.0, 60.0, 300.0, 900.0])))
    while len(edges) < 5:
        edges.append(edges[-1] + 60.0)
    return tuple(edges), tuple(epoch_steps)


def _pool(
    rng: Draw,
    name: str,
    instances: int,
    edges: tuple[float, ...],
    limits: dict[str, Any],
    *,
    absorbs: bool,
) -> PoolProblem:
    curve = random_load_curve(rng)
    lowest, highest = float(rng.choice([0.05, 0.2, 0.33])), float(rng.uniform(0.7, 1.0))
    may_sleep = bool(limits.get("sleep", rng.random() < 0.6))
    idle = 0.3 if absorbs else 0.0  # more of them drained: that is where an absorb finds its room
    where = rng.choice(
        ["active", "drained", "asleep", "to_awake", "to_asleep"],
        size=instances,
        p=np.array([0.7, 0.1, 0.1, 0.05, 0.05] if may_sleep else [0.8, 0.2, 0.0, 0.0, 0.0])
        + np.array([-idle, idle, 0.0, 0.0, 0.0]),
    ).tolist()
    seconds = [0.0, 5.0, 60.0, 400.0]
    draft = small.pool(
        name=name,
        load_curve=curve,
        cap_curve=random_cap_curve(rng, curve, lowest, highest),
        drained_kw=curve.idle_kw,
        asleep_kw=curve.idle_kw * float(rng.uniform(0.2, 1.0)),
        may_sleep=may_sleep,
        min_utilisation=lowest,
        max_utilisation=highest,
        **_responses(rng),
        sleep_s=float(rng.choice(seconds)),
        wake_s=float(rng.choice(seconds)),
        min_asleep_s=float(rng.choice(seconds)),
        min_awake_s=float(rng.choice(seconds)),
        active_at_start=where.count("active"),
        drained_at_start=where.count("drained"),
        asleep_at_start=where.count("asleep"),
        arrivals=tuple(
            ArrivalCount(to=to, count=1, at_s=float(rng.uniform(0.0, 1.1 * edges[-1])))
            for to in ("awake", "asleep")
            for _ in range(where.count(f"to_{to}"))
        ),
        congestion=_congestion(rng),
        cap_depth_per_kwh=float(rng.choice([0.0, 5.0, 40.0])),
        readiness_per_instance_h=float(rng.choice([0.0, 2.0, 20.0])),
        drain_per_instance=float(rng.choice([0.0, 0.05, 0.5])),
        wake_per_instance=float(rng.choice([0.0, 0.05, 0.5])),
    )
    return draft.model_copy(update={"classes": _classes(rng, draft)})


def _classes(rng: Draw, pool: PoolProblem) -> tuple[ClassProblem, ...]:
    load = float(rng.uniform(0.0, 0.9)) * pool.instances
    share = float(rng.choice([0.0, 0.4, 1.0]))
    open_to_all = tuple(
        ClassProblem(
            name=name,
            load=part,
            requests_per_s_per_instance=2.0,
            value_per_instance_s=float(rng.choice([0.0, 0.003, 0.03])),
            max_rejected=part,
        )
        for name, part in (("chat", share * load), ("batch", (1.0 - share) * load))
    )
    awake = pool.active_at_start + pool.drained_at_start
    loaded = pool.model_copy(update={"classes": open_to_all})
    if not any(can_serve(loaded, share * load / n) for n in range(1, awake + 1)):
        return open_to_all
    return (open_to_all[0].model_copy(update={"max_rejected": 0.0}), open_to_all[1])


def _with_deferral(rng: Draw, pool: PoolProblem, horizon_s: float) -> PoolProblem:
    """Return the pool with a deferral in two of three pools, now and then in both classes.

    Deadlines reach from a fraction of the horizon to beyond it; prices are low enough that waiting
    often beats turning away.
    """
    which = {0: (), 1: ("batch",), 2: ("batch", "chat")}[int(rng.choice([0, 1, 2], p=_WAITING))]
    classes = []
    for requests in pool.classes:
        deferral = DeferralProblem(
            deadline_s=float(rng.uniform(0.05, 1.3)) * horizon_s,
            price_per_work_h=float(rng.choice([0.0, 0.002, 0.02])),
            backlog_at_start=float(rng.choice([0.0, 0.1, 0.5])) * horizon_s,
        )
        may_wait = requests.name in which
        classes.append(requests.model_copy(update={"deferral": deferral if may_wait else None}))
    return pool.model_copy(update={"classes": tuple(classes)})


def _responses(rng: Draw) -> dict[str, Response]:
    """Return how power follows: a drained instance never faster than a capped one."""
    delay_s, constant_s = float(rng.choice([0.0, 0.3, 2.0])), float(rng.uniform(0.1, 1.0))
    return {
        "cap_response": Response(delay_s=delay_s, time_constant_s=constant_s),
        "route_response": Response(
            delay_s=delay_s + float(rng.choice([0.0, 5.0])),
            time_constant_s=constant_s + float(rng.choice([0.0, rng.uniform(0.0, 15.0)])),
        ),
    }


def _congestion(rng: Draw) -> tuple[CongestionStep, ...]:
    return tuple(
        CongestionStep(above_utilisation=float(above), price_per_instance_h=float(price))
        for above, price in ((rng.uniform(0.4, 0.7), 10.0), (rng.uniform(0.75, 0.95), 60.0))
        if rng.random() < 0.6
    )


def _battery(rng: Draw, edges: tuple[float, ...], *, absorbs: bool) -> BatteryProblem:
    energy = float(rng.choice([0.05, 0.5, 3.0]))
    low, high = 0.1 * energy, 0.95 * energy
    share = np.sort(rng.uniform(0.1, 0.9, size=int(rng.integers(0, 3))))
    widths = np.diff(np.r_[0.0, share, 1.0]) * energy
    worth = np.sort(rng.uniform(0.0, 60.0, size=len(widths)))[::-1]
    rated = float(rng.uniform(0.3, 3.0))
    return BatteryProblem(
        energy_kwh=energy,
        start_kwh=float(rng.uniform(low, high)),
        min_kwh=low,
        max_kwh=high,
        reserve_kwh=float(rng.uniform(0.0, 0.5)) * energy,
        **_limits_kw(rng, rated, absorbs=absorbs),
        droop_reserve_kw=0.0,
        rated_kw=rated,
        loss_linear=float(rng.choice([0.0, 0.01])),
        loss_quadratic=float(rng.choice([0.0, 0.03])),
        cell_efficiency=float(rng.uniform(0.9, 1.0)),
        delay_s=float(rng.choice([0.0, 0.1, edges[1]])),
        wear_per_kwh=float(rng.choice([0.0, 8.0])),
        terminal=tuple(
            ValueSegment(width_kwh=float(w), price_per_kwh=float(p))
            for w, p in zip(widths, worth, strict=True)
        ),
    )


def _with_wear(seed: int, battery: BatteryProblem) -> BatteryProblem:
    """Return the battery with wear by depth, by calendar or both, in half of the problems.

    Drawn apart, so that the rest of a problem is the same with and without. Prices per hour are
    large enough to move plans of minutes.
    """
    rng = np.random.default_rng((seed, 2))
    which = rng.choice(["none", "depth", "calendar", "both"], p=(0.5, 0.2, 0.1, 0.2))
    usable_kwh = battery.max_kwh - battery.min_kwh
    # most plans take minutes, and little out of the cells
    reach_kwh = usable_kwh * float(rng.choice([0.01, 0.1, 1.1]))
    begins = np.sort(rng.uniform(0.0, reach_kwh, size=int(rng.integers(1, 4))))
    prices = np.cumsum(rng.choice([0.0, 2.0, 10.0, 30.0], size=1 + len(begins)))
    depth = tuple(
        DepthSegment(from_kwh=float(begin), price_per_kwh=float(price))
        for begin, price in zip(np.r_[0.0, begins], prices, strict=True)
    )
    lines = int(rng.integers(1, 4))
    calendar = tuple(
        CalendarLine(price_per_kwh_h=float(slope), price_per_h=float(rest))
        for slope, rest in zip(
            rng.choice([-4.0, 0.0, 3.0, 30.0], size=lines),
            rng.uniform(-1.0, 2.0, size=lines),
            strict=True,
        )
    )
    return battery.model_copy(
        update={
            "depth_segments": depth if which in ("depth", "both") else (),
            "calendar": calendar if which in ("calendar", "both") else (),
        }
    )


def _limits_kw(rng: Draw, rated: float, *, absorbs: bool) -> dict[str, float]:
    """Return the converter's limits: the event always has an answer, the recovery not always."""
    answer, recovery = rated * float(rng.uniform(0.5, 1.0)), rated * float(rng.choice([0.0, 0.7]))
    discharge, charge = (recovery, answer) if absorbs else (answer, recovery)
    return {"discharge_limit_kw": discharge, "charge_limit_kw": charge}


def _prices(rng: Draw) -> Prices:
    return Prices(
        energy_per_kwh=float(rng.choice([-6.0, 0.0, 15.0, 30.0])),
        shortfall_per_kwh=float(rng.uniform(10.0, 400.0)),
        firmness_per_kwh=float(rng.choice([0.0, 300.0])),
        early_shortfall_premium=float(rng.choice([0.0, 0.05, 0.5])),
        reserve_per_kwh=float(rng.uniform(0.0, 300.0)),
        handoff_excess_per_kwh=float(rng.uniform(0.0, 100.0)),
        overrun_per_kwh=float(rng.uniform(10.0, 400.0)),
    )

"""Complete a decision: given what the fleet does, everything else follows in closed form.

No solver is needed: the compute power follows from the kernels, the battery carries what is
missing as far as it can, and what it cannot is the shortfall. The result is a point of the
program, so that every way of finding a plan is priced by the same costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ebplan.problem import BatteryProblem, PoolProblem, Problem
from ebplan.solvers.blocks.battery import (
    charge_limits_kw,
    directions,
    loss_lines,
    loss_parts,
    price_runs,
)
from ebplan.solvers.blocks.channels import alike
from ebplan.solvers.blocks.lens import uncapped_lines
from ebplan.solvers.blocks.prewarm import still_warm, warm_epochs
from ebplan.solvers.blocks.wear import calendar_rate_per_h, layers_kwh
from ebplan.solvers.decision import PoolDecision, Running, clean
from ebplan.solvers.formulation import Formulation
from ebplan.solvers.margins import margin_point
from ebplan.solvers.operations import bounds_of
from ebplan.solvers.program import FloatArray, Program
from ebplan.solvers.quality import late_by_waiting, too_slow_kw
from ebplan.solvers.transients import (
    draw_of,
    falling_kw,
    hidden_kw,
    judged_from,
    overshoot,
    settled_kw,
)


@dataclass
class _Point:
    """A point of the program, written group by group."""

    program: Program
    x: FloatArray
    exact_loss: tuple[int, ...] = ()
    """Steps whose loss is held exactly."""

    def put(self, name: str, values: FloatArray | float) -> None:
        """Write a group; a group that the program does not need is passed over."""
        members = self.program.ranges.get(name)
        if members is not None:
            self.x[members] = values


def complete(
    problem: Problem,
    formulation: Formulation,
    decisions: tuple[PoolDecision, ...],
    battery_kw: FloatArray | None = None,
) -> FloatArray:
    """Return the point of the program that carries out the decisions, shape (n,).

    Args:
        problem: the problem.
        formulation: its program.
        decisions: what each pool does.
        battery_kw: what the battery is to do, shape (T,), > 0 discharges; if absent it answers
            the event as far as it can, takes back afterwards what is to be restored, and rests
            otherwise. Energy limits hold either way.
    """
    program = formulation.program
    point = _Point(program, np.zeros(program.n_columns))
    decisions = tuple(_without_idle_prewarms(problem, decision) for decision in decisions)
    for decision in decisions:
        _put_decision(point, problem, decision)
    _put_channels(point, problem, decisions)
    draw = draw_of(problem, decisions)
    pools_kw = mean_kw = draw.kw(None)
    point.put("compute", mean_kw)
    point.put("compute_edge", draw.kw(np.array(problem.grid.edges_s)))
    point.put("compute_instant", draw.kw(np.array(formulation.instants_s)))
    mean_kw = mean_kw + np.array(problem.other_kw)

    aim = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    asked = problem.in_event
    given_kw = np.zeros_like(mean_kw)
    point.exact_loss = formulation.exact_loss
    planned = battery_kw is not None
    if problem.battery is not None:
        if battery_kw is None:
            battery_kw = np.zeros_like(mean_kw)
            for sign in judged_from(problem):
                beyond_kw = sign * (mean_kw - aim) - problem.tolerance_kw
                answer_kw = np.clip(beyond_kw, 0.0, hidden_kw(problem, sign))
                battery_kw = battery_kw + np.where(asked, sign * answer_kw, 0.0)
            # an absorb stops at what may be drawn: the rest is a shortfall, not a breach
            least_kw = np.minimum(mean_kw - np.array(problem.import_limit_kw), 0.0)
            battery_kw = np.where(battery_kw < 0.0, np.maximum(battery_kw, least_kw), battery_kw)
        battery_kw = np.minimum(battery_kw, np.maximum(mean_kw + problem.export_limit_kw, 0.0))
        battery_kw = np.maximum(battery_kw, -charge_limits_kw(problem, problem.battery))
        if not planned and problem.restore_kwh is not None:
            battery_kw = _with_recharge(point, problem, problem.battery, battery_kw, mean_kw)
        given_kw = _put_battery(point, problem, problem.battery, battery_kw)
    grid_kw = mean_kw - given_kw
    short_kw = np.zeros_like(mean_kw)
    for sign in judged_from(problem):
        beyond_kw = sign * (grid_kw - aim) - problem.tolerance_kw
        over_kw, _ = overshoot(problem, draw, sign, everywhere=problem.margins is not None)
        short_kw = np.maximum(short_kw, np.maximum(beyond_kw, over_kw))
    if problem.margins is not None:
        # one way only: the loop above has judged one side
        margin = margin_point(
            problem,
            compute_kw=pools_kw,
            grid_kw=grid_kw,
            residual_kw=over_kw,
            short_kw=clean(short_kw),
            energy_kwh=None if problem.battery is None else point.x[program.column_range("energy")],
        )
        for name, values in margin.items():
            point.put(name, values)
    point.put("grid", grid_kw)
    point.put("shortfall", clean(short_kw[asked]))
    point.put("overrun", clean(grid_kw - np.array(problem.import_limit_kw)))
    if problem.battery is not None and problem.handoff_from_s is not None:
        late = asked & (problem.grid.starts_s >= problem.handoff_from_s - 1e-9)
        point.put("handoff_excess", clean(np.abs(given_kw[late]) - problem.handoff_kw))
    return point.x


def _without_idle_prewarms(problem: Problem, decision: PoolDecision) -> PoolDecision:
    """Take back pre-warms that no drain and no wake makes use of."""
    warmth = decision.pool.prewarm
    if warmth is None or decision.prewarm is None or not decision.prewarm.any():
        return decision
    served = sum(decision.newly_drained())
    if decision.woken_warm is not None:
        served = served + decision.woken_warm
    used = warm_epochs(warmth, problem.grid).T @ served > 0.0
    return replace(decision, prewarm=np.where(used, decision.prewarm, 0.0))


def _put_decision(point: _Point, problem: Problem, decision: PoolDecision) -> None:
    pool = decision.pool
    for name in ("drained", "asleep", "to_sleep"):
        point.put(f"{pool.name}.{name}", getattr(decision, name))
    for way in decision.ways:
        _put_running(point, pool, way)
    own, lower = decision.newly_drained()
    point.put(f"{pool.name}.newly_drained", own)
    point.put(f"{pool.name}.not_drained", (own == 0.0).astype(float))
    missing = np.maximum(pool.usual_serving - decision.serving, 0.0)
    point.put(f"{pool.name}.missing", missing)
    if pool.tier is not None and decision.swaps is not None:
        point.put(f"{pool.name}.to_tier", decision.swaps.to_tier)
        point.put(f"{pool.name}.to_own", decision.swaps.to_own)
        point.put(f"{pool.name}.{pool.tier.name}.drained", decision.swaps.drained)
        point.put(f"{pool.name}.{pool.tier.name}.newly_drained", lower)
        point.put(f"{pool.name}.{pool.tier.name}.not_drained", (lower == 0.0).astype(float))
    _put_warmth(point, problem, decision, own + lower)
    _put_requests(point, problem, decision)


def _put_running(point: _Point, pool: PoolProblem, way: Running) -> None:
    operation = way.operation
    point.put(f"{operation.name}.active", way.active)
    point.put(f"{operation.name}.load", way.load)
    point.put(f"{operation.name}.power", way.power_kw)
    capacity = way.capacity()
    for i, step in enumerate(pool.congestion):
        above = np.maximum(way.load - step.above_utilisation * capacity, 0.0)
        point.put(f"{operation.name}.congested.{i}", above)
    if not operation.may_cap:
        lines = np.array(uncapped_lines(operation))
        on_lines_kw = np.outer(lines[:, 0], way.load) + np.outer(lines[:, 1], way.active)
        for h in range(len(lines)):
            lowest = on_lines_kw.argmin(axis=0) == h
            point.put(f"{operation.name}.uncapped.{h}", lowest.astype(float))
    slope, intercept = operation.load_curve.tangent(operation.usual_utilisation)
    depth = slope * way.load + intercept * way.active - way.power_kw
    point.put(f"{operation.name}.cap_depth", np.maximum(depth, 0.0))
    bounds = bounds_of(pool, operation)
    for name, late in late_by_waiting(way, bounds).items():
        point.put(f"{operation.name}.late.{name}", late)
    for name, kw in too_slow_kw(way, bounds).items():
        point.put(f"{operation.name}.slow.{name}", kw)


def _put_warmth(
    point: _Point, problem: Problem, decision: PoolDecision, drained: FloatArray
) -> None:
    """Write the pre-warm; who is drained while the pool is warm is drained warm.

    A decision that knows no pre-warm commands none: what was warmed before the plan counts still.
    """
    pool, warmth, grid = decision.pool, decision.pool.prewarm, problem.grid
    if warmth is None:
        point.put(f"{pool.name}.to_wake", decision.to_wake)
        return
    none = np.zeros(grid.n_epochs)
    command = none if decision.prewarm is None else decision.prewarm
    woken_warm = none if decision.woken_warm is None else decision.woken_warm
    warm = warm_epochs(warmth, grid) @ command + still_warm(warmth, grid)
    point.put(f"{pool.name}.prewarm", command)
    point.put(f"{pool.name}.drained_warm", np.where(warm > 0.5, drained, 0.0))
    point.put(f"{pool.name}.to_wake_warm", woken_warm)
    point.put(f"{pool.name}.to_wake", decision.to_wake - woken_warm)


def _put_requests(point: _Point, problem: Problem, decision: PoolDecision) -> None:
    pool, seconds = decision.pool, problem.grid.epoch_durations_s
    for what in ("rejected", "pulled", "lowered"):
        for name, load in getattr(decision, what).items():
            point.put(f"{pool.name}.{what}.{name}", load)
    for requests in pool.classes:
        if requests.deferral is not None:
            put_off = decision.deferred.get(requests.name, np.zeros(len(seconds)))
            point.put(f"{pool.name}.deferred.{requests.name}", put_off)
            waiting = requests.deferral.backlog_at_start + np.cumsum(seconds * put_off)
            point.put(f"{pool.name}.backlog.{requests.name}", waiting)


def _put_channels(point: _Point, problem: Problem, decisions: tuple[PoolDecision, ...]) -> None:
    """Write what the pools that answer alike feed into the power in time together."""
    for g, members in enumerate(alike(problem.pools, problem.direction)):
        group = [decisions[i] for i in members]
        settled = [settled_kw(problem, decision) for decision in group]
        point.put(f"channel.{g}.settled_draw", np.sum(settled, axis=0))
        falling = [falling_kw(decision) for decision in group]
        point.put(f"channel.{g}.falling", np.sum(falling, axis=0))


def _put_battery(
    point: _Point, problem: Problem, battery: BatteryProblem, wanted_kw: FloatArray
) -> FloatArray:
    """Give (> 0) or take what is wanted as far as the energy allows; return it, shape (T,)."""
    hours = problem.grid.durations_s / 3600.0
    eta, lines = battery.cell_efficiency, loss_lines(battery)
    given, loss = np.zeros_like(wanted_kw), np.zeros_like(wanted_kw)
    energy = np.empty(len(hours) + 1)
    energy[0] = battery.start_kwh
    for t, duration_h in enumerate(hours):
        if wanted_kw[t] > 0.0:
            dc_kw = max(energy[t] - battery.min_kwh, 0.0) * eta / duration_h
            most_kw = min((dc_kw - above) / (1.0 + slope) for slope, above in lines)
            given[t] = min(wanted_kw[t], most_kw)
        elif wanted_kw[t] < 0.0:
            dc_kw = max(battery.max_kwh - energy[t], 0.0) / eta / duration_h
            most_kw = max((dc_kw + above) / (1.0 - slope) for slope, above in lines)
            given[t] = -min(-wanted_kw[t], most_kw)
        loss[t] = max(slope * abs(given[t]) + above for slope, above in lines)
        out_kw = given[t] + loss[t]
        energy[t + 1] = energy[t] - duration_h * (out_kw / eta if given[t] > 0.0 else out_kw * eta)
    point.put("discharge", np.maximum(given, 0.0))
    point.put("charge", np.maximum(-given, 0.0))
    taking = np.logical_and(*directions(problem, battery)) & (given < 0.0)
    point.put("loss", np.where(taking, 0.0, loss))
    point.put("charge_loss", np.where(taking, loss, 0.0))
    _put_runs(point, problem, battery, given)
    _put_loss_parts(point, battery, np.abs(given))
    point.put("energy", energy)
    point.put("reserve_dip", max(0.0, battery.kept_kwh - float(energy.min())))
    widths = np.array([segment.width_kwh for segment in battery.terminal])
    filled = np.clip(energy[-1] - np.r_[0.0, np.cumsum(widths)[:-1]], 0.0, widths)
    point.put("energy_left", filled)
    point.put("soc_missing", max(0.0, (problem.restore_kwh or 0.0) - float(energy[-1])))
    _put_wear(point, battery, energy)
    return given


def _put_wear(point: _Point, battery: BatteryProblem, energy: FloatArray) -> None:
    """Put the layers of depth and the calendar wear that follow from the energy stored."""
    if battery.depth_segments:
        for j, layer in enumerate(layers_kwh(battery, energy)):
            point.put(f"depth_energy.{j}", layer)
            point.put(f"depth_out.{j}", np.maximum(-np.diff(layer), 0.0))
    if battery.calendar:
        point.put("calendar_rate", calendar_rate_per_h(battery, energy))


def _put_loss_parts(point: _Point, battery: BatteryProblem, power_kw: FloatArray) -> None:
    """Fill the straight parts of the loss one after the other, where it is held exactly."""
    at = list(point.exact_loss)
    widths, _ = loss_parts(battery)
    below_kw = 0.0
    for i, width in enumerate(widths if at else ()):
        part_kw = np.clip(power_kw[at] - below_kw, 0.0, width)
        point.put(f"loss_part.{i}", part_kw)
        point.put(f"loss_full.{i}", (part_kw >= width).astype(float))
        below_kw += float(width)


def _with_recharge(
    point: _Point,
    problem: Problem,
    battery: BatteryProblem,
    answer_kw: FloatArray,
    site_kw: FloatArray,
) -> FloatArray:
    """Return the answer with what is to be restored taken back where nothing is asked, shape (T,).

    As soon as there is room: after the event, or at once where it asks for no change of the draw.
    """
    _put_battery(point, problem, battery, answer_kw)
    stored_kwh = float(point.x[point.program.column_range("energy")][-1])
    missing_kwh = (problem.restore_kwh or 0.0) - stored_kwh
    lines = loss_lines(battery)
    room_kw = np.array(problem.import_limit_kw) - site_kw
    room_kw = np.clip(room_kw, 0.0, charge_limits_kw(problem, battery))
    free = problem.after_event | (problem.asks == "nothing")
    room_kw = np.where(free & directions(problem, battery)[1], room_kw, 0.0)
    wanted_kw = answer_kw.copy()
    for t in np.flatnonzero(room_kw > 0.0):
        if missing_kwh <= 0.0:
            break
        # the loss of the whole power overstates that of a part: never less than is missing
        kept = 1.0 - max(slope + above / room_kw[t] for slope, above in lines)
        per_kw = battery.cell_efficiency * kept * problem.grid.durations_s[t] / 3600.0
        wanted_kw[t] = -min(room_kw[t], missing_kwh / per_kw)
        missing_kwh += wanted_kw[t] * per_kw
    return wanted_kw


def _put_runs(
    point: _Point, problem: Problem, battery: BatteryProblem, given_kw: FloatArray
) -> None:
    """Say in which price runs the battery may give: from the cheapest in which it does."""
    run = price_runs(problem, battery)
    first = [int(np.flatnonzero(run == r)[0]) for r in range(int(run.max()) + 1)]
    prices = problem.energy_prices_per_kwh[first]
    gives = np.array([bool((given_kw[run == r] > 0.0).any()) for r in range(len(first))])
    from_price = prices[gives].min() if gives.any() else np.inf
    point.put("discharging", (prices >= from_price).astype(float))

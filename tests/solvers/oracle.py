"""The problem stated once more, as on paper: every instance for itself, with cvxpy.

Written from the physics and the list of costs, not from the blocks: no counts, no perspective form,
no shared kernels. Only the numbers of the piecewise-linear curves are taken over, because both
statements must speak of the same curves. Each instance has its mode, load and power; a lag is
simulated in closed form; what the grid asks, the battery and the prices follow by name.
"""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from oracle_either_way import either_way_battery, hold_both_ways
from oracle_latency import state_latency
from oracle_requests import Statement, state_requests
from oracle_wear import wear_by_calendar, wear_by_depth

from ebplan.problem import BatteryProblem, PoolProblem, Problem
from ebplan.site import Response
from ebplan.solvers.blocks.lens import cap_lines, load_lines
from ebplan.timegrid import TimeGrid

FloatArray = NDArray[np.float64]
Expression = Any
"""A cvxpy expression; cvxpy has no types."""


def optimum(problem: Problem, *, gap: float = 1e-6) -> float:
    """Return the lowest cost of the problem."""
    # cvxpy propagates infinite bounds and multiplies them by zero on the way
    with np.errstate(invalid="ignore"):
        said = _state(problem)
        total = cp.Problem(cp.Minimize(sum(said.costs.values())), said.constraints)
        total.solve(solver="HIGHS", mip_rel_gap=gap, threads=1)
    assert total.status == cp.OPTIMAL, total.status
    return float(total.value)


def _state(problem: Problem) -> Statement:
    """Write the whole problem down."""
    said = Statement([], {})
    compute_kw: Expression = 0.0
    compute_edge_kw: Expression = 0.0
    for pool in problem.pools:
        mean, edge = _pool(said, pool, problem.grid, absorbs=asks_more(problem))
        compute_kw, compute_edge_kw = compute_kw + mean, compute_edge_kw + edge
    grid_kw, limit_kw = np.array(problem.other_kw) + compute_kw, np.zeros(problem.grid.n_steps)
    if problem.battery is not None:
        given_kw, limit_kw = _battery(said, problem, problem.battery)
        grid_kw = grid_kw - given_kw
    _connection_point(said, problem, grid_kw, compute_edge_kw, limit_kw)
    return said


def asks_more(problem: Problem) -> bool:
    """Return whether the grid asks the site to draw more than its baseline."""
    return problem.asks == "one_way" and any(kw > 0.0 for kw in problem.target_kw)


# --- instances ------------------------------------------------------------------------------


def _pool(
    said: Statement, pool: PoolProblem, grid: TimeGrid, *, absorbs: bool
) -> tuple[Expression, Expression]:
    """State one pool; return its draw as step means and at step edges."""
    shape = (pool.instances, grid.n_epochs)
    active, drained, asleep, falling, waking = (cp.Variable(shape, boolean=True) for _ in range(5))
    said.constraints += [active + drained + asleep + falling + waking == 1]
    _modes(said, pool, grid, active + drained, drained, asleep, falling, waking)
    utilisation, power = cp.Variable(shape, nonneg=True), cp.Variable(shape, nonneg=True)
    _operation(said, pool, active, utilisation, power)
    _what_is_left_out(said, pool, active, utilisation, power)
    state_requests(said, pool, grid, utilisation)
    _prices_of_operation(said, pool, grid, active, utilisation, power)
    state_latency(said, pool, grid, active, utilisation, power)

    start = _start(pool, grid.epoch_starts_s)
    leaves, enters = cp.Variable(shape, boolean=True), cp.Variable(shape, boolean=True)
    before = cp.hstack([start["active"][:, None], active[:, :-1]])
    said.constraints += [active - before == enters - leaves]
    # A router moves load off some instances or onto some, it does not exchange one for another.
    fewer = cp.Variable((1, grid.n_epochs), boolean=True)
    said.constraints += [leaves <= np.ones((pool.instances, 1)) @ fewer]
    said.constraints += [enters <= 1 - np.ones((pool.instances, 1)) @ fewer]
    hours = grid.epoch_durations_s / 3600.0
    missing = pool.active_at_start - cp.sum(active, axis=0)
    said.charge("draining", pool.drain_per_instance * cp.sum(leaves))
    said.charge("readiness", pool.readiness_per_instance_h * (cp.pos(missing) @ hours))
    return _draw(pool, grid, (active, asleep, leaves), power, absorbs=absorbs)


def _draw(
    pool: PoolProblem,
    grid: TimeGrid,
    modes: tuple[Expression, Expression, Expression],
    power: Expression,
    *,
    absorbs: bool,
) -> tuple[Expression, Expression]:
    """Return a pool's draw: what is settled follows fast, who leaves service falls slowly.

    An absorb does not count on what such an instance still draws: there it falls fast as well.
    """
    active, asleep, leaves = modes
    settled = cp.sum(
        power + pool.drained_kw * (1 - active - asleep) + pool.asleep_kw * asleep, axis=0
    )
    n = pool.active_at_start
    settled_start = pool.drained_kw * (pool.instances - n - pool.asleep_at_start)
    settled_start += pool.asleep_kw * pool.asleep_at_start
    if n:
        settled_start += n * float(pool.load_curve.power_kw(min(pool.load / n, 1.0)))
    # Whoever leaves at an epoch still draws what the slow lag holds back of its fall from full.
    fall = (pool.load_curve.full_kw - pool.drained_kw) * cp.sum(leaves, axis=0)
    leaving = pool.cap_response if absorbs else pool.route_response
    draws = []
    for fast, slow in zip(
        simulate_lag(pool.cap_response, grid), simulate_lag(leaving, grid), strict=True
    ):
        held_back = unit_steps(fast) - unit_steps(slow)
        draws.append(fast[:, 0] * settled_start + fast[:, 1:] @ settled + held_back @ fall)
    return draws[0], draws[1]


def unit_steps(weights: FloatArray) -> FloatArray:
    """Return the response to a unit step at each epoch: the weights of all inputs from it on."""
    return np.cumsum(weights[:, :0:-1], axis=1)[:, ::-1]


def _modes(
    said: Statement,
    pool: PoolProblem,
    grid: TimeGrid,
    awake: Expression,
    drained: Expression,
    asleep: Expression,
    falling: Expression,
    waking: Expression,
) -> None:
    """Follow each instance through sleep and wake, with lead times and minimum stays.

    Only who was drained an epoch before is put to sleep: nothing in flight is cut off.
    """
    t = grid.epoch_starts_s
    shape = (pool.instances, grid.n_epochs)
    sleep, wake = cp.Variable(shape, boolean=True), cp.Variable(shape, boolean=True)
    if not pool.may_sleep:
        said.constraints += [sleep == 0]
    start = _start(pool, t)
    leads = {"asleep": (sleep, pool.sleep_s), "awake": (wake, pool.wake_s)}
    arrives: dict[str, list[Expression]] = {}
    travels: dict[str, list[Expression]] = {}
    for to, (command, lead) in leads.items():
        due = [_first_epoch(t, t[k] + lead) for k in range(len(t))]
        arrives[to], travels[to] = [], []
        for k in range(len(t)):
            here = [command[:, j] for j in range(k + 1) if due[j] == k]
            under_way = [command[:, j] for j in range(k + 1) if due[j] > k]
            arrives[to].append(sum(here) + (start[f"to_{to}"] == k).astype(float))
            travels[to].append(sum(under_way) + (start[f"to_{to}"] > k).astype(float))
    for k in range(len(t)):
        awake_before = awake[:, k - 1] if k else start["awake"]
        asleep_before = asleep[:, k - 1] if k else start["asleep"]
        drained_before = drained[:, k - 1] if k else start["drained"]
        said.constraints += [
            sleep[:, k] <= drained_before,
            awake[:, k] == awake_before - sleep[:, k] + arrives["awake"][k],
            asleep[:, k] == asleep_before - wake[:, k] + arrives["asleep"][k],
            falling[:, k] == travels["asleep"][k],
            waking[:, k] == travels["awake"][k],
        ]
        for j in range(k + 1):
            if t[k] - t[j] < pool.min_asleep_s:
                said.constraints += [asleep[:, k] >= arrives["asleep"][j]]
            if t[k] - t[j] < pool.min_awake_s:
                said.constraints += [awake[:, k] >= arrives["awake"][j]]
    said.charge("waking", pool.wake_per_instance * cp.sum(wake))


def _start(pool: PoolProblem, epoch_s: FloatArray) -> dict[str, NDArray[Any]]:
    """Give every instance its place at the start; arrivals by epoch, -1 for none."""
    modes = ["active"] * pool.active_at_start + ["drained"] * pool.drained_at_start
    modes += ["asleep"] * pool.asleep_at_start
    due = {"awake": [-1] * len(modes), "asleep": [-1] * len(modes)}
    for arrival in pool.arrivals:
        for _ in range(arrival.count):
            modes.append("on the way")
            for to in due:
                due[to].append(_first_epoch(epoch_s, arrival.at_s) if to == arrival.to else -1)
    return {
        "active": np.array([m == "active" for m in modes], dtype=float),
        "drained": np.array([m == "drained" for m in modes], dtype=float),
        "awake": np.array([m in ("active", "drained") for m in modes], dtype=float),
        "asleep": np.array([m == "asleep" for m in modes], dtype=float),
        "to_awake": np.array(due["awake"]),
        "to_asleep": np.array(due["asleep"]),
    }


def _first_epoch(epoch_s: FloatArray, at_s: float) -> int:
    """Return the first epoch at or after a time; the number of epochs where there is none."""
    return next((k for k, s in enumerate(epoch_s) if s >= at_s - 1e-9), len(epoch_s))


def _operation(
    said: Statement, pool: PoolProblem, active: Expression, load: Expression, power: Expression
) -> None:
    """Keep each active instance in its lens and the others without load and active power."""
    rho, full = pool.max_utilisation, pool.load_curve.full_kw
    said.constraints += [
        load >= pool.min_utilisation * active,
        load <= rho * active,
        power >= pool.cap_curve.floor_kw * active,
        power <= full * active,
    ]
    for slope, intercept in load_lines(pool):
        said.constraints += [power <= slope * load + intercept * active]
    for slope, intercept in cap_lines(pool):
        said.constraints += [load <= rho * (slope * power + intercept * active)]


def _what_is_left_out(
    said: Statement, pool: PoolProblem, active: Expression, load: Expression, power: Expression
) -> None:
    """Keep the number of active instances in its range and, without caps, at the natural draw.

    Without caps a router shares the load evenly: every active instance draws what the lowest of
    the lines of its curve says, and no less, which takes a choice between them.
    """
    said.constraints += [cp.sum(active, axis=0) >= pool.fewest_active]
    if pool.most_active is not None:
        said.constraints += [cp.sum(active, axis=0) <= pool.most_active]
    if pool.may_cap:
        return
    for i in range(pool.instances):
        for j in range(pool.instances):
            if i != j:
                said.constraints += [load[i] - load[j] <= 1 - active[j]]
    lines = load_lines(pool)
    lowest = [cp.Variable(load.shape, boolean=True) for _ in lines]
    said.constraints += [sum(lowest) == 1]
    for (slope, intercept), chosen in zip(lines, lowest, strict=True):
        most_kw = slope + intercept
        said.constraints += [power >= slope * load + intercept * active - most_kw * (1 - chosen)]


def _prices_of_operation(
    said: Statement,
    pool: PoolProblem,
    grid: TimeGrid,
    active: Expression,
    load: Expression,
    power: Expression,
) -> None:
    """Charge each instance for slow answers and for what a cap takes from it."""
    hours = grid.epoch_durations_s / 3600.0
    for step in pool.congestion:
        above = cp.Variable(load.shape, nonneg=True)
        for slope, intercept in cap_lines(pool):
            capacity = slope * power + intercept * active
            said.constraints += [above >= load - step.above_utilisation * capacity]
        said.charge("congestion", step.price_per_instance_h * cp.sum(above @ hours))
    curve = pool.load_curve
    n = pool.active_at_start
    at = max(min(pool.load / n, 1.0) if n else 1.0, curve.one_request_utilisation)
    slope = sum(j.amplitude_kw * j.exponent * at ** (j.exponent - 1.0) for j in curve.terms)
    touch = curve.idle_kw + sum(j.amplitude_kw * at**j.exponent for j in curve.terms)
    natural = slope * load + (touch - slope * at) * active
    said.charge("capping", pool.cap_depth_per_kwh * cp.sum(cp.pos(natural - power) @ hours))


def simulate_lag(response: Response, grid: TimeGrid) -> tuple[FloatArray, FloatArray]:
    """Follow a delayed first-order lag through the grid, one unit input per epoch at a time.

    Between two instants at which its delayed input jumps, T y' = x - y has the solution
    y = x + (y_0 - x) exp(-t / T), and its integral is x t + (y_0 - x) T (1 - exp(-t / T)).

    Returns:
        The weight of each input (start, then epochs) in the mean over each step, (T, K + 1), and
        in the value at each edge, (T + 1, K + 1).
    """
    constant, inputs = response.time_constant_s, np.eye(grid.n_epochs + 1)
    jumps = grid.epoch_starts_s + response.delay_s
    y = inputs[0]
    means, at_edges = [], [y]
    for begin, end in zip(grid.edges_s[:-1], grid.edges_s[1:], strict=True):
        inside = jumps[(jumps > begin) & (jumps < end)]
        area = np.zeros_like(y)
        for a, b in zip(np.r_[begin, inside], np.r_[inside, end], strict=True):
            x = inputs[int(np.sum(jumps <= a))]
            left = np.exp(-(b - a) / constant)
            area = area + x * (b - a) + (y - x) * constant * (1.0 - left)
            y = x + (y - x) * left
        means.append(area / (end - begin))
        at_edges.append(y)
    return np.array(means), np.array(at_edges)


# --- battery --------------------------------------------------------------------------------


def _battery(
    said: Statement, problem: Problem, battery: BatteryProblem
) -> tuple[Expression, FloatArray]:
    """State the battery; return what it gives (net) and the power of its answer, by step.

    Its answer to a release is to discharge, to an absorb to charge, and in each step of the plan
    it works one way only: answering inside the event, the other way outside.
    """
    if problem.asks != "one_way":
        discharge, charge, energy, awake = either_way_battery(said, problem, battery)
        _worth_of_energy(said, problem, battery, energy)
        return discharge - charge, awake
    grid, prices = problem.grid, problem.prices
    hours = grid.durations_s / 3600.0
    starts = grid.starts_s
    event = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    answers = event & (starts >= problem.event_start_s + battery.delay_s - 1e-9)
    absorbs = asks_more(problem)
    answer_kw = battery.charge_limit_kw if absorbs else battery.discharge_limit_kw
    other_way_kw = battery.discharge_limit_kw if absorbs else battery.charge_limit_kw
    limit_kw, other_way = answers * answer_kw, ~event * other_way_kw
    discharge = cp.Variable(grid.n_steps, nonneg=True)
    charge = cp.Variable(grid.n_steps, nonneg=True)
    loss = cp.Variable(grid.n_steps, nonneg=True)
    energy = cp.Variable(grid.n_steps + 1)
    linear, quadratic = battery.loss_linear, battery.loss_quadratic
    through = discharge + charge
    most_kw = max(battery.discharge_limit_kw, battery.charge_limit_kw)
    said.constraints += [
        (charge if absorbs else discharge) <= limit_kw,
        (discharge if absorbs else charge) <= other_way,
        energy[0] == battery.start_kwh,
        energy[1:] >= battery.min_kwh,
        energy[1:] <= battery.max_kwh,
        loss <= (linear + quadratic * most_kw / battery.rated_kw) * through,
    ]
    for eighth in (0, 1, 3, 5, 7):  # tangents at nothing and in the middle of four equal parts
        at = eighth / 8.0 * battery.rated_kw
        value = linear * at + quadratic * at**2 / battery.rated_kw
        slope = linear + 2.0 * quadratic * at / battery.rated_kw
        said.constraints += [loss >= value + slope * (through - at)]
    eta = battery.cell_efficiency
    gives = (~event if absorbs else event).astype(float)
    out_of_cells = cp.multiply(gives, discharge + loss) / eta
    into_cells = cp.multiply(1.0 - gives, charge - loss) * eta
    said.constraints += [energy[1:] == energy[:-1] + cp.multiply(hours, into_cells - out_of_cells)]
    said.charge("wear", battery.wear_per_kwh * (out_of_cells @ hours))
    wear_by_depth(said, battery, cp.multiply(hours, into_cells), cp.multiply(hours, out_of_cells))
    wear_by_calendar(said, battery, energy, hours)
    _worth_of_energy(said, problem, battery, energy)
    if problem.handoff_from_s is not None:
        late = problem.in_event & (starts >= problem.handoff_from_s)
        carried = charge if absorbs else discharge
        excess = cp.multiply(late.astype(float), cp.pos(carried - problem.handoff_kw))
        said.charge("handoff", prices.handoff_excess_per_kwh * (excess @ hours))
    return discharge - charge, limit_kw


def _worth_of_energy(
    said: Statement, problem: Problem, battery: BatteryProblem, energy: Expression
) -> None:
    """Charge for the reserve dipped into, for what is not restored, and for energy gone."""
    prices = problem.prices
    dip = cp.max(cp.pos(min(battery.reserve_kwh, battery.start_kwh) - energy[1:]))
    said.charge("reserve", prices.reserve_per_kwh * dip)
    if problem.restore_kwh is not None:
        missing = cp.pos(problem.restore_kwh - energy[-1])
        said.charge("recovery", prices.soc_missing_per_kwh * missing)
    left_worth, lines = cp.Variable(), _worth_lines(battery)
    said.constraints += [left_worth <= price * energy[-1] + rest for price, rest in lines]
    start_worth = min(price * battery.start_kwh + rest for price, rest in lines)
    said.charge("stored_energy", start_worth - left_worth)


def _worth_lines(battery: BatteryProblem) -> list[tuple[float, float]]:
    """Return the value of stored energy as lines: its minimum, because prices fall upwards."""
    filled_kwh, worth, lines = 0.0, 0.0, []
    for segment in battery.terminal:
        lines.append((segment.price_per_kwh, worth - segment.price_per_kwh * filled_kwh))
        filled_kwh += segment.width_kwh
        worth += segment.price_per_kwh * segment.width_kwh
    return lines


# --- connection point -----------------------------------------------------------------------


def _connection_point(
    said: Statement,
    problem: Problem,
    grid_kw: Expression,
    compute_edge_kw: Expression,
    limit_kw: FloatArray,
) -> None:
    """Judge the response where the site meets the grid."""
    hours, price = problem.grid.durations_s / 3600.0, problem.prices
    asked = np.array(problem.target_kw) != 0.0
    if problem.asks == "both_ways":
        starts = problem.grid.starts_s
        asked = (starts >= problem.event_start_s) & (starts < problem.event_end_s)
    wanted = np.array(problem.baseline_kw) + np.array(problem.target_kw)
    other = np.array(problem.other_kw)
    short = cp.Variable(problem.grid.n_steps, nonneg=True)
    said.constraints += [grid_kw >= -problem.export_limit_kw, short <= 1e3 * asked]
    if problem.asks == "both_ways":
        hold_both_ways(said, problem, grid_kw, compute_edge_kw, short, limit_kw)
    for t in np.flatnonzero(asked) if problem.asks == "one_way" else ():
        edges = [compute_edge_kw[t] + other[t], compute_edge_kw[t + 1] + other[t]]
        if asks_more(problem):
            said.constraints += [grid_kw[t] + short[t] >= wanted[t]]
            said.constraints += [kw + limit_kw[t] + short[t] >= wanted[t] for kw in edges]
        else:
            said.constraints += [grid_kw[t] - short[t] <= wanted[t]]
            said.constraints += [kw - limit_kw[t] - short[t] <= wanted[t] for kw in edges]
    over = cp.pos(grid_kw - np.array(problem.import_limit_kw))
    money_per_kw = np.array(price.energy_per_kwh) * hours
    said.charge("energy", (grid_kw - problem.baseline_kw) @ money_per_kw)
    said.charge("shortfall", price.shortfall_per_kwh * (short @ hours))
    # What misses early in the event weighs more, falling in a straight line to its end.
    whole_s = problem.event_end_s - problem.event_start_s
    still_s = np.clip(problem.event_end_s - problem.grid.starts_s, 0.0, whole_s)
    weight = 1.0 + price.early_shortfall_premium * still_s / whole_s
    said.charge("firmness", price.firmness_per_kwh * (short @ (weight * hours)))
    said.charge("overrun", price.overrun_per_kwh * (over @ hours))

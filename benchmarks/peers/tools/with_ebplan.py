"""ebplan: its builder of programs, its doors to HiGHS, and no row that is not needed.

``plant`` states what the page calls the tight formulation.
"""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.highs import solve
from ebplan.solvers.live import LiveProgram
from ebplan.solvers.program import ProgramBuilder


def battery(builder, p, price):
    """Add the battery; return its columns."""
    t, h = len(price), p.hours
    low, high = np.zeros(t + 1), np.full(t + 1, p.energy)
    low[[0, -1]] = high[[0, -1]] = p.start
    charge = builder.variables("charge", t, upper=p.power)
    discharge = builder.variables("discharge", t, upper=p.power)
    energy = builder.variables("energy", t + 1, lower=low, upper=high)
    builder.rows(
        "energy",
        t,
        [
            (1.0, energy[1:]),
            (-1.0, energy[:-1]),
            (-h * p.charge, charge),
            (h / p.discharge, discharge),
        ],
        lower=0.0,
        upper=0.0,
    )
    builder.cost("energy", charge, price * h)
    builder.cost("energy", discharge, -price * h)
    return charge, discharge, energy


def year(p):
    """One linear program."""
    builder = ProgramBuilder()
    battery(builder, p, p.price)
    return solve(builder.build()).objective


half_hours = year


def one_way(builder, p, price, charge, discharge):
    """Charge or discharge, where doing both at once would pay: at prices below zero."""
    burns = np.flatnonzero(price < 0.0)
    charging = builder.variables("charging", len(burns), upper=1.0, integer=True)
    builder.rows("charges", len(burns), [(1.0, charge[burns]), (-p.power, charging)], upper=0.0)
    builder.rows(
        "discharges", len(burns), [(1.0, discharge[burns]), (p.power, charging)], upper=p.power
    )


def both_ways(x, charge, discharge):
    """Tell whether the battery charges and discharges at once: what was left out mattered."""
    return bool(np.any((x[charge] > 1e-6) & (x[discharge] > 1e-6)))


def day(p):
    """A binary where one is needed."""
    builder = ProgramBuilder()
    charge, discharge, _ = battery(builder, p, p.price)
    one_way(builder, p, p.price, charge, discharge)
    found = solve(builder.build(), gap=p.gap)
    assert not both_ways(found.x, charge, discharge)
    return found.objective


def rolling(p):
    """One program that stays in HiGHS."""
    window, ahead = 48, 24
    builder = ProgramBuilder()
    charge, discharge, energy = battery(builder, p, np.zeros(window))
    program = builder.build()
    live, cost = LiveProgram(program), program.cost.copy()
    lower, upper = program.lower.copy(), program.upper.copy()
    held, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window] * p.hours
        cost[charge], cost[discharge] = price, -price
        lower[energy[0]] = upper[energy[0]] = held
        x = live.optimum(cost=cost, lower=lower, upper=upper).x
        paid += price[:ahead] @ (x[charge[:ahead]] - x[discharge[:ahead]])
        held = x[energy[ahead]]
    return paid


def plant(p):
    """The tight statement: no direction binary, each load by itself and by its number of runs."""
    loads = [tuple(row) for row in p.loads]
    return reserving(p) + sum(least_cost(p, *load) for load in loads)


def reserving(p):
    """Return the least cost of the battery with its reserve.

    A battery that only charges or only discharges keeps c + d + r <= P, and has the energy at the
    end of the step that its own direction alone gives: rows that hold for every honest plan and
    that no plan keeps which burns energy for money. So the linear program is honest by itself.
    """
    builder, t, h = ProgramBuilder(), p.steps, p.hours
    charge, discharge, energy = battery(builder, p, p.price)
    reserve = builder.variables("reserve", 24, upper=p.power)
    builder.cost("reserve", reserve, -p.reserve_price / 1000.0)
    held = reserve[np.arange(t) // (t // 24)]
    low, high = 0.25 / p.discharge, 0.25 * p.charge
    builder.rows("share", t, [(1.0, charge), (1.0, discharge), (1.0, held)], upper=p.power)
    for name, edge in (("begin", energy[:-1]), ("end", energy[1:])):
        builder.rows(f"empty.{name}", t, [(1.0, edge), (-low, held)], lower=0.0)
        builder.rows(f"full.{name}", t, [(1.0, edge), (high, held)], upper=p.energy)
    begin = (1.0, energy[:-1])
    builder.rows("hull.empty", t, [begin, (-h / p.discharge, discharge), (-low, held)], lower=0.0)
    builder.rows("hull.full", t, [begin, (h * p.charge, charge), (high, held)], upper=p.energy)
    found = solve(builder.build())
    assert not both_ways(found.x, charge, discharge)
    return found.objective


def least_cost(p, power, steps_on, least_on, least_off):
    """Return the least cost of one load.

    A load that runs so many steps in so many runs has hardly a fraction in its relaxation: these
    bounds come first, and whole numbers only where a bound is below the best that is known.
    """
    steps_on, least_on = int(steps_on), int(least_on)
    cost = p.price * power * p.hours
    program, starts = load_program(p.steps, cost, steps_on, least_on, least_off)
    live, bounds, least = LiveProgram(program), [], np.inf
    # a last run may be cut short by the end of the day, so there may be one more
    for runs in range(1, steps_on // least_on + 2):
        with suppress(NoPlanError):  # so many runs do not fit
            bounds.append((live.optimum(**vectors(in_runs(program, starts, runs))).objective, runs))
    for bound, runs in sorted(bounds):
        if bound + p.gap * abs(bound) < least:
            least = min(least, solve(in_runs(program, starts, runs), gap=p.gap).objective)
    return least


def vectors(program):
    """Return what a live program is told."""
    return {
        "cost": program.cost,
        "lower": program.lower,
        "upper": program.upper,
        "row_lower": program.row_lower,
        "row_upper": program.row_upper,
    }


def load_program(t, cost, steps_on, least_on, least_off):
    """Return the program of a load and its row of starts (Rajan and Takriti, 2005)."""
    builder, least_off = ProgramBuilder(), int(least_off)
    on = builder.variables("on", t, upper=1.0, integer=True)
    start = builder.variables("start", t, upper=1.0)  # whole where "on" is
    builder.cost("energy", on, cost)
    ones, one = np.ones((1, t)), np.eye(t)
    builder.rows("steps_on", 1, [(ones, on)], lower=steps_on, upper=steps_on)
    builder.rows("runs", 1, [(ones, start)], lower=0.0, upper=float(t))
    builder.rows("starts", t, [(1.0, start), (np.eye(t, k=-1) - one, on)], lower=0.0)
    lately = np.tril(np.ones((t, t)))
    builder.rows("least_on", t, [(lately - np.tril(lately, -least_on), start), (-1.0, on)], upper=0)
    ago = t - least_off
    since = (lately - np.tril(lately, -least_off))[least_off:]
    builder.rows("least_off", ago, [(since, start), (1.0, on[:ago])], upper=1.0)
    program = builder.build()
    return program, program.row_range("runs")


def in_runs(program, starts, runs):
    """Return the program with its number of runs fixed."""
    lower, upper = program.row_lower.copy(), program.row_upper.copy()
    lower[starts] = upper[starts] = runs
    return replace(program, row_lower=lower, row_upper=upper)


def plant_apart(p):
    """Parts that share no row solved by themselves, each as it is."""
    paid = reserving(p)
    for power, *numbers in p.loads:
        cost = p.price * power * p.hours
        program, _ = load_program(p.steps, cost, *map(int, numbers))
        paid += solve(program, gap=p.gap).objective
    return paid


def plant_paths(p):
    """Loads as shortest paths: no program at all."""
    return reserving(p) + sum(
        shortest_path(p.price * power * p.hours, *map(int, numbers)) for power, *numbers in p.loads
    )


def shortest_path(cost, steps_on, least_on, least_off):
    """Return the least cost of a load by dynamic programming over time and the steps it has run.

    ``idle[t, n]``, ``busy[t, n]``: least cost until step t, n steps run, free to start or to stop.
    """
    t = len(cost)
    sums = np.r_[0.0, np.cumsum(cost)]
    idle, busy = np.full((2, t + 1, steps_on + 1), np.inf)
    idle[0, 0] = 0.0
    for k in range(t):
        run = min(least_on, t - k)
        idle[k + 1] = np.minimum(idle[k + 1], idle[k])
        started = idle[k, : max(steps_on + 1 - run, 0)] + sums[k + run] - sums[k]
        busy[k + run, run:] = np.minimum(busy[k + run, run:], started)
        busy[k + 1, 1:] = np.minimum(busy[k + 1, 1:], busy[k, :-1] + cost[k])
        rested = min(k + least_off, t)
        idle[rested] = np.minimum(idle[rested], busy[k])
    return float(min(idle[t, steps_on], busy[t, steps_on]))

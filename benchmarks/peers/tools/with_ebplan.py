"""ebplan: its builder of programs, its doors to HiGHS, and no row that is not needed.

``plant`` states what the page calls the tight formulation; ``formulation.py`` beside this folder
says why it has the same optimum.
"""

import numpy as np

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


def day(p):
    """A binary where one is needed."""
    builder = ProgramBuilder()
    charge, discharge, _ = battery(builder, p, p.price)
    one_way(builder, p, p.price, charge, discharge)
    found = solve(builder.build(), gap=p.gap)
    assert not np.any((found.x[charge] > 1e-6) & (found.x[discharge] > 1e-6))
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
        x = live.optimum(
            cost=cost,
            lower=lower,
            upper=upper,
            row_lower=program.row_lower,
            row_upper=program.row_upper,
        ).x
        paid += price[:ahead] @ (x[charge[:ahead]] - x[discharge[:ahead]])
        held = x[energy[ahead]]
    return paid

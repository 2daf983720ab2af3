"""Pyomo, with the persistent appsi interface to HiGHS."""

import numpy as np
import pyomo.environ as pe
from pyomo.contrib.appsi.solvers import Highs


def _battery(p, steps):
    h = p.hours
    m = pe.ConcreteModel()
    m.t, m.edge = pe.RangeSet(0, steps - 1), pe.RangeSet(0, steps)
    m.price = pe.Param(m.t, mutable=True, initialize=0.0)
    m.start = pe.Param(mutable=True, initialize=p.start)
    m.c = pe.Var(m.t, bounds=(0.0, p.power))
    m.d = pe.Var(m.t, bounds=(0.0, p.power))
    m.e = pe.Var(m.edge, bounds=(0.0, p.energy))
    m.energy = pe.Constraint(
        m.t,
        rule=lambda m, t: m.e[t + 1] == m.e[t] + h * (p.charge * m.c[t] - m.d[t] / p.discharge),
    )
    m.first = pe.Constraint(expr=m.e[0] == m.start)
    m.last = pe.Constraint(expr=m.e[steps] == p.start)
    m.goal = pe.Objective(expr=h * sum(m.price[t] * (m.c[t] - m.d[t]) for t in m.t))
    return m


def _set(m, price):
    for t, value in enumerate(price):
        m.price[t] = float(value)


def year(p):
    """One linear program."""
    m = _battery(p, p.steps)
    _set(m, p.price)
    Highs().solve(m)
    return pe.value(m.goal)


half_hours = year


def _one_way(m, p):
    m.z = pe.Var(m.t, domain=pe.Binary)
    m.charging = pe.Constraint(m.t, rule=lambda m, t: m.c[t] <= p.power * m.z[t])
    m.discharging = pe.Constraint(m.t, rule=lambda m, t: m.d[t] <= p.power * (1 - m.z[t]))


def day(p):
    """A binary each step."""
    m = _battery(p, p.steps)
    _set(m, p.price)
    _one_way(m, p)
    solver = Highs()
    solver.highs_options = {"mip_rel_gap": p.gap}
    solver.solve(m)
    return pe.value(m.goal)


def rolling(p):
    """One model, kept in the solver."""
    window, ahead = 48, 24
    m, solver = _battery(p, window), Highs()
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        _set(m, price)
        m.start = energy
        solver.solve(m)
        x = np.array([pe.value(m.c[t] - m.d[t]) for t in range(ahead)])
        paid += p.hours * float(price[:ahead] @ x)
        energy = float(np.clip(pe.value(m.e[ahead]), 0.0, p.energy))
    return paid


def plant(p):
    """Every binary as it is written."""
    t, h = p.steps, p.hours
    m = _battery(p, t)
    _set(m, p.price)
    _one_way(m, p)
    m.hour = pe.RangeSet(0, 23)
    m.r = pe.Var(m.hour, bounds=(0.0, p.power))
    of, low, high = t // 24, 0.25 / p.discharge, 0.25 * p.charge
    m.up = pe.Constraint(m.t, rule=lambda m, k: m.d[k] - m.c[k] + m.r[k // of] <= p.power)
    m.down = pe.Constraint(m.t, rule=lambda m, k: m.c[k] - m.d[k] + m.r[k // of] <= p.power)
    m.side = pe.RangeSet(0, 1)
    m.empty = pe.Constraint(m.t, m.side, rule=lambda m, k, i: m.e[k + i] >= low * m.r[k // of])
    m.full = pe.Constraint(
        m.t, m.side, rule=lambda m, k, i: m.e[k + i] + high * m.r[k // of] <= p.energy
    )
    loads = [(row[0], *map(int, row[1:])) for row in p.loads]
    m.which = pe.RangeSet(0, len(loads) - 1)
    m.u, m.s = (pe.Var(m.which, m.t, domain=pe.Binary) for _ in range(2))
    m.steps_on = pe.Constraint(
        m.which, rule=lambda m, i: sum(m.u[i, k] for k in m.t) == loads[i][1]
    )
    m.starts = pe.Constraint(
        m.which, m.t, rule=lambda m, i, k: m.s[i, k] >= m.u[i, k] - (m.u[i, k - 1] if k else 0)
    )

    def least_on(m, i, k):
        return sum(m.s[i, j] for j in range(max(k - loads[i][2] + 1, 0), k + 1)) <= m.u[i, k]

    def least_off(m, i, k):
        back = k - loads[i][3]
        if back < 0:
            return pe.Constraint.Skip
        return sum(m.s[i, j] for j in range(back + 1, k + 1)) + m.u[i, back] <= 1

    m.least_on = pe.Constraint(m.which, m.t, rule=least_on)
    m.least_off = pe.Constraint(m.which, m.t, rule=least_off)
    used = sum(loads[i][0] * m.price[k] * m.u[i, k] for i in m.which for k in m.t)
    paid = sum(float(p.reserve_price[i]) / 1000.0 * m.r[i] for i in m.hour)
    m.goal.set_value(m.goal.expr + h * used - paid)
    solver = Highs()
    solver.highs_options = {"mip_rel_gap": p.gap}
    solver.solve(m)
    return pe.value(m.goal)

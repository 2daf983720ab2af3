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


def day(p):
    """A binary each step."""
    m = _battery(p, p.steps)
    _set(m, p.price)
    m.z = pe.Var(m.t, domain=pe.Binary)
    m.charging = pe.Constraint(m.t, rule=lambda m, t: m.c[t] <= p.power * m.z[t])
    m.discharging = pe.Constraint(m.t, rule=lambda m, t: m.d[t] <= p.power * (1 - m.z[t]))
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

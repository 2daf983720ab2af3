"""linopy: one model of labelled arrays."""

import linopy
import numpy as np
import pandas as pd


def _battery(p, price, start):
    t, h = len(price), p.hours
    steps, edges = pd.RangeIndex(t, name="step"), pd.RangeIndex(t + 1, name="edge")
    m = linopy.Model()
    c = m.add_variables(0.0, p.power, coords=[steps], name="c")
    d = m.add_variables(0.0, p.power, coords=[steps], name="d")
    low, high = np.zeros(t + 1), np.full(t + 1, p.energy)
    low[[0, -1]] = high[[0, -1]] = start, p.start
    e = m.add_variables(pd.Series(low, edges), pd.Series(high, edges), coords=[edges], name="e")
    after = e.isel(edge=slice(1, None)).rename(edge="step").assign_coords(step=steps)
    before = e.isel(edge=slice(None, -1)).rename(edge="step").assign_coords(step=steps)
    m.add_constraints(after - before - h * p.charge * c + h / p.discharge * d == 0.0, name="energy")
    return m, c, d, (before, after), steps


def _solve(m, goal, **options):
    m.add_objective(goal, overwrite=True)
    status, _ = m.solve("highs", io_api="direct", output_flag=False, progress=False, **options)
    assert status == "ok"
    return m.objective.value


def _goal(p, c, d, price, steps):
    money = pd.Series(price * p.hours, steps)
    return (money * c - money * d).sum()


def year(p):
    """One linear program."""
    m, c, d, _, steps = _battery(p, p.price, p.start)
    return _solve(m, _goal(p, c, d, p.price, steps))


half_hours = year


def _one_way(p, m, c, d, steps):
    z = m.add_variables(binary=True, coords=[steps], name="z")
    m.add_constraints(c - p.power * z <= 0.0, name="charging")
    m.add_constraints(d + p.power * z <= p.power, name="discharging")


def day(p):
    """A binary each step."""
    m, c, d, _, steps = _battery(p, p.price, p.start)
    _one_way(p, m, c, d, steps)
    return _solve(m, _goal(p, c, d, p.price, steps), mip_rel_gap=p.gap)


def rolling(p):
    """A model a window."""
    window, ahead = 48, 24
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        m, c, d, _, steps = _battery(p, price, energy)
        _solve(m, _goal(p, c, d, price, steps))
        x = c.solution.values - d.solution.values
        paid += p.hours * float(price[:ahead] @ x[:ahead])
        energy = float(np.clip(m.solution["e"].values[ahead], 0.0, p.energy))
    return paid


def plant(p):
    """Every binary as it is written."""
    t, h = p.steps, p.hours
    m, c, d, (before, after), steps = _battery(p, p.price, p.start)
    _one_way(p, m, c, d, steps)
    hours = pd.RangeIndex(24, name="hour")
    r = m.add_variables(0.0, p.power, coords=[hours], name="r")
    at = np.arange(t) // (t // 24)
    held = r.isel(hour=at).rename(hour="step").assign_coords(step=steps)
    m.add_constraints(d - c + held <= p.power, name="up")
    m.add_constraints(c - d + held <= p.power, name="down")
    for i, edge in enumerate((before, after)):
        m.add_constraints(edge - 0.25 / p.discharge * held >= 0.0, name=f"empty{i}")
        m.add_constraints(edge + 0.25 * p.charge * held <= p.energy, name=f"full{i}")
    goal = _goal(p, c, d, p.price, steps)
    goal = goal - (pd.Series(p.reserve_price / 1000.0, hours) * r).sum()
    for i, (power, steps_on, least_on, least_off) in enumerate(p.loads):
        on, off = int(least_on), int(least_off)
        u = m.add_variables(binary=True, coords=[steps], name=f"u{i}")
        s = m.add_variables(binary=True, coords=[steps], name=f"s{i}")
        m.add_constraints(u.sum() == steps_on, name=f"steps_on{i}")
        m.add_constraints(s - u + u.shift(step=1) >= 0.0, name=f"starts{i}")
        m.add_constraints(s.rolling(step=on, min_periods=1).sum() - u <= 0.0, name=f"on{i}")
        ago = u.shift(step=off)
        started = s.rolling(step=off, min_periods=1).sum() + ago
        m.add_constraints(started.isel(step=slice(off, None)) <= 1.0, name=f"off{i}")
        goal = goal + (pd.Series(p.price * power * h, steps) * u).sum()
    return _solve(m, goal, mip_rel_gap=p.gap)

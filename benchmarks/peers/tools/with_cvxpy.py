"""cvxpy: bounds as attributes of variables, prices and first energies as parameters."""

import cvxpy as cp
import numpy as np


def _battery(p, price, start):
    t, h = len(p.price) if price is None else price.size, p.hours
    c = cp.Variable(t, bounds=[0.0, p.power])
    d = cp.Variable(t, bounds=[0.0, p.power])
    e = cp.Variable(t + 1, bounds=[0.0, p.energy])
    rules = [
        e[1:] == e[:-1] + h * (p.charge * c - d / p.discharge),
        e[0] == start,
        e[t] == p.start,
    ]
    return c, d, e, rules


def _solve(problem, **options):
    problem.solve(solver=cp.HIGHS, **options)
    assert problem.status == cp.OPTIMAL, problem.status
    return problem.value


def year(p):
    """One linear program."""
    c, d, _, rules = _battery(p, p.price, p.start)
    return _solve(cp.Problem(cp.Minimize(p.hours * (p.price @ (c - d))), rules))


half_hours = year


def day(p):
    """A binary each step."""
    c, d, _, rules = _battery(p, p.price, p.start)
    z = cp.Variable(p.steps, boolean=True)
    rules += [c <= p.power * z, d <= p.power * (1 - z)]
    goal = cp.Minimize(p.hours * (p.price @ (c - d)))
    return _solve(cp.Problem(goal, rules), mip_rel_gap=p.gap)


def rolling(p):
    """One problem with parameters."""
    window, ahead = 48, 24
    price, start = cp.Parameter(window), cp.Parameter()
    c, d, e, rules = _battery(p, price, start)
    problem = cp.Problem(cp.Minimize(p.hours * (price @ (c - d))), rules)
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price.value, start.value = p.price[first : first + window], energy
        _solve(problem)
        paid += p.hours * (price.value[:ahead] @ (c.value[:ahead] - d.value[:ahead]))
        energy = float(np.clip(e.value[ahead], 0.0, p.energy))
    return paid


def plant(p):
    """Every binary as it is written."""
    t, h = p.steps, p.hours
    c, d, e, rules = _battery(p, p.price, p.start)
    z, r = cp.Variable(t, boolean=True), cp.Variable(24, bounds=[0.0, p.power])
    hour = np.kron(np.eye(24), np.ones((t // 24, 1)))
    held = hour @ r
    rules += [c <= p.power * z, d <= p.power * (1 - z)]
    rules += [d - c + held <= p.power, c - d + held <= p.power]
    for edge in (e[:-1], e[1:]):
        rules += [edge >= 0.25 / p.discharge * held, edge + 0.25 * p.charge * held <= p.energy]
    cost = h * (p.price @ (c - d)) - p.reserve_price @ r / 1000.0
    for power, steps_on, least_on, least_off in p.loads:
        u, s = cp.Variable(t, boolean=True), cp.Variable(t, boolean=True)
        on, off = int(least_on), int(least_off)
        ones = np.ones((t, t))
        lately = np.tril(ones) - np.tril(ones, -on)
        rules += [cp.sum(u) == steps_on, s[0] >= u[0], s[1:] >= u[1:] - u[:-1], lately @ s <= u]
        later = (np.tril(ones) - np.tril(ones, -off))[off:]
        rules += [later @ s + u[: t - off] <= 1]
        cost += h * power * (p.price @ u)
    return _solve(cp.Problem(cp.Minimize(cost), rules), mip_rel_gap=p.gap)

"""HiGHS itself: arrays in, nothing between; windows are solved again from the last basis."""

import highspy
import numpy as np
from scipy import sparse


def _solver(cost, lower, upper, matrix, row_lower, row_upper, integer=None, gap=None):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    if gap is not None:
        solver.setOptionValue("mip_rel_gap", gap)
    csc = sparse.csc_array(matrix)
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), csc.shape[0]
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, lower, upper
    lp.row_lower_, lp.row_upper_ = row_lower, row_upper
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = (
        csc.indptr, csc.indices, csc.data,
    )  # fmt: skip
    if integer is not None:
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(i)] for i in integer]
    solver.passModel(lp)
    return solver


def _objective(solver):
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return solver.getInfo().objective_function_value


def _battery(p):
    """Return the parts of the battery alone: columns c, d (T,) and e (T + 1,)."""
    t, h = p.steps, p.hours
    one = sparse.eye_array(t)
    ends = sparse.eye_array(t, t + 1, k=1) - sparse.eye_array(t, t + 1)
    matrix = sparse.hstack([-h * p.charge * one, h / p.discharge * one, ends])
    cost = np.concatenate([p.price * h, -p.price * h, np.zeros(t + 1)])
    lower = np.zeros(3 * t + 1)
    upper = np.concatenate([np.full(2 * t, p.power), np.full(t + 1, p.energy)])
    lower[[2 * t, 3 * t]] = upper[[2 * t, 3 * t]] = p.start
    return cost, lower, upper, matrix


def year(p):
    """One linear program."""
    cost, lower, upper, matrix = _battery(p)
    zero = np.zeros(p.steps)
    return _objective(_solver(cost, lower, upper, matrix, zero, zero))


half_hours = year


def day(p):
    """A binary each step."""
    t = p.steps
    cost, lower, upper, matrix = _battery(p)
    one, none = sparse.eye_array(t), sparse.csr_array((t, t))
    no_energy = sparse.csr_array((t, t + 1))
    matrix = sparse.vstack(
        [
            sparse.hstack([matrix, none]),
            sparse.hstack([one, none, no_energy, -p.power * one]),
            sparse.hstack([none, one, no_energy, p.power * one]),
        ]
    )
    zero, less = np.zeros(t), np.full(t, -np.inf)
    return _objective(
        _solver(
            np.concatenate([cost, zero]),
            np.concatenate([lower, zero]),
            np.concatenate([upper, np.ones(t)]),
            matrix,
            np.concatenate([zero, less, less]),
            np.concatenate([zero, zero, np.full(t, p.power)]),
            np.concatenate([np.zeros(3 * t + 1), np.ones(t)]),
            p.gap,
        )
    )


def rolling(p):
    """One model; prices and the first energy are written into it."""
    window, ahead = 48, 24
    every, p.price, p.steps = p.price, p.price[:window], window
    cost, lower, upper, matrix = _battery(p)
    solver = _solver(cost, lower, upper, matrix, np.zeros(window), np.zeros(window))
    columns = np.arange(2 * window, dtype=np.int32)
    energy, paid = p.start, 0.0
    for first in range(0, len(every) - ahead, ahead):
        price = every[first : first + window]
        solver.changeColsCost(2 * window, columns, np.concatenate([price, -price]) * p.hours)
        solver.changeColBounds(2 * window, energy, energy)
        solver.run()
        x = np.array(solver.getSolution().col_value)
        paid += price[:ahead] @ (x[:ahead] - x[window : window + ahead]) * p.hours
        energy = x[2 * window + ahead]
    return paid


def plant(p, naive=False, hull=False):
    """Every binary as it is written, nothing left out.

    ``naive`` writes least times pair by pair of steps; ``hull`` has rows in place of the
    directions' binaries (``with_ebplan.reserving`` says which, and why).
    """
    t, h = p.steps, p.hours
    loads = [tuple(row) for row in p.loads]
    n = len(loads)
    # columns: c d e | direction | reserve by hour | per load: on, start
    c, d, e = np.arange(t), t + np.arange(t), 2 * t + np.arange(t + 1)
    z, r = 3 * t + 1 + np.arange(t), 4 * t + 1 + np.arange(24)
    on = [4 * t + 25 + 2 * i * t + np.arange(t) for i in range(n)]
    start = [4 * t + 25 + (2 * i + 1) * t + np.arange(t) for i in range(n)]
    size = 4 * t + 25 + 2 * n * t
    hour = r[np.arange(t) // (t // 24)]
    rows, low, high = [], [], []

    def add(terms, lower, upper):
        rows.extend([(col[k], coef) for col, coef in terms] for k in range(t))
        low.extend(np.broadcast_to(lower, t))
        high.extend(np.broadcast_to(upper, t))

    inf = np.inf
    add([(e[1:], 1.0), (e[:-1], -1.0), (c, -h * p.charge), (d, h / p.discharge)], 0.0, 0.0)
    low_e, high_e = (hour, -0.25 / p.discharge), (hour, 0.25 * p.charge)
    if hull:
        add([(c, 1.0), (d, 1.0), (hour, 1.0)], -inf, p.power)
        add([(e[:-1], 1.0), (d, -h / p.discharge), low_e], 0.0, inf)
        add([(e[:-1], 1.0), (c, h * p.charge), high_e], -inf, p.energy)
    else:
        add([(c, 1.0), (z, -p.power)], -inf, 0.0)
        add([(d, 1.0), (z, p.power)], -inf, p.power)
        add([(d, 1.0), (c, -1.0), (hour, 1.0)], -inf, p.power)
        add([(c, 1.0), (d, -1.0), (hour, 1.0)], -inf, p.power)
    for edge in (e[:-1], e[1:]):
        add([(edge, 1.0), low_e], 0.0, inf)
        add([(edge, 1.0), high_e], -inf, p.energy)
    for (_, steps_on, least_on, least_off), u, s in zip(loads, on, start, strict=True):
        rows.append([(col, 1.0) for col in u])
        low.append(steps_on)
        high.append(steps_on)
        for k in range(t):
            before = [(u[k - 1], 1.0)] if k else []
            rows.append([(s[k], 1.0), (u[k], -1.0), *before])
            low.append(0.0)
            high.append(inf)
            if naive:
                for j in range(k + 1, min(k + int(least_on), t)):
                    rows.append([(u[k], 1.0), *((u, -1.0) for u, _ in before), (u[j], -1.0)])
                    low.append(-inf)
                    high.append(0.0)
                for j in range(k + 1, min(k + int(least_off), t) if k else 0):
                    rows.append([(u[k - 1], 1.0), (u[k], -1.0), (u[j], 1.0)])
                    low.append(-inf)
                    high.append(1.0)
                continue
            rows.append(
                [(s[j], 1.0) for j in range(max(k - int(least_on) + 1, 0), k + 1)] + [(u[k], -1.0)]
            )
            low.append(-inf)
            high.append(0.0)
            back = k - int(least_off)
            if back >= 0:
                rows.append([(s[j], 1.0) for j in range(back + 1, k + 1)] + [(u[back], 1.0)])
                low.append(-inf)
                high.append(1.0)
    at = [(i, col, coef) for i, row in enumerate(rows) for col, coef in row]
    i, j, v = (np.array(part) for part in zip(*at, strict=True))
    matrix = sparse.coo_array((v, (i, j)), shape=(len(rows), size))
    cost, lower, upper, integer = (np.zeros(size) for _ in range(4))
    cost[c], cost[d], cost[r] = p.price * h, -p.price * h, -p.reserve_price / 1000.0
    upper[c] = upper[d] = upper[r] = p.power
    upper[e] = p.energy
    lower[e[[0, -1]]] = upper[e[[0, -1]]] = p.start
    if not hull:
        upper[z] = integer[z] = 1.0
    for (power, _, _, _), u, s in zip(loads, on, start, strict=True):
        cost[u] = p.price * power * h
        upper[u] = upper[s] = integer[u] = integer[s] = 1.0
    return _objective(
        _solver(cost, lower, upper, matrix, np.array(low), np.array(high), integer, p.gap)
    )


def plant_naive(p):
    """Least times written pair by pair of steps."""
    return plant(p, naive=True)


def plant_hull(p):
    """No binary for the direction of the battery."""
    return plant(p, hull=True)

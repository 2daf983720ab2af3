"""A delayed first-order lag in closed form, for the problem stated once more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ebplan.site import Response
from ebplan.timegrid import TimeGrid

FloatArray = NDArray[np.float64]


def unit_steps(weights: FloatArray) -> FloatArray:
    """Return the response to a unit step at each epoch: the weights of all inputs from it on."""
    return np.cumsum(weights[:, :0:-1], axis=1)[:, ::-1]


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

"""Power after a command: the step response, averaged over the steps of a grid.

A channel's settled input ``U_k`` changes only at epochs. With the step response

    H(x) = 0                           for x < delay
    H(x) = 1 - exp(-(x - delay) / T)   after it

its power is ``P(t) = U_{-1} + sum_k (U_k - U_{k-1}) H(t - t_k)``, linear in the inputs:
``P = W U`` with rows that sum to 1. ``W`` replaces lag *states*: as variables those would be free
chains, which are slow and crash a solver's presolve (docs/formulation.md).

What an earlier plan has commanded is still on its way when a plan starts: it adds
``sum_i r_i exp(-max(t - delay_i, 0) / T_i)`` to the draw, whatever the plan decides.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ebplan.site import Response
from ebplan.state import Settling
from ebplan.timegrid import TimeGrid

FloatArray = NDArray[np.float64]

NEGLIGIBLE_WEIGHT = 1e-4
"""Weights below this are folded into the largest one of their row: 0.01 % of a channel's input, far
below what a meter resolves; the row sums stay 1. It keeps a row at one to four entries."""


def mean_weights(response: Response, grid: TimeGrid) -> FloatArray:
    """Return ``W`` of the mean over each step, shape (T, K + 1); column 0 is the start."""
    return _weights(_mean_reached(response, grid))


def weights_at(response: Response, grid: TimeGrid, times_s: FloatArray) -> FloatArray:
    """Return ``W`` of the value at each time, shape (len(times_s), K + 1); column 0 the start."""
    return _weights(_reached_at(response, grid, times_s))


def mean_lag(fast: Response, slow: Response, grid: TimeGrid) -> FloatArray:
    """Return what the slow response is behind the fast one, mean over each step, (T, K)."""
    return _noticeable(_mean_reached(fast, grid) - _mean_reached(slow, grid))


def lag_at(fast: Response, slow: Response, grid: TimeGrid, times_s: FloatArray) -> FloatArray:
    """Return what the slow response is behind the fast one at each time, (len(times_s), K)."""
    return _noticeable(_reached_at(fast, grid, times_s) - _reached_at(slow, grid, times_s))


def mean_settling(settling: Iterable[Settling], grid: TimeGrid) -> FloatArray:
    """Return what is left of power on its way at the start, mean over each step, (T,), in kW."""
    left_kw = np.zeros(grid.n_steps)
    for part in settling:
        reached = _response_integral(_as_response(part), np.array(grid.edges_s))
        left_kw += part.kw * (1.0 - np.diff(reached) / grid.durations_s)
    return left_kw


def settling_at(settling: Iterable[Settling], times_s: FloatArray) -> FloatArray:
    """Return what is left of power on its way at the start at each time, in kW, same shape."""
    left_kw = np.zeros_like(times_s)
    for part in settling:
        since = np.maximum(times_s - part.delay_s, 0.0)
        left_kw += part.kw * np.exp(-since / part.time_constant_s)
    return left_kw


def settling_at_start_kw(settling: Iterable[Settling]) -> float:
    """Return the power on its way when the plan starts."""
    return sum(part.kw for part in settling)


def _as_response(part: Settling) -> Response:
    return Response(delay_s=part.delay_s, time_constant_s=part.time_constant_s)


def _mean_reached(response: Response, grid: TimeGrid) -> FloatArray:
    """Return the step response to each epoch, mean over each step, shape (T, K)."""
    edges = np.array(grid.edges_s)
    integral = _response_integral(response, edges[:, None] - grid.epoch_starts_s)
    return np.asarray(np.diff(integral, axis=0) / grid.durations_s[:, None])


def _reached_at(response: Response, grid: TimeGrid, times_s: FloatArray) -> FloatArray:
    """Return the step response to each epoch at each time, shape (len(times_s), K)."""
    since = np.maximum(times_s[:, None] - grid.epoch_starts_s - response.delay_s, 0.0)
    return np.asarray(-np.expm1(-since / response.time_constant_s))


def _response_integral(response: Response, since_s: FloatArray) -> FloatArray:
    """Return the integral of the step response from 0 to ``since_s``."""
    x = np.maximum(since_s - response.delay_s, 0.0)
    return x + response.time_constant_s * np.expm1(-x / response.time_constant_s)


def _noticeable(lag: FloatArray) -> FloatArray:
    return np.where(np.abs(lag) < NEGLIGIBLE_WEIGHT, 0.0, lag)


def _weights(reached: FloatArray) -> FloatArray:
    """Turn responses to each epoch's change into weights of each epoch's input."""
    rows = len(reached)
    padded = np.hstack([np.ones((rows, 1)), reached, np.zeros((rows, 1))])
    weights = padded[:, :-1] - padded[:, 1:]
    small = np.abs(weights) < NEGLIGIBLE_WEIGHT
    folded = np.where(small, weights, 0.0).sum(axis=1)
    weights[small] = 0.0
    weights[np.arange(rows), weights.argmax(axis=1)] += folded
    return weights

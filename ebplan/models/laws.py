"""How power and throughput of a serving instance follow its load: two laws of three parameters.

A decode step with ``c`` requests in flight reads the weights once and each request's cache once:

    step time   t(c) = t_w + t_c c              energy of a step   e(c) = e_w + e_c c

so power, energy over time, runs from the power with few requests to that with many,

    power       p(c) = p_few (1 + (rise - 1) s),       s = c / (c + c_half)

and throughput is ``c / t(c)``, a line under a roof; the sharpness of the bend is left to the data,
because in a mixture of experts more experts wake as ``c`` grows:

    throughput  x(c) = ((c / t_w)^-q + x_roof^-q)^(-1/q)      (q = 1 for the step time above)

With ``q`` and ``tau = t_w`` this is the smooth roof of a fleet model. Throughput counts the time
that prompts take between the steps; a median time between tokens does not. That time has the same
law, as the pace of the steps: requests in flight over the median time between two tokens,

    pace        c / itl(c)

and lies above throughput by as much as prompts stretch the mean. Everything is in logarithms:
parameters, ``ln c`` and the results, so that errors are relative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from ebplan.models.curves import FloatArray

LawName = Literal["power", "throughput", "pace"]
Law = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

PARAMETERS: dict[LawName, tuple[str, str, str]] = {
    "power": ("ln power with few requests", "ln rise to many requests", "ln requests half way"),
    "throughput": ("ln step time", "ln roof", "ln sharpness"),
    "pace": ("ln step time", "ln roof", "ln sharpness"),
}
"""Names of the three parameters of each law."""


def power_law(theta: FloatArray, ln_c: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln power and its gradient.

    Args:
        theta: ln p_few, ln rise, ln c_half; power in any unit, shape (3,).
        ln_c: logarithm of the requests in flight, shape (N,).

    Returns:
        ln power, shape (N,), and its derivatives by theta, shape (N, 3).
    """
    few, ln_rise, half = theta
    s = 1.0 / (1.0 + np.exp(half - ln_c))
    rise = np.exp(ln_rise)
    up = 1.0 + (rise - 1.0) * s
    gradient = np.stack([np.ones_like(s), rise * s / up, (1.0 - rise) * s * (1.0 - s) / up], axis=1)
    return few + np.log(up), gradient


def throughput_law(theta: FloatArray, ln_c: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln throughput and its gradient.

    Args:
        theta: ln t_w, ln x_roof, ln q; throughput in the inverse of t_w's unit, shape (3,).
        ln_c: logarithm of the requests in flight, shape (N,).

    Returns:
        ln throughput, shape (N,), and its derivatives by theta, shape (N, 3).
    """
    ln_t, ln_roof, ln_q = theta
    q = np.exp(ln_q)
    of_line, of_roof = q * (ln_t - ln_c), -q * ln_roof
    both = np.logaddexp(of_line, of_roof)
    w = np.exp(of_line - both)
    by_q = both / q - (w * (ln_t - ln_c) - (1.0 - w) * ln_roof)
    return -both / q, np.stack([-w, 1.0 - w, by_q], axis=1)


LAWS: dict[LawName, Law] = {
    "power": power_law,
    "throughput": throughput_law,
    "pace": throughput_law,
}
"""The laws by name."""

"""Rows of a moment: what is known, fixed or contracted over the steps of a window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebplan.errors import InputError
from ebplan.solvers.program import FloatArray
from ebplan.study.horizon import Horizon
from ebplan.study.numbers import Gate, ServiceNumbers, StudyNumbers


def known_gate(field: str, gate: Gate | None) -> Gate:
    """Return when a market closes.

    Raises:
        InputError: nobody knows it.
    """
    if gate is None:
        raise InputError(
            field=field,
            value=None,
            allowed="a definition that says when bids close and results are known",
            remedy="name one: without, no policy can go by the market's clock",
        )
    return gate


def contracted(numbers: StudyNumbers, service: ServiceNumbers) -> FloatArray:
    """Return what is contracted in each step; NaN where the product is bid by the day."""
    if service.contract_kw is None:
        return np.full(numbers.steps, np.nan)
    return service.contract_kw * service.held


def ahead(values: FloatArray, first: int, count: int) -> FloatArray:
    """Return values from a step on; beyond the end of the study the last one stands."""
    return np.asarray(values[np.minimum(np.arange(first, first + count), len(values) - 1)])


def fixed(values: FloatArray, horizon: Horizon, first: int) -> FloatArray:
    """Return what is fixed of the steps of a window; NaN where it is open, and in longer steps."""
    out = np.full(len(horizon.holds), np.nan)
    single = int(np.argmax(np.array([*horizon.holds, 0]) != 1))
    there = values[first : first + single]
    out[: len(there)] = there
    return out


def stacked(rows: Sequence[FloatArray], steps: int) -> FloatArray:
    """Return rows one under the other, (0, T) where there is none."""
    return np.array(rows).reshape(-1, steps)

"""Workloads are what their tokens say, not their labels: tokens of the requests in a table.

Where a table has the output tokens of its runs, a configuration is fitted with their median, and
need not state them; a statement that contradicts the table is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Finding, ValidRange
from ebplan.models.configuration import Configuration, DescribedConfiguration
from ebplan.models.curves import FloatArray
from ebplan.models.fit.measurements import Measurements

AGREE = 0.05
"""A stated number of tokens may lie this share off the measured one: it is rounded, or of other
runs of the same workload."""
MOST_APART = 2.0
"""Most over fewest tokens among the runs of a configuration: with more it is no one workload."""
KINDS = {"tokens_out": "output tokens", "tokens_in": "input tokens"}

Rows = Mapping[str, NDArray[np.bool_]]


def with_tokens(
    data: Measurements, described: Sequence[DescribedConfiguration], rows: Rows
) -> tuple[Configuration, ...]:
    """Return configurations with the output tokens that were measured, or those stated.

    Args:
        data: where given ``tokens_out`` and ``tokens_in``, means of a run.
        described: configurations.
        rows: which rows belong to each, by name.

    Raises:
        InputError: a configuration has no output tokens, those stated are not those measured, or
            the runs of one differ too much to be of one workload.
    """
    return tuple(_with_tokens(data, c, i, rows[c.name]) for i, c in enumerate(described))


def _with_tokens(
    data: Measurements, c: DescribedConfiguration, place: int, mine: NDArray[np.bool_]
) -> Configuration:
    for name in KINDS:
        if name in data.values and mine.any():
            _check_one_workload(data.values[name][mine], c.name, name, data.file)
    stated, field = c.tokens_out, f"options.configurations.{place}.tokens_out"
    if "tokens_out" not in data.values or not mine.any():
        if stated is None:
            raise InputError(
                field=field,
                value=None,
                allowed=f"mean output tokens of a request of {c.name!r}",
                remedy="give them, or map the column tokens_out",
            )
        return Configuration(**c.model_dump())
    measured = float(np.median(data.values["tokens_out"][mine]))
    if stated is not None and abs(stated / measured - 1.0) > AGREE:
        raise InputError(
            field=field,
            value=stated,
            allowed=f"within {AGREE:.0%} of {measured:.4g}, the median of columns.tokens_out in "
            f"the rows of {c.name!r}",
            remedy="leave it out, so that the measurement is taken; or correct the column",
        )
    return Configuration(**{**c.model_dump(), "tokens_out": measured})


def _check_one_workload(tokens: FloatArray, name: str, column: str, file: str) -> None:
    if tokens.max() > MOST_APART * tokens.min():
        raise InputError(
            field=f"columns.{column}",
            value=f"{tokens.min():.4g} to {tokens.max():.4g} tokens in the rows of {name!r}",
            allowed=f"at most {MOST_APART:g} times apart: one configuration is one workload",
            remedy="describe a configuration for each length, and name it by the label "
            "configuration",
            file=file,
        )


def token_ranges(data: Measurements, rows: Rows) -> tuple[ValidRange, ...]:
    """Return the lengths of requests that were measured, for the card."""
    return tuple(
        ValidRange(
            name=f"{what} of a request, {name}",
            low=float(data.values[column][mine].min()),
            high=float(data.values[column][mine].max()),
            unit="tokens",
        )
        for column, what in KINDS.items()
        if column in data.values
        for name, mine in rows.items()
        if mine.any()
    )


def token_findings(data: Measurements, rows: Rows) -> tuple[Finding, ...]:
    """Say which tokens the configurations are keyed by, for the card."""
    if "tokens_out" not in data.values:
        return ()
    return tuple(
        Finding(
            title=f"{name}: output tokens are measured",
            text=f"{np.median(data.values['tokens_out'][mine]):.4g} a request, the median of "
            f"{int(mine.sum())} runs; the workload is taken for this long.",
        )
        for name, mine in rows.items()
        if mine.any()
    )

"""What a fit is given: the rows of a table that can be, in ebplan's units, and those left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from ebplan.errors import InputError
from ebplan.models.card import Dataset, Excluded
from ebplan.models.curves import FloatArray
from ebplan.models.fit.quantities import QUANTITIES
from ebplan.site import MeasurementPoint

THOUSAND_BAND = (300.0, 3000.0)
"""A value this many times the median of its column, or this many times below it, is taken for a
slip of the unit by 1,000."""
MOST_EXCLUDED = 0.25
"""With a larger share of the rows left out, the table is refused."""


@dataclass(frozen=True)
class Measurements:
    """The rows of a table that passed the door, in ebplan's units."""

    file: str
    """File name, for errors and cards."""
    sha256: str
    """Digest of the file's content."""
    source: str
    """Who measured."""
    measurement_point: MeasurementPoint
    """Where powers are metered."""
    measurement_note: str
    """How sure that is."""
    values: Mapping[str, FloatArray]
    """Quantity by name (``quantities.QUANTITIES``), each of shape (rows,)."""
    labels: Mapping[str, NDArray[np.str_]]
    """Text columns by name, each of shape (rows,)."""
    lines: NDArray[np.intp]
    """Line of each row in the file, shape (rows,)."""
    excluded: tuple[Excluded, ...] = ()
    """Rows that were left out, named."""
    rows_read: int = 0
    """Rows of the file."""
    copies: int = 0
    """Rows left out as copies of others: nothing is wrong with a table because of them."""

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.lines)

    def quantity(self, name: str) -> FloatArray:
        """Return a quantity, shape (rows,).

        Raises:
            InputError: the mapping does not say where it stands.
        """
        if name not in self.values:
            raise InputError(
                field=f"columns.{name}",
                value=None,
                allowed=f"the column that holds it; mapped are {', '.join(self.values)}",
                remedy=f'add  {name} = {{ column = "...", unit = "{QUANTITIES[name].unit}" }}',
                file=self.file,
            )
        return self.values[name]

    def label(self, name: str) -> NDArray[np.str_]:
        """Return a text column, shape (rows,).

        Raises:
            InputError: the mapping does not say where it stands.
        """
        if name not in self.labels:
            raise InputError(
                field=f"columns.{name}",
                value=None,
                allowed="the column that holds it",
                remedy=f'add  {name} = "..."',
                file=self.file,
            )
        return self.labels[name]

    def where(self, keep: NDArray[np.bool_]) -> Measurements:
        """Return the rows that ``keep`` (shape (rows,)) marks."""
        return replace(
            self,
            values={name: value[keep] for name, value in self.values.items()},
            labels={name: value[keep] for name, value in self.labels.items()},
            lines=self.lines[keep],
        )

    def without(self, out: NDArray[np.bool_], reason: str) -> Measurements:
        """Return the rows that ``out`` (shape (rows,)) does not mark, and name those it does."""
        named = tuple(
            Excluded(run=f"line {line}", weight=0.0, reason=reason) for line in self.lines[out]
        )
        kept = replace(self.where(~out), excluded=(*self.excluded, *named))
        bad, rows = len(kept.excluded) - self.copies, self.rows_read - self.copies
        if bad > MOST_EXCLUDED * rows:
            raise InputError(
                field="(rows)",
                value=f"{bad} of {rows} left out, the last because: {reason}",
                allowed=f"at most {MOST_EXCLUDED:.0%}",
                remedy="correct the table: with so much left out nothing is fitted",
                file=self.file,
            )
        return kept

    def dataset(self) -> Dataset:
        """Return the table's entry on a card."""
        return Dataset(
            name=Path(self.file).name,
            rows=self.rows_read,
            sha256=self.sha256,
            source=self.source,
        )


P = ParamSpec("P")
Made = TypeVar("Made")


def names_the_table(
    fit: Callable[Concatenate[Measurements, P], Made],
) -> Callable[Concatenate[Measurements, P], Made]:
    """Let a fit's errors name the file of its measurements, where they name none.

    What is wrong with an option does not stand in that file: the caller knows where it does.
    """

    @wraps(fit)
    def with_file(data: Measurements, /, *args: P.args, **kwargs: P.kwargs) -> Made:
        try:
            return fit(data, *args, **kwargs)
        except InputError as error:
            if error.field.startswith("options."):
                raise
            raise error.in_file(data.file) from None

    return with_file

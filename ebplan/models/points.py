"""Readings that an artefact keeps, so that its fit can be drawn against them.

They are evidence for the eye, not for another fit: rounded, and thinned where there are many.
Artefacts from before they were kept have none, and are written without the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ebplan.document import Document, FieldFault, Part
from ebplan.models.curves import FloatArray

MOST_POINTS = 200
"""Readings kept of one series: more than a figure can show apart."""
DIGITS = 6
"""Significant digits kept: more than a figure shows, fewer than platforms differ in."""


class Points(Part):
    """Readings of one series: a workload, a mode, a condition."""

    series: str
    """Which."""
    columns: dict[str, tuple[float, ...]] = Field(min_length=1)
    """Quantities by name, with their unit; each of shape (N,)."""
    left_out: tuple[int, ...] = ()
    """Places of the readings with weight zero."""
    readings: int = Field(ge=1)
    """Readings there were; more than N where they were thinned."""

    @model_validator(mode="after")
    def _alike(self) -> Points:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise FieldFault(
                field="columns",
                value=lengths,
                allowed="columns of one length",
                remedy="fit the model again",
            )
        if any(not 0 <= i < len(self) for i in self.left_out):
            raise FieldFault(
                field="left_out",
                value=self.left_out,
                allowed=f"0..{len(self) - 1}",
                remedy="fit the model again",
            )
        return self

    @classmethod
    def of(
        cls,
        series: str,
        columns: Mapping[str, FloatArray],
        left_out: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Return readings, rounded and thinned evenly to ``MOST_POINTS``.

        Args:
            series: which.
            columns: quantities by name, each of shape (N,).
            left_out: which readings have weight zero, shape (N,); none where absent.
        """
        count = len(next(iter(columns.values())))
        out = np.zeros(count, dtype=bool) if left_out is None else left_out
        at = np.arange(count)
        if count > MOST_POINTS:
            at = np.unique(np.linspace(0, count - 1, MOST_POINTS).round().astype(np.intp))
        return cls(
            series=series,
            columns={
                name: tuple(float(f"{value:.{DIGITS}g}") for value in column[at].tolist())
                for name, column in columns.items()
            },
            left_out=tuple(np.flatnonzero(out[at]).tolist()),
            readings=count,
        )

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(next(iter(self.columns.values())))

    def column(self, name: str) -> FloatArray:
        """Return a quantity, shape (N,)."""
        return np.array(self.columns[name])

    def used(self) -> NDArray[np.bool_]:
        """Return which readings have weight, shape (N,)."""
        used = np.ones(len(self), dtype=bool)
        used[list(self.left_out)] = False
        return used


class WithPoints(Document):
    """A model that may keep its readings."""

    MAY_BE_ABSENT: ClassVar[tuple[str, ...]] = ("points",)
    """Fields that are written only where they say something, as before they existed."""

    points: tuple[Points, ...] = ()
    """Readings that it was fitted to; none where they were not kept."""

    @model_serializer(mode="wrap")
    def _without_empty(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is empty, and write the readings last: the model is read first."""
        data: dict[str, Any] = write(self)
        optional = {name: data.pop(name, None) for name in self.MAY_BE_ABSENT}
        return data | {name: value for name, value in optional.items() if value}

"""The document of a sweep: one study, and what of it is varied."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part

COLUMNS = ("scenario", "period_start", "days", "policy", "kpi", "value", "unit")
"""Columns of the results besides the axes."""
MOST_SCENARIOS = 100_000
"""More are a slip of the keyboard sooner than a wish."""


class Axes(Part):
    """What is varied; every combination is one scenario. An axis that is absent is not varied."""

    battery_energy_kwh: tuple[NonNegative, ...] | None = Field(default=None, min_length=1)
    """Energy of each site's battery; 0 is none."""
    battery_power_kw: tuple[NonNegative, ...] | None = Field(default=None, min_length=1)
    """Power of each site's converter, both ways; 0 is none."""
    sites: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Number of sites."""
    services: tuple[tuple[str, ...], ...] | None = Field(default=None, min_length=1)
    """Sets of the study's products, by name; the empty set offers none."""
    without: tuple[tuple[str, ...], ...] | None = Field(default=None, min_length=1)
    """Sets of mechanisms that are left out, by their names in a plan."""
    start: tuple[date, ...] | None = Field(default=None, min_length=1)
    """First days: other years of the same series."""
    confidence: tuple[float, ...] | None = Field(default=None, min_length=1)
    """Probability with which compute gives what is reckoned with; needs ``response_std``."""
    fields: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Any other value of the study, by dotted path: ``services.0.price_times = [0.5, 1, 2]``."""

    @model_validator(mode="after")
    def _values_make_sense(self) -> Axes:
        if self.sites is not None and min(self.sites) < 1:
            raise FieldFault(field="sites", value=min(self.sites), allowed=">= 1", remedy="raise")
        for one in self.confidence or ():
            if not 0.5 <= one < 1.0:
                raise FieldFault(
                    field="confidence", value=one, allowed="0.5 <= p < 1", remedy="correct it"
                )
        for name, values in self.by_name().items():
            if name in COLUMNS:
                raise FieldFault(
                    field=f"fields.{name}",
                    value=name,
                    allowed="a path deeper than a column of the results",
                    remedy=f"name what is varied of it, e.g. {name}.kind",
                )
            if not values or len({repr(value) for value in values}) < len(values):
                raise FieldFault(
                    field=name,
                    value=list(values),
                    allowed="at least one value, and each once",
                    remedy="remove the repeated one, or the axis",
                )
        return self

    def by_name(self) -> dict[str, tuple[Any, ...]]:
        """Return the axes that are varied, with their values."""
        own = {
            name: value
            for name in type(self).model_fields
            if name != "fields" and (value := getattr(self, name)) is not None
        }
        return {**own, **self.fields}


class SweepSpec(Document):
    """A sweep."""

    kind: Literal["sweep"] = "sweep"
    name: str
    """Name of the sweep."""
    study: str
    """The study's file, relative to this one."""
    axes: Axes
    """What is varied."""
    group: str | None = None
    """Group of the study whose battery, number and mechanisms are varied; all where absent."""
    response_std: Fraction | None = None
    """Standard deviation of what compute gives, as a share of what it is told to."""
    split: Literal["whole", "month"] = "whole"
    """What one chunk holds of the period: all of it, or a calendar month. Months begin anew: each
    starts from the study's state of charge and knows nothing of its neighbours."""

    @model_validator(mode="after")
    def _complete(self) -> SweepSpec:
        if self.axes.confidence is not None and self.response_std is None:
            raise FieldFault(
                field="response_std",
                value=None,
                allowed="a standard deviation, where confidence is varied",
                remedy="measure the response and give it",
            )
        size = 1
        for values in self.axes.by_name().values():
            size *= len(values)
        if size > MOST_SCENARIOS:
            raise FieldFault(
                field="axes",
                value=size,
                allowed=f"at most {MOST_SCENARIOS} scenarios",
                remedy="vary less at once",
            )
        return self

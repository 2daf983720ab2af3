"""Numbers of a study as stated: known, or assumed with a range and the reason."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, model_validator

from ebplan.document import FieldFault, Part


class Assumed(Part):
    """A number that nobody knows; results are given for both ends of its range as well."""

    value: float
    """Central value."""
    low: float
    """Lower end of what is plausible."""
    high: float
    """Upper end."""
    why: str = Field(min_length=1)
    """Where the range comes from."""

    @model_validator(mode="after")
    def _ordered(self) -> Assumed:
        if not self.low <= self.value <= self.high:
            raise FieldFault(
                field="value",
                value=self.value,
                allowed=f"between low = {self.low:g} and high = {self.high:g}",
                remedy="correct the range",
            )
        return self


Stated = float | Assumed
"""A known number, or an assumed one."""


def central(stated: Stated) -> float:
    """Return the value that is reckoned with unless a corner is asked for."""
    return stated.value if isinstance(stated, Assumed) else stated


T = TypeVar("T")


def _within(stated: T, least: float, most: float, remedy: str) -> T:
    """Return what is stated, if it is a number or a range between two limits, or neither."""
    ends = (stated.low, stated.high) if isinstance(stated, Assumed) else (stated,)
    for end in ends:
        if isinstance(end, (int, float)) and not least <= end <= most:
            raise FieldFault(
                field="",
                value=end,
                allowed=f">= {least:g}" if most == float("inf") else f"{least:g} to {most:g}",
                remedy=remedy,
            )
    return stated


def _not_negative(stated: T) -> T:
    return _within(stated, 0.0, float("inf"), "state what is paid without a sign")


def _share(stated: T) -> T:
    return _within(stated, 0.0, 1.0, "state a share: 0.05 for 5 %")


NotNegative = AfterValidator(_not_negative)
"""Annotates what is stated where it may not be below zero, at neither end of its range."""
StatedCost = Annotated[Stated, NotNegative]
"""A number or a range, not below zero."""
StatedShare = Annotated[Stated, AfterValidator(_share)]
"""A number or a range within 0 to 1."""

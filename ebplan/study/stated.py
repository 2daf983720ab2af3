"""Numbers of a study as stated: known, or assumed with a range and the reason."""

from __future__ import annotations

from pydantic import Field, model_validator

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

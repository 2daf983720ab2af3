"""The range that a model was measured over, enforced where it is asked."""

from __future__ import annotations

from collections.abc import Iterable

from ebplan.errors import RangeError

Asked = tuple[str, float, tuple[float, float], str]
"""Name of an argument, its value, lowest and highest measured, and their unit."""


def check_ranges(asked: Iterable[Asked]) -> None:
    """Refuse what was not measured; NaN too.

    Raises:
        RangeError: the first value outside its range.
    """
    for field, value, (low, high), unit in asked:
        if not low <= value <= high:  # written so that NaN is refused too
            raise RangeError(
                field=field,
                value=value,
                allowed=f"{low:g} to {high:g} {unit}".strip(),
                remedy="stay inside what was measured, or allow extrapolation",
            )

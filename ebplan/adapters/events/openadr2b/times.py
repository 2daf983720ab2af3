"""Instants and durations as OpenADR 2.0b writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ebplan.errors import InputError

DURATION = re.compile(
    r"(?P<sign>[+-])?(?:P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<days>\d+)D)?"
    r"T?(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?|P?(?P<weeks>\d+)W)"
)
LONGEST_S = 366 * 86400.0
"""No call is longer; it keeps sums of durations far from where calendars end."""


def instant(text: str, *, at: str) -> datetime:
    """Read an instant; the profile writes them in UTC, and an offset is understood.

    Args:
        text: what the message says.
        at: what it is, for the error.

    Raises:
        InputError: it is no instant, or has no zone.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InputError(
        field=at,
        value=text,
        allowed="an instant with its zone, e.g. 2026-06-01T03:00:00Z",
        remedy="the server must write it so",
    )


def duration_s(text: str, *, at: str) -> float:
    """Read a duration in seconds; months and years have no length and are refused.

    Args:
        text: what the message says.
        at: what it is, for the error.

    Raises:
        InputError: it is no duration, < 0, longer than a year, or has no definite length.
    """
    match = DURATION.fullmatch(text.strip())
    parts = {} if match is None else {k: v for k, v in match.groupdict().items() if v is not None}
    sign = parts.pop("sign", "+")
    definite = match is not None and not int(parts.pop("years", 0)) + int(parts.pop("months", 0))
    try:
        length_s = timedelta(**{k: int(v) for k, v in parts.items()}).total_seconds()
    except OverflowError:
        definite, length_s = False, 0.0
    if not definite or length_s > LONGEST_S or (sign == "-" and length_s > 0.0):
        raise InputError(
            field=at,
            value=text,
            allowed="a duration in days, hours, minutes and seconds up to a year, e.g. PT30M",
            remedy="the server must write it so: months and years have no definite length",
        )
    return length_s

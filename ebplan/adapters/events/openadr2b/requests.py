"""Reads which reports the server asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ebplan.adapters.events.openadr2b.read_events import NS, text
from ebplan.adapters.events.openadr2b.times import duration_s, instant

if TYPE_CHECKING:
    from lxml.etree import _Element


@dataclass(frozen=True)
class ReportRequest:
    """One request for a report."""

    request_id: str
    """What its reports refer to."""
    specifier_id: str
    """Which of our offers it means."""
    points: tuple[str, ...]
    """``rID``s asked for."""
    every_s: float
    """How often values are taken; 0 for once."""
    back_s: float
    """How often they are sent; 0 for once."""
    start: datetime | None = None
    """From when on; at once if None."""
    lasting_s: float = 0.0
    """For how long; 0 until it is cancelled."""


def read_requests(message: _Element) -> list[_Element]:
    """Return the requests in a message, unread."""
    return list(message.findall("oadr:oadrReportRequest", NS))


def request_id(request: _Element) -> str:
    """Return the id of a request."""
    return text(request, "ei:reportRequestID") or ""


def specifier_id(request: _Element) -> str:
    """Return which of our offers a request means."""
    return text(request, "ei:reportSpecifier/ei:reportSpecifierID") or ""


def read_request(request: _Element) -> ReportRequest:
    """Return a request.

    Raises:
        InputError: one of its times is not understood.
    """
    at = "ei:reportSpecifier/"
    period = f"{at}ei:reportInterval/xcal:properties/"
    start = text(request, f"{period}xcal:dtstart/xcal:date-time")
    return ReportRequest(
        request_id=request_id(request),
        specifier_id=specifier_id(request),
        points=tuple(
            text(payload, "ei:rID") or ""
            for payload in request.findall(f"{at}ei:specifierPayload", NS)
        ),
        every_s=duration_s(
            text(request, f"{at}xcal:granularity/xcal:duration") or "P", at="granularity"
        ),
        back_s=duration_s(
            text(request, f"{at}ei:reportBackDuration/xcal:duration") or "P",
            at="reportBackDuration",
        ),
        start=None if start is None else instant(start, at="reportInterval dtstart"),
        lasting_s=duration_s(
            text(request, f"{period}xcal:duration/xcal:duration") or "P",
            at="reportInterval duration",
        ),
    )

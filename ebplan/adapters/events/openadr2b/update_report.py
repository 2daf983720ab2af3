"""Writes ``oadrUpdateReport``: openleadr's template has no place for a resource's status."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ebplan.adapters.events.openadr2b.kept_values import Value
from ebplan.adapters.events.openadr2b.read_events import NS, OADR

if TYPE_CHECKING:
    from lxml.etree import _Element


def update_report(
    values: Sequence[tuple[str, Value]],
    *,
    report_name: str,
    request_id: str,
    report_request_id: str,
    specifier_id: str,
    ven_id: str | None,
    now: datetime,
) -> str:
    """Return the ``oadrSignedObject`` of a report.

    Args:
        values: as (rID, value), in order of time.
        report_name: e.g. ``TELEMETRY_USAGE``.
        request_id: of this message.
        report_request_id: of the request that it answers.
        specifier_id: of our offer.
        ven_id: who we are.
        now: when it is made.
    """
    from lxml import etree

    signed = etree.Element(f"{{{OADR}}}oadrSignedObject", nsmap=NS)
    signed.set(f"{{{OADR}}}Id", "oadrSignedObject")
    update = _in(signed, "oadr:oadrUpdateReport")
    update.set(f"{{{NS['ei']}}}schemaVersion", "2.0b")
    _in(update, "pyld:requestID", request_id)
    report = _in(update, "oadr:oadrReport")
    first = min(value.start for _, value in values)
    _in(_in(report, "xcal:dtstart"), "xcal:date-time", _utc(first))
    intervals = _in(report, "strm:intervals")
    for point, value in values:
        _interval(intervals, point, value)
    _in(report, "ei:eiReportID", request_id)
    _in(report, "ei:reportRequestID", report_request_id)
    _in(report, "ei:reportSpecifierID", specifier_id)
    _in(report, "ei:reportName", report_name)
    _in(report, "ei:createdDateTime", _utc(now))
    if ven_id is not None:
        _in(update, "ei:venID", ven_id)
    return str(etree.tostring(signed, encoding="unicode"))


def _interval(intervals: _Element, point: str, value: Value) -> None:
    interval = _in(intervals, "ei:interval")
    _in(_in(interval, "xcal:dtstart"), "xcal:date-time", _utc(value.start))
    if value.duration_s >= 1.0:  # the profile has whole seconds only
        _in(_in(interval, "xcal:duration"), "xcal:duration", f"PT{value.duration_s:.0f}S")
    payload = _in(interval, "oadr:oadrReportPayload")
    _in(payload, "ei:rID", point)
    if point == "status":
        status = _in(payload, "oadr:oadrPayloadResourceStatus")
        _in(status, "oadr:oadrOnline", "true" if value.online else "false")
        # in its safe state it does what its own protection says, not what it is called to do
        _in(status, "oadr:oadrManualOverride", "false" if value.online else "true")
    else:
        _in(_in(payload, "ei:payloadFloat"), "ei:value", repr(value.number))


def _in(parent: _Element, name: str, text: str | None = None) -> _Element:
    from lxml import etree

    prefix, _, tag = name.partition(":")
    child = etree.SubElement(parent, f"{{{NS[prefix]}}}{tag}")
    child.text = text
    return child


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

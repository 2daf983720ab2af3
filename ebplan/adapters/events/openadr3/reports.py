"""What the site tells, as payloads of OpenADR 3 reports.

| payload (OpenADR 3 report enumerations) | of | units |
|---|---|---|
| BASELINE | ``baseline_kw`` | KW, or KWH where asked |
| DEMAND | ``grid_kw``; < 0 is given to the grid | KW |
| USAGE | the same as energy | KWH |
| DELTA_USAGE | ``delivered_kw``: "change in usage as compared to a baseline" | KWH, or KW |
| UP_REGULATION_AVAILABLE | ``available_release_kw``: up is less draw | KW |
| DOWN_REGULATION_AVAILABLE | ``available_absorb_kw`` | KW |
| STORAGE_DISPATCH_FORECAST | ``storage_kwh``: "stored energy that could be dispatched" | KWH |
| STORAGE_USABLE_CAPACITY | declared by the site: what the full battery holds | KWH |
| STORAGE_CHARGE_LEVEL | ``soc``, 0.0 to 1.0 | PERCENT |
| OPERATING_STATE | ERROR in the safe state, else which way it was moved | none |

There is no payload for ``available_release_kwh`` and ``available_absorb_kwh``. What holds at the
end of a report stands with its last interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import ReportDescriptor, WireEvent
from ebplan.adapters.events.site_report import Measure, SiteReport, Stretch

MEANS: Final[Mapping[str, tuple[Measure, tuple[str, ...]]]] = {
    "BASELINE": ("baseline_kw", ("KW", "KWH")),
    "DEMAND": ("grid_kw", ("KW",)),
    "USAGE": ("grid_kw", ("KWH",)),
    "DELTA_USAGE": ("delivered_kw", ("KWH", "KW")),
    "UP_REGULATION_AVAILABLE": ("available_release_kw", ("KW",)),
    "DOWN_REGULATION_AVAILABLE": ("available_absorb_kw", ("KW",)),
}
"""Payloads of stretches: what they tell, and in which units; the first unless others are asked."""
AT_THE_END: Final = {
    "STORAGE_DISPATCH_FORECAST": ("KWH",),
    "STORAGE_USABLE_CAPACITY": ("KWH",),
    "STORAGE_CHARGE_LEVEL": ("PERCENT",),
    "OPERATING_STATE": (),
}
"""Payloads of the end of a report, and their units."""


def report_body(
    report: SiteReport, event: WireEvent, spec: OpenAdr3Spec
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return a report as the server takes it, and what was asked for and cannot be told.

    What the event asks for is told; where it asks for nothing, everything is. The body is None
    where there is nothing to tell.
    """
    asked = event.reportDescriptors
    wanted = {d.payloadType: d for d in asked} if asked else dict.fromkeys((*MEANS, *AT_THE_END))
    chosen: dict[str, str | None] = {}
    missing = []
    for kind, descriptor in wanted.items():
        units = _units(kind, descriptor)
        if units is None or not _is_told(kind, report, spec):
            missing += [kind] if asked else []
        else:
            chosen[kind] = units or None
    if not chosen:
        return None, missing
    last = len(report.stretches) - 1
    body: dict[str, Any] = {
        "eventID": event.id,
        "clientName": spec.ven_name,
        "reportName": report_name(report, event.id),
        "payloadDescriptors": [_described(kind, units) for kind, units in chosen.items()],
        "resources": [
            {
                "resourceName": spec.resource,
                "intervals": [
                    _interval(n, stretch, _payloads(chosen, stretch, report, spec, n == last))
                    for n, stretch in enumerate(report.stretches)
                ],
            }
        ],
    }
    if spec.version == "3.0.1":
        body["programID"] = event.programID  # 3.1 has it no more (change log, issue 253)
    return body, missing


def report_name(report: SiteReport, event_id: str) -> str:
    """Return what a report is known by: its event and where its stretches begin."""
    return f"{event_id} from {report.stretches[0].start.isoformat()}"


def _units(kind: str, descriptor: ReportDescriptor | None) -> str | None:
    """Return the units to report in, '' for none; None where they are not ours to give."""
    known = MEANS[kind][1] if kind in MEANS else AT_THE_END.get(kind)
    if known is None:
        return None
    if descriptor is None or descriptor.units is None:
        return known[0] if known else ""
    return descriptor.units if descriptor.units in known else None


def _is_told(kind: str, report: SiteReport, spec: OpenAdr3Spec) -> bool:
    if kind in MEANS:
        return any(MEANS[kind][0] in stretch.values for stretch in report.stretches)
    return _at_the_end(kind, report, spec) is not None


def _payloads(
    chosen: Mapping[str, str | None],
    stretch: Stretch,
    report: SiteReport,
    spec: OpenAdr3Spec,
    is_last: bool,
) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for kind, units in chosen.items():
        value: float | str | None
        if kind in MEANS:
            value = stretch.values.get(MEANS[kind][0])
            if value is not None and units == "KWH":
                value *= stretch.duration_s / 3600.0
        else:
            value = _at_the_end(kind, report, spec) if is_last else None
        if value is not None:
            told.append({"type": kind, "values": [value]})
    return told


def _at_the_end(kind: str, report: SiteReport, spec: OpenAdr3Spec) -> float | str | None:
    match kind:
        case "STORAGE_DISPATCH_FORECAST":
            return report.storage_kwh
        case "STORAGE_USABLE_CAPACITY":
            return spec.storage_usable_kwh
        case "STORAGE_CHARGE_LEVEL":
            return report.soc
        case _:
            return _operating_state(report)


def _operating_state(report: SiteReport) -> str | None:
    if not report.online:
        return "ERROR"
    delivered_kw = report.stretches[-1].values.get("delivered_kw")
    if delivered_kw is None:
        return None
    if delivered_kw == 0.0:
        return "NORMAL"
    return "RUNNING_CURTAILED" if delivered_kw < 0.0 else "RUNNING_HEIGHTENED"


def _described(kind: str, units: str | None) -> dict[str, Any]:
    described: dict[str, Any] = {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": kind}
    if units == "KW":
        described["readingType"] = "MEAN"
    if units is not None:
        described["units"] = units
    return described


def _interval(n: int, stretch: Stretch, payloads: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": n,
        "intervalPeriod": {
            "start": stretch.start.isoformat(),
            "duration": duration_text(stretch.duration_s),
        },
        "payloads": payloads,
    }


def duration_text(seconds: float) -> str:
    """Return a duration as ISO 8601 has it, to the microsecond."""
    microseconds = timedelta(seconds=seconds) // timedelta(microseconds=1)
    whole, rest = divmod(microseconds, 1_000_000)
    return f"PT{whole}.{rest:06d}S" if rest else f"PT{whole}S"

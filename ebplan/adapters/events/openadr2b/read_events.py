"""Reads events from the tree of a message that has passed the published schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebplan.adapters.events.openadr2b.heard import Heard, HeardEvent, HeardInterval, HeardSignal

if TYPE_CHECKING:
    from lxml.etree import _Element

OADR = "http://openadr.org/oadr-2.0b/2012/07"
NS = {
    "ei": "http://docs.oasis-open.org/ns/energyinterop/201110",
    "emix": "http://docs.oasis-open.org/ns/emix/2011/06",
    "oadr": OADR,
    "power": "http://docs.oasis-open.org/ns/emix/2011/06/power",
    "pyld": "http://docs.oasis-open.org/ns/energyinterop/201110/payloads",
    "scale": "http://docs.oasis-open.org/ns/emix/2011/06/siscale",
    "strm": "urn:ietf:params:xml:ns:icalendar-2.0:stream",
    "xcal": "urn:ietf:params:xml:ns:icalendar-2.0",
}
IDS = {"groupID", "groupName", "resourceID", "venID", "partyID"}
SIGNAL_PARTS = {"intervals", "eiTarget", "signalName", "signalType", "signalID", "currentValue"}


def text(element: _Element, path: str) -> str | None:
    """Return the text at a path, stripped; None where there is none."""
    found = element.findtext(path, namespaces=NS)
    return None if found is None else str(found).strip()


def said(element: _Element) -> str:
    """Return the text of an element, stripped."""
    return str(element.text or "").strip()


def local(element: _Element) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rsplit("}", 1)[-1]


def read_events(message: _Element) -> Heard:
    """Return the events of an ``oadrDistributeEvent``."""
    return Heard(
        request_id=text(message, "pyld:requestID") or "",
        vtn_id=text(message, "ei:vtnID"),
        events=tuple(_event(e) for e in message.findall("oadr:oadrEvent", NS)),
    )


def _event(wrapped: _Element) -> HeardEvent:
    event = wrapped.find("ei:eiEvent", NS)
    about = "ei:eventDescriptor/ei:"
    period = "ei:eiActivePeriod/xcal:properties/"
    test = text(event, f"{about}testEvent")
    never = text(wrapped, "oadr:oadrResponseRequired") == "never"
    return HeardEvent(
        uid=text(event, f"{about}eventID") or "",
        revision=int(text(event, f"{about}modificationNumber") or 0),
        status=text(event, f"{about}eventStatus") or "",
        market_context=text(event, f"{about}eiMarketContext/emix:marketContext") or "",
        created=text(event, f"{about}createdDateTime") or "",
        start=text(event, f"{period}xcal:dtstart/xcal:date-time") or "",
        duration=text(event, f"{period}xcal:duration/xcal:duration") or "",
        signals=tuple(_signal(s) for s in event.findall("ei:eiEventSignals/ei:eiEventSignal", NS)),
        targets=_targets(event.find("ei:eiTarget", NS)),
        # conformance rule 6, as openleadr cites it: anything but "false" is a test
        test=test is not None and test.lower() != "false",
        start_after=text(event, f"{period}xcal:tolerance/xcal:tolerate/xcal:startafter"),
        recovery=text(event, f"{period}ei:x-eiRecovery/xcal:duration"),
        priority=int(text(event, f"{about}priority") or 0),
        answer="never" if never else "always",
    )


def _signal(signal: _Element) -> HeardSignal:
    item = next((part for part in signal if local(part) not in SIGNAL_PARTS), None)
    return HeardSignal(
        name=text(signal, "ei:signalName") or "",
        kind=text(signal, "ei:signalType") or "",
        intervals=tuple(_interval(i) for i in signal.findall("strm:intervals/ei:interval", NS)),
        quantity=None if item is None else local(item),
        units=_part(item, "itemUnits"),
        scale=_part(item, "siScaleCode"),
        device_classes=tuple(
            said(mrid) for mrid in signal.findall("ei:eiTarget/power:endDeviceAsset/power:mrid", NS)
        ),
    )


def _interval(interval: _Element) -> HeardInterval:
    value = interval.find("ei:signalPayload//ei:value", NS)
    return HeardInterval(
        start=text(interval, "xcal:dtstart/xcal:date-time"),
        duration=text(interval, "xcal:duration/xcal:duration"),
        value="" if value is None else said(value),
    )


def _part(item: _Element | None, name: str) -> str | None:
    parts = () if item is None else item
    return next((said(p) for p in parts if local(p) == name), None)


def _targets(target: _Element | None) -> tuple[tuple[str, str], ...]:
    parts = () if target is None else target
    return tuple((local(part), said(part) if local(part) in IDS else "") for part in parts)

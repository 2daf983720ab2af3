"""What the server is told of the site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openadr3_rigs import Rig, event_body, spec_of

from ebplan.adapters.answers import Applied, AppliedInPart, Refused, Unreachable
from ebplan.adapters.events.openadr3.mapping import parse_event
from ebplan.adapters.events.openadr3.reports import duration_text, report_body
from ebplan.adapters.events.site_report import SiteReport
from ebplan.twin.wire.openadr3_vtn import Fault

START = datetime(2026, 6, 1, 4, tzinfo=UTC)
QUARTER = {
    "baseline_kw": 5.0,
    "grid_kw": 4.0,
    "delivered_kw": -1.0,
    "available_release_kw": 2.0,
    "available_absorb_kw": 0.5,
}


def report(uid: str | None = "e1", *, start: datetime = START, **fields: Any) -> SiteReport:
    stretches = [
        {
            "start": (start + timedelta(minutes=15 * n)).isoformat(),
            "duration_s": 900.0,
            "values": QUARTER,
        }
        for n in range(2)
    ]
    at = (start + timedelta(minutes=30)).isoformat()
    told = {"at": at, "uid": uid, "stretches": stretches, "soc": 0.6, "storage_kwh": 3.0}
    return SiteReport.parse(told | fields)


def asked_for(*descriptors: dict[str, Any]) -> Any:
    body = event_body(id="e1", modificationDateTime="2026-06-01T02:00:00Z")
    return parse_event(body | {"reportDescriptors": list(descriptors) or None})


def values(body: Any, kind: str) -> list[object]:
    return [
        payload["values"][0]
        for interval in body["resources"][0]["intervals"]
        for payload in interval["payloads"]
        if payload["type"] == kind
    ]


def test_everything_is_told_where_nothing_is_asked_for() -> None:
    body, missing = report_body(report(), asked_for(), spec_of(storage_usable_kwh=8.0))
    assert missing == []
    assert body is not None
    units = {d["payloadType"]: d.get("units") for d in body["payloadDescriptors"]}
    told = {kind: values(body, kind) for kind in units}
    assert {kind: (told[kind], units[kind]) for kind in told} == {
        "BASELINE": ([5.0, 5.0], "KW"),
        "DEMAND": ([4.0, 4.0], "KW"),
        "USAGE": ([1.0, 1.0], "KWH"),
        "DELTA_USAGE": ([-0.25, -0.25], "KWH"),
        "UP_REGULATION_AVAILABLE": ([2.0, 2.0], "KW"),
        "DOWN_REGULATION_AVAILABLE": ([0.5, 0.5], "KW"),
        "STORAGE_DISPATCH_FORECAST": ([3.0], "KWH"),
        "STORAGE_USABLE_CAPACITY": ([8.0], "KWH"),
        "STORAGE_CHARGE_LEVEL": ([0.6], "PERCENT"),
        "OPERATING_STATE": (["RUNNING_CURTAILED"], None),
    }


def test_what_is_asked_for_is_told_in_the_units_asked_for_and_the_rest_is_named() -> None:
    event = asked_for(
        {"payloadType": "BASELINE", "units": "KWH"},
        {"payloadType": "DELTA_USAGE", "units": "KW"},
        {"payloadType": "DEMAND", "units": "KVA"},
        {"payloadType": "SIMPLE_LEVEL"},
    )
    body, missing = report_body(report(), event, spec_of())
    assert body is not None
    assert values(body, "BASELINE") == [1.25, 1.25]
    assert values(body, "DELTA_USAGE") == [-1.0, -1.0]
    assert missing == ["DEMAND", "SIMPLE_LEVEL"]


@pytest.mark.parametrize(
    ("online", "delivered_kw", "state"),
    [
        (True, -1.0, ["RUNNING_CURTAILED"]),
        (True, 0.5, ["RUNNING_HEIGHTENED"]),
        (True, 0.0, ["NORMAL"]),
        (True, None, []),
        (False, -1.0, ["ERROR"]),
    ],
)
def test_the_operating_state_says_what_is_known(
    online: bool, delivered_kw: float | None, state: list[str]
) -> None:
    told = {"grid_kw": 4.0} | ({} if delivered_kw is None else {"delivered_kw": delivered_kw})
    stretch = {"start": START.isoformat(), "duration_s": 60.0, "values": told}
    body, _ = report_body(report(stretches=[stretch], online=online), asked_for(), spec_of())
    assert body is not None
    assert values(body, "OPERATING_STATE") == state


def test_3_1_has_no_program_in_a_report() -> None:
    body, _ = report_body(report(), asked_for(), spec_of(version="3.1"))
    assert body is not None
    assert "programID" not in body


@pytest.mark.parametrize(
    ("seconds", "text"), [(900.0, "PT900S"), (0.1, "PT0.100000S"), (90061.5, "PT90061.500000S")]
)
def test_durations_are_iso_8601(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


async def test_a_repeated_report_takes_the_place_of_the_first() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        first = await rig.source.report(report(made["id"]))
        assert isinstance(first, Applied), first
        assert isinstance(await rig.source.report(report(made["id"], soc=0.5)), Applied)
        (held,) = rig.vtn.reports
        assert values(held, "STORAGE_CHARGE_LEVEL") == [0.5]
        later = report(made["id"], start=START + timedelta(minutes=30))
        assert isinstance(await rig.source.report(later), Applied)
        assert len(rig.vtn.reports) == 2


async def test_a_report_whose_answer_was_lost_is_found_again() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        rig.vtn.fail_next(Fault(), Fault(hang_up=True, after=True))
        lost = await rig.source.report(report(made["id"]))
        assert isinstance(lost, Unreachable), lost
        assert lost.executed
        assert len(rig.vtn.reports) == 1
        await rig.until(lambda: True)
        while isinstance(again := await rig.source.report(report(made["id"])), Unreachable):
            assert "left alone" in again.why
            await rig.pause()
        assert isinstance(again, Applied)
        assert len(rig.vtn.reports) == 1


async def test_a_report_that_the_server_lost_is_made_again() -> None:
    async with Rig() as rig:
        made = await rig.vtn.create("events", event_body(rig.program))
        await rig.source.report(report(made["id"]))
        rig.vtn.objects["reports"].clear()
        assert isinstance(await rig.source.report(report(made["id"])), Applied)
        assert len(rig.vtn.reports) == 1


async def test_what_cannot_be_reported_is_refused() -> None:
    async with Rig() as rig:
        for uid, said in ((None, "about an event"), ("unheard", "no such event")):
            answer = await rig.source.report(report(uid))
            assert isinstance(answer, Refused)
            assert said in answer.why
        descriptors = [{"payloadType": "USAGE"}, {"payloadType": "SIMPLE_LEVEL"}]
        made = await rig.vtn.create(
            "events", event_body(rig.program, reportDescriptors=descriptors)
        )
        answer = await rig.source.report(report(made["id"]))
        assert isinstance(answer, AppliedInPart)
        assert "SIMPLE_LEVEL" in answer.why
        rig.vtn.fail_next(Fault(status=400), Fault(status=400))
        answer = await rig.source.report(report(made["id"], start=START + timedelta(days=1)))
        assert isinstance(answer, Refused | Unreachable)


async def test_a_report_of_one_payload_of_several_goes_to_its_event() -> None:
    async with Rig() as rig:
        body = event_body(rig.program)
        body["intervals"][0]["payloads"].append({"type": "SIMPLE", "values": [1]})
        made = await rig.vtn.create("events", body)
        uids = {uid for _, uid in rig.inbox.calls}
        assert uids == {f"{made['id']}/SIMPLE", f"{made['id']}/DISPATCH_SETPOINT_RELATIVE"}
        for uid in uids:
            assert isinstance(await rig.source.report(report(uid)), Applied)
        assert [held["eventID"] for held in rig.vtn.reports] == [made["id"]]

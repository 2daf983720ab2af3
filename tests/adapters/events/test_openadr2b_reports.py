"""What the site reports reaches a real OpenADR 2.0b server that asks for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from openadr2b_rigs import PROMPT, WITHIN_S, Heard, running, spec

from ebplan.adapters.answers import Applied, Refused
from ebplan.adapters.events.openadr2b.kept_values import KeptValues
from ebplan.adapters.events.openadr2b.source import OpenAdr2bSource
from ebplan.adapters.events.site_report import SiteReport, Stretch
from ebplan.twin.wire.openadr2b_vtn import Openadr2bVtn

USAGE = ("grid_kw", "baseline_kw", "delivered_kw", "available_release_kw", "storage_kwh")


def report(online: bool = True, **values: float) -> SiteReport:
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    return SiteReport(
        at=start + timedelta(seconds=60),
        stretches=(Stretch(start=start, duration_s=60.0, values=values),),  # type: ignore[arg-type]
        storage_kwh=42.5,
        online=online,
    )


def values(vtn: Openadr2bVtn, name: str) -> dict[str, Any]:
    """Return the last value of each point that the server got in reports of a name."""
    return {
        interval["report_payload"]["r_id"]: interval["report_payload"]
        for got in vtn.reports
        if got["report_name"] == name
        for interval in got["intervals"]
    }


async def got(vtn: Openadr2bVtn, name: str, points: set[str]) -> dict[str, Any]:
    async with asyncio.timeout(WITHIN_S):
        while not points <= set(values(vtn, name)):
            await vtn.said("oadrUpdateReport")
            await asyncio.sleep(0)
    return values(vtn, name)


async def test_values_are_sampled_when_the_server_asks_for_them() -> None:
    async with Openadr2bVtn(wanted={"TELEMETRY_USAGE": USAGE}) as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        told = {
            "grid_kw": 512.25, "baseline_kw": 600.0, "delivered_kw": -87.75,
            "available_release_kw": 40.0,
        }  # fmt: skip
        async with running(source, Heard()):
            await source.report(report(**told))
            heard = await got(vtn, "TELEMETRY_USAGE", set(USAGE))
    assert {name: heard[name]["value"] for name in USAGE} == {**told, "storage_kwh": 42.5}
    first = vtn.reports[0]["intervals"][0]
    assert first["duration"] == timedelta(seconds=60)


async def test_a_value_is_told_once_and_the_next_one_after_it() -> None:
    async with Openadr2bVtn(wanted={"TELEMETRY_USAGE": ["grid_kw"]}) as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        async with running(source, Heard()):
            await source.report(report(grid_kw=1.0))
            await got(vtn, "TELEMETRY_USAGE", {"grid_kw"})
            await asyncio.wait_for(vtn.said("oadrPoll", 40), WITHIN_S)  # two more samples
            await source.report(report(grid_kw=2.0))
            await asyncio.wait_for(vtn.said("oadrUpdateReport"), WITHIN_S)
    told = [i["report_payload"]["value"] for r in vtn.reports for i in r["intervals"]]
    assert told == [1.0, 2.0]


@pytest.mark.parametrize("online", [True, False])
async def test_the_status_says_whether_the_site_follows(online: bool) -> None:
    async with Openadr2bVtn(wanted={"TELEMETRY_STATUS": ["status"]}) as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        async with running(source, Heard()):
            await source.report(report(online, grid_kw=1.0))
            heard = await got(vtn, "TELEMETRY_STATUS", {"status"})
    status = heard["status"]["payload_resource_status"]
    assert (status["online"], status["manual_override"]) == (online, not online)


async def test_the_answer_says_whether_anybody_asks() -> None:
    async with Openadr2bVtn() as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        async with running(source, Heard()):
            await asyncio.wait_for(vtn.said("oadrPoll"), WITHIN_S)
            assert isinstance(await source.report(report(grid_kw=1.0)), Refused)
    async with Openadr2bVtn(wanted={"TELEMETRY_USAGE": ["grid_kw"]}) as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        async with running(source, Heard()):
            await asyncio.wait_for(vtn.said("oadrPoll"), WITHIN_S)
            answer = await source.report(report(grid_kw=1.0))
            assert isinstance(answer, Applied)
            assert answer.confirmed == "grid_kw"


async def test_a_report_goes_on_after_the_server_was_restarted() -> None:
    async with Openadr2bVtn(wanted={"TELEMETRY_USAGE": ["grid_kw"]}) as vtn:
        source = OpenAdr2bSource(spec(vtn), policy=PROMPT)
        async with running(source, Heard()):
            await source.report(report(grid_kw=1.0))
            await got(vtn, "TELEMETRY_USAGE", {"grid_kw"})
            vtn.forgetful = True
            await vtn.stop()
            vtn.reports.clear()
            await vtn.start()
            await got(vtn, "TELEMETRY_USAGE", {"grid_kw"})


async def test_an_offer_names_the_resource_and_its_units() -> None:
    async with (
        Openadr2bVtn() as vtn,
        running(OpenAdr2bSource(spec(vtn, resources=("hall-7",)), policy=PROMPT), Heard()),
    ):
        offered = await asyncio.wait_for(vtn.heard("oadrRegisterReport", lambda _: True), WITHIN_S)
    usage, status = offered["reports"]
    assert (usage["report_name"], status["report_name"]) == (
        "METADATA_TELEMETRY_USAGE", "METADATA_TELEMETRY_STATUS",
    )  # fmt: skip
    grid = usage["report_descriptions"][0]
    assert grid["r_id"] == "grid_kw"
    assert grid["report_data_source"]["resource_id"] == "hall-7"
    assert (grid["measurement"]["unit"], grid["measurement"]["scale"]) == ("W", "k")


def test_a_forecast_is_told_when_it_begins_and_a_stale_value_never() -> None:
    now = datetime.now(UTC)
    kept = KeptValues(stale_s=300.0)
    stretches = tuple(
        Stretch(start=now + timedelta(minutes=n), duration_s=60.0, values={"baseline_kw": float(n)})
        for n in range(3)
    )
    kept.keep(SiteReport(at=now, stretches=stretches))
    told = [kept.at("baseline_kw", now + timedelta(minutes=m)) for m in (-1, 0, 1, 2, 7, 9)]
    assert [v and v.number for v in told] == [None, 0.0, 1.0, 2.0, 2.0, None]
    assert kept.at("grid_kw", now) is None
    assert kept.at("no such point", now) is None

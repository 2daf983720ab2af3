"""Check every message of our node, and of the server it is tested with, against a contract.

``python -m ebplan.twin.wire.check_openadr3 openadr3.yaml`` lets the two talk on loopback: tokens,
names, programs, subscriptions, events that come, change and go, in pages and by notification, and
reports. It prints each kind of message and what is wrong with it; 0 is returned where nothing is.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ebplan.adapters.answers import Applied, AppliedInPart
from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.openadr3 import OpenAdr3Source, OpenAdr3Spec
from ebplan.adapters.events.site_report import SiteReport
from ebplan.errors import EbplanError
from ebplan.twin.wire.openadr3_contract import Contract
from ebplan.twin.wire.openadr3_vtn import BASE, Exchange, Openadr3Vtn

PAYLOADS: tuple[tuple[str, str | None, float], ...] = (
    ("SIMPLE", None, 2),
    ("PRICE", "KWH", 31.5),
    ("DISPATCH_SETPOINT", "KW", 4.0),
    ("DISPATCH_SETPOINT_RELATIVE", "KW", -1.0),
    ("IMPORT_CAPACITY_LIMIT", "KW", 3.5),
)
LISTED = 60
"""Events that are listed: more than one page."""


async def talk() -> tuple[list[Exchange], list[dict[str, Any]]]:
    """Let our node and the stand-in for a server talk; return what was said.

    Raises:
        RuntimeError: they did not come to an end of it: a fault of ours.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with Openadr3Vtn() as vtn, asyncio.timeout(60.0):
            program = vtn.add("programs", {"programName": "dr"})["id"]
            for n in range(LISTED):
                vtn.add("events", event_body(program, *PAYLOADS[n % len(PAYLOADS)]))
            source = OpenAdr3Source(_spec(vtn, Path(folder)))
            inbox, listed = Inbox(), asyncio.Event()
            source.on_round = listed.set
            running = asyncio.create_task(source.run(inbox))
            try:
                await listed.wait()
                await _live(vtn, source, program, inbox)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            return vtn.exchanges, vtn.notifications


def event_body(program: str, kind: str, units: str | None, value: float) -> dict[str, Any]:
    """Return an event of one interval, in an hour, as business logic creates it."""
    descriptor: dict[str, Any] = {"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": kind}
    if units is not None:
        descriptor["units"] = units
    if kind == "PRICE":
        descriptor["currency"] = "JPY"
    start = datetime.now(UTC) + timedelta(hours=1)
    return {
        "programID": program,
        "eventName": f"{kind.lower()} in an hour",
        "priority": 1,
        "payloadDescriptors": [descriptor],
        "reportDescriptors": [{"payloadType": "BASELINE"}, {"payloadType": "DEMAND"}],
        "targets": [{"type": "VEN_NAME", "values": ["site-1"]}],
        "intervalPeriod": {"start": start.isoformat(), "duration": "PT1H"},
        "intervals": [{"id": 0, "payloads": [{"type": kind, "values": [value]}]}],
    }


async def _live(vtn: Openadr3Vtn, source: OpenAdr3Source, program: str, inbox: Inbox) -> None:
    """Let an event come, be reported on, change and go."""
    body = event_body(program, *PAYLOADS[0])
    made = await vtn.create("events", body)
    report = _report(made["id"])
    for _ in range(2):
        answer = await source.report(report)
        if not isinstance(answer, Applied | AppliedInPart):
            raise RuntimeError(str(answer))
    await vtn.update("events", made["id"], {**body, "priority": 0})
    await vtn.delete("events", made["id"])
    if not inbox.calls[source.name, made["id"]].cancelled or set(vtn.answers) != {204}:
        raise RuntimeError(f"an event did not come through: {source.state.refused}")


def _report(uid: str) -> SiteReport:
    start = datetime.now(UTC) - timedelta(minutes=15)
    values = {"baseline_kw": 5.0, "grid_kw": 4.0, "delivered_kw": -1.0}
    stretch = {"start": start.isoformat(), "duration_s": 900.0, "values": values}
    return SiteReport.parse(
        {"at": datetime.now(UTC).isoformat(), "uid": uid, "stretches": [stretch], "soc": 0.6}
    )


def _spec(vtn: Openadr3Vtn, folder: Path) -> OpenAdr3Spec:
    told = {"id": vtn.client_id, "secret": vtn.client_secret, "hook": secrets.token_hex(16)}
    for name, text in told.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
    return OpenAdr3Spec.parse(
        {
            "url": vtn.url,
            "client_id": {"file": str(folder / "id")},
            "client_secret": {"file": str(folder / "secret")},
            "programs": [{"name": "dr"}],
            "ven_name": "site-1",
            "currency": "JPY",
            "terms": {
                "baseline": {"rule": "fixed", "kw": 5.0},
                "level_kw": {"1": -0.5, "2": -1.0, "3": -2.0},
            },
            "webhook": {"token": {"file": str(folder / "hook")}},
        }
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check; return 0 where every message is as the contract has it."""
    parser = argparse.ArgumentParser(
        prog="python -m ebplan.twin.wire.check_openadr3", description=__doc__
    )
    parser.add_argument("schema", type=Path, help="the OpenAPI document of OpenADR 3.0.1")
    try:
        contract = Contract(parser.parse_args(arguments).schema)
    except EbplanError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    exchanges, notifications = asyncio.run(talk())
    said: Counter[str] = Counter()
    faults: list[str] = []
    for exchange in exchanges:
        path = exchange.path.removeprefix(BASE).split("/")[1]
        said[f"{exchange.method} /{path} -> {exchange.status}"] += 1
        faults += contract.faults(exchange)
    for told in notifications:
        said[f"notification of {told['operation']} of {told['objectType']}"] += 1
        faults += contract.notification_faults(told)
    print(f"contract of OpenADR {contract.version}")
    for what, times in sorted(said.items()):
        print(f"  {what}: {times}")
    for line in faults:
        print(f"  fault: {line}")
    print(f"{sum(said.values())} messages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""Reports on their way to the server: made once, then replaced, so that a repeat adds nothing.

Which of the server's reports is ours is told by its name. Before one is made, the server is asked
for it: an answer may have been lost, or this process may be a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebplan.adapters.answers import Answer, Applied, AppliedInPart, Refused
from ebplan.adapters.events.openadr3.line import Got, Line
from ebplan.adapters.events.openadr3.mapping import family
from ebplan.adapters.events.openadr3.reports import report_body
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import WireEvent
from ebplan.adapters.events.site_report import SiteReport

REMEMBERED = 1000
"""Ids of reports that are kept."""


class Reporting:
    """Reports to one server.

    Args:
        spec: what the site says.
        line: the line to the server.
    """

    def __init__(self, spec: OpenAdr3Spec, line: Line) -> None:
        self._spec, self._line = spec, line
        self._ids: dict[str, str] = {}

    async def send(self, report: SiteReport, uid: str, events: Mapping[str, WireEvent]) -> Answer:
        """Tell the server.

        Args:
            report: what the site tells.
            uid: the call it is about.
            events: events as last heard, by id.

        Raises:
            NoAnswer: the server did not answer.
        """
        event = events.get(family(uid))
        if event is None:
            return self._refused(uid, "no such event is listed")
        body, missing = report_body(report, event, self._spec)
        if body is None:
            return self._refused(uid, f"nothing to tell of {', '.join(missing) or 'it'}")
        got = await self._put(body)
        if not got.ok:
            return self._refused(uid, got.shown)
        told = ", ".join(d["payloadType"] for d in body["payloadDescriptors"])
        if missing:
            return AppliedInPart(
                device=self._spec.name, command="report", asked=uid, confirmed=told,
                feasible=None, why=f"asked for and not known here: {', '.join(missing)}",
            )  # fmt: skip
        return Applied(device=self._spec.name, command="report", asked=uid, confirmed=told)

    async def _put(self, body: Mapping[str, Any]) -> Got:
        name = body["reportName"]
        known = self._ids.get(name) or await self._find(body)
        if known is not None:
            got = await self._line.ask("PUT", f"/reports/{known}", body=body)
            if got.status != 404:
                self._remember(name, known)
                return got
        got = await self._line.ask("POST", "/reports", body=body)
        made = got.body.get("id") if got.ok and isinstance(got.body, dict) else None
        if isinstance(made, str):
            self._remember(name, made)
        return got

    async def _find(self, body: Mapping[str, Any]) -> str | None:
        query = (("eventID", body["eventID"]), ("clientName", body["clientName"]))
        listed, _ = await self._line.list_all("/reports", query=query)
        for one in listed:
            if isinstance(one, dict) and one.get("reportName") == body["reportName"]:
                found = one.get("id")
                if isinstance(found, str):
                    return found
        return None

    def _remember(self, name: str, known: str) -> None:
        self._ids[name] = known
        while len(self._ids) > REMEMBERED:
            del self._ids[next(iter(self._ids))]

    def _refused(self, uid: str, why: str) -> Refused:
        return Refused(device=self._spec.name, command="report", asked=uid, why=why)

"""Reports to the server. It asks for them; the site's latest values are sampled when they are due.

A request says how often values are taken and how often those taken are sent. A value that was told
once for a request is not told again, so that a site that reports every minute is not sampled
sixty times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import TYPE_CHECKING, Any

from ebplan.adapters.clock import Clock
from ebplan.adapters.events.openadr2b.kept_values import KeptValues, Value
from ebplan.adapters.events.openadr2b.measures import (
    POINTS,
    STATUS,
    USAGE,
    descriptions,
    status_description,
)
from ebplan.adapters.events.openadr2b.read_events import NS
from ebplan.adapters.events.openadr2b.requests import (
    ReportRequest,
    read_request,
    read_requests,
    request_id,
    specifier_id,
)
from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec
from ebplan.adapters.events.openadr2b.update_report import update_report
from ebplan.adapters.events.site_report import SiteReport
from ebplan.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

SHORTEST_S, LONGEST_S = 1.0, 3600.0
"""How often values can be taken."""
MOST_VALUES = 10_000
"""Most values that wait to be sent for one request."""
MOST_REQUESTS = 100
"""Most requests that stand at a time."""
PATIENCE_S = 10.0
"""How long to wait for a first value."""
NOT_SUPPORTED = {"response_code": 461, "response_description": "no such report is offered"}


@dataclass
class Standing:
    """A request that stands."""

    request: ReportRequest
    sample_s: float
    """When values are taken next."""
    back_s: float
    """When they are sent next."""
    until_s: float
    """When it ends."""
    taken: list[tuple[str, Value]] = field(default_factory=list)
    """Values that wait to be sent."""
    last: dict[str, Value] = field(default_factory=dict)
    """The last value taken of each point."""


@dataclass
class Created:
    """What came of the requests in a message."""

    requested: bool = False
    """Whether there was any."""
    describe: bool = False
    """Whether the list of what is offered was asked for again."""
    response: dict[str, Any] = field(default_factory=dict)
    """Code and description, where one was not understood."""


class Reporting:
    """What the server asks for, and what is due.

    Args:
        spec: who we are.
        clock: what times it.
    """

    def __init__(self, spec: OpenAdr2bSpec, clock: Clock) -> None:
        self._spec, self._clock = spec, clock
        self._values = KeptValues(spec.stale_s)
        self._standing: dict[str, Standing] = {}
        self._ids = {f"{spec.ven_name}-usage": USAGE, f"{spec.ven_name}-status": STATUS}

    @property
    def wanted(self) -> frozenset[str]:
        """Points that the server asks for."""
        return frozenset(p for one in self._standing.values() for p in one.request.points)

    @property
    def pending(self) -> list[str]:
        """Requests that stand."""
        return list(self._standing)

    @property
    def due_s(self) -> float:
        """When something is to be done next."""
        return min((min(s.sample_s, s.back_s) for s in self._standing.values()), default=inf)

    def keep(self, report: SiteReport) -> None:
        """Keep the values of a report."""
        self._values.keep(report)

    def offered(self) -> list[dict[str, Any]]:
        """Return what can be asked for, as the templates take it."""
        resource, now = self._spec.resource, datetime.now(UTC)
        usage = descriptions(resource, SHORTEST_S, LONGEST_S)
        status = [status_description(resource, SHORTEST_S, LONGEST_S)]
        return [
            {
                "report_name": f"METADATA_{name}",
                "report_specifier_id": specifier,
                "report_descriptions": usage if name == USAGE else status,
                "created_date_time": now,
                "duration": f"PT{LONGEST_S:.0f}S",
            }
            for specifier, name in self._ids.items()
        ]

    def forget_requests(self) -> None:
        """Forget what was asked for; a server asks again when reports are offered again."""
        self._standing.clear()

    def create(self, message: _Element) -> Created:
        """Let the requests in a message stand."""
        created = Created()
        for element in read_requests(message):
            created.requested = True
            if specifier_id(element) == "METADATA":
                created.describe = True
            elif not self._create(element):
                created.response = NOT_SUPPORTED
        return created

    def cancel(self, message: _Element) -> tuple[int, str]:
        """End the requests that a message names; return code and description."""
        named = [str(e.text).strip() for e in message.findall("ei:reportRequestID", NS)]
        known = [self._standing.pop(name, None) for name in named]
        return (452, "no such request stands") if None in known else (200, "OK")

    def make_due(self, message: _Element) -> None:
        """Let the requests that a message names be due now."""
        for element in message.findall("ei:reportRequestID", NS):
            standing = self._standing.get(str(element.text).strip())
            if standing is not None:
                standing.sample_s = standing.back_s = self._clock.now_s()

    def collect(self) -> list[Standing]:
        """Take the values that are due; return the requests that are to be answered now."""
        now_s, now = self._clock.now_s(), datetime.now(UTC)
        due = []
        for key, standing in list(self._standing.items()):
            if now_s >= standing.sample_s:
                self._take(standing, now)
                standing.sample_s = _next(standing.sample_s, standing.request.every_s, now_s)
            if now_s >= standing.back_s:
                standing.back_s = _next(standing.back_s, standing.request.back_s, now_s)
                if standing.taken:
                    due.append(standing)
                elif standing.back_s == inf:  # asked for once, and nothing is known yet
                    standing.sample_s = standing.back_s = now_s + PATIENCE_S
                if standing.back_s == inf or now_s >= standing.until_s:
                    del self._standing[key]
        return due

    def write(self, due: Standing, message_id: str, ven_id: str | None) -> str:
        """Return the ``oadrSignedObject`` that answers a request."""
        request = due.request
        return update_report(
            due.taken,
            report_name=self._ids[request.specifier_id],
            request_id=message_id,
            report_request_id=request.request_id,
            specifier_id=request.specifier_id,
            ven_id=ven_id,
            now=datetime.now(UTC),
        )

    def sent(self, due: Standing) -> None:
        """Forget values that the server has taken."""
        due.taken.clear()

    def _create(self, element: _Element) -> bool:
        try:
            request = read_request(element)
        except InputError:
            return False
        offered = set(POINTS) if self._ids.get(request.specifier_id) == USAGE else {"status"}
        known = request.specifier_id in self._ids and offered.issuperset(request.points)
        if not known or not request.points or len(self._standing) >= MOST_REQUESTS:
            return False
        wait_s = 0.0
        if request.start is not None:
            wait_s = max((request.start - datetime.now(UTC)).total_seconds(), 0.0)
        first_s = self._clock.now_s() + wait_s
        self._standing[request_id(element)] = Standing(
            request,
            sample_s=first_s,
            back_s=first_s + max(request.back_s - max(request.every_s, SHORTEST_S), 0.0),
            until_s=first_s + request.lasting_s if request.lasting_s else inf,
        )
        return True

    def _take(self, standing: Standing, now: datetime) -> None:
        for point in standing.request.points:
            value = self._values.at(point, now)
            if value is not None and value != standing.last.get(point):
                standing.last[point] = value
                standing.taken.append((point, value))
        del standing.taken[:-MOST_VALUES]


def _next(last_s: float, every_s: float, now_s: float) -> float:
    """Return when something is due again; times that were missed are not made up for."""
    if every_s == 0.0:
        return inf
    return max(last_s + max(every_s, SHORTEST_S), now_s)

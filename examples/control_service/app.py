"""A control service: events in; plan, status, timeline and metrics out; a page to look at.

    python examples/control_service/app.py run.json --token-file token --port 8080

Everything that moves power is ebplan's own controller; this file only gives it a door.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import secrets
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ebplan.adapters.events.message import read_message
from ebplan.adapters.metrics_page import MetricsPage
from ebplan.adapters.secrets import SecretSource
from ebplan.controller import Status
from ebplan.controller.numbers import NAMED, numbers
from ebplan.controller.site_run import SiteRun, open_run
from ebplan.errors import InputError

HERE = Path(__file__).parent
SENDER = "api"
"""What this site calls whoever posts here."""
LEAST_TOKEN = 16
"""Characters of a token at least."""
HISTORY = 1_800
"""Cycles that are remembered: half an hour."""
SESSION = "ebplan_session"
FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
POLICY = (
    "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
RELEASE = {
    "kind": "grid_event",
    "uid": "dr-17",
    "events": [
        {
            "id": "dr-17",
            "type": "demand_response",
            "start": "2026-12-01T09:00:00+09:00",
            "duration_s": 1800.0,
            "target": {"delta_kw": -1.0},
        }
    ],
}


@dataclass
class Board:
    """What the service knows: filled once each cycle, read by every request."""

    site: SiteRun
    dry_run: bool
    status: Status = field(default_factory=Status)
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=HISTORY))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: MetricsPage = field(default_factory=lambda: MetricsPage(NAMED))
    closing: bool = False

    def listen(self, status: Status) -> None:
        """Take over the status of a cycle."""
        self.status = status
        if (point := measured(status)) is not None:
            self.history.append(point)
        self.metrics.show(numbers(status))
        self.wake()

    def wake(self) -> None:
        """Let every stream go on."""
        self.changed.set()
        self.changed = asyncio.Event()


def board_of(request: Request) -> Board:
    """Return the board of the service."""
    board: Board = request.app.state.board
    return board


Known = Annotated[Board, Depends(board_of)]


def measured(status: Status) -> dict[str, Any] | None:
    """Return what was measured in a cycle, and what was wanted then."""
    if status.sensed is None:
        return None
    state, step = status.sensed.state, status.step
    return {
        "at": state.at.isoformat(),
        "grid_kw": None if state.grid is None else state.grid.kw,
        "battery_kw": status.sensed.battery_kw,
        "soc": state.soc,
        "frequency_hz": status.sensed.frequency_hz,
        "planned_kw": None if step is None else step.grid_kw,
        "asked_kw": None
        if step is None or step.target_kw == 0.0
        else step.baseline_kw + step.target_kw,
    }


def told(board: Board) -> dict[str, Any]:
    """Return the status as JSON takes it."""
    status, plan, event = board.status, board.status.plan, board.status.event
    return {
        "site": board.site.site.name,
        "currency": board.site.site.currency,
        "dry_run": board.dry_run,
        "cycles": status.cycles,
        "now": measured(status),
        "event": None if event is None else event.model_dump(mode="json"),
        "plan": None
        if plan is None
        else {
            "status": plan.status,
            "gap": plan.gap,
            "cost": plan.objective,
            "handoff_s": plan.handoff.complete_s,
            "checked": plan.check.ok,
            "why": list(status.why),
            "explanation": list(plan.explanation),
        },
        "restoring": None if status.restoring is None else str(status.restoring),
        "degradations": [str(one) for one in status.degradations],
        "leased": dict(status.leased),
        "armed": status.armed,
        "audit": None if status.audit is None else {"fault": status.audit.fault},
    }


def ahead(board: Board) -> list[dict[str, Any]]:
    """Return the steps of the plan that is followed."""
    plan = board.status.plan
    if plan is None:
        return []
    return [
        {
            "at": (plan.start + timedelta(seconds=step.t_s)).isoformat(),
            "duration_s": step.duration_s,
            "grid_kw": step.grid_kw,
            "baseline_kw": step.baseline_kw,
            "target_kw": step.target_kw,
            "battery_kw": step.battery_kw,
            "soc": step.soc,
            "mechanisms": step.mechanisms,
            "shortfall_kw": step.shortfall_kw,
        }
        for step in plan.steps
    ]


class Door:
    """Who may come in: whoever shows the token, and pages that did.

    Args:
        token: what clients show; of ``LEAST_TOKEN`` characters at least.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._sessions: set[str] = set()

    def is_token(self, shown: str) -> bool:
        """Tell whether this is the token, in the same time whatever it is."""
        return hmac.compare_digest(shown.encode(), self._token)

    def open_session(self) -> str:
        """Return the name of a new session."""
        name = secrets.token_urlsafe(32)
        self._sessions.add(name)
        return name

    def has_session(self, request: Request) -> bool:
        """Tell whether a request is of a page that showed the token."""
        return request.cookies.get(SESSION) in self._sessions


def door_of(request: Request) -> Door:
    """Return the door of the service."""
    door: Door = request.app.state.door
    return door


TheDoor = Annotated[Door, Depends(door_of)]


def allowed(request: Request, door: TheDoor) -> None:
    """Let a request in, or refuse it."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    # a session belongs to the page: no other site can make a browser send JSON with it
    by_page = door.has_session(request) and (
        request.method == "GET"
        or request.headers.get("content-type", "").startswith("application/json")
    )
    if not by_page and not (scheme.lower() == "bearer" and door.is_token(shown.strip())):
        raise HTTPException(401, "show the token: Authorization: Bearer ...")


guarded = APIRouter(
    dependencies=[Depends(allowed)], responses={401: {"description": "No token, or another one"}}
)
unguarded = APIRouter(include_in_schema=False)


@unguarded.post("/login")
async def login(door: TheDoor, shown: Annotated[dict[str, str], Body()]) -> Response:
    """Trade the token for a session."""
    if not door.is_token(shown.get("token", "")):
        raise HTTPException(401, "That is not the token.")
    answer = Response(status_code=204)
    answer.set_cookie(SESSION, door.open_session(), httponly=True, samesite="strict")
    return answer


@unguarded.get("/session")
async def session(request: Request, door: TheDoor) -> dict[str, bool]:
    """Tell a page whether its session holds."""
    return {"open": door.has_session(request)}


@unguarded.get("/")
@unguarded.get("/page.js")
@unguarded.get("/page.css")
async def page(request: Request) -> FileResponse:
    """Send the page, its script or its style."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return FileResponse(HERE / FILES[request.url.path], headers=headers)


@guarded.post("/events", status_code=202, summary="Ask for something, or change it")
async def post(
    known: Known,
    message: Annotated[
        dict[str, Any],
        Body(
            description="A `grid_event`, or `{kind: event, event: {...}}`: `docs/events.md`.",
            examples=[RELEASE],
        ),
    ],
) -> dict[str, Any]:
    """Put a message into the inbox."""
    inbox = known.site.inbox
    call = read_message(message, source=SENDER, received=datetime.now(UTC), known=inbox.calls)
    taken = inbox.take(call)
    return {"outcome": taken.outcome, "uid": taken.message.uid, "said": str(taken)}


@guarded.delete("/events/{uid}", status_code=202, summary="Take something back")
async def delete(known: Known, uid: str) -> dict[str, Any]:
    """Cancel what was posted here."""
    inbox = known.site.inbox
    call = inbox.calls.get((SENDER, uid))
    if call is None:
        raise HTTPException(404, f"no event {uid!r} was posted here")
    changes = {"cancelled": True, "revision": call.revision + 1, "received": datetime.now(UTC)}
    taken = inbox.take(call.model_copy(update=changes))
    return {"outcome": taken.outcome, "uid": uid, "said": str(taken)}


@guarded.get("/events", summary="What is asked, by start")
async def events(known: Known) -> list[dict[str, Any]]:
    """Return the events that stand, each with the call it came by."""
    standing = known.site.inbox.events()
    return [
        {
            **event.model_dump(mode="json"),
            "call": None if (key := known.site.inbox.sender_of(event.id)) is None else key[1],
        }
        for event in standing
    ]


@guarded.get("/status", summary="What the site does now")
async def status(known: Known) -> dict[str, Any]:
    """Return the status."""
    return told(known)


@guarded.get("/plan", summary="The plan that is followed, whole")
async def plan(known: Known) -> Response:
    """Return the plan as ebplan writes it."""
    if known.status.plan is None:
        raise HTTPException(404, "there is no plan yet")
    return Response(known.status.plan.to_json(), media_type="application/json")


@guarded.get("/timeline", summary="Half an hour measured, and the plan ahead")
async def timeline(known: Known) -> dict[str, Any]:
    """Return what was measured and what is planned."""
    return {"measured": list(known.history), "plan": ahead(known)}


@guarded.get("/stream", summary="The same, after each cycle (server-sent events)")
async def stream(known: Known) -> StreamingResponse:
    """Send the status and the steps ahead after each cycle."""

    async def lines() -> AsyncIterator[str]:
        while not known.closing:
            waiting = known.changed
            yield f"data: {json.dumps({**told(known), 'steps': ahead(known)})}\n\n"
            await waiting.wait()

    return StreamingResponse(lines(), media_type="text/event-stream")


@guarded.get("/metrics", summary="Numbers for Prometheus")
async def metrics(known: Known) -> Response:
    """Return the numbers of the last cycle."""
    return Response(known.metrics.text(), media_type="text/plain; version=0.0.4")


async def wrong(request: Request, error: Exception) -> JSONResponse:
    """Answer wrong input with field, value, allowed and remedy."""
    assert isinstance(error, InputError)
    about = {"title": "wrong input", "status": 422, "detail": str(error), "field": error.field}
    more = {"allowed": error.allowed, "remedy": error.remedy, "value": repr(error.value)}
    return JSONResponse({**about, **more}, 422, media_type="application/problem+json")


@asynccontextmanager
async def running_site(app: FastAPI, run_file: Path, *, dry_run: bool) -> AsyncIterator[None]:
    """Run the site beside the service, and hand it back when the service ends."""

    def listen(status: Status) -> None:
        app.state.board.listen(status)

    async with open_run(run_file, dry_run=dry_run, listen=listen) as site:
        app.state.board = Board(site, dry_run)
        running = asyncio.create_task(site.run(), name="site")
        # a site that runs no longer ends its service: loudly, so that somebody restarts it
        running.add_done_callback(
            lambda task: None if task.cancelled() else signal.raise_signal(signal.SIGTERM)
        )
        try:
            yield
        finally:
            ended = running.done()
            running.cancel()
            results = await asyncio.gather(running, return_exceptions=True)
            for line in site.not_handed_back:
                print(f"not handed back: {line}", flush=True)
            if ended and isinstance(results[0], Exception):
                raise results[0]


def make_app(run_file: Path, token: str, *, hosts: list[str], dry_run: bool = False) -> FastAPI:
    """Return the service of a run file.

    Args:
        run_file: as `ebplan run` takes it.
        token: what clients show; of ``LEAST_TOKEN`` characters at least.
        hosts: names by which it is called; a request that names another host is refused.
        dry_run: tell no device anything.
    """
    app = FastAPI(
        title="ebplan control service",
        description="Events in; plan, status, timeline and metrics of one site out. "
        "Every path but the page itself wants `Authorization: Bearer TOKEN`.",
        version="1",
        lifespan=partial(running_site, run_file=run_file, dry_run=dry_run),
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.door = Door(token)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.add_exception_handler(InputError, wrong)
    app.include_router(guarded)
    app.include_router(unguarded)
    return app


class Server(uvicorn.Server):
    """Ends streams first when it is told to stop: they would otherwise hold it up."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Take a signal."""
        app: Any = self.config.app
        if (board := getattr(app.state, "board", None)) is not None:
            board.closing = True
            board.wake()
        super().handle_exit(sig, frame)


def read_token(file: str | None, env: str | None) -> str:
    """Return the token from a file of its owner's alone, or from the environment.

    Raises:
        InputError: it is missing, readable by others, or too short.
    """
    token = SecretSource(file=file, env=env).read(at="token").reveal().strip()
    if len(token) < LEAST_TOKEN:
        raise InputError(
            field="token",
            value=f"{len(token)} characters",
            allowed=f">= {LEAST_TOKEN} characters",
            remedy="make one: openssl rand -base64 32",
        )
    return token


def main() -> None:
    """Serve until told to end, then hand the site back."""
    parser = argparse.ArgumentParser(description="A control service on ebplan.")
    parser.add_argument("run_file", type=Path, help="as `ebplan run` takes it")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--token-file", help="file with the token (mode 0600)")
    where.add_argument("--token-env", help="environment variable with the token")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--name", action="append", default=[], help="host name it is called by")
    parser.add_argument("--dry-run", action="store_true", help="tell no device anything")
    given = parser.parse_args()
    try:
        token = read_token(given.token_file, given.token_env)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    hosts = [given.host, "localhost", *given.name]
    app = make_app(given.run_file, token, hosts=hosts, dry_run=given.dry_run)
    config = uvicorn.Config(
        app, given.host, given.port, log_level="warning", timeout_graceful_shutdown=3
    )
    Server(config).run()


if __name__ == "__main__":
    main()

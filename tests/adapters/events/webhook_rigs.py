"""A webhook that runs, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from ebplan.adapters.events.inbox import Inbox
from ebplan.adapters.events.webhook import WebhookSource, WebhookSpec
from ebplan.adapters.events.webhook.proof import HEADER, content, signature
from ebplan.adapters.secrets import Secret

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
TOKEN = {"Authorization": "Bearer a-token-of-ours"}
KEY = Secret("a-key-of-ours")


def event(delta_kw: float = -1.0, **changes: object) -> dict[str, object]:
    return {
        "id": "dr-17",
        "type": "demand_response",
        "start": (NOW + timedelta(minutes=5)).isoformat(),
        "duration_s": 600.0,
        "target": {"delta_kw": delta_kw},
    } | changes


def call(**changes: object) -> dict[str, object]:
    return {"kind": "grid_event", "uid": "dr-17", "events": [event()]} | changes


def secrets_in(folder: Path) -> dict[str, object]:
    for name, value in (("token", "a-token-of-ours"), ("key", KEY.reveal())):
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    return {
        "token": {"file": str(folder / "token")},
        "signing_key": {"file": str(folder / "key")},
    }


def signed(
    body: bytes = b"", ago_s: int = 0, *, method: str = "POST", path: str = "/events"
) -> dict[str, str]:
    at_s = int(NOW.timestamp()) - ago_s
    return {HEADER: signature(KEY, content(method, path, body), at_s)}


class Line:
    """A running source and a client of it."""

    def __init__(self, source: WebhookSource, inbox: Inbox, http: aiohttp.ClientSession) -> None:
        self.source, self.inbox, self.http = source, inbox, http
        self.url = f"http://127.0.0.1:{source.port}"

    async def send(
        self,
        method: str = "POST",
        path: str = "/events",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        raw = body if isinstance(body, bytes) else None
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | (TOKEN if headers is None else headers)
        async with self.http.request(method, self.url + path, data=raw, headers=given) as reply:
            return reply.status, await reply.json()


@contextlib.asynccontextmanager
async def running(
    declared: dict[str, object],
    inbox: Inbox | None = None,
    now: Callable[[], datetime] = lambda: NOW,
) -> AsyncIterator[Line]:
    spec = WebhookSpec.parse({"port": 0, "name": "utility"} | declared)
    inbox = inbox or Inbox(now=lambda: NOW)
    source = WebhookSource(spec, now=now)
    task = asyncio.create_task(source.run(inbox))
    try:
        await asyncio.wait_for(source.listening(), 5.0)
        async with aiohttp.ClientSession() as http:
            yield Line(source, inbox, http)
    finally:
        task.cancel()
        await asyncio.wait([task])

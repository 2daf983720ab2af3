"""The site's users: a process that sends the requests of the traffic through the router.

    python -m ebplan.twin.live.traffic FOLDER URL

Each second it writes ``traffic.json``: answers by class and status, how late it sends, how long
answers took. A request without an answer counts as ``failed``.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from ebplan.document import read_json, write_atomically
from ebplan.site import Site
from ebplan.twin.live.spec import TwinSpec
from ebplan.twin.requests.arrivals import Arrivals
from ebplan.twin.requests.beginning import parts_of
from ebplan.twin.requests.engine import Request
from ebplan.twin.requests.settings import EngineModel
from ebplan.twin.wire.vllm_double import MODEL

ANSWER_S = 120.0
"""A user gives up after this; assumed."""
RECENT = 200


@dataclass
class Told:
    """What became of the requests so far."""

    sent: Counter[str] = field(default_factory=Counter)
    """By class."""
    statuses: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By class and status."""
    took_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    late_s: float = 0.0
    """How late a request was sent at most."""

    def document(self) -> str:
        """Return it as JSON."""
        took = sorted(self.took_s)
        return json.dumps(
            {
                "sent": dict(self.sent),
                "answers": {key: dict(each) for key, each in self.statuses.items()},
                "median_s": took[len(took) // 2] if took else None,
                "late_s": self.late_s,
            }
        )


class Users:
    """Sends the requests of every class.

    Args:
        arrivals: when they come, by class.
        urls: where each class sends.
    """

    def __init__(self, arrivals: dict[str, Arrivals], urls: dict[str, str]) -> None:
        self._arrivals, self._urls, self.told = arrivals, urls, Told()

    async def run(self) -> None:
        """Send until cancelled."""
        began_s = time.monotonic()
        connector = aiohttp.TCPConnector(limit=0)
        limit = aiohttp.ClientTimeout(total=ANSWER_S)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=limit) as http,
            asyncio.TaskGroup() as group,
        ):
            while True:
                key = min(self._arrivals, key=lambda k: self._arrivals[k].next_s)
                now_s, at_s = time.monotonic() - began_s, self._arrivals[key].next_s
                if at_s > now_s:
                    # a user who waits for an answer may be next sooner than this
                    await asyncio.sleep(min(at_s - now_s, 0.05))
                    continue
                self.told.late_s = max(self.told.late_s, now_s - at_s)
                request = self._arrivals[key].take()
                group.create_task(self._ask(http, key, request, began_s))

    async def _ask(
        self, http: aiohttp.ClientSession, key: str, request: Request, began_s: float
    ) -> None:
        body = {
            "model": MODEL,
            "prompt": "word" * max(round(request.prompt_tokens), 1),
            "max_tokens": max(round(request.output_tokens), 1),
        }
        self.told.sent[key] += 1
        asked_s = time.monotonic()
        try:
            async with http.post(self._urls[key], json=body) as reply:
                answer = await reply.json() if reply.status == 200 else None
            status = str(reply.status)
            if answer is not None and answer["choices"][0]["finish_reason"] == "abort":
                status = "cut"
        except (TimeoutError, aiohttp.ClientError):
            status = "failed"
        now_s = time.monotonic()
        self.told.statuses[key][status] += 1
        if status == "200":
            self.told.took_s.append(now_s - asked_s)
        self._arrivals[key].done(now_s - began_s, served=status == "200")


def users_of(site: Site, spec: TwinSpec, url: str) -> Users:
    """Return the users of a site whose router is at an address."""
    state, arrivals = spec.state(site), dict[str, Arrivals]()
    for i, (name, pool) in enumerate(site.pools.items()):
        parts = parts_of(
            name,
            i,
            pool,
            state.pools[name],
            engine=spec.engines.get(name, EngineModel()),
            traffic=spec.traffic.get(name, {}),
            seed=spec.seed,
        )
        arrivals |= parts.arrivals
    urls = {key: f"{url}/{key}/v1/completions" for key in arrivals}
    return Users(arrivals, urls)


async def _main(folder: Path, url: str) -> None:
    site = Site.parse(read_json(folder / "site.json"))
    users = users_of(site, TwinSpec.parse(read_json(folder / "twin.json")), url)
    running = asyncio.create_task(users.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    while not running.done():
        write_atomically(folder / "traffic.json", users.told.document())
        await asyncio.wait([running], timeout=1.0)
    if not running.cancelled():
        running.result()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2]))

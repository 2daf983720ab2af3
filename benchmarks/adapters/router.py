"""How long HAProxy takes, from a weight or a limit to its confirmed read-back."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack

from benchmarks.adapters.timing import Timed, timed
from ebplan.adapters.router.config import RouterConfig
from ebplan.adapters.router.haproxy import HaproxyRouter
from ebplan.twin.wire.haproxy_bench import HaproxyBench, free_port

CALLS = 1500
GOAL_MS = 10.0


async def measure() -> list[Timed]:
    """Measure weights, limits and renewals of a router with four servers."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        names = [f"llama-{i}" for i in range(4)]
        config = RouterConfig.parse(
            {
                "name": "bench",
                "listen": f"127.0.0.1:{free_port()}",
                "socket": f"{folder}/admin.sock",
                "directory": folder,
                "pools": {"p": {"servers": {n: {"address": "127.0.0.1:9"} for n in names}}},
                "classes": {"batch": {"pool": "p", "protected": False}},
                "default_class": "batch",
            }
        )
        await stack.enter_async_context(HaproxyBench(config))
        router = HaproxyRouter(config)

        async def renew(i: int) -> object:
            return await router.renew(30.0)

        async def weight(i: int) -> object:
            return await router.route({names[i % 4]: (i % 11) / 10.0})

        async def limit(i: int) -> object:
            return await router.admit({"batch": float(i % 50)})

        await router.renew(30.0)
        return [
            await timed("HAProxy: weight to read-back", weight, CALLS, goal_ms=GOAL_MS),
            await timed("HAProxy: admission to read-back", limit, CALLS, goal_ms=GOAL_MS),
            await timed("HAProxy: renewal", renew, CALLS // 3),
        ]

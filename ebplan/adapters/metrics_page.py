"""Numbers for Prometheus, at ``/metrics`` of an address of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import nan

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

PREFIX = "ebplan_"
SILENT_S = 60.0
"""A connection on which nothing is asked for so long is closed."""


class MetricsPage:
    """The numbers as they are.

    Args:
        named: what there is: help by name, and the labels that it has.
    """

    def __init__(self, named: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
        self._registry = CollectorRegistry()
        self._gauges = {
            name: Gauge(PREFIX + name, text, labels, registry=self._registry)
            for name, (text, labels) in named.items()
        }
        for name, (_, labels) in named.items():
            if not labels:
                self._gauges[name].set(nan)

    def show(self, values: Mapping[str, Mapping[tuple[str, ...], float | None]]) -> None:
        """Show these numbers, and of each name no others.

        Args:
            values: by name and labels; None, which is not known, is left out, or NaN where the name
                has no labels.
        """
        for name, by_label in values.items():
            gauge = self._gauges[name]
            gauge.clear()
            for labels, value in by_label.items():
                if not labels:  # one without labels cannot be absent: NaN is what is not known
                    gauge.set(nan if value is None else value)
                elif value is not None:
                    gauge.labels(*labels).set(value)

    def text(self) -> bytes:
        """Return the page."""
        return generate_latest(self._registry)

    @asynccontextmanager
    async def served(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve the page; yield the port.

        Raises:
            OSError: the address cannot be listened on.
        """

        async def page(_: web.Request) -> web.Response:
            return web.Response(
                body=self.text(), headers={"Content-Type": "text/plain; version=0.0.4"}
            )

        app = web.Application()
        app.router.add_get("/metrics", page)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=SILENT_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            await site.start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

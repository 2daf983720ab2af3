"""The page for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

from math import isnan

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from ebplan.adapters.metrics_page import MetricsPage


async def test_numbers_come_and_go() -> None:
    page = MetricsPage({"grid_kw": ("Draw", ()), "pool_kw": ("Of a pool", ("pool",))})
    async with page.served("127.0.0.1", 0) as port, aiohttp.ClientSession() as http:

        async def read() -> dict[tuple[str, ...], float]:
            async with http.get(f"http://127.0.0.1:{port}/metrics") as reply:
                text = await reply.text()
            return {
                (sample.name, *sample.labels.values()): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }

        assert isnan((await read())["ebplan_grid_kw",])
        page.show({"grid_kw": {(): 3.5}, "pool_kw": {("a",): 1.0, ("b",): 2.0}})
        assert (await read())["ebplan_pool_kw", "b"] == 2.0
        page.show({"grid_kw": {(): None}, "pool_kw": {("a",): 1.5}})
        assert isnan((await read())["ebplan_grid_kw",])
        assert {k: v for k, v in (await read()).items() if k[0] == "ebplan_pool_kw"} == {
            ("ebplan_pool_kw", "a"): 1.5
        }

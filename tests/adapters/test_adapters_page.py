"""The Python of docs/adapters.md is Python that runs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from ebplan.adapters.site_devices import SiteDevices

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_ways_to_match_an_answer_are_all_of_them() -> None:
    for kind in ("Applied", "AppliedInPart", "Refused", "Unreachable", "Unverified"):
        assert f"case {kind}():" in BLOCKS[0]


def test_the_example_of_a_controller_can_be_called() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[1], names)
    assert inspect.iscoroutinefunction(names["carry_out"])


async def test_the_devices_in_memory_are_a_site() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS[2], names)
    devices = names["devices"]
    assert isinstance(devices, SiteDevices)
    assert set(devices.actuators()) == {"battery", "router", "node node1", "engine llama-0"}
    assert (await devices.meter.read()).grid_kw == 4.95

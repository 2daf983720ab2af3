"""One call in real time with one thing that goes wrong: the site is safe and handed back."""

from __future__ import annotations

from shutil import which

import pytest

from benchmarks.on_the_wire import cases
from ebplan import load_case

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        which("haproxy") is None or which("gcc") is None,
        reason="haproxy or gcc is not installed: make test-adapters",
    ),
]


async def test_a_silent_converter_in_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("SETTLE_S", 12.0), ("FAULT_EVENT_S", 32.0), ("AFTER_S", 5.0)):
        monkeypatch.setattr(cases, name, seconds)
    monkeypatch.setattr(cases, "BROKEN_TO_S", 16.0)
    done = await cases.run_case("under_frequency", "converter silent")
    battery = load_case(cases.EXAMPLES / "under_frequency.json").site.battery
    assert battery is not None
    assert done.handed_back
    assert done.audit == "ok"
    assert done.refused_protected == 0
    assert done.lost == 0
    assert done.verdict.samples > 100
    assert done.verdict.most_battery_kw <= battery.discharge_limit_kw
    assert battery.soc_min <= done.verdict.lowest_soc <= done.verdict.highest_soc <= battery.soc_max

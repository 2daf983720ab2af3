"""A controller is killed while a whole site follows its plan: safe within the lease, every time.

Two hundred of them are in docs/reliability.md (`make reliability`).
"""

from __future__ import annotations

import pytest

from benchmarks.kills.__main__ import kill_many
from benchmarks.kills.page import section
from ebplan.twin.wire.haproxy_bench import can_run
from ebplan.twin.wire.nvml_stub import can_build

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (can_run() and can_build()), reason="haproxy or gcc is missing: make test-adapters"
    ),
]
FIVE = range(5)


async def test_the_site_is_safe_within_the_lease() -> None:
    killed = [one async for one in kill_many(FIVE, lease_s=2.0, seed=7, latest_s=3.0)]
    assert {one.how for one in killed} == {"SIGKILL", "SIGSTOP", "SIGTERM"}
    assert [one for one in killed if not one.is_safe] == []
    assert any("caps" in one.before for one in killed)
    # no joint rebound: the watts come back spread over the ramp
    assert max(one.at_once for one in killed) < 0.4
    assert f"That was so {len(killed)} of {len(killed)} times" in section(killed)

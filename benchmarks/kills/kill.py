"""One controller started, killed at a random moment, and the site watched until it is safe."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kills.bench import RESTORE_S, SiteBench
from benchmarks.kills.plan import LASTS_S
from ebplan.adapters.answers import Unreachable

HOW = (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM)
REST_KW = 0.05
"""A battery below this rests."""
SLACK_S = 0.4
"""Looking takes time, engines take 50 ms to wake, and this machine has other work."""
GIVE_UP_S = 15.0


@dataclass(frozen=True)
class Killed:
    """What the site did after its controller was gone. Times from the signal on."""

    how: str
    at_s: float
    """Second of the plan at which the signal was sent."""
    lease_s: float
    before: str
    """What was in use at that moment."""
    battery_s: float | None
    """Until the battery rested."""
    router_s: float | None
    """Until the router went by its static weights."""
    caps_begun_s: float | None
    """Until the first limit was restored; 0 where none was set."""
    caps_done_s: float | None
    """Until every limit was as before."""
    awake_s: float | None
    """Until every engine was awake."""
    at_once: float
    """Largest share of the watts that came back within a tenth of the ramp; 0 where none did."""

    @property
    def is_safe(self) -> bool:
        """Whether everything was in its safe state, or on its way there, within the lease."""
        within_s = self.lease_s + SLACK_S
        by = (self.battery_s, self.router_s, self.caps_begun_s, self.awake_s)
        if any(seconds is None or seconds > within_s for seconds in by):
            return False
        done_s = self.caps_done_s
        return done_s is not None and done_s <= within_s + RESTORE_S + SLACK_S


async def kill_once(
    bench: SiteBench,
    plan_file: Path,
    how: signal.Signals,
    seed: int,
    latest_s: float = LASTS_S - 1.5,
) -> Killed:
    """Start a controller, kill it by ``latest_s`` of its plan, watch.

    Raises:
        RuntimeError: the controller does not come to hold its leases.
    """
    at_s = random.Random(seed).uniform(0.2, latest_s)
    log = bench.folder / "controller.log"
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.kills.controller"),
            *(str(bench.devices_file), str(plan_file)),
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
        )
    assert process.stdout is not None
    try:
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 20.0) or b"{}")
        if len(ready.get("leased", ())) != 3 + len(bench.engines):
            raise RuntimeError(f"leases are missing: {ready}; {log.read_text()[-500:]}")
        await asyncio.sleep(at_s)
        before, limits_w = _in_use(bench), bench.gpus.limits_w()
        process.send_signal(how)
        killed_s = time.monotonic()
        seen = await _watch(bench, killed_s)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return Killed(how.name, at_s, bench.lease_s, before, *seen, _at_once(bench, killed_s, limits_w))


async def _watch(
    bench: SiteBench, killed_s: float
) -> tuple[float | None, float | None, float | None, float | None, float | None]:
    """Return when battery, router, first and last cap, and engines were safe, and stayed so."""
    since: dict[str, float | None] = dict.fromkeys(("battery", "router", "caps", "awake"))
    begun_s = 0.0 if bench.capped == 0 else None
    while time.monotonic() - killed_s < GIVE_UP_S:
        reading = await bench.router.read()
        now_s = time.monotonic() - killed_s
        safe = {
            "battery": abs(bench.battery_kw) <= REST_KW,
            "router": not isinstance(reading, Unreachable) and not reading.leased,
            "caps": bench.capped == 0,
            "awake": bench.asleep == 0,
        }
        for name, is_safe in safe.items():
            earlier = since[name]
            since[name] = None if not is_safe else now_s if earlier is None else earlier
        if begun_s is None:
            told = [e.at_s - killed_s for e in bench.gpus.history() if e.at_s > killed_s]
            begun_s = min(told, default=None)
        # once more after the lease: nothing may wake up again behind our back
        done = all(value is not None for value in since.values())
        if done and now_s > bench.lease_s + 2.0 * SLACK_S:
            break
        await asyncio.sleep(0.01)
    return since["battery"], since["router"], begun_s, since["caps"], since["awake"]


def _in_use(bench: SiteBench) -> str:
    parts = [f"battery {bench.battery_kw:+.1f} kW"] if abs(bench.battery_kw) > REST_KW else []
    parts += [f"{bench.capped} caps"] if bench.capped else []
    parts += [f"{bench.asleep} asleep"] if bench.asleep else []
    return ", ".join(parts) or "leases only"


def _at_once(bench: SiteBench, killed_s: float, limits_w: list[float]) -> float:
    """Return the largest share of the restored watts within a tenth of the ramp."""
    raised: list[tuple[float, float]] = []
    held = dict(enumerate(limits_w))
    for event in bench.gpus.history():
        if event.at_s > killed_s:
            raised.append((event.at_s, event.limit_w - held[event.gpu]))
            held[event.gpu] = event.limit_w
    total_w = sum(w for _, w in raised)
    if total_w <= 0.0:
        return 0.0
    window_s = RESTORE_S / 10.0
    return max(sum(w for s, w in raised if t <= s < t + window_s) for t, _ in raised) / total_w

"""How long a set-point takes, from the call to its confirmed read-back, over Modbus on loopback.

    python -m benchmarks.adapters_modbus

The battery is a process of its own, as a device is. Printed are p50, p99 and the worst in
milliseconds, and what the goal of 5 ms for p99 says to it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import numpy as np

from ebplan.adapters.answers import Answer, Applied
from ebplan.adapters.modbus.connection import ModbusAddress
from ebplan.adapters.modbus.drive import BatterySettings
from ebplan.adapters.modbus.legacy_battery import LegacyBattery
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery

CALLS = 1500
WARM_UP = 50
GOAL_MS = 5.0


async def main(calls: int = CALLS) -> None:
    """Run every case and print a table."""
    print("| case | p50 ms | p99 ms | worst ms | goal |")
    print("|---|---|---|---|---|")
    for models in ("der", "legacy"):
        plant = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ebplan.twin.wire.sunspec_plant",
            "--models",
            models,
            stdout=asyncio.subprocess.PIPE,
        )
        assert plant.stdout is not None
        port = int(json.loads(await plant.stdout.readline())["port"])
        try:
            await _cases(models, port, calls)
        finally:
            plant.terminate()
            await plant.wait()


async def _cases(models: str, port: int, calls: int) -> None:
    for two, polled in ((True, False), (True, True), (False, True)):
        address = ModbusAddress(host="127.0.0.1", port=port, two_connections=two)
        make = SunSpecBattery if models == "der" else LegacyBattery
        battery = make(address, BatterySettings(guardian="a bench"))
        load = asyncio.create_task(_poll(battery)) if polled else None
        name = f"{models}: set-point and read-back, {'two connections' if two else 'one'}"
        name += ", polled at 20 Hz" if polled else ""
        await _measure(name, lambda i, b=battery: b.hold(10.0 + i % 50), calls)  # type: ignore[misc]
        if two and not polled:
            await _measure(f"{models}: renewal", lambda i, b=battery: b.renew(5.0), calls // 3)  # type: ignore[misc]
            confirmed = lambda i, b=battery: b.hold(10.0 + i % 50, confirm_s=1.0)  # noqa: E731
            await _measure(
                f"{models}: set-point to measured power (50 ms ramp for the rating)",
                confirmed,
                calls // 10,
                goal_ms=None,
            )
        if load is not None:
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await battery.close()


async def _poll(battery: SunSpecBattery | LegacyBattery) -> None:
    while True:
        await battery.read()
        await asyncio.sleep(0.05)


async def _measure(
    name: str,
    call: Callable[[int], Awaitable[Answer]],
    calls: int,
    goal_ms: float | None = GOAL_MS,
) -> None:
    took_ms = []
    for i in range(WARM_UP + calls):
        began = time.perf_counter()
        answer = await call(i)
        if i >= WARM_UP:
            took_ms.append(1e3 * (time.perf_counter() - began))
        assert isinstance(answer, Applied), answer
    p50, p99, worst = np.percentile(took_ms, [50, 99, 100])
    goal = "-" if goal_ms is None else ("met" if p99 <= goal_ms else "MISSED")
    print(f"| {name} | {p50:.2f} | {p99:.2f} | {worst:.2f} | {goal} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

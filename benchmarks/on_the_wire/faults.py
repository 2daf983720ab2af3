"""What goes wrong at a site, and is mended again."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack

from benchmarks.on_the_wire.operated import Operated
from ebplan.twin.live.converter import PlantConverter
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy

NO_PERMISSION = 4
FAULTS = (
    "converter silent",
    "meter silent",
    "meter frozen",
    "slow answers",
    "router stands still",
    "an engine dead",
    "capd killed",
    "GPU limits refused",
    "controller killed",
)
PAIRS = (
    ("converter silent", "meter silent"),
    ("converter silent", "an engine dead"),
    ("meter silent", "controller killed"),
    ("meter frozen", "router stands still"),
    ("meter frozen", "capd killed"),
    ("slow answers", "an engine dead"),
    ("slow answers", "GPU limits refused"),
    ("controller killed", "router stands still"),
    ("capd killed", "an engine dead"),
    ("GPU limits refused", "controller killed"),
)
"""What goes wrong together: each fault twice or more. Mended the other way round: a controller that
was killed starts once there is a router to ask."""


class FrozenMeter(PlantConverter):
    """A converter beside a meter that goes on showing what it showed."""

    def __init__(self, other: PlantConverter) -> None:
        super().__init__(other.plant)
        self.take_over(other)
        self._shown_kw = other.meter_kw

    @property
    def meter_kw(self) -> float | None:
        """What the meter showed when it froze."""
        return self._shown_kw


async def break_it(site: Operated, fault: str, stack: AsyncExitStack) -> None:
    """Let a fault begin; the stack mends it."""
    bench = site.bench
    node = bench.gpus["node1"].stub
    match fault:
        case "converter silent":
            await _line(site.battery_line, Fault.HALF_OPEN, stack)
        case "meter silent":
            await _line(site.meter_line, Fault.HALF_OPEN, stack)
        case "slow answers":
            for line in (site.battery_line, site.meter_line):
                await _line(line, Fault.SLOW, stack)
        case "meter frozen":
            assert bench.converter is not None
            behind = bench.converter.behind
            assert isinstance(behind, PlantConverter)
            frozen = bench.converter.behind = FrozenMeter(behind)

            def thaw() -> None:
                behind.take_over(frozen)
                assert bench.converter is not None
                bench.converter.behind = behind

            stack.callback(thaw)
        case "router stands still":
            assert bench.router is not None
            assert bench.router.process is not None
            bench.router.process.send_signal(signal.SIGSTOP)
            stack.callback(bench.router.process.send_signal, signal.SIGCONT)
        case "an engine dead":
            pool = bench.plant.named_pools["llama70b"]
            pool.kill(1)
            stack.callback(pool.revive, 1)
        case "capd killed":
            bench.daemons["node1"].kill()
            await bench.daemons["node1"].wait()
            stack.push_async_callback(site.restart_capd)
        case "GPU limits refused":
            for call in ("set_limit", "set_limit_v2"):
                for slot in range(node.count):
                    node.fail(slot, call, NO_PERMISSION)
                    stack.callback(node.fail, slot, call, 0)
        case "controller killed":
            await site.kill_controller()
            stack.push_async_callback(site.start_controller)
        case _:
            raise ValueError(fault)


async def _line(line: FaultProxy, fault: Fault, stack: AsyncExitStack) -> None:
    await line.turn(fault)
    stack.push_async_callback(line.turn, Fault.NONE)

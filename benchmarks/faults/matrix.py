"""One adapter through every fault of its line: each answer timed, nothing hangs, nothing grows."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from ebplan.adapters.answers import Answer, Applied, AppliedInPart, Refused, Unreachable, Unverified
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy

FAULTS: tuple[tuple[str, Fault | None], ...] = (
    ("refuse", Fault.REFUSE),
    ("silent", Fault.SILENT),
    ("slow", Fault.SLOW),
    ("garbage", Fault.GARBAGE),
    ("partial", Fault.PARTIAL),
    ("half-open", Fault.HALF_OPEN),
    ("flapping", Fault.FLAPPING),
    ("wrong identity", Fault.EDIT),
    ("restart", None),
)
"""Words of the table, and what the line does; a restart is away for ``DOWN_S``."""
DOWN_S = 0.3
BAD_S = 1.5
"""How long a line stays bad, with the adapter asked all the while."""
BACK_S = 15.0
"""How long an adapter may take to answer again once the line is good."""


@dataclass
class Subject:
    """An adapter behind a line that can be turned bad."""

    name: str
    line: FaultProxy
    command: Callable[[], Awaitable[Answer]]
    """Tells it something."""
    read: Callable[[], Awaitable[object]]
    """Reads it; a failed reading is ``Unreachable``."""
    safe: Callable[[], Awaitable[str]]
    """Returns what is unsafe at the device itself; empty where nothing is."""
    close: Callable[[], Awaitable[None]]


Start = Callable[[], AbstractAsyncContextManager[Subject]]


@dataclass
class Outcome:
    """What one adapter did under one fault."""

    adapter: str
    fault: str
    answered: str
    """Kind of the first answer to a command, in words."""
    first_s: float
    """How long it took."""
    longest_s: float
    """Longest of all answers."""
    reading: str
    """Kind of the first reading."""
    connections: int
    """Connections opened while the line was bad."""
    files_grown: int
    """Open files after, less before."""
    tasks_grown: int
    """Tasks after, less before."""
    back_s: float | None
    """From when the line was good until a command was applied; None where that did not come."""
    unsafe: str = field(default="")
    """What was unsafe at the device, if anything."""

    @property
    def is_good(self) -> bool:
        """Whether nothing hung, grew or was unsafe, and it came back."""
        grown = self.files_grown > 2 or self.tasks_grown > 2
        return not grown and not self.unsafe and self.back_s is not None


async def run_one(start: Start, fault_name: str, fault: Fault | None) -> Outcome:
    """Turn the line of a fresh adapter bad, ask it all the while, turn it good again."""
    async with start() as subject:
        first = await subject.command()
        if not isinstance(first, Applied | AppliedInPart):
            raise RuntimeError(f"{subject.name} does not work to begin with: {first}")
        await subject.read()  # whatever it opens, it has opened by now
        files, tasks = _open_files(), len(asyncio.all_tasks())
        accepted = subject.line.accepted
        if fault is None:
            restarting = asyncio.create_task(subject.line.restart(DOWN_S))
            await asyncio.sleep(0.02)
        else:
            await subject.line.turn(fault)
            if fault is Fault.EDIT:
                # nobody puts another device in place of an open connection
                subject.line.drop()
                await asyncio.sleep(0.05)
        answers, times = [], []
        until_s = time.monotonic() + BAD_S
        reading: object = None
        while time.monotonic() < until_s:
            began_s = time.monotonic()
            answers.append(await subject.command())
            times.append(time.monotonic() - began_s)
            seen = await subject.read()
            reading = seen if reading is None else reading
            await asyncio.sleep(0.02)
        connections = subject.line.accepted - accepted
        unsafe = await subject.safe()
        if fault is None:
            await restarting
        else:
            await subject.line.turn(Fault.NONE)
        back_s = await _back(subject)
        outcome = Outcome(
            adapter=subject.name,
            fault=fault_name,
            answered=_words(answers[0]),
            first_s=times[0],
            longest_s=max(times),
            reading="unreachable" if isinstance(reading, Unreachable) else "read",
            connections=connections,
            files_grown=_open_files() - files,
            tasks_grown=len(asyncio.all_tasks()) - tasks,
            back_s=back_s,
            unsafe=unsafe,
        )
        await subject.close()
    return outcome


async def _back(subject: Subject) -> float | None:
    began_s = time.monotonic()
    while time.monotonic() - began_s < BACK_S:
        if isinstance(await subject.command(), Applied | AppliedInPart):
            return time.monotonic() - began_s
        await asyncio.sleep(0.05)
    return None


def _words(answer: Answer) -> str:
    match answer:
        case Applied():
            return "applied"
        case AppliedInPart():
            return "applied in part"
        case Refused():
            return "refused"
        case Unreachable():
            return "unreachable, maybe executed" if answer.executed else "unreachable, not sent"
        case Unverified():
            return "unverified"


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))

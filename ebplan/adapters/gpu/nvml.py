"""The GPUs of this node by NVIDIA's management library, with the rights that caps and clocks need.

**Safe state.** The library knows no lease and the driver keeps a cap over the death of whoever set
it: this adapter refuses to be leased. ``ebplan-capd`` owns it and counts the lease; a controller
talks to the daemon.

Each GPU is known by its identity (UUID), not by its index, which moves when another one is lost.
Writes go through ``nvmlDeviceSetPowerManagementLimit``: its ``_v2`` in Python swallows the error
code. Each is read back twice: what is requested, and what is enforced, because a management
controller may hold a lower limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
    clamped,
    is_number,
)
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.confirm import wait_for_power
from ebplan.adapters.gpu.baseline import load_baseline, save_baseline
from ebplan.adapters.gpu.nvml_calls import (
    MILLI,
    Gpu,
    find,
    lock_sm_clock,
    power_w,
    reading_of,
    set_limit,
)
from ebplan.adapters.gpu.nvml_errors import START_AGAIN, answer_of, words
from ebplan.adapters.lane import Lane, LaneError
from ebplan.adapters.roles import GpuReading

T = TypeVar("T")

SAME_W = 0.5
"""A limit that is read back within this is the one that was set: drivers round to a watt."""
OVERSHOOT = 1.03
"""A GPU under a cap draws up to this multiple of it: the regulation swings around the limit."""


class _NvmlFault(Exception):
    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(words(code))


class NvmlGpus:
    """Implements ``GpuPower`` for the GPUs of this node.

    Args:
        name: what the node is called.
        allowed_w: the least and most a GPU is ever capped to, besides what it takes itself.
        baseline_file: where the limits that were requested before are kept.
        uuids: identities of the GPUs by index; those found, in their order, if absent. One that is
            missing is not replaced by another.
        timeout_s: how long a call may take.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        *,
        allowed_w: tuple[float, float] | None = None,
        baseline_file: Path | None = None,
        uuids: tuple[str, ...] | None = None,
        timeout_s: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self._allowed_w, self._baseline_file, self._uuids = allowed_w, baseline_file, uuids
        self._timeout_s = timeout_s
        self._clock = clock or MonotonicClock()
        self._starter = Lane(f"{name} start")
        self._opening = asyncio.Lock()
        self._gpus: dict[int, Gpu] | None = None
        self._baseline_w: dict[str, float] = {}

    # --- readings --------------------------------------------------------------------------------

    async def read(self) -> Mapping[int, GpuReading] | Unreachable:
        """Return every GPU that answers; one that does not, or has no limits, is left out."""
        try:
            gpus = await self._open()
        except (_NvmlFault, LaneError) as error:
            return Unreachable(
                device=self.name, command="read", asked=None, why=str(error), executed=False
            )

        async def one(gpu: Gpu) -> GpuReading | None:
            try:
                return await self._call(gpu, lambda: reading_of(gpu))
            except (_NvmlFault, LaneError):
                return None

        readings = await asyncio.gather(*(one(gpu) for gpu in gpus.values()))
        return {i: r for i, r in zip(gpus, readings, strict=True) if r is not None}

    async def baseline_w(self) -> dict[int, float]:
        """Return the limits that were requested before ebplan came, in W by index.

        Raises:
            OSError: the GPUs cannot be asked.
        """
        try:
            gpus = await self._open()
        except (_NvmlFault, LaneError) as error:
            raise OSError(str(error)) from None
        return {i: self._baseline_w[gpu.uuid] for i, gpu in gpus.items()}

    # --- commands --------------------------------------------------------------------------------

    async def cap(
        self, w: Mapping[int, float | None], *, confirm_s: float = 0.0
    ) -> Mapping[int, Answer]:
        """Limit the power of GPUs in W, all at once; None restores what was requested before."""

        async def one(gpu: Gpu, who: str, asked: float | None) -> Answer:
            return await self._cap(gpu, who, asked, confirm_s)

        return await self._each("cap", w, one)

    async def lock_clock(self, mhz: Mapping[int, float | None]) -> Mapping[int, Answer]:
        """Lock the SM clock of GPUs in MHz, all at once; None unlocks it."""
        return await self._each("lock_clock", mhz, self._lock)

    async def renew(self, ttl_s: float) -> Answer:
        """Refuse: nothing here ends by itself."""
        return Refused(
            device=self.name,
            command="renew",
            asked=ttl_s,
            why="the GPU library keeps no lease; let ebplan-capd own the GPUs",
        )

    async def release(self) -> Answer:
        """Restore every limit and unlock every clock now."""
        try:
            gpus = await self._open()
        except (_NvmlFault, LaneError) as error:
            return Unreachable(
                device=self.name, command="release", asked=None, why=str(error), executed=False
            )
        caps = await self.cap(dict.fromkeys(gpus))
        # the library does not tell a lock that a run before left behind: every GPU is unlocked
        lockable = [i for i, gpu in gpus.items() if gpu.clock_range is not None]
        clocks = await self.lock_clock(dict.fromkeys(lockable))
        answers = [*caps.values(), *(a for a in clocks.values() if not isinstance(a, Refused))]
        failed = [answer for answer in answers if not isinstance(answer, Applied | AppliedInPart)]
        lost = self._baseline_w.keys() - {gpu.uuid for gpu in gpus.values()}
        if failed:
            why = "; ".join(str(answer) for answer in failed)
            return Unverified(device=self.name, command="release", asked=None, why=why)
        if self._baseline_file is not None and not lost:
            self._baseline_file.unlink(missing_ok=True)
        return Applied(device=self.name, command="release", asked=None, confirmed=None)

    async def close(self) -> None:
        """Let go of the library; what was set stays set."""
        for gpu in (self._gpus or {}).values():
            gpu.lane.close()
        self._starter.close()
        self._gpus = None

    # --- one GPU ---------------------------------------------------------------------------------

    async def _cap(self, gpu: Gpu, who: str, asked: float | None, confirm_s: float) -> Answer:
        value_w = self._baseline_w[gpu.uuid] if asked is None else asked
        allowed = gpu.cap_range if asked is None else self._allowed(gpu)
        if not is_number(value_w):
            return Refused(
                device=who, command="cap", asked=asked, why="no number", feasible=allowed
            )
        value_w, cut = clamped(value_w, allowed)
        requested_w, enforced_w = await self._call(gpu, lambda: set_limit(gpu.handle, value_w))
        if abs(requested_w - value_w) > SAME_W:
            return Unverified(
                device=who,
                command="cap",
                asked=asked,
                why=f"told {value_w:g} W, {requested_w:g} W are requested",
                read_back=requested_w,
            )
        measured_kw = None
        if confirm_s > 0.0:
            limit_kw = enforced_w * OVERSHOOT / MILLI
            settled = await wait_for_power(
                lambda: self._power_kw(gpu),
                lambda kw: kw <= limit_kw,
                within_s=confirm_s,
                clock=self._clock,
            )
            measured_kw = settled.measured_kw
            if not settled.reached:
                seen = "nothing" if measured_kw is None else f"{measured_kw * MILLI:.0f} W"
                return Unverified(
                    device=who,
                    command="cap",
                    asked=asked,
                    why=f"limit {enforced_w:g} W, {seen} measured after {confirm_s:g} s",
                    read_back=requested_w,
                    measured_kw=measured_kw,
                )
        if cut or enforced_w < value_w - SAME_W:
            why = "outside its range" if cut else "somebody else holds a lower limit"
            return AppliedInPart(
                device=who,
                command="cap",
                asked=asked,
                confirmed=min(enforced_w, value_w),
                feasible=allowed,
                why=why,
                measured_kw=measured_kw,
            )
        return Applied(
            device=who, command="cap", asked=asked, confirmed=value_w, measured_kw=measured_kw
        )

    async def _lock(self, gpu: Gpu, who: str, asked: float | None) -> Answer:
        feasible = gpu.clock_range
        if feasible is None:
            return Refused(
                device=who, command="lock_clock", asked=asked, why="the GPU has no clocks to lock"
            )
        if asked is None:
            await self._call(gpu, lambda: lock_sm_clock(gpu.handle, None))
            gpu.locked_mhz = None
            return Applied(device=who, command="lock_clock", asked=None, confirmed=None)
        if not is_number(asked):
            return Refused(
                device=who, command="lock_clock", asked=asked, why="no number", feasible=feasible
            )
        value_mhz, cut = clamped(asked, feasible)
        seen_mhz = await self._call(gpu, lambda: lock_sm_clock(gpu.handle, round(value_mhz)))
        gpu.locked_mhz = value_mhz
        if seen_mhz > value_mhz + 1.0:
            return Unverified(
                device=who,
                command="lock_clock",
                asked=asked,
                why=f"locked to {value_mhz:g} MHz, runs at {seen_mhz:g} MHz",
                read_back=seen_mhz,
            )
        if cut:
            return AppliedInPart(
                device=who,
                command="lock_clock",
                asked=asked,
                confirmed=value_mhz,
                feasible=feasible,
                why="outside its range",
            )
        return Applied(device=who, command="lock_clock", asked=asked, confirmed=value_mhz)

    async def _power_kw(self, gpu: Gpu) -> float | None:
        try:
            return (await self._call(gpu, lambda: power_w(gpu.handle)))[0] / MILLI
        except (_NvmlFault, LaneError):
            return None

    def _allowed(self, gpu: Gpu) -> Range:
        if self._allowed_w is None:
            return gpu.cap_range
        low, high = (gpu.cap_range.clamp(w) for w in self._allowed_w)
        return Range(low, high, "W")

    # --- all of them -----------------------------------------------------------------------------

    async def _each(
        self,
        command: str,
        asked: Mapping[int, float | None],
        do: Callable[[Gpu, str, float | None], Awaitable[Answer]],
    ) -> dict[int, Answer]:
        """Tell every GPU at once; one that hangs delays none."""
        try:
            gpus = await self._open()
        except (_NvmlFault, LaneError) as error:
            why = str(error)
            return {
                i: Unreachable(
                    device=f"{self.name}/gpu{i}",
                    command=command,
                    asked=value,
                    why=why,
                    executed=False,
                )
                for i, value in asked.items()
            }

        async def one(index: int, value: float | None) -> Answer:
            who = f"{self.name}/gpu{index}"
            gpu = gpus.get(index)
            if gpu is None:
                known = ", ".join(str(i) for i in gpus) or "none"
                return Refused(
                    device=who, command=command, asked=value, why=f"no such GPU; there are {known}"
                )
            try:
                return await do(gpu, who, value)
            except LaneError as error:
                return Unreachable(
                    device=who,
                    command=command,
                    asked=value,
                    why=str(error),
                    executed=error.executed,
                )
            except _NvmlFault as fault:
                feasible = self._allowed(gpu) if command == "cap" else gpu.clock_range
                return answer_of(
                    fault.code, device=who, command=command, asked=value, feasible=feasible
                )

        answers = await asyncio.gather(*(one(i, value) for i, value in asked.items()))
        return dict(zip(asked, answers, strict=True))

    async def _open(self) -> dict[int, Gpu]:
        """Return the GPUs, found once; looked for again after the library was lost."""
        async with self._opening:  # however many ask first, the library is started once
            if self._gpus is None:
                try:
                    found = await self._starter.run(lambda: find(self._uuids), self._timeout_s)
                except Exception as error:
                    raise _fault(error) from None
                self._remember({uuid: limit_w for uuid, *_, limit_w in found.values()})
                self._gpus = {
                    i: Gpu(uuid, handle, Lane(f"{self.name} gpu{i}"), cap_range, clock_range)
                    for i, (uuid, handle, cap_range, clock_range, _) in found.items()
                }
            return self._gpus

    def _remember(self, found_w: dict[str, float]) -> None:
        """Keep the limits that were requested before the first of us came."""
        left_w = load_baseline(self._baseline_file) if self._baseline_file else None
        self._baseline_w = {**found_w, **self._baseline_w, **(left_w or {})}
        if self._baseline_file is not None:
            save_baseline(self._baseline_file, self._baseline_w)

    async def _call(self, gpu: Gpu, call: Callable[[], T]) -> T:
        try:
            return await gpu.lane.run(call, self._timeout_s)
        except Exception as error:
            fault = _fault(error)
            if isinstance(fault, _NvmlFault) and fault.code in START_AGAIN:
                await self.close()
            raise fault from None


def _fault(error: Exception) -> Exception:
    """Return the library's error as ours; anything else as it is."""
    import pynvml

    return _NvmlFault(int(vars(error)["value"])) if isinstance(error, pynvml.NVMLError) else error

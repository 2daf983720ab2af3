"""What the daemon of caps and clocks does with the GPUs: obey, show, and bring them back gently."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from ebplan.adapters.answers import Answer, Applied, AppliedInPart, Refused, is_number
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.daemon.ramp import ramp
from ebplan.adapters.roles import GpuPower, GpuReading
from ebplan.adapters.wire_json import to_json

DEVICE_TTL_S: Final = 30.0
"""Term asked of a device that counts a lease itself: longer than any way back."""
SAME_W: Final = 0.5
"""Limits within this are the same."""
AGAIN_S: Final = (0.5, 30.0)
"""First and longest wait until GPUs that did not come back are tried again."""
MOST_GPUS: Final = 64
"""No request names more."""

_log = logging.getLogger(__name__)


class OwnedGpus(GpuPower, Protocol):
    """GPUs whose limits before ebplan came are known."""

    async def baseline_w(self) -> dict[int, float]:
        """Return these limits in W.

        Raises:
            OSError: they cannot be asked.
        """
        ...


class GpuKeeper:
    """Keeps the GPUs of a node behind a lease; a ``Keeper``.

    Args:
        gpus: the GPUs; nobody else commands them.
        restore_s: over how long they come back.
        left_behind: whether a run before died: every GPU may have a limit or a clock of it.
        clock: what time it is.
    """

    def __init__(
        self,
        gpus: OwnedGpus,
        restore_s: float,
        *,
        left_behind: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.restore_s = restore_s
        """Over how long they come back; 0 for at once."""
        self._gpus, self._clock = gpus, clock or MonotonicClock()
        self._one_call = asyncio.Lock()
        self._touched: set[int] = set()
        self._suspect = left_behind
        self._holding: asyncio.Task[None] | None = None

    async def read(self) -> dict[str, Any]:
        """Return the readings of the GPUs."""
        async with self._one_call:
            return {"readings": to_json(await self._gpus.read())}

    async def set(self, request: dict[str, Any]) -> dict[str, Any]:
        """Cap GPUs or lock their clocks: ``{"cap": {"0": 450.0, "1": null}}``."""
        command: Callable[[Mapping[int, float | None]], Awaitable[Mapping[int, Answer]]]
        match request:
            case {"cap": dict() as asked} if len(request) == 1:
                command, values = self._gpus.cap, _by_gpu(asked)
            case {"lock_clock": dict() as asked} if len(request) == 1:
                command, values = self._gpus.lock_clock, _by_gpu(asked)
            case _:
                raise ValueError("cap or lock_clock, one of them, by the number of the GPU")
        await self._hold()
        new = {gpu for gpu, value in values.items() if value is not None} - self._touched
        self._touched |= new
        async with self._one_call:
            answers = await command(values)
        self._touched -= {gpu for gpu in new if isinstance(answers.get(gpu), Refused)}
        return {"answers": to_json(answers)}

    async def safe(self, why: str) -> None:
        """Bring every GPU back; those that do not come are tried again and again."""
        await self._hold()
        again_s, within_s = AGAIN_S[0], self.restore_s
        while (missing := await self._missing()) is None or missing:
            if missing is not None:
                self._touched |= set(missing)
                await self._ramp(missing, within_s)
                self._suspect = False
                if not self._touched:
                    break
            those = ", ".join(map(str, sorted(self._touched))) or "none of them can be asked"
            _log.error("not back: GPUs %s", those)
            await self._clock.sleep(again_s)
            again_s = min(2.0 * again_s, AGAIN_S[1])
        await self._let_go()

    async def at_once(self) -> bool:
        """Restore everything now, without a ramp; return whether the GPUs say so."""
        async with self._one_call:
            readings = await self._gpus.read()
            known = set(readings) if isinstance(readings, Mapping) else set()
            answers = await self._back(sorted(known | self._touched))
        return bool(known) and all(_done(answer) for answer in answers.values())

    async def close(self, *, restored: bool) -> None:
        """Let go of the GPUs.

        Args:
            restored: whether they are as they were: then nothing needs to be remembered.
        """
        await self._let_go()
        if restored:
            await self._gpus.release()
        await self._gpus.close()

    async def _missing(self) -> dict[int, float | None] | None:
        """Return GPUs that are not as they were, with their limits where these are known.

        None where no GPU can be asked, and some may not be as they were.
        """
        async with self._one_call:
            readings = await self._gpus.read()
            try:
                before_w = await self._gpus.baseline_w()
            except OSError as error:
                _log.error("limits before: %s", error)
                before_w = {}
        if not isinstance(readings, Mapping) and self._suspect:
            return None
        # a run before may have left any of them behind, also one that cannot be read now
        found: dict[int, float | None] = dict.fromkeys(before_w) if self._suspect else {}
        if isinstance(readings, Mapping):
            found |= {
                gpu: reading.cap_w
                for gpu, reading in readings.items()
                if self._suspect or gpu in self._touched or _changed(reading, before_w.get(gpu))
            }
        return {**dict.fromkeys(sorted(self._touched - set(found))), **found}

    async def _ramp(self, missing: Mapping[int, float | None], within_s: float) -> None:
        async with self._one_call:
            try:
                before_w = await self._gpus.baseline_w()
            except OSError:
                before_w = {}
        from_w = {
            gpu: before_w.get(gpu, 0.0) if cap_w is None else cap_w
            for gpu, cap_w in missing.items()
        }
        started_s = self._clock.now_s()
        for step in ramp(from_w, before_w, within_s):
            left_s = started_s + step.at_s - self._clock.now_s()
            if left_s > 0.0:
                await self._clock.sleep(left_s)
            async with self._one_call:
                if step.cap_w is not None:
                    await self._gpus.cap({step.gpu: step.cap_w})
                    continue
                answers = await self._back([step.gpu])
            if all(_done(answer) for answer in answers.values()):
                self._touched.discard(step.gpu)
            else:
                _log.error("%s", "; ".join(map(str, answers.values())))

    async def _back(self, gpus: list[int]) -> dict[str, Answer]:
        """Restore limits and unlock clocks now."""
        caps = await self._gpus.cap(dict.fromkeys(gpus))
        clocks = await self._gpus.lock_clock(dict.fromkeys(gpus))
        locks = {gpu: a for gpu, a in clocks.items() if not isinstance(a, Refused)}
        return {f"{what} {gpu}": answer for what, by_gpu in (("cap", caps), ("clock", locks))
                for gpu, answer in by_gpu.items()}  # fmt: skip

    async def _hold(self) -> None:
        """Keep the lease of a device that counts one itself: the way back needs it as well."""
        if self._holding is None or self._holding.done():
            async with self._one_call:
                answer = await self._gpus.renew(DEVICE_TTL_S)
            if not isinstance(answer, Refused):
                self._holding = asyncio.create_task(self._keep_holding(), name="device lease")

    async def _keep_holding(self) -> None:
        while True:
            await self._clock.sleep(DEVICE_TTL_S / 3.0)
            async with self._one_call:
                await self._gpus.renew(DEVICE_TTL_S)

    async def _let_go(self) -> None:
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.cancel()
            await asyncio.wait({holding})


def _by_gpu(asked: dict[str, Any]) -> dict[int, float | None]:
    """Return set-points by GPU.

    Raises:
        ValueError: one is no number, or there are too many.
    """
    found: dict[int, float | None] = {}
    if len(asked) > MOST_GPUS:
        raise ValueError(f"at most {MOST_GPUS} GPUs")
    for gpu, value in asked.items():
        if not (gpu.isascii() and gpu.isdigit() and len(gpu) < 6):
            raise ValueError("GPUs are known by their number")
        if value is None:
            found[int(gpu)] = None
        elif isinstance(value, bool) or not isinstance(value, int | float) or not is_number(value):
            raise ValueError("a set-point is a number, or null")
        else:
            found[int(gpu)] = float(value)
    return found


def _changed(reading: GpuReading, before_w: float | None) -> bool:
    limited = before_w is not None and abs(reading.cap_w - before_w) > SAME_W
    return limited or reading.clock_mhz is not None


def _done(answer: Answer) -> bool:
    return isinstance(answer, Applied | AppliedInPart)

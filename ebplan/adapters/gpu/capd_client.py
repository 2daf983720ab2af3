"""GPUs behind ``ebplan-capd``: what a controller without rights commands.

**Safe state.** The daemon counts the lease. It is bound to this connection: when the connection
ends, when the lease is not renewed, or when the daemon is told to end, every GPU comes back to the
limit that was requested before, step by step. After the daemon was restarted nothing of it is left:
commands are refused until the lease is renewed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from ebplan.adapters.daemon.capd_name import NAME
from ebplan.adapters.daemon.client import DaemonClient, NoAnswer
from ebplan.adapters.daemon.lease_client import released, renewed
from ebplan.adapters.daemon.wire import MAYBE_EXECUTED, Denied
from ebplan.adapters.gpu.nvml import OVERSHOOT
from ebplan.adapters.gpu.nvml_calls import MILLI
from ebplan.adapters.roles import GpuReading
from ebplan.adapters.wire_json import from_json


class CapdGpus:
    """Implements ``GpuPower`` for the GPUs that a daemon owns.

    Args:
        name: what the node is called in answers.
        socket: the daemon's.
        allowed_w: the least and most a GPU is ever capped to, besides what the daemon takes.
        timeout_s: how long the daemon may take to answer.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        socket: Path,
        *,
        allowed_w: tuple[float, float] | None = None,
        timeout_s: float = 0.5,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.allowed = None if allowed_w is None else Range(*allowed_w, "W")
        """Caps outside are cut to it."""
        self._clock = clock or MonotonicClock()
        self.daemon = DaemonClient(socket, NAME, timeout_s=timeout_s, clock=self._clock)
        """The connection."""

    async def renew(self, ttl_s: float) -> Answer:
        """Extend the lease, taking it where nobody holds it."""
        return await renewed(self.daemon, self.name, ttl_s, self._clock)

    async def release(self) -> Answer:
        """Give the lease back and wait until the GPUs have come back."""
        return await released(self.daemon, self.name, self._clock)

    async def close(self) -> None:
        """Hang up; the daemon notices at once."""
        await self.daemon.close()

    async def read(self) -> Mapping[int, GpuReading] | Unreachable:
        """Return every GPU that answers."""
        why: str
        try:
            body = await self.daemon.ask("read")
            readings = from_json(body["state"]["readings"])
        except (NoAnswer, Denied) as error:
            why = error.why
        except (KeyError, TypeError, ValueError) as error:
            why = f"no readings in the answer: {type(error).__name__}"
        else:
            if isinstance(readings, dict) and all(
                isinstance(gpu, int) and isinstance(reading, GpuReading)
                for gpu, reading in readings.items()
            ):
                return {gpu: self._narrowed(reading) for gpu, reading in readings.items()}
            why = readings.why if isinstance(readings, Unreachable) else "no readings in the answer"
        return Unreachable(device=self.name, command="read", asked=None, why=why, executed=False)

    async def cap(
        self, w: Mapping[int, float | None], *, confirm_s: float = 0.0
    ) -> Mapping[int, Answer]:
        """Limit the power of GPUs in W, all at once; None restores what was requested before.

        Args:
            w: limit by GPU; others are left alone.
            confirm_s: wait so long for the measured power to come below the limits.
        """
        told: dict[int, float | None] = dict(w)
        if self.allowed is not None:
            for gpu, value in w.items():
                if value is not None and is_number(value):
                    told[gpu] = clamped(value, self.allowed)[0]
        answers = await self._set("cap", told)
        found = {gpu: self._as_asked(answers[gpu], w[gpu]) for gpu in w}
        return await self._confirmed(found, confirm_s) if confirm_s > 0.0 else found

    async def lock_clock(self, mhz: Mapping[int, float | None]) -> Mapping[int, Answer]:
        """Lock the SM clock of GPUs in MHz, all at once; None unlocks it."""
        return await self._set("lock_clock", mhz)

    async def _set(self, command: str, asked: Mapping[int, float | None]) -> dict[int, Answer]:
        started_s = self._clock.now_s()
        tellable = {g: v for g, v in asked.items() if v is None or is_number(v)}
        found: dict[int, Answer] = {}
        try:
            if tellable:
                what = {command: {str(gpu): value for gpu, value in tellable.items()}}
                body = await self.daemon.ask("set", what=what)
                found = self._answers(body, tellable)
        except NoAnswer as error:
            found = {
                gpu: Unreachable(
                    **self._who(gpu, command, value), why=error.why, executed=error.executed
                )
                for gpu, value in tellable.items()
            }
        except Denied as denied:
            for gpu, value in tellable.items():
                who = self._who(gpu, command, value)
                found[gpu] = (
                    Unverified(**who, why=denied.why)
                    if denied.denial in MAYBE_EXECUTED
                    else Refused(**who, why=denied.why)
                )
        except (KeyError, TypeError, ValueError) as error:
            why = f"the answer cannot be read: {type(error).__name__}"
            found = {
                gpu: Unreachable(**self._who(gpu, command, value), why=why, executed=True)
                for gpu, value in tellable.items()
            }
        for gpu in set(asked) - set(tellable):
            found[gpu] = Refused(
                **self._who(gpu, command, asked[gpu]), why="no number", feasible=self.allowed
            )
        took_s = self._clock.now_s() - started_s
        return {gpu: replace(found[gpu], took_s=took_s) for gpu in asked}

    def _answers(
        self, body: dict[str, Any], asked: Mapping[int, float | None]
    ) -> dict[int, Answer]:
        """Return the answers of the daemon's GPUs under the names known here.

        Raises:
            ValueError: it answered about something else.
            KeyError, TypeError: the same.
        """
        answers = from_json(body["result"]["answers"])
        for gpu in asked:
            if not isinstance(answers[gpu], Answer):
                raise ValueError(f"GPU {gpu}: no answer")
        return {gpu: replace(answers[gpu], device=f"{self.name}/gpu{gpu}") for gpu in asked}

    async def _confirmed(self, answers: dict[int, Answer], within_s: float) -> dict[int, Answer]:
        """Wait until the measured power of every GPU that was capped is below its limit."""
        limits_kw = {
            gpu: float(answer.confirmed) * OVERSHOOT / MILLI
            for gpu, answer in answers.items()
            if isinstance(answer, Applied | AppliedInPart) and answer.confirmed is not None
        }
        seen: dict[int, float] = {}

        async def excess_kw() -> float | None:
            readings = await self.read()
            if isinstance(readings, Unreachable) or not limits_kw.keys() <= readings.keys():
                return None
            seen.update({gpu: readings[gpu].power_kw for gpu in limits_kw})
            return max((seen[gpu] - kw for gpu, kw in limits_kw.items()), default=0.0)

        await wait_for_power(
            excess_kw, lambda excess: excess <= 0.0, within_s=within_s, clock=self._clock
        )
        found = dict(answers)
        for gpu, limit_kw in limits_kw.items():
            answer, measured_kw = answers[gpu], seen.get(gpu)
            assert isinstance(answer, Applied | AppliedInPart)
            if measured_kw is not None and measured_kw <= limit_kw:
                found[gpu] = replace(answer, measured_kw=measured_kw)
                continue
            power = "nothing" if measured_kw is None else f"{measured_kw * MILLI:.0f} W"
            found[gpu] = Unverified(
                device=answer.device,
                command=answer.command,
                asked=answer.asked,
                why=f"limit {answer.confirmed:g} W, {power} measured after {within_s:g} s",
                read_back=answer.confirmed,
                measured_kw=measured_kw,
            )
        return found

    def _narrowed(self, reading: GpuReading) -> GpuReading:
        if self.allowed is None:
            return reading
        low, high = (reading.cap_range.clamp(w) for w in (self.allowed.low, self.allowed.high))
        return replace(reading, cap_range=Range(low, high, "W"))

    def _as_asked(self, answer: Answer, asked: float | None) -> Answer:
        """Return the answer to what was asked, where less than that was told."""
        if answer.asked == asked or asked is None or not is_number(asked):
            return answer
        if isinstance(answer, Applied):
            return AppliedInPart(
                **{key: getattr(answer, key) for key in ("device", "command", "took_s")},
                asked=asked,
                confirmed=answer.confirmed,
                feasible=self.allowed,
                why="outside its range",
            )
        return replace(answer, asked=asked)

    def _who(self, gpu: int, command: str, asked: float | None) -> dict[str, Any]:
        return {"device": f"{self.name}/gpu{gpu}", "command": command, "asked": asked}

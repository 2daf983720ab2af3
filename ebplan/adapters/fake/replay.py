"""Record what a device says, and play it back: the same calls get the same answers.

    log = Recording()
    battery = record(real_battery, log, clock)        # works as the real one does
    ...
    log.write(Path("battery.jsonl"))
    again = replay(FakeBattery, Recording.load(Path("battery.jsonl")))

A replayed device has no life of its own. ``read`` gives the readings in their order, then the last
one for ever; a command gets the answer that it got, in its order, and one that was never given is
refused with what comes next in the recording.
"""

from __future__ import annotations

import inspect
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from ebplan.adapters.answers import Refused
from ebplan.adapters.clock import Clock
from ebplan.adapters.wire_json import from_json, to_json
from ebplan.document import read_text, write_atomically
from ebplan.errors import InputError

T = TypeVar("T")


@dataclass
class Recording:
    """Calls of one device in their order, as JSON Lines on disk."""

    device: str = "device"
    calls: list[dict[str, Any]] = field(default_factory=list)

    def write(self, path: Path) -> None:
        """Write it.

        Raises:
            InputError: the path cannot be written.
        """
        lines = [{"device": self.device}, *self.calls]
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read one.

        Raises:
            InputError: the file cannot be read or is no recording.
        """
        try:
            first, *calls = [json.loads(line) for line in read_text(path).splitlines()]
            recording = cls(first["device"], calls)
            for call in calls:
                from_json(call["result"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                field="(file)",
                value=str(error),
                allowed="a recording: JSON Lines, the device first",
                remedy="record it again",
                file=str(path),
            ) from None
        return recording


def record(device: T, log: Recording, clock: Clock) -> T:
    """Return a device that does what ``device`` does and writes it down in ``log``."""
    log.device = str(getattr(device, "name", type(device).__name__))
    return cast("T", _Recorder(device, log, clock))


def replay(role: type[T], log: Recording) -> T:
    """Return a device with the methods of ``role`` that plays a recording."""
    return cast("T", _Replayed(role, log))


class _Recorder:
    def __init__(self, device: object, log: Recording, clock: Clock) -> None:
        self._device, self._log, self._clock = device, log, clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._device, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            at_s = self._clock.now_s()
            result = await method(*args, **kwargs)
            self._log.calls.append(
                {
                    "at_s": at_s,
                    "call": name,
                    "args": to_json([*args, kwargs]),
                    "result": to_json(result),
                }
            )
            return result

        return call


class _Replayed:
    def __init__(self, role: type, log: Recording) -> None:
        self._role, self.name = role, log.device
        self._reads = deque(c["result"] for c in log.calls if c["call"] == "read")
        self._commands = deque(c for c in log.calls if c["call"] != "read")

    def __getattr__(self, name: str) -> Any:
        if not inspect.iscoroutinefunction(getattr(self._role, name, None)):
            raise AttributeError(f"{self._role.__name__} has no command {name!r}")

        async def call(*args: Any, **kwargs: Any) -> Any:
            return self._read() if name == "read" else self._answer(name, [*args, kwargs])

        return call

    def _read(self) -> Any:
        if not self._reads:
            raise ValueError(f"the recording of {self.name} has no reading")
        result = self._reads[0] if len(self._reads) == 1 else self._reads.popleft()
        return from_json(result)

    def _answer(self, name: str, args: list[Any]) -> Any:
        asked = to_json(args)
        if name == "close" and not (self._commands and self._commands[0]["call"] == "close"):
            return None
        if self._commands and (name, asked) == (
            self._commands[0]["call"],
            self._commands[0]["args"],
        ):
            return from_json(self._commands.popleft()["result"])
        following = self._commands[0]["call"] if self._commands else "nothing"
        refused = Refused(
            device=self.name,
            command=name,
            asked=json.dumps(asked),
            why=f"not in the recording, which goes on with {following}",
        )
        parts = args[0] if args and isinstance(args[0], Mapping) else None
        return refused if parts is None else dict.fromkeys(parts, refused)

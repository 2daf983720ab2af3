"""A stand-in for NVIDIA's management library: GPUs that live in a file several processes map.

    library = build(folder)
    gpus = StubGpus.create(folder / "gpus", count=8)
    gpus.install(library)                     # pynvml of this process sees them
    Popen(..., env={**os.environ, **gpus.environment(library)})   # and so does another process

The library does the physics (``nvml_stub.c``); this side reads and sets the file. Powers are W
here and mW in the file, as in NVML; times are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import mmap
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_stub.c")
LIBRARY_NAME = "libnvidia-ml.so.1"
STATE_VARIABLE = "EBPLAN_NVML_STUB"
"""Environment variable with the file of the GPUs."""
RIGHTS_VARIABLE = "EBPLAN_NVML_STUB_RIGHTS"
"""Set to ``none`` where a process may not change GPUs."""

GPUS, CALLS, SEGMENTS, EVENTS, MAGIC = 16, 24, 64, 1024, 0x6E766D6C
CALL = {
    name: number
    for number, name in enumerate(
        (
            *("uuid", "name", "power", "energy", "limit", "constraints", "default", "enforced"),
            *("set_limit", "set_limit_v2", "fields", "lock_clocks", "reset_clocks", "clock"),
            *("max_clock", "supported_clocks", "reasons", "handle", "instant", "requested"),
        )
    )
}
"""What can be told to fail or to take time, by name; ``instant`` is the field within ``fields``."""
FOREVER = -1


class _Segment(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double) for name in ("from_s", "power_w", "target_w", "energy_j")]


class _Gpu(ctypes.Structure):
    _fields_ = [
        ("uuid", ctypes.c_char * 48),
        ("name", ctypes.c_char * 64),
        *((name, ctypes.c_double) for name in ("demand_w", "idle_w", "tau_s")),
        *(
            (name, ctypes.c_uint32)
            for name in (
                *("requested_mw", "others_mw", "default_mw", "least_mw", "most_mw"),
                *("clock_low", "clock_high", "clock_least", "clock_most"),
                *("ignores_writes", "segments", "privileged", "driven"),
            )
        ),
        ("segment", _Segment * SEGMENTS),
        ("delay_s", ctypes.c_double * CALLS),
        ("error", ctypes.c_int32 * CALLS),
        ("error_left", ctypes.c_int32 * CALLS),
        ("calls", ctypes.c_uint32 * CALLS),
    ]


class _Event(ctypes.Structure):
    _fields_ = [("at_s", ctypes.c_double), ("gpu", ctypes.c_uint32), ("mw", ctypes.c_uint32)]


class _State(ctypes.Structure):
    _fields_ = [
        ("magic", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
        ("order", ctypes.c_uint32 * GPUS),
        ("init_error", ctypes.c_int32),
        ("events", ctypes.c_uint32),
        ("event", _Event * EVENTS),
        ("gpu", _Gpu * GPUS),
    ]


@dataclass(frozen=True)
class LimitSet:
    """A limit that somebody set."""

    at_s: float
    """When, on CLOCK_MONOTONIC."""
    gpu: int
    """Slot of the GPU."""
    limit_w: float
    """The limit."""


def can_build() -> bool:
    """Whether this machine has the compiler that ``build`` needs."""
    return shutil.which("gcc") is not None


def build(folder: Path) -> Path:
    """Compile the library into a folder, unless it already lies there; return its path.

    Raises:
        RuntimeError: there is no gcc, or it fails.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    home = folder / f"nvml-{digest}"
    library = home / LIBRARY_NAME
    if library.exists():
        return library
    if not can_build():
        raise RuntimeError("gcc is not installed: the stand-in for the GPU library needs it")
    home.mkdir(parents=True, exist_ok=True)
    half = home / f"{LIBRARY_NAME}.{os.getpid()}"
    told = ["gcc", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY_NAME}"]
    done = subprocess.run(
        [*told, "-o", str(half), str(SOURCE), "-lm", "-lpthread"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"gcc failed: {done.stderr.strip()}")
    os.replace(half, library)
    return library


class StubGpus:
    """The GPUs of one node, seen from outside; ``create`` makes them, ``open`` finds them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(_State))
        self._state: _State | None = _State.from_buffer(self._map)

    @classmethod
    def create(
        cls,
        path: Path,
        count: int = 8,
        *,
        demand_w: float = 650.0,
        limit_w: float = 700.0,
        tau_s: float = 0.05,
    ) -> StubGpus:
        """Make GPUs of 200 to 700 W that draw ``demand_w`` where nothing limits them."""
        if not 1 <= count <= GPUS:
            raise ValueError(f"1 to {GPUS} GPUs, got {count}")
        path.write_bytes(bytes(ctypes.sizeof(_State)))
        gpus = cls(path)
        state = gpus._there
        for slot in range(GPUS):
            state.order[slot] = slot
            gpu = state.gpu[slot]
            gpu.uuid, gpu.name = gpus.uuid_of(slot).encode(), b"Stub H200"
            gpu.demand_w, gpu.idle_w, gpu.tau_s = demand_w, 75.0, tau_s
            gpu.least_mw, gpu.most_mw, gpu.default_mw = 200_000, 700_000, 700_000
            gpu.requested_mw = round(limit_w * 1e3)
            gpu.clock_least, gpu.clock_most, gpu.privileged = 345, 1980, 1
        state.count = count
        state.magic = MAGIC
        return gpus

    @staticmethod
    def uuid_of(slot: int) -> str:
        """Return the identity of the GPU in a slot."""
        return f"GPU-00000000-0000-4000-8000-{slot:012d}"

    @property
    def _there(self) -> _State:
        if self._state is None:
            raise ValueError("the file of the GPUs is closed")
        return self._state

    @property
    def count(self) -> int:
        """How many GPUs the library shows."""
        return int(self._there.count)

    def install(self, library: Path) -> None:
        """Let pynvml of this process load the library and see these GPUs at its next start."""
        import pynvml

        os.environ[STATE_VARIABLE] = str(self.path)
        vars(pynvml)["nvmlLib"] = ctypes.CDLL(str(library))

    def environment(self, library: Path, *, rights: bool = True) -> dict[str, str]:
        """Return the variables with which another process sees these GPUs."""
        return {
            "LD_LIBRARY_PATH": str(library.parent),
            STATE_VARIABLE: str(self.path),
            RIGHTS_VARIABLE: "all" if rights else "none",
        }

    def limit_w(self, slot: int) -> float:
        """Return the limit that was requested."""
        return int(self._there.gpu[slot].requested_mw) / 1e3

    def limits_w(self) -> list[float]:
        """Return the requested limits of all."""
        return [self.limit_w(slot) for slot in range(self.count)]

    def locked_mhz(self, slot: int) -> float | None:
        """Return the clock it is locked to at most; None where it is not."""
        return float(self._there.gpu[slot].clock_high) or None

    def request_w(self, slot: int, limit_w: float) -> None:
        """Set a limit as an operator would, beside any adapter."""
        self._there.gpu[slot].requested_mw = round(limit_w * 1e3)

    def hold_lower_w(self, slot: int, limit_w: float | None) -> None:
        """Let somebody else (a management controller) hold a limit; None takes it away."""
        self._there.gpu[slot].others_mw = round((limit_w or 0.0) * 1e3)

    def demand_w(self, slot: int, demand_w: float) -> None:
        """Set what the GPU would draw at full clock without a limit."""
        self._there.gpu[slot].demand_w = demand_w

    def drive_w(self, slot: int, power_w: float) -> None:
        """Let the GPU draw this from now on, whatever its limit and clock: something else knows."""
        gpu = self._there.gpu[slot]
        gpu.driven, gpu.tau_s, gpu.demand_w = 1, 0.0, power_w

    def respond_in_s(self, slot: int, tau_s: float) -> None:
        """Set the time constant of the power."""
        self._there.gpu[slot].tau_s = tau_s

    def ignore_writes(self, slot: int, ignore: bool = True) -> None:
        """Let the GPU acknowledge what it is told and not do it."""
        self._there.gpu[slot].ignores_writes = int(ignore)

    def permit(self, slot: int, permit: bool) -> None:
        """Say whether anybody may change the GPU."""
        self._there.gpu[slot].privileged = int(permit)

    def fail(self, slot: int, call: str, code: int, *, times: int = FOREVER) -> None:
        """Let a call answer with an error code; 0 lets it work again."""
        gpu = self._there.gpu[slot]
        gpu.error_left[CALL[call]] = times
        gpu.error[CALL[call]] = code

    def lose(self, slot: int, lost: bool = True) -> None:
        """Let the GPU fall off the bus, or come back."""
        for call in CALL:
            self.fail(slot, call, 15 if lost else 0)

    def delay(self, slot: int, call: str, delay_s: float) -> None:
        """Let a call take this long; setting it to 0 ends a call that is waiting."""
        self._there.gpu[slot].delay_s[CALL[call]] = delay_s

    def delay_all(self, delay_s: float) -> None:
        """Let every call of every GPU take this long; within ``fields`` only the whole does."""
        for slot in range(self.count):
            for call in CALL:
                if call not in ("instant", "requested"):
                    self.delay(slot, call, delay_s)

    def calls(self, slot: int, call: str) -> int:
        """Return how often a call was made."""
        return int(self._there.gpu[slot].calls[CALL[call]])

    def fail_init(self, code: int) -> None:
        """Let the library not start, e.g. 9 without a driver; 0 lets it start again."""
        self._there.init_error = code

    def reorder(self, slots: Sequence[int]) -> None:
        """Show the GPUs of these slots, in this order: what a lost GPU does to the others."""
        for index, slot in enumerate(slots):
            self._there.order[index] = slot
        self._there.count = len(slots)

    def history(self) -> list[LimitSet]:
        """Return every limit that was set through the library (the last 1024), oldest first."""
        state = self._there
        with self.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            first = max(0, state.events - EVENTS)
            events = [state.event[n % EVENTS] for n in range(first, state.events)]
            return [LimitSet(e.at_s, int(e.gpu), e.mw / 1e3) for e in events]

    def close(self) -> None:
        """Let go of the file."""
        self._state = None
        self._map.close()

"""A real IPMI controller on loopback: OpenIPMI's simulator with a power reading of our own.

    async with IpmiSim(folder) as bmc:
        bmc.state.watts = 6200
        ...("127.0.0.1", bmc.port)

The simulator speaks RMCP+ as a controller does (cipher suite 3 only) and has no DCMI; the module
``dcmi_module.c`` adds it, with readings that live in a mapped file. It needs Debian's ``openipmi``,
``libopenipmi-dev`` and a compiler.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import mmap
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from ebplan.twin.wire.processes import ends_with_parent

SOURCE = Path(__file__).with_name("dcmi_module.c")
HEADERS = Path("/usr/include/OpenIPMI/mcserv.h")
USER = "ebplan"
PASSWORD = "a-password-1234"
"""Of the simulator's only account, which may do anything."""
START_S = 5.0
"""How long it may take to answer."""
PING = bytes.fromhex("0600ff07000000000000000000092018c88100388e04b5")
"""IPMI 1.5, Get Channel Authentication Capabilities: answered without a session."""


def can_run() -> bool:
    """Whether the simulator, its headers and a compiler are installed."""
    return (
        shutil.which("ipmi_sim") is not None
        and shutil.which("gcc") is not None
        and (HEADERS.exists())
    )


class State(ctypes.Structure):
    """What the controller says; the same bytes are ``struct state`` in C. Powers in W."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in (
            *("watts", "low", "high", "mean", "window_ms", "active", "code", "cut"),
            *("group", "delay_ms", "limit_w", "limit_on", "readings"),
        )
    ]


def build(folder: Path) -> Path:
    """Compile the module into a folder, unless it already lies there; return its path.

    Raises:
        RuntimeError: gcc fails.
    """
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    module = folder / f"dcmi-{digest}.so"
    if module.exists():
        return module
    half = folder / f"{module.name}.{os.getpid()}"
    done = subprocess.run(
        ["gcc", "-O1", "-Wall", "-shared", "-fPIC", "-o", str(half), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"gcc failed: {done.stderr.strip()}")
    os.replace(half, module)
    return module


class IpmiSim:
    """One controller on loopback, a process of its own.

    Args:
        folder: where its files lie; nothing else should.
        watts: what it says at first.
        module: the compiled module; built into the folder where absent.
    """

    def __init__(self, folder: Path, *, watts: int = 6200, module: Path | None = None) -> None:
        self.folder = folder
        self.port = _free_udp_port()
        self.process: asyncio.subprocess.Process | None = None
        self._module = module or build(folder)
        self._path = folder / "dcmi.state"
        self._path.write_bytes(bytes(ctypes.sizeof(State)))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ctypes.sizeof(State))
        self._state: State | None = State.from_buffer(self._map)
        self.reset(watts)

    @property
    def state(self) -> State:
        """What it says from now on."""
        if self._state is None:
            raise ValueError("the file of the controller is closed")
        return self._state

    def reset(self, watts: int) -> None:
        """Say a steady power, with nothing wrong."""
        state = self.state
        state.watts = state.low = state.high = state.mean = watts
        state.window_ms, state.active, state.group = 1000, 1, 0xDC
        state.code = state.cut = state.delay_ms = state.limit_w = state.limit_on = 0

    async def __aenter__(self) -> Self:
        (self.folder / "lan.conf").write_text(self._lan())
        (self.folder / "bmc.emu").write_text(EMULATED)
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        self._state = None
        self._map.close()

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it does not start; says what it printed.
        """
        said = self.folder / "output"
        with said.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                *("ipmi_sim", "-c", "lan.conf", "-f", "bmc.emu", "-s", str(self.folder), "-n"),
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=ends_with_parent(signal.SIGKILL),
            )
        try:
            async with asyncio.timeout(START_S):
                while not await _answers(self.port):
                    if self.process.returncode is not None:
                        break
                else:
                    return
        except TimeoutError:
            pass
        await self.stop()
        raise RuntimeError(f"ipmi_sim does not start:\n{said.read_text(errors='replace')}")

    async def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop it, and wait until it is gone; sessions are forgotten."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            await self.process.wait()

    def hang(self, hangs: bool = True) -> None:
        """Let it say nothing at all, or speak again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP if hangs else signal.SIGCONT)

    def _lan(self) -> str:
        levels = ("callback", "user", "operator", "admin")
        auths = "\n".join(f"  allowed_auths_{level} none md2 md5 straight" for level in levels)
        return (
            f'name "ebplan"\nloadlib "{self._module}" "{self._path}"\nstartlan 1\n'
            f"  addr 127.0.0.1 {self.port}\n  priv_limit admin\n{auths}\n"
            "  guid a123456789abcdefa123456789abcdef\nendlan\n"
            f'user 2 true "{USER}" "{PASSWORD}" admin 10 none md2 md5 straight\n'
        )


EMULATED = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(port: int) -> bool:
    """Whether a controller answers there within a moment."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        probe.connect(("127.0.0.1", port))
        try:
            await loop.sock_sendall(probe, PING)
            async with asyncio.timeout(0.1):
                return bool(await loop.sock_recv(probe, 512))
        except TimeoutError:
            return False
        except OSError:
            await asyncio.sleep(0.02)
            return False

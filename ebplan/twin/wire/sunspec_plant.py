"""A battery behind a converter that speaks SunSpec on loopback, with the habits of real ones.

    async with SunSpecPlant(PlantSettings(power_kw=100.0)) as plant:
        battery = ...(host="127.0.0.1", port=plant.port)
        plant.hz = 49.8
        plant.battery_kw  # the truth

As a process of its own, ``python -m ebplan.twin.wire.sunspec_plant --port 0`` prints one line of
JSON with its port and runs until it is told to end. With ``--ask`` it reads lines of JSON, e.g.
``{"hz": 49.8}``, sets what they name, and prints the truth after each.

Its plant moves in a task of its own: a request is answered at once, from what the registers say
then. Given a ``behind``, it has no physics of its own: set-points and droop go there, and what it
shows comes from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Literal, Protocol, Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ebplan.twin.wire.sunspec_image import der_image, legacy_image, scale_of
from ebplan.twin.wire.sunspec_memory import Memory

TICK_S = 0.005
BEHIND_TICK_S = 0.02
"""How often what lies behind is told and asked."""
WRITES = (6, 16)


@dataclass(frozen=True)
class PlantSettings:
    """What the device is and how it misbehaves."""

    power_kw: float = 100.0
    """Rating, the same both ways."""
    energy_kwh: float = 200.0
    """Capacity."""
    soc: float = 0.5
    """State of charge at the beginning."""
    serial: str = "EB-0001"
    """On its nameplate."""
    models: Literal["der", "legacy"] = "der"
    """Models of the 700 series, or 103 with 120 to 124."""
    base: int = 40000
    """Register where its description begins."""
    unit: int = 1
    """Number it answers to."""
    nominal_hz: float = 50.0
    """Frequency at which its droop rests."""
    ramp_kw_per_s: float = 5000.0
    """How fast its power moves."""
    second_s: float = 1.0
    """How long its second lasts: its timers run faster for tests below 1."""
    reversion: Literal["real", "absent", "cosmetic"] = "real"
    """Whether its timer reverts; ``absent`` stands still, ``cosmetic`` counts and does nothing."""
    renews: bool = True
    """Whether writing the timer again starts it again."""
    ignores_writes: bool = False
    """Acknowledges set-points and does nothing."""
    obeys: bool = True
    """Keeps set-points and moves no power where not."""
    takes_at_most_kw: float | None = None
    """Clamps set-points to this, and says so."""
    gives_at_most_kw: float | None = None
    """Moves no more power than this, and keeps the set-point."""
    inverted: bool = False
    """Takes charge for discharge."""
    adopts: bool = True
    """Whether a droop curve is adopted when that is asked."""
    one_write: bool = True
    """Whether several registers of a control may be written in one step."""
    local: bool = False
    """Under local control."""
    meter_follows: bool = False
    """Whether its meter shows ``load_kw`` less its power; otherwise it is set from outside."""
    load_kw: float = 5.0
    """Draw behind its meter beside the battery's."""


class Behind(Protocol):
    """What a device shows where it has no physics of its own."""

    @property
    def battery_kw(self) -> float:
        """Power that the battery gives; > 0 discharges."""
        ...

    @property
    def soc(self) -> float:
        """State of charge."""
        ...

    @property
    def hz(self) -> float:
        """The grid's frequency."""
        ...

    @property
    def meter_kw(self) -> float | None:
        """What the meter shows, > 0 drawn; None while it is silent."""
        ...

    def follow(self, battery_kw: float, droop: tuple[float, float] | None) -> None:
        """Hold a power, and answer the frequency by a droop where one is armed.

        Args:
            battery_kw: set-point; 0 where none is enabled.
            droop: dead band in Hz, and kW for each Hz beyond it.
        """
        ...


class SunSpecPlant:
    """The device, running between ``async with`` and its end.

    Args:
        settings: what it is.
        port: where it listens on the loopback; 0 for a free one.
        tls: certificates it shows and asks for; without, it speaks plain text.
        behind: what moves and is shown; without, the device is a small plant itself.
    """

    def __init__(
        self,
        settings: PlantSettings | None = None,
        *,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        behind: Behind | None = None,
    ) -> None:
        self.behind = behind
        """What moves and is shown, where it has no physics of its own."""
        self.settings = settings or PlantSettings()
        self.port = port
        self.hz = self.settings.nominal_hz
        """Frequency it sees; to be set."""
        self.battery_kw = 0.0
        """Power it gives, > 0 discharging: the truth."""
        self.soc = self.settings.soc
        """State of charge: the truth."""
        self.meter_kw = 0.0
        """Draw its meter shows, > 0 drawn; to be set."""
        self._meter_silent = False
        self.alarms = 0
        """Bits of its alarm register; to be set."""
        self.writes: list[tuple[int, list[int]]] = []
        """Every write that arrived, as (register, values)."""
        self.heartbeats: list[int] = []
        """What the controller wrote as its heartbeat."""
        self._der = self.settings.models == "der"
        image = der_image if self._der else legacy_image
        self.memory = Memory(self.settings.base, image(self.settings))
        self._tls = tls
        self._reverts_s: float | None = None
        self._adopt: tuple[float, int] | None = None
        self._server: ModbusTcpServer | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def set_point_kw(self) -> float | None:
        """Set-point that is enabled, > 0 discharging; None where none is."""
        if not self._der:
            mode = self.memory.get(124, "StorCtl_Mod")
            return None if not mode & 3 else self._forced_kw(mode)
        if not self.memory.get(704, "WSetEna"):
            return None
        return self.memory.get(704, "WSet") / 1e3

    @property
    def droop_armed(self) -> bool:
        """Whether it answers the frequency by itself."""
        return self._der and self.memory.get(711, "Ena") == 1

    async def __aenter__(self) -> Self:
        device = SimDevice(
            self.settings.unit,
            [SimData(self.settings.base, values=self.memory.words, datatype=DataType.REGISTERS)],
            action=self._asked,
        )
        address = ("127.0.0.1", self.port)
        if self._tls is None:
            self._server = ModbusTcpServer(device, address=address)
        else:
            self._server = ModbusTlsServer(device, address=address, sslctx=self._tls)
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport
        self.port = listening.sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._run(), name="sunspec plant")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        server: Any = self._server
        await server.shutdown()
        await asyncio.sleep(0.01)  # its connections say goodbye in their next turn

    # -- what arrives: answered at once, an answer that waits would meet another request --

    async def _asked(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        values: Sequence[int] | None,
    ) -> ExcCodes | None:
        if function in WRITES and values is not None:
            written = [int(value) for value in values]
            self.writes.append((address, written))
            if not self.memory.may_write(address, count):
                return ExcCodes.ILLEGAL_ADDRESS
            if not self.settings.one_write and count > 2:
                return ExcCodes.ILLEGAL_VALUE
            self._take(address, written)
            self._follow_behind()
        elif self._meter_silent and self._touches_meter(address, count):
            return ExcCodes.DEVICE_BUSY
        self._show()
        registers[:] = self.memory.words
        if function in WRITES and values is not None:
            start_at = address - self.settings.base
            values[:] = self.memory.words[start_at : start_at + count]  # type: ignore[index]
        return None

    def _take(self, address: int, values: list[int]) -> None:
        memory, count = self.memory, len(values)
        if memory.touches(715, "ControllerHb", address, count):
            memory.write(address, values)
            self.heartbeats.append(memory.get(715, "ControllerHb"))
            return
        if self.settings.ignores_writes:
            return
        before_s = memory.get(704, "WSetRvrtTms") if self._der else 0
        memory.write(address, values)
        self._clamp()
        if memory.touches(711, "AdptCtlReq", address, count):
            memory.put(711, "AdptCtlRslt", 0)
            self._adopt = (self._now_s() + 0.03, memory.get(711, "AdptCtlReq"))
        model, timer = (704, "WSetRvrtTms") if self._der else (124, "InOutWRte_RvrtTms")
        if memory.touches(model, timer, address, count) and (
            self.settings.renews or memory.get(model, timer) != before_s or count > 2
        ):
            term_s = memory.get(model, timer) * self.settings.second_s
            self._reverts_s = self._now_s() + term_s if term_s else None

    def _clamp(self) -> None:
        most_kw = self.settings.takes_at_most_kw
        if most_kw is not None and self._der:
            most_w = round(1e3 * most_kw)
            self.memory.put(704, "WSet", max(-most_w, min(most_w, self.memory.get(704, "WSet"))))

    # -- what happens by itself --

    async def _run(self) -> None:
        before_s = self._now_s()
        while True:
            await asyncio.sleep(TICK_S if self.behind is None else BEHIND_TICK_S)
            now_s = self._now_s()
            self._revert(now_s)
            self._finish_adopting(now_s)
            if self.behind is None:
                self._move(now_s - before_s)
            else:
                self._follow_behind()
            before_s = now_s

    def _revert(self, now_s: float) -> None:
        if self._reverts_s is None or now_s < self._reverts_s:
            return
        self._reverts_s = None
        if self.settings.reversion != "real":
            return
        if self._der:
            memory = self.memory
            memory.put(704, "WSetEna", memory.get(704, "WSetEnaRvrt") & 1)
            memory.put(704, "WSet", memory.get(704, "WSetRvrt"))
        else:
            self.memory.put(124, "StorCtl_Mod", 0)

    def _finish_adopting(self, now_s: float) -> None:
        if self._adopt is None or now_s < self._adopt[0]:
            return
        asked, self._adopt = self._adopt[1], None
        memory = self.memory
        if not self.settings.adopts or not 1 <= asked <= memory.get(711, "NCtl"):
            memory.put(711, "AdptCtlRslt", 2)
            return
        for name in ("DbOf", "DbUf", "KOf", "KUf", "RspTms"):
            memory.put(711, f"Ctl.0.{name}", memory.get(711, f"Ctl.{asked - 1}.{name}"))
        memory.put(711, "AdptCtlRslt", 1)

    def _follow_behind(self) -> None:
        """Tell what lies behind what is wanted, and take over what it shows."""
        behind = self.behind
        if behind is None:
            return
        behind.follow(self._wanted_kw(), self._droop_told())
        self.battery_kw, self.soc, self.hz = behind.battery_kw, behind.soc, behind.hz
        shown_kw = behind.meter_kw
        self._meter_silent = shown_kw is None
        if shown_kw is not None:
            self.meter_kw = shown_kw

    def _touches_meter(self, address: int, count: int) -> bool:
        return self.memory.touches(203, "W", address, count)

    def _wanted_kw(self) -> float:
        settings = self.settings
        wanted_kw = (self.set_point_kw or 0.0) * (-1.0 if settings.inverted else 1.0)
        return wanted_kw if settings.obeys else 0.0

    def _droop_told(self) -> tuple[float, float] | None:
        """Return dead band in Hz and kW per Hz of the droop that is armed."""
        slope = self.memory.get(711, "Ctl.0.KUf") / 1e5 if self.droop_armed else 0.0
        if not slope:
            return None
        per_hz_kw = self.settings.power_kw / slope / self.settings.nominal_hz
        return self.memory.get(711, "Ctl.0.DbUf") / 1e3, per_hz_kw

    def _move(self, dt_s: float) -> None:
        settings = self.settings
        wanted_kw = self._wanted_kw()
        most_kw = settings.power_kw
        if settings.gives_at_most_kw is not None:
            most_kw = min(most_kw, settings.gives_at_most_kw)
        wanted_kw = max(-most_kw, min(most_kw, wanted_kw + self._droop_kw()))
        if (wanted_kw > 0.0 and self.soc <= 0.0) or (wanted_kw < 0.0 and self.soc >= 1.0):
            wanted_kw = 0.0
        step_kw = settings.ramp_kw_per_s * dt_s
        self.battery_kw += max(-step_kw, min(step_kw, wanted_kw - self.battery_kw))
        if settings.meter_follows:
            self.meter_kw = settings.load_kw - self.battery_kw
        used = self.battery_kw * dt_s / 3600.0 / settings.energy_kwh
        self.soc = min(1.0, max(0.0, self.soc - used))

    def _droop_kw(self) -> float:
        if not self.droop_armed:
            return 0.0
        over_hz = self.hz - self.settings.nominal_hz
        side = "Of" if over_hz > 0.0 else "Uf"
        beyond_hz = max(abs(over_hz) - self.memory.get(711, f"Ctl.0.Db{side}") / 1e3, 0.0)
        share = beyond_hz / self.settings.nominal_hz
        slope = self.memory.get(711, f"Ctl.0.K{side}") / 1e5
        if not slope:
            return 0.0
        return (-1.0 if over_hz > 0.0 else 1.0) * share / slope * self.settings.power_kw

    def _forced_kw(self, mode: int) -> float:
        most_kw = self.settings.power_kw
        low_kw = -self.memory.get(124, "InWRte") / 1e4 * most_kw if mode & 1 else -most_kw
        high_kw = self.memory.get(124, "OutWRte") / 1e4 * most_kw if mode & 2 else most_kw
        return max(low_kw, min(high_kw, 0.0)) if low_kw <= high_kw else 0.0

    def _show(self) -> None:
        """Bring the measured registers up to date."""
        memory, scale = self.memory, 10 ** scale_of(self.settings.power_kw)
        watts = round(1e3 * self.battery_kw / scale)
        memory.put(203, "W", round(1e3 * self.meter_kw / scale))
        memory.put(203, "Hz", round(100 * self.hz))
        if not self._der:
            memory.put(103, "W", watts)
            memory.put(103, "Hz", round(100 * self.hz))
            memory.put(124, "ChaState", round(1e3 * self.soc))
            memory.put(103, "Evt1", self.alarms)
            return
        memory.put(701, "W", watts)
        memory.put(701, "Hz", round(1e3 * self.hz))
        memory.put(701, "Alrm", self.alarms)
        memory.put(713, "SoC", round(1e3 * self.soc))
        memory.put(715, "DERHb", int(self._now_s() / self.settings.second_s) % 2**31)
        left_s = 0.0 if self._reverts_s is None else self._reverts_s - self._now_s()
        counts = self.settings.reversion != "absent"
        left = max(0, -int(-left_s // self.settings.second_s)) if counts else 0
        memory.put(704, "WSetRvrtRem", left)

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def main(words: Sequence[str] | None = None) -> None:
    """Run the device until it is told to end."""
    import argparse

    parser = argparse.ArgumentParser(description="A simulated SunSpec battery on loopback.")
    parser.add_argument("--port", type=int, default=0)
    for field in fields(PlantSettings):
        kind = type(field.default)
        if kind in (int, float, str):
            parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind)
        elif kind is bool:
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", action=argparse.BooleanOptionalAction
            )
    parser.add_argument("--ask", action="store_true")
    given = {k: v for k, v in vars(parser.parse_args(words)).items() if v is not None}
    port, ask = given.pop("port"), given.pop("ask")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(PlantSettings(**given), port, ask))


async def _serve(settings: PlantSettings, port: int, ask: bool) -> None:
    async with SunSpecPlant(settings, port=port) as plant:
        print(json.dumps({"port": plant.port, "serial": settings.serial}), flush=True)
        if ask:
            await _answer(plant)
        await asyncio.Event().wait()


SETTABLE = ("hz", "meter_kw", "alarms", "soc")
TOLD = ("battery_kw", "soc", "hz", "meter_kw", "set_point_kw", "droop_armed")


async def _answer(plant: SunSpecPlant) -> None:
    """Set what is asked and tell the truth, line by line, until nobody asks any more."""
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        for name, value in json.loads(line).items():
            if name not in SETTABLE:
                raise SystemExit(f"{name} cannot be set; what can: {', '.join(SETTABLE)}")
            setattr(plant, name, value)
        print(json.dumps({name: getattr(plant, name) for name in TOLD}), flush=True)


if __name__ == "__main__":
    main()

"""A PLC in front of a battery, and a meter beside it: plain registers, and a watchdog."""

import asyncio
import struct
from typing import Any, Self

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from ebplan.adapters.modbus.register_map import RegisterMap

SIZE = 64
POWER, SET_POINT, ENABLE, BEAT, SOC, SERIAL, METER = 0, 2, 4, 5, 6, 10, 20


class Plc:
    """A PLC; its watchdog lets go ``watchdog_s`` after the heartbeat last moved."""

    def __init__(self, *, watchdog_s: float | None = None, serial: str = "PLC-7") -> None:
        self.port = 0
        self.meter_kw = 0.0
        self.writes: list[tuple[int, list[int]]] = []
        self.words = [0] * SIZE
        self.watchdog_s = watchdog_s
        self._beaten_s: float | None = None
        raw = serial.encode().ljust(8, b"\0")
        self.words[SERIAL : SERIAL + 4] = struct.unpack(">4H", raw)
        self.words[SOC] = 500
        self._server: ModbusTcpServer | None = None

    @property
    def battery_kw(self) -> float:
        if not self.words[ENABLE]:
            return 0.0
        return struct.unpack(">i", struct.pack(">2H", *self.words[2:4]))[0] / 10.0

    async def __aenter__(self) -> Self:
        data = [SimData(0, values=self.words, datatype=DataType.REGISTERS)]
        self._server = ModbusTcpServer(
            SimDevice(1, data, action=self._asked), address=("127.0.0.1", 0)
        )
        await self._server.serve_forever(background=True)
        listening: Any = self._server.transport
        self.port = listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.shutdown()
        await asyncio.sleep(0.01)

    async def _asked(
        self, function: int, start: int, address: int, count: int, held: list[int], values: Any
    ) -> None:
        now_s = asyncio.get_running_loop().time()
        if values is not None:
            self.writes.append((address, list(values)))
            self.words[address : address + count] = values
            if address in (BEAT, ENABLE):
                self._beaten_s = now_s
        late = self._beaten_s is not None and self.watchdog_s is not None
        if late and now_s > self._beaten_s + self.watchdog_s:  # type: ignore[operator]
            self.words[ENABLE] = 0
        self.words[POWER : POWER + 2] = struct.unpack(
            ">2H", struct.pack(">i", round(10.0 * self.battery_kw))
        )
        # the meter tells watts as a float, low half first
        low_first = struct.unpack(">2H", struct.pack(">f", -1e3 * self.meter_kw))[::-1]
        self.words[METER : METER + 2] = low_first
        held[:] = self.words

    @staticmethod
    def battery_map(port: int, **fields: object) -> RegisterMap:
        power = {"type": "int32", "scale": 0.1, "unit": "kW", "positive": "discharge"}
        battery: dict[str, object] = {
            "power": {"address": POWER, **power},
            "set_point": {
                "address": SET_POINT,
                **power,
                "max_charge_kw": 50.0,
                "max_discharge_kw": 60.0,
            },
            "enable": {"address": ENABLE},
            "heartbeat": {"address": BEAT, "type": "uint16"},
            "soc": {"address": SOC, "type": "uint16", "scale": 0.001},
            "serial": {"address": SERIAL, "length": 4},
        }
        return RegisterMap.parse(
            {
                "address": {"host": "127.0.0.1", "port": port, "timeout_s": 1.0},
                "battery": {**battery, **fields},
            }
        )

    @staticmethod
    def meter_map(port: int) -> RegisterMap:
        power = {"address": METER, "type": "float32", "word_order": "little", "unit": "W"}
        return RegisterMap.parse(
            {
                "address": {"host": "127.0.0.1", "port": port, "timeout_s": 1.0},
                "meter": {"power": {**power, "positive": "fed in"}, "age_s": 0.1},
            }
        )

"""Node power by DCMI, from a real IPMI controller: OpenIPMI's simulator with our module."""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import ManualClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.node.ipmi_dcmi import IDLE_S, DcmiAddress, DcmiPower
from ebplan.adapters.roles import NodePowerReading
from ebplan.adapters.secrets import Secret
from ebplan.twin.wire import ipmi_sim
from ebplan.twin.wire.ipmi_sim import PASSWORD, USER, IpmiSim

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not ipmi_sim.can_run(), reason="ipmi_sim or its headers are missing: make test-adapters"
    ),
]
AT_ONCE = BackOff(first_s=0.0, longest_s=0.0)


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ipmi_sim.build(tmp_path_factory.mktemp("module"))


@pytest.fixture
async def bmc(tmp_path: Path, module: Path) -> AsyncIterator[IpmiSim]:
    async with IpmiSim(tmp_path, module=module) as bmc:
        yield bmc


def node(bmc: IpmiSim, *, password: str = PASSWORD, user: str = USER, **more: object) -> DcmiPower:
    address = {
        "driver": "ipmi_dcmi",
        "host": "127.0.0.1",
        "port": bmc.port,
        "user": user,
        "password": {"env": "UNUSED"},
        # the simulator keeps what it does not know to administrators
        "privilege": "administrator",
        "timeout_s": 5.0,
        **more,
    }
    return DcmiPower("node1", DcmiAddress.parse(address), Secret(password), policy=AT_ONCE)


async def power_kw(device: DcmiPower) -> float:
    reading = await device.read()
    assert isinstance(reading, NodePowerReading), reading
    return reading.power_kw


async def why(device: DcmiPower) -> str:
    reading = await device.read()
    assert isinstance(reading, Unreachable), reading
    assert not reading.executed
    return reading.why


async def test_it_says_what_the_controller_says(bmc: IpmiSim) -> None:
    bmc.state.watts, bmc.state.low, bmc.state.mean, bmc.state.high = 6212, 5800, 6100, 6900
    bmc.state.window_ms = 30_000
    device = node(bmc, measurement_point="node", age_s=2.0)
    assert await device.read() == NodePowerReading(
        power_kw=6.212,
        energy_kwh=None,
        covers="node",
        measurement_point="node",
        age_s=2.0,
        low_kw=5.8,
        average_kw=6.1,
        high_kw=6.9,
        window_s=30.0,
        limit_kw=None,
    )
    await device.close()


async def test_one_session_is_kept(bmc: IpmiSim) -> None:
    device = node(bmc)
    for watts in (5000, 5001, 5002):
        bmc.state.watts = watts
        assert await power_kw(device) == watts / 1000.0
    assert device.opened == 1
    assert bmc.state.readings == 3
    await device.close()


@pytest.mark.skipif(shutil.which("ipmitool") is None, reason="ipmitool is not installed")
async def test_a_limit_that_another_client_sets_is_shown(bmc: IpmiSim) -> None:
    for words in (("set_limit", "limit", "5500"), ("activate",)):
        tool = await asyncio.create_subprocess_exec(
            *("ipmitool", "-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(bmc.port)),
            *("-U", USER, "-P", PASSWORD, "dcmi", "power", *words),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await tool.wait() == 0
    device = node(bmc)
    reading = await device.read()
    assert isinstance(reading, NodePowerReading)
    assert reading.limit_kw == 5.5
    await device.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"watts": 0}, "0 W"),
        ({"watts": 65535}, "65535 W"),
        ({"active": 0}, "does not measure"),
        ({"cut": 1}, "no power reading"),
        ({"group": 0x52}, "no power reading"),
        ({"code": 0xC1}, "no DCMI power reading"),
        ({"code": 0xD4}, "higher privilege"),
        ({"code": 0xFE}, "0xfe"),
    ],
)
async def test_what_makes_no_sense_is_no_reading(
    bmc: IpmiSim, said: dict[str, int], told: str
) -> None:
    device = node(bmc)
    for field, value in said.items():
        setattr(bmc.state, field, value)
    assert told in await why(device)
    bmc.reset(6000)
    assert await power_kw(device) == 6.0
    await device.close()


async def test_extremes_that_contradict_each_other_are_left_out(bmc: IpmiSim) -> None:
    device = node(bmc)
    bmc.state.low, bmc.state.high = 7000, 5000
    reading = await device.read()
    assert isinstance(reading, NodePowerReading)
    assert (reading.power_kw, reading.low_kw, reading.window_s) == (6.2, None, None)
    await device.close()


async def test_a_silent_controller_is_left_by_the_deadline_and_found_again(bmc: IpmiSim) -> None:
    device = node(bmc, timeout_s=0.3)
    await device.read()
    bmc.hang()
    assert await why(device) == "no answer within 0.3 s"
    bmc.hang(False)
    await _until_it_reads(device)
    assert device.opened > 1
    await device.close()


async def test_a_controller_that_restarts_is_found_again(bmc: IpmiSim) -> None:
    device = node(bmc, timeout_s=0.3)
    await device.read()
    await bmc.stop()
    await why(device)
    await bmc.start()
    await _until_it_reads(device)
    await device.close()


async def test_a_slow_answer_is_waited_for_until_the_deadline(bmc: IpmiSim) -> None:
    device = node(bmc, timeout_s=0.5)
    await device.read()
    bmc.state.delay_ms = 50
    assert await power_kw(device) == 6.2
    bmc.state.delay_ms = 700
    assert "no answer" in await why(device)
    bmc.state.delay_ms = 0
    await _until_it_reads(device)
    await device.close()


async def test_a_refused_password_is_not_tried_again_at_once(bmc: IpmiSim) -> None:
    clock = ManualClock()
    address = node(bmc).address
    device = DcmiPower(
        "n", address, Secret("another"), policy=AT_ONCE, clock=clock, refused_wait_s=300.0
    )
    assert await why(device) == "it refuses the user or the password"
    assert "left alone" in await why(device)
    await clock.advance(301.0)
    assert await why(device) == "it refuses the user or the password"
    await device.close()


async def test_an_unknown_user_is_refused(bmc: IpmiSim) -> None:
    device = node(bmc, user="nobody")
    assert "refuses the user" in await why(device)
    await device.close()


async def test_after_a_pause_another_session_is_opened(bmc: IpmiSim) -> None:
    clock = ManualClock()
    device = DcmiPower("n", node(bmc).address, Secret(PASSWORD), policy=AT_ONCE, clock=clock)
    await device.read()
    await clock.advance(IDLE_S + 1.0)
    assert await power_kw(device) == 6.2
    assert device.opened == 2
    await device.close()


async def test_a_silent_one_delays_no_other(bmc: IpmiSim, nobody: int) -> None:
    silent = DcmiPower(
        "silent",
        node(bmc).address.model_copy(update={"port": nobody, "timeout_s": 5.0}),
        Secret(PASSWORD),
    )
    waiting = asyncio.create_task(silent.read())
    device = node(bmc, timeout_s=1.0)
    for _ in range(5):
        assert await power_kw(device) == 6.2
    assert not waiting.done()
    waiting.cancel()
    await device.close()
    await silent.close()


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that takes datagrams and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as quiet:
        quiet.bind(("127.0.0.1", 0))
        yield int(quiet.getsockname()[1])


@pytest.mark.parametrize("noise", [b"\x06\x00\xff\x07\x06", bytes(range(255, 127, -1)), b"\x06"])
async def test_noise_is_no_answer(bmc: IpmiSim, noise: bytes) -> None:
    class Noisy(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            assert isinstance(self.transport, asyncio.DatagramTransport)
            self.transport.sendto(noise, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Noisy, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    address = node(bmc).address.model_copy(update={"port": port, "timeout_s": 0.3})
    device = DcmiPower("n", address, Secret(PASSWORD), policy=AT_ONCE)
    assert isinstance(await device.read(), Unreachable)
    other = node(bmc)
    assert await power_kw(other) == 6.2
    transport.close()
    await other.close()
    await device.close()


async def test_a_name_that_is_none_is_no_error(bmc: IpmiSim) -> None:
    address = node(bmc).address.model_copy(update={"host": "no..name"})
    device = DcmiPower("n", address, Secret(PASSWORD))
    assert await why(device) == "its name is not known"
    await device.close()


async def _until_it_reads(device: DcmiPower) -> None:
    async with asyncio.timeout(10.0):
        while isinstance(await device.read(), Unreachable):
            pass

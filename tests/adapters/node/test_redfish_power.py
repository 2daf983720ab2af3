"""Node power by Redfish over TLS, from a double that speaks it, faults included."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from ebplan.adapters.answers import Unreachable
from ebplan.adapters.clock import ManualClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.node.redfish import RedfishAddress, RedfishPower
from ebplan.adapters.roles import NodePowerReading
from ebplan.adapters.secrets import Secret
from ebplan.errors import InputError
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.redfish_double import PASSWORD, SESSIONS, USER, RedfishDouble

AT_ONCE = BackOff(first_s=0.0, longest_s=0.0)
LINE_FAULTS = [f for f in Fault if f not in (Fault.NONE, Fault.EDIT)]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("trust") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
async def bmc(tls: ssl.SSLContext) -> AsyncIterator[RedfishDouble]:
    async with RedfishDouble(tls=tls) as bmc:
        yield bmc


def address(url: str, trusted: str | None, **more: object) -> RedfishAddress:
    return RedfishAddress.parse(
        {
            "driver": "redfish",
            "url": url,
            "user": USER,
            "password": {"env": "UNUSED"},
            "authority": trusted,
            "timeout_s": 5.0,
            **more,
        }
    )


def node(url: str, trusted: str, password: str = PASSWORD, **more: object) -> RedfishPower:
    return RedfishPower("node1", address(url, trusted, **more), Secret(password), policy=AT_ONCE)


async def power_kw(device: RedfishPower) -> float:
    reading = await device.read()
    assert isinstance(reading, NodePowerReading), reading
    return reading.power_kw


async def why(device: RedfishPower) -> str:
    reading = await device.read()
    assert isinstance(reading, Unreachable), reading
    return reading.why


async def test_environment_metrics_go_first(bmc: RedfishDouble, trusted: str) -> None:
    bmc.limit_w = 8000
    device = node(bmc.url, trusted)
    assert await device.read() == NodePowerReading(
        power_kw=6.2,
        energy_kwh=120.5,
        covers="node",
        measurement_point="ac",
        age_s=1.0,
        limit_kw=8.0,
    )
    assert not any(call.endswith("/Power") for call in bmc.calls)
    await device.close()


async def test_the_older_power_is_second(tls: ssl.SSLContext, trusted: str) -> None:
    async with RedfishDouble(tls=tls, metrics=False) as bmc:
        device = node(bmc.url, trusted)
        reading = await device.read()
        assert isinstance(reading, NodePowerReading)
        assert (reading.power_kw, reading.average_kw, reading.window_s) == (6.2, 6.2, 60.0)
        await device.close()


async def test_without_either_there_is_no_power(tls: ssl.SSLContext, trusted: str) -> None:
    async with RedfishDouble(tls=tls, metrics=False, legacy=False) as bmc:
        device = node(bmc.url, trusted)
        assert await why(device) == "its chassis says no power"
        await device.close()


async def test_of_several_chassis_one_is_named(tls: ssl.SSLContext, trusted: str) -> None:
    async with RedfishDouble(tls=tls, chassis=("Node", "GPU_1")) as bmc:
        device = node(bmc.url, trusted)
        assert await why(device) == "it has 2 chassis (Node, GPU_1): name one (chassis)"
        await device.close()
        device = node(bmc.url, trusted, chassis="GPU_1")
        assert await power_kw(device) == 6.2
        await device.close()
        device = node(bmc.url, trusted, chassis="Rack")
        assert "404" in await why(device)
        await device.close()


async def test_one_session_is_kept_and_logged_out(bmc: RedfishDouble, trusted: str) -> None:
    device = node(bmc.url, trusted)
    for _ in range(3):
        await power_kw(device)
    assert len(bmc.sessions) == 1
    assert bmc.calls[f"POST {SESSIONS}"] == 1
    await device.close()
    assert not bmc.sessions


async def test_a_session_that_expired_is_opened_again(bmc: RedfishDouble, trusted: str) -> None:
    device = node(bmc.url, trusted)
    await power_kw(device)
    bmc.expire()
    assert await power_kw(device) == 6.2
    await device.close()
    assert not bmc.sessions


async def test_failures_leave_no_session_behind(bmc: RedfishDouble, trusted: str) -> None:
    """A controller has a handful of sessions; used up, nobody could log in any more."""
    device = node(bmc.url, trusted)
    for _ in range(3 * bmc.most_sessions):
        bmc.watts = lambda: None
        bmc.legacy = False
        await why(device)
        bmc.watts = lambda: 6200.0
        assert await power_kw(device) == 6.2
    await device.close()
    assert not bmc.sessions


@pytest.mark.parametrize("watts", [0, -5.0, 1e9, math.nan, math.inf, "6200", True, 10**400, [], {}])
async def test_what_makes_no_sense_is_no_reading(
    bmc: RedfishDouble, trusted: str, watts: object
) -> None:
    device = node(bmc.url, trusted)
    bmc.watts = lambda: watts
    assert isinstance(await device.read(), Unreachable)
    bmc.watts = lambda: 6100
    assert await power_kw(device) == 6.1
    await device.close()


@pytest.mark.parametrize("beside", [math.nan, -1.0, "much", None])
async def test_what_stands_beside_it_may_be_nonsense(
    bmc: RedfishDouble, trusted: str, beside: object
) -> None:
    bmc.energy_kwh = bmc.limit_w = beside
    device = node(bmc.url, trusted)
    reading = await device.read()
    assert isinstance(reading, NodePowerReading)
    assert (reading.power_kw, reading.energy_kwh, reading.limit_kw) == (6.2, None, None)
    await device.close()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("silent", "no answer"),
        ("slow", "no answer"),
        ("garbage", "none of Redfish"),
        ("busy", "503"),
        ("endless", "none of HTTP"),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
async def test_a_fault_ends_in_an_answer_and_is_got_over(
    bmc: RedfishDouble, trusted: str, fault: str, told: str, begun: bool
) -> None:
    # short only where it is waited for: a busy machine may be slow to tell nonsense
    device = node(bmc.url, trusted, timeout_s=0.5 if told == "no answer" else 5.0)
    if begun:
        await power_kw(device)
    bmc.fault = fault  # type: ignore[assignment]
    bmc.slow_s = 2.0
    assert told in await why(device)
    bmc.fault = None
    assert await power_kw(device) == 6.2
    await device.close()


async def test_links_to_another_host_are_not_followed(bmc: RedfishDouble, trusted: str) -> None:
    """They would carry our session there."""
    bmc.fault = "other_origin"
    device = node(bmc.url, trusted)
    assert await why(device) == "its chassis says no power"
    await device.close()


async def test_a_password_that_must_be_changed_is_said(bmc: RedfishDouble, trusted: str) -> None:
    bmc.fault = "wants_new_password"
    device = node(bmc.url, trusted)
    assert "password changed" in await why(device)
    await device.close()


async def test_a_refused_password_is_not_tried_again_at_once(
    bmc: RedfishDouble, trusted: str
) -> None:
    clock = ManualClock()
    device = RedfishPower(
        "n", address(bmc.url, trusted), Secret("another"), policy=AT_ONCE, clock=clock
    )
    assert await why(device) == "it refuses the user or the password"
    assert "left alone" in await why(device)
    assert bmc.calls[f"POST {SESSIONS}"] == 1
    bmc.password = "another"
    await clock.advance(301.0)
    assert await power_kw(device) == 6.2
    await device.close()


@pytest.mark.parametrize("fault", LINE_FAULTS)
async def test_a_bad_line_ends_in_an_answer_and_is_got_over(
    bmc: RedfishDouble, trusted: str, fault: Fault
) -> None:
    async with FaultProxy(("127.0.0.1", bmc.port)) as line:
        device = node(f"https://localhost:{line.port}", trusted, timeout_s=0.5)
        await power_kw(device)
        await line.turn(fault)
        assert isinstance(await device.read(), Unreachable)
        await line.turn(Fault.NONE)
        assert await power_kw(device) == 6.2
        await device.close()


async def test_a_controller_that_restarts_is_found_again(bmc: RedfishDouble, trusted: str) -> None:
    device = node(bmc.url, trusted)
    await power_kw(device)
    await bmc.stop()
    assert "connection" in await why(device)
    await bmc.start()
    assert await power_kw(device) == 6.2
    await device.close()


async def test_a_certificate_of_another_authority_is_not_trusted(
    bmc: RedfishDouble, trusted: str, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for trust in (str(other), None):  # the system's authorities did not sign it either
        device = RedfishPower("n", address(bmc.url, trust), Secret(PASSWORD), policy=AT_ONCE)
        assert "not trusted" in await why(device)
        assert not bmc.calls
        await device.close()


async def test_a_certificate_with_another_name_is_not_trusted(
    bmc: RedfishDouble, trusted: str
) -> None:
    device = node(f"https://127.0.0.1:{bmc.port}", trusted)
    assert "another name" in await why(device)
    await device.close()


def test_plain_http_is_refused() -> None:
    with pytest.raises(InputError, match="url"):
        address("http://192.0.2.1", None)


def test_an_authority_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for name in ("no.pem", "absent.pem"):
        with pytest.raises(InputError, match=r"power\.authority"):
            node("https://192.0.2.1", str(tmp_path / name))


async def test_two_readings_at_once_are_one_after_another(bmc: RedfishDouble, trusted: str) -> None:
    device = node(bmc.url, trusted)
    readings = await asyncio.gather(*(device.read() for _ in range(4)))
    assert all(isinstance(reading, NodePowerReading) for reading in readings)
    assert bmc.calls[f"POST {SESSIONS}"] == 1
    await device.close()

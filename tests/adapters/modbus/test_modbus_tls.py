"""Mutual TLS: both sides prove who they are, in whatever records the answer comes."""

import asyncio
import contextlib
import ssl
from importlib.metadata import version
from pathlib import Path

import pytest
import trustme
from modbus_cases import GUARDED, frame, here, registers

from ebplan.adapters.answers import Applied, Unreachable
from ebplan.adapters.modbus.connection import Connection, Lost, Words
from ebplan.adapters.modbus.sunspec_battery import SunSpecBattery
from ebplan.adapters.modbus.tls import TlsFiles, read_frames_by_length
from ebplan.errors import InputError
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.sunspec_plant import SunSpecPlant

Files = dict[str, str]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def ours(folder: Path, authority: trustme.CA, signed_by: trustme.CA | None = None) -> Files:
    """Write what a controller has: certificate, key and the authority it trusts."""
    certificate = (signed_by or authority).issue_cert("controller.site")
    paths = {name: folder / f"{name}.pem" for name in ("certificate", "key", "authority")}
    certificate.cert_chain_pems[0].write_to_path(paths["certificate"])
    certificate.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["authority"])
    paths["key"].chmod(0o600)
    return {name: str(path) for name, path in paths.items()}


def device(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_battery_is_driven_through_tls(tmp_path: Path, authority: trustme.CA) -> None:
    tls = ours(tmp_path, authority)
    async with SunSpecPlant(tls=device(authority)) as plant:
        battery = SunSpecBattery(here(plant.port, tls=tls), GUARDED)
        answer = await battery.hold(20.0, confirm_s=0.5)
        assert isinstance(answer, Applied)
        assert isinstance(await battery.renew(3.0), Applied)
        await battery.close()


async def test_a_device_of_another_authority_is_not_trusted(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = ours(tmp_path, authority)
    async with SunSpecPlant(tls=device(trustme.CA())) as plant:
        line = Connection(here(plant.port, tls=tls))
        why = f"no connection to 127.0.0.1:{plant.port}, or no trust in its certificate"
        assert await line.read(40000, 2) == Lost(why)
        await line.close()
        assert not plant.writes


async def test_a_device_with_another_name_is_not_trusted_unless_that_name_is_stated(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = ours(tmp_path, authority)
    async with SunSpecPlant(tls=device(authority, "inverter-7.site")) as plant:
        for name, answer in ((None, Lost), ("inverter-7.site", Words), ("inverter-8.site", Lost)):
            line = Connection(here(plant.port, tls={**tls, "server_name": name}))
            assert isinstance(await line.read(40000, 2), answer), name
            await line.close()


async def test_a_device_that_does_not_trust_us_shows_it_at_the_first_read(
    tmp_path: Path, authority: trustme.CA
) -> None:
    tls = ours(tmp_path, authority, signed_by=trustme.CA())
    async with SunSpecPlant(tls=device(authority)) as plant:
        battery = SunSpecBattery(here(plant.port, tls=tls, timeout_s=0.3), GUARDED)
        answer = await battery.hold(20.0)
        assert isinstance(answer, Unreachable)
        assert not answer.executed
        assert not plant.writes
        await battery.close()


@pytest.mark.parametrize(("connect_s", "opened"), [(None, 0), (3.0, 1)])
async def test_a_device_may_take_longer_to_open_than_to_answer(
    tmp_path: Path, authority: trustme.CA, connect_s: float | None, opened: int
) -> None:
    tls = ours(tmp_path, authority)
    async with (
        SunSpecPlant(tls=device(authority)) as plant,
        FaultProxy(("127.0.0.1", plant.port), slow_s=0.2) as bad,
    ):
        await bad.turn(Fault.SLOW)
        line = Connection(here(bad.port, tls=tls, timeout_s=0.1, connect_s=connect_s))
        assert isinstance(await line.read(40000, 2), Lost)
        assert line.opened == opened
        await line.close()


async def test_plain_text_reaches_no_device_that_speaks_tls(authority: trustme.CA) -> None:
    async with SunSpecPlant(tls=device(authority)) as plant:
        line = Connection(here(plant.port))
        assert isinstance(await line.read(40000, 2), Lost)
        await line.close()


async def test_an_answer_in_two_records_is_one_answer(
    tmp_path: Path, authority: trustme.CA
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                request = await reader.readexactly(12)
                answer = registers(request, 7, 8)
                writer.write(answer[:7])
                await writer.drain()
                await asyncio.sleep(0.02)
                writer.write(answer[7:])
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=device(authority))
    line = Connection(here(server.sockets[0].getsockname()[1], tls=ours(tmp_path, authority)))
    async with server:
        assert await line.read(0, 2) == Words((7, 8))
        assert await line.read(0, 2) == Words((7, 8))
        await line.close()
        await asyncio.sleep(0.02)


async def test_the_private_ways_of_the_library_are_still_there() -> None:
    from pymodbus.client import AsyncModbusTlsClient
    from pymodbus.framer import FramerSocket, FramerTLS

    assert (3, 14) <= tuple(int(part) for part in version("pymodbus").split(".")[:2]) < (3, 17)
    client = AsyncModbusTlsClient("127.0.0.1", sslctx=ssl.create_default_context())
    assert isinstance(client.ctx.framer, FramerTLS)
    read_frames_by_length(client)
    assert isinstance(client.ctx.framer, FramerSocket)
    assert client.ctx.call_create.keywords.keys() >= {"ssl"}  # takes the device's name as well
    client.close()


def test_tls_is_1_2_at_least_and_checks_the_name(tmp_path: Path, authority: trustme.CA) -> None:
    context = TlsFiles.parse(ours(tmp_path, authority)).context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("missing", ["certificate", "key", "authority"])
def test_a_missing_file_is_one_line(tmp_path: Path, authority: trustme.CA, missing: str) -> None:
    files = {**ours(tmp_path, authority), missing: str(tmp_path / "gone.pem")}
    with pytest.raises(InputError, match=f"tls.{missing}: got .*gone.pem"):
        TlsFiles.parse(files).context()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    files = ours(tmp_path, authority)
    Path(files["key"]).chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        TlsFiles.parse(files).context()


def test_a_key_that_does_not_fit_is_refused(tmp_path: Path, authority: trustme.CA) -> None:
    files = ours(tmp_path, authority)
    authority.issue_cert("another").private_key_pem.write_to_path(files["key"])
    with pytest.raises(InputError, match="the key must fit"):
        TlsFiles.parse(files).context()


def test_there_are_no_default_keys() -> None:
    with pytest.raises(InputError, match="add the field"):
        TlsFiles.parse({})


def test_a_scripted_frame_is_one() -> None:
    assert frame(b"\0\1\0\0\0\6\1", b"\x03\x02\0\7") == b"\0\1\0\0\0\5\1\x03\x02\0\7"

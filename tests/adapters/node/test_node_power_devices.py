"""Meters of nodes in a devices file, and what ``ebplan doctor`` says of them."""

from __future__ import annotations

import ssl
import threading
from asyncio import AbstractEventLoop, new_event_loop, run_coroutine_threadsafe
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from click.testing import CliRunner

from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.node.redfish import RedfishPower
from ebplan.adapters.open_devices import open_devices
from ebplan.cli import main
from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.twin.wire.redfish_double import PASSWORD, USER, RedfishDouble

NODE = """\
kind = "devices"
name = "bench"
[nodes.a]
driver = "capd"
socket = "{folder}/nobody.sock"
cap_low_w = 300.0
[nodes.a.power]
{power}
"""


@pytest.fixture
def loop() -> Iterator[AbstractEventLoop]:
    """A loop on a thread of its own: the command under test runs one itself."""
    loop = new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def devices(folder: Path, power: str) -> Path:
    path = folder / "devices.toml"
    path.write_text(NODE.format(folder=folder, power=power))
    return path


def test_doctor_says_what_the_node_draws(tmp_path: Path, loop: AbstractEventLoop) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    bmc = RedfishDouble(tls=context)
    bmc.limit_w = 9000
    run_coroutine_threadsafe(bmc.start(), loop).result()
    path = devices(
        tmp_path,
        f'driver = "redfish"\nurl = "{bmc.url}"\nuser = "{USER}"\nauthority = "ca.pem"\n'
        f'password = {{ file = "{tmp_path}/password" }}',
    )
    done = CliRunner().invoke(main, ["doctor", str(path)])
    run_coroutine_threadsafe(bmc.stop(), loop).result()
    assert done.exit_code == 5  # the GPUs of the node do not answer
    assert "power a          6.200 kW at ac, limited to 9 kW" in done.output
    assert PASSWORD not in done.output
    assert not bmc.sessions


def test_doctor_says_of_what_a_part_is(tmp_path: Path) -> None:
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0")
    (zone / "max_energy_range_uj").write_text("1000000000")
    (zone / "energy_uj").write_text("5")
    path = devices(tmp_path, f'driver = "rapl"\nroot = "{tmp_path}/powercap"\nwindow_s = 0.01')
    done = CliRunner().invoke(main, ["doctor", str(path)])
    assert "power a          it says 0 W: allowed is more than 0 and at most 2 kW" in done.output


async def test_it_is_read_beside_the_others_and_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BMC", "a-password-of-mine")
    told = 'driver = "ipmi_dcmi"\nhost = "192.0.2.1"\nuser = "u"\npassword = { env = "BMC" }'
    spec = DevicesSpec.parse(read_data(devices(tmp_path, told)))
    opened = open_devices(spec, folder=tmp_path)
    assert set(opened.node_meters()) == {"power a"}
    assert set(opened.readable()) == {"node a"}  # a silent controller may not stop a control loop
    assert set(opened.actuators()) == {"node a"}
    assert "a-password-of-mine" not in repr(vars(opened.node_power["a"]))
    await opened.close()


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ('driver = "snmp"', r"nodes\.a\.power"),
        ('driver = "rapl"\nroom = "x"', r"nodes\.a\.power\.room"),
        ('driver = "redfish"\nurl = "https://u:p@host"', r"nodes\.a\.power\.url"),
        (
            'driver = "redfish"\nurl = "https://h"\nuser = "u"\npassword = { env = "ABSENT" }',
            r"nodes\.a\.power\.password",
        ),
    ],
)
def test_mistakes_name_the_field(tmp_path: Path, told: str, field: str) -> None:
    path = devices(tmp_path, told)
    with pytest.raises(InputError, match=field):
        open_devices(DevicesSpec.parse(read_data(path)), folder=tmp_path)


async def test_the_authority_counts_from_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BMC", "a-password-of-mine")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    told = 'driver = "redfish"\nurl = "https://h"\nuser = "u"\npassword = { env = "BMC" }\n'
    spec = DevicesSpec.parse(read_data(devices(tmp_path, told + 'authority = "ca.pem"')))
    power = open_devices(spec, folder=tmp_path).node_power["a"]
    assert isinstance(power, RedfishPower)
    assert power.address.authority == str(tmp_path / "ca.pem")

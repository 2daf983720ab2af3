"""The example units start what exists, with the options that it has, and shut it in."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebplan.adapters.daemon import capd, waked
from ebplan.document import read_toml

FOLDER = Path(__file__).parents[3] / "examples" / "deploy"
OPTIONS: dict[str, Callable[[list[str]], Any]] = {
    "ebplan-capd": capd._options,
    "ebplan-waked": waked._options,
}
UNITS = ["ebplan-capd.service", "ebplan-waked.service"]


def settings(unit: str) -> dict[str, list[str]]:
    """Return every setting of a unit with its values in their order."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (FOLDER / unit).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif line and not line.startswith("#"):
            assert section in ("[Unit]", "[Service]", "[Install]")
            name, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(name, []).append(value)
    return found


def started(unit: str, setting: str) -> tuple[str, Any]:
    program, *arguments = shlex.split(settings(unit)[setting][0])
    name = Path(program).name
    return name, OPTIONS[name](arguments)


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_starts_its_daemon_and_never_gives_up(unit: str) -> None:
    found = settings(unit)
    name, options = started(unit, "ExecStart")
    assert name == unit.removesuffix(".service")
    assert found["Type"] == ["notify"]
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert float(found["WatchdogSec"][0]) > 0.0
    assert float(found["TimeoutStopSec"][0]) > options.stop_s
    assert options.socket.parent == Path("/run") / found["RuntimeDirectory"][0]


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_shuts_its_daemon_in(unit: str) -> None:
    found = settings(unit)
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "ProtectKernelModules"):
        assert found[name] == ["yes"]
    assert found["ProtectSystem"] == ["strict"]
    assert "AF_UNIX" in found["RestrictAddressFamilies"][0]


def test_only_one_right_is_given_and_only_to_one_daemon() -> None:
    caps, wakes = (settings(unit) for unit in UNITS)
    assert caps["CapabilityBoundingSet"] == ["CAP_SYS_ADMIN"]
    assert wakes["CapabilityBoundingSet"] == [""]
    assert all("nvidia" in device for device in caps["DeviceAllow"])
    assert caps["DevicePolicy"] == ["closed"]


def test_what_restores_after_a_death_finds_what_was_left() -> None:
    _, serving = started(UNITS[0], "ExecStart")
    _, restoring = started(UNITS[0], "ExecStopPost")
    assert restoring.restore
    assert (restoring.socket, restoring.baseline) == (serving.socket, serving.baseline)
    assert restoring.restore_s > 0.0
    state = Path("/var/lib") / settings(UNITS[0])["StateDirectory"][0]
    assert serving.baseline.parent == state


def test_what_wakes_keeps_its_state() -> None:
    _, options = started(UNITS[1], "ExecStart")
    engines = read_toml(FOLDER / "devices.toml")["engines"]
    assert dict(options.engine) == {name: engine["url"] for name, engine in engines.items()}
    assert options.state.parent == Path("/var/lib") / settings(UNITS[1])["StateDirectory"][0]


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_knows_every_setting(unit: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    text = (FOLDER / unit).read_text()
    (tmp_path / unit).write_text(text.replace("/opt/ebplan/bin/ebplan-", "/bin/true --"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unknown" not in done.stderr

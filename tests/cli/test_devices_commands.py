"""``ebplan commission`` and ``ebplan doctor FILE`` on a simulated battery, and on mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ebplan.cli import main

pytestmark = pytest.mark.slow

DEVICES = """\
kind = "devices"
name = "bench"
[battery]
driver = "sunspec"
address = {{ host = "127.0.0.1", port = {port} }}
settings = {{ max_charge_kw = 7.0, max_discharge_kw = 7.0 }}
{more}
"""
METER = """
[meter]
driver = "sunspec"
address = {{ host = "127.0.0.1", port = {port} }}
"""


def start(*words: str) -> tuple[subprocess.Popen[str], int]:
    plant = subprocess.Popen(
        [sys.executable, "-m", "ebplan.twin.wire.sunspec_plant", "--power-kw", "10", *words],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert plant.stdout is not None
    return plant, int(json.loads(plant.stdout.readline())["port"])


def stop(plant: subprocess.Popen[str]) -> None:
    plant.terminate()
    plant.communicate()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    plant, port = start("--meter-follows")
    yield port
    stop(plant)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def devices(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "devices.toml"
    path.write_text(DEVICES.format(port=port, more=more))
    return path


def test_a_battery_is_tried_and_then_told(port: int, tmp_path: Path) -> None:
    path = devices(tmp_path, port, METER.format(port=port))
    before = run("doctor", path)
    assert before.exit_code == 0, before.output
    assert "told nothing: it was not commissioned" in before.output
    assert "5.00 kW drawn" in before.output
    record = tmp_path / "record.json"
    tried = run("commission", path, "-o", record, "--yes", "--term", 2, "--settle", 0.5)
    assert tried.exit_code == 0, tried.output
    assert "may be armed" in tried.output
    path.write_text(
        DEVICES.format(port=port, more="").replace(
            "settings", 'commissioning = "record.json"\nsettings'
        )
    )
    after = run("doctor", path)
    assert after.exit_code == 0
    assert "told nothing" not in after.output


def test_a_timer_for_show_is_found_and_the_remedy_named(tmp_path: Path) -> None:
    plant, port = start("--reversion", "cosmetic")
    try:
        tried = run("commission", devices(tmp_path, port), "--yes", "--term", 2, "--settle", 0.5)
    finally:
        stop(plant)
    assert tried.exit_code == 5
    assert "must NOT be armed" in tried.output
    assert "settings.guardian" in tried.output


def test_nobody_there_is_said_in_one_line(tmp_path: Path) -> None:
    plant, port = start()
    stop(plant)
    path = devices(tmp_path, port)
    looked = run("doctor", path)
    assert looked.exit_code == 5
    assert f"no connection to 127.0.0.1:{port}" in looked.output
    tried = run("commission", path, "--yes")
    assert tried.exit_code == 5
    assert tried.output.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("driver", "drivr"), "did you mean"),
        (('"sunspec"', '"sunspek"'), "battery.driver"),
        (("port =", "prt ="), "port"),
        (("= 7.0", '= "7 kW"'), "a number, not text"),
        (("[battery]", "[nodes]\n[battery]\nregister_map = 'x.toml'"), "register_map"),
    ],
)
def test_mistakes_are_one_line(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    path = devices(tmp_path, 502)
    path.write_text(path.read_text().replace(*change, 1))
    said = run("commission", path, "--yes")
    assert said.exit_code == 2, said.output
    assert said.output.count("\n") == 1
    assert "devices.toml" in said.output
    assert words in said.output


@pytest.mark.parametrize("words", [("--term", 0), ("--settle", "nan"), ("--probe-kw", "inf")])
def test_options_that_make_no_sense_are_refused_before_anything_moves(
    words: tuple[str, object], tmp_path: Path
) -> None:
    assert run("commission", devices(tmp_path, 502), "--yes", *words).exit_code == 2


def test_a_site_without_a_battery_says_so(tmp_path: Path) -> None:
    path = tmp_path / "devices.toml"
    path.write_text('kind = "devices"\nname = "bench"\n')
    said = run("commission", path, "--yes")
    assert said.exit_code == 2
    assert "battery: got nothing" in said.output


def test_a_file_that_is_named_and_missing(tmp_path: Path) -> None:
    path = devices(tmp_path, 502)
    path.write_text(path.read_text().replace("settings", 'commissioning = "no.json"\nsettings'))
    said = run("commission", path, "--yes")
    assert said.exit_code == 2
    assert "no.json" in said.output

"""Tables and specs for every fit, written to files and refused in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ebplan import cli
from ebplan.errors import InputError
from ebplan.models.fit.spec import run_spec
from ebplan.models.ramp import reached

Table = dict[str, list[Any]]

OPTIONS = {
    "caps": 'hardware = "a GPU"',
    "clocks": 'hardware = "a GPU"',
    "standby": 'hardware = "a GPU"',
    "ramp": 'hardware = "a GPU"',
    "precision": 'hardware = "a GPU"\nmodel = "m"\nbase = "bf16"\nlower = "fp8"\n'
    "idle_kw_per_gpu = 0.08",
    "losses": 'equipment = "power supplies"\nouter = "ac"',
    "calendar_ageing": "",
    "cycle_ageing": "temperature_c = [20.0, 30.0]",
    "battery_cycles": "converter_rated_kw = 100.0",
    "battery_series": "converter_rated_kw = 100.0",
}
CONFIGURATION = """
[[options.configurations]]
name = "{name}"
model = "{model}"
gpu = "H100"
gpus = 1
gpu_limit_w = 700.0
memory_bandwidth_tb_per_s = 3.35
precision = "bf16"
architecture = "dense"
parameters = 8.0
active_parameters = 8.0
{tokens}
"""
FLEET = 'hardware = "a GPU"\nworkload = "chat"\nidle_w_per_gpu = 100.0\n'
FLEET += 'idle_provenance = "measured"\ntokens_provenance = "measured"\n'
DAYS = np.linspace(0.0, 600.0, 8)


def described(name: str = "a", tokens: str = "tokens_out = 400.0", model: str = "m") -> str:
    return CONFIGURATION.format(name=name, tokens=tokens, model=model)


def sweep() -> Table:
    caps = [100.0, 150.0, 200.0, 250.0, 300.0, 400.0]
    power = [98.0, 148.0, 197.0, 246.0, 295.0, 330.0]
    return {"cap": caps, "power": power, "throughput": [5.0, 7.0, 8.3, 9.2, 9.8, 10.0]}


def standby() -> Table:
    rng = np.random.default_rng(1)
    watts = [*(70.0 + rng.normal(size=30)), *(110.0 + rng.normal(size=30))]
    return {"mode": ["idle"] * 30 + ["loaded_idle"] * 30, "power": watts}


def ramp() -> Table:
    time = np.arange(0.0, 60.0, 0.1)
    command = np.where((time >= 20.0) & (time < 40.0), 200.0, 280.0)
    power = 278.0 - 80.0 * (reached(time - 20.0, 0.3, 0.8) - reached(time - 40.0, 0.3, 1.0))
    power = power + np.random.default_rng(2).normal(size=len(time))
    return {"time": time.tolist(), "power": power.tolist(), "command": command.tolist()}


def losses() -> Table:
    rng = np.random.default_rng(3)
    inner = np.repeat([1500.0, 3000.0, 5500.0, 2200.0, 4500.0, 3800.0], 20) + rng.normal(size=120)
    outer = 1.08 * inner + 350.0 + 30.0 * rng.normal(size=120)
    time = np.arange(120.0).tolist()
    return {"time": time, "inner_power": inner.tolist(), "outer_power": outer.tolist()}


def precision() -> Table:
    loads = [16.0, 32.0, 64.0, 128.0]
    return {
        "precision": ["bf16"] * 4 + ["fp8"] * 4,
        "concurrency": loads * 2,
        "throughput": [900.0, 1500.0, 2400.0, 3500.0, 1300.0, 2100.0, 3300.0, 4900.0],
        "power": [400.0, 450.0, 480.0, 500.0, 390.0, 440.0, 470.0, 490.0],
    }


def serving() -> Table:
    loads = [4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    return {
        "concurrency": loads,
        "power": [400.0 + 250.0 * c / (c + 40.0) for c in loads],
        "throughput": [c / (0.008 + 0.00012 * c) for c in loads],
    }


def at_rest(unit_s: float = 86400.0) -> Table:
    rows: Table = {n: [] for n in ("condition", "temperature", "soc", "elapsed", "capacity")}
    for i, (celsius, soc) in enumerate((t, s) for t in (10.0, 25.0, 40.0) for s in (0.2, 0.6, 0.9)):
        rate = 0.02 * np.exp(0.04 * (celsius - 25.0)) * (1.0 + 3.0 * (soc - 0.5) ** 3)
        rows["condition"] += [f"c{i}"] * len(DAYS)
        rows["temperature"] += [celsius] * len(DAYS)
        rows["soc"] += [soc] * len(DAYS)
        rows["elapsed"] += (DAYS * 86400.0 / unit_s).tolist()
        rows["capacity"] += (1.0 - rate * np.sqrt(DAYS / 365.0)).tolist()
    return rows


def cycled() -> Table:
    """Cells of 25 degrees Celsius, half full on average, with no rest between the cycles."""
    rows: Table = {
        name: [] for name in ("condition", "c_rate", "depth", "full_cycles", "capacity", "elapsed")
    }
    for i, (c_rate, depth) in enumerate((c, d) for c in (0.5, 1.0, 2.0) for d in (0.3, 0.6, 1.0)):
        cycles = np.linspace(0.0, 2000.0, 8)
        days = cycles * 2.5 / c_rate / 24.0
        lost = (0.002 + 0.001 * c_rate) * depth**0.5 * np.sqrt(cycles)
        lost += 0.018 * np.sqrt(days / 365.0)
        rows["condition"] += [f"c{i}"] * 8
        rows["c_rate"] += [c_rate] * 8
        rows["depth"] += [depth] * 8
        rows["full_cycles"] += cycles.tolist()
        rows["capacity"] += (1.0 - lost).tolist()
        rows["elapsed"] += days.tolist()
    rows["temperature"] = [25.0] * len(rows["elapsed"])
    rows["soc"] = [0.6] * len(rows["elapsed"])
    return rows


TABLES = {
    "caps": sweep, "standby": standby, "ramp": ramp, "precision": precision, "serving": serving,
    "fleet": serving, "calendar_ageing": at_rest, "losses": losses,
}  # fmt: skip


def spec(
    folder: Path,
    fit: str,
    table: Mapping[str, Sequence[object]],
    units: Mapping[str, str],
    options: str | None = None,
    point: str = "gpu",
) -> Path:
    """Write a table and its spec; powers, caps and commands are in W unless said otherwise."""
    lines = [",".join(table)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*table.values(), strict=True)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    units = {"power": "W", "cap": "W", "command": "W", "elapsed": "d", **units}
    units = {"inner_power": "W", "outer_power": "W", **units}
    columns = [
        f'{name} = {{ column = "{name}", unit = "{units[name]}" }}'
        if name in units
        else f'{name} = "{name}"'
        for name in table
    ]
    if options is None:
        options = OPTIONS.get(fit, (FLEET if fit == "fleet" else "") + described())
    point = "ac" if "age" in fit or "battery" in fit else point
    path = folder / "fit.toml"
    path.write_text(
        f'kind = "fit"\nfit = "{fit}"\ndata = "table.csv"\nsource = "a test"\n'
        f'measurement_point = "{point}"\n[columns]\n'
        + "\n".join(columns)
        + f'\n[options]\nname = "mine"\ntitle = "Mine"\n{options}\n',
        encoding="utf-8",
    )
    return path


def refusal(path: Path) -> str:
    """Return the one line of a refusal, the same from Python and on the command line."""
    with pytest.raises(InputError) as error:
        run_spec(path)
    done = CliRunner().invoke(cli.main, ["fit", str(path)])
    assert done.exit_code == 2
    assert done.output == f"error: {error.value}\n"
    assert not (path.parent / "mine.json").exists()
    return str(error.value)

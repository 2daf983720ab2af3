"""A small made-up table for every fit, and the artefact that comes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.models.battery_efficiency import cells_take, converter_loss
from ebplan.models.board import log_power, log_rate
from ebplan.models.calendar_ageing import calendar_rates
from ebplan.models.cycle_ageing import cycle_rates
from ebplan.models.fit.spec import run_spec
from ebplan.models.library import Artefact
from ebplan.models.ramp import reached

Table = Mapping[str, Sequence[object] | np.ndarray]
LOADS = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
SERVED = {
    "model": "Some-8B",
    "gpu": "H100",
    "gpus": 1,
    "gpu_limit_w": 700.0,
    "memory_bandwidth_tb_per_s": 3.35,
    "precision": "bf16",
    "architecture": "dense",
    "parameters": 8.0,
    "active_parameters": 8.0,
    "tokens_out": 400.0,
}
BATTERY = np.array([np.log(400.0), np.log(0.965), 0.0, 0.02, 0.004])
YEAR_S = 365.25 * 86400.0


def noise(count: int, spread: float, seed: int = 1) -> np.ndarray:
    return np.asarray(np.exp(spread * np.random.default_rng(seed).standard_normal(count)))


def serving() -> Table:
    """One configuration, the power of whose last but one row is a third too high."""
    c = np.array(LOADS)
    power = (0.4 + 0.25 * c / (c + 40.0)) * noise(6, 0.005)
    power[-2] *= 1.33
    return {
        "concurrency": LOADS,
        "power": power,
        "throughput": c / (0.008 + 0.00012 * c) * noise(6, 0.005, 2),
    }


def sweep(caps: np.ndarray, clocks: np.ndarray | None) -> dict[str, np.ndarray]:
    share = np.ones(len(caps)) if clocks is None else clocks / clocks.max()
    theta = np.array([-0.02, 0.0, np.log(12.0), np.log(2.3), -1.2])
    true = np.exp(log_power(theta if clocks is not None else theta[:3], caps / 0.42, share))
    rate = np.exp(log_rate(np.array([np.log(80.0), -1.1, -0.6]), true))
    return {
        "power": 0.42 * true * noise(len(caps), 0.01),
        "throughput": rate * noise(len(caps), 0.005, 2),
    }


def caps() -> Table:
    """Eight caps, the three highest of which do nothing; one throughput is a third too low."""
    cap = np.array([0.15, 0.2, 0.25, 0.3, 0.35, 0.45, 0.5, 0.6])
    columns = sweep(cap, None)
    columns["throughput"][2] *= 0.67
    return {"cap": cap, **columns}


def clocks() -> Table:
    clock = np.array([900.0, 1000.0, 1100.0, 1200.0, 1300.0, 1400.0, 1500.0])
    return {"clock": clock, **sweep(np.full(7, np.inf), clock)}


def precision() -> Table:
    c = np.array(LOADS)
    return {
        "precision": ["bf16"] * 6 + ["fp8"] * 6,
        "concurrency": [*LOADS, *LOADS],
        "throughput": np.concatenate([c**0.7, 1.4 * c**0.7]) * noise(12, 0.01),
        "power": 0.1 + np.concatenate([0.1 * c**0.3, 0.095 * c**0.3]) * noise(12, 0.01, 2),
    }


def ramp() -> Table:
    """A step down and one up, and a dip of the workload after the second."""
    time = np.arange(0.0, 40.0, 0.05)
    low = 0.4 - 0.15 * reached(time - 10.0, 0.3, 0.8) + 0.15 * reached(time - 25.0, 0.3, 0.8)
    power = low * noise(len(time), 0.01)
    dip = (time > 28.5) & (time < 29.2)
    power[dip] = 0.08 * noise(int(dip.sum()), 0.01)
    command = np.where((time >= 10.0) & (time < 25.0), 0.25, 0.4)
    return {"time": time, "power": power, "command": command}


def standby() -> Table:
    levels = {"idle": 0.08, "loaded_idle": 0.12, "asleep": 0.07}
    return {
        "mode": [mode for mode in levels for _ in range(30)],
        "power": np.repeat([*levels.values()], 30) * noise(90, 0.01),
    }


def losses() -> Table:
    """Two meters read each second under plateaus; the outer one shows a third too much once."""
    inner = np.repeat([1.5, 3.0, 5.5, 2.2, 4.5, 3.8], 20) * noise(120, 0.002)
    outer = (1.08 * inner + 0.35) * noise(120, 0.01, 2)
    outer[50] *= 1.33
    return {"time": np.arange(120.0), "inner_power": inner, "outer_power": outer}


def battery_series() -> Table:
    rng = np.random.default_rng(3)
    power, soc = np.zeros(2000), np.full(2000, 0.5)
    for i in range(1, 2000):
        if i % 15 == 1:
            level, sign = rng.choice([0.05, 0.3, 0.6, 1.0]), rng.choice([-1.0, 1.0])
        sign = 1.0 if soc[i - 1] > 0.9 else -1.0 if soc[i - 1] < 0.1 else sign
        power[i] = sign * level
        took = float(cells_take(BATTERY, power[i - 1 : i + 1]).mean())
        soc[i] = soc[i - 1] + 200.0 * took / 60.0 / 400.0
    return {
        "time": 60.0 * np.arange(2000),
        "battery_power": 200.0 * power,
        "soc": soc + rng.normal(0.0, 0.001, 2000),
    }


def battery_cycles() -> Table:
    """Forty cycles at four powers; the meter of one lost a fifth of what came out."""
    power, depth = np.tile([0.1, 0.2, 0.5, 1.0], 10), np.linspace(0.3, 0.9, 40)
    share = converter_loss(BATTERY, power) / power
    out = depth * 400.0 * 0.965 / (1.0 + share) * noise(40, 0.003)
    out[7] *= 0.8
    return {
        "energy_in": depth * 400.0 / (1.0 - share) / 0.965 * noise(40, 0.003, 2),
        "energy_out": out,
        "power": 200.0 * power,
        "depth": depth,
    }


def check_ups(stresses: dict[str, np.ndarray], rates: np.ndarray, clock: str, end: float) -> Table:
    """Six check-ups of each condition, the fourth of the first 7 percentage points too low."""
    x, count = np.linspace(0.0, end, 6), len(rates)
    capacity = 1.0 - np.outer(rates * noise(count, 0.03), np.sqrt(x))
    capacity += 0.001 * np.random.default_rng(4).standard_normal(capacity.shape)
    capacity[:, 0] = 1.0
    capacity[0, 3] -= 0.07
    return {
        "condition": [f"c{i}" for i in range(count) for _ in x],
        clock: np.tile(x, count),
        "capacity": capacity.ravel(),
        **{name: np.repeat(value, 6) for name, value in stresses.items()},
    }


def calendar_ageing() -> Table:
    temperature, soc = np.repeat([10.0, 25.0, 45.0], 3), np.tile([0.1, 0.5, 0.9], 3)
    rates = calendar_rates(np.array([np.log(0.03), 4.0, 4.5]), temperature, soc)
    return check_ups({"temperature": temperature, "soc": soc}, rates, "elapsed", 2.0 * YEAR_S)


def cycle_ageing() -> Table:
    c_rate, depth = np.repeat([0.25, 1.0, 2.0], 3), np.tile([0.2, 0.6, 1.0], 3)
    rates = cycle_rates(np.array([np.log(0.03), 0.6, 0.5]), c_rate, depth)
    return check_ups({"c_rate": c_rate, "depth": depth}, rates, "full_cycles", 4000.0)


Made = tuple[Callable[[], Table], dict[str, Any]]
HARDWARE = {"hardware": "one GPU"}
MADE_UP: dict[str, Made] = {
    "serving": (serving, {"configurations": [{"name": "bf16", **SERVED}]}),
    "fleet": (
        serving,
        {
            "configurations": [{"name": "bf16", **SERVED}],
            "workload": "chat",
            "idle_w_per_gpu": 100.0,
            "idle_provenance": "assumed",
            "tokens_provenance": "assumed",
            "instances": 2,
            **HARDWARE,
        },
    ),
    "caps": (caps, HARDWARE),
    "clocks": (clocks, HARDWARE),
    "precision": (
        precision,
        {
            "model": "a model",
            "base": "bf16",
            "lower": "fp8",
            "idle_kw_per_gpu": 0.1,
            "busy_from": 16.0,
            **HARDWARE,
        },
    ),
    "ramp": (ramp, HARDWARE),
    "standby": (standby, HARDWARE),
    "losses": (losses, {"equipment": "power supplies and fans", "outer": "ac"}),
    "battery_series": (battery_series, {"converter_rated_kw": 200.0}),
    "battery_cycles": (battery_cycles, {"converter_rated_kw": 200.0}),
    "calendar_ageing": (calendar_ageing, {}),
    "cycle_ageing": (cycle_ageing, {"temperature_c": [25.0, 25.0]}),
}
"""Table and options, by what is fitted."""


def fitted(
    folder: Path,
    fit: str,
    *,
    table: Table | None = None,
    options: Mapping[str, Any] | None = None,
) -> Artefact:
    """Write a table and its spec, the made-up ones where none are given; ``ebplan fit`` them."""
    make, known = MADE_UP[fit]
    table = table or make()
    lines = [",".join(table)]
    lines += [",".join(str(c) for c in row) for row in zip(*table.values(), strict=True)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    told = {"name": "made-up", "title": "Made up", **known, **(options or {})}
    configurations = told.pop("configurations", [])
    at_the_cells = fit.startswith("battery") or fit.endswith("ageing")
    spec = [
        'kind = "fit"',
        f'fit = "{fit}"',
        'data = "table.csv"',
        'source = "made up"',
        f'measurement_point = "{"ac" if at_the_cells else "gpu"}"',
        "[columns]",
        *(f'{name} = "{name}"' for name in table),
        "[options]",
        *(f"{name} = {json.dumps(value)}" for name, value in told.items()),
    ]
    for one in configurations:
        spec.append("[[options.configurations]]")
        spec += [f"{name} = {json.dumps(value)}" for name, value in one.items()]
    path = folder / "spec.toml"
    path.write_text("\n".join(spec) + "\n", encoding="utf-8")
    return run_spec(path)

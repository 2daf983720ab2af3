"""Cells and batteries with known parameters: how often the intervals hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.validation.line import Line
from ebplan.models.battery_efficiency import cells_take, converter_loss
from ebplan.models.calendar_ageing import CalendarAgeing, calendar_rates
from ebplan.models.curves import FloatArray
from ebplan.models.cycle_ageing import cycle_rates
from ebplan.models.fit.battery_cycles import fit_battery_cycles
from ebplan.models.fit.battery_efficiency import BatteryOptions
from ebplan.models.fit.battery_series import fit_battery_series
from ebplan.models.fit.calendar_ageing import CalendarOptions, fit_calendar_ageing
from ebplan.models.fit.cycle_ageing import CycleOptions, fit_cycle_ageing
from ebplan.models.fit.measurements import Measurements
from ebplan.models.wear import SECONDS_PER_YEAR

REPEATS = 200
GOALS = tuple(0.9 + sign * 2.0 * (0.9 * 0.1 / REPEATS) ** 0.5 for sign in (-1.0, 1.0))
"""Share of 90 % intervals that must hold: within two standard deviations of that many draws. More
would be intervals that are too wide."""
RATED_KW, ENERGY_KWH = 200.0, 400.0
BATTERY = np.array([np.log(ENERGY_KWH), np.log(0.965), 0.0, 0.02, 0.004])
"""ln(energy), ln(cell efficiency), linear, quadratic and no-load loss over rated power."""
CYCLES = np.array([np.log(0.04), 0.6, 0.5])
"""ln(loss after 1,000 full cycles without current), exponent of depth, growth with the rate."""
REST = np.array([np.log(0.03), 4.0, 4.5])
"""ln(loss in the first year at 25 degrees Celsius and SoC 0.5), 10 kJ/mol, and the cubic."""
REST_OFF = 0.004 / SECONDS_PER_YEAR**0.5
"""How far a condition at rest lies off its law, share of capacity per root of a second."""
OPTIONS = BatteryOptions(name="simulated", title="Simulated battery", converter_rated_kw=RATED_KW)


def run(_: Path) -> Iterator[Line | str]:
    """Yield how often intervals hold the truth."""
    held = [_cycle_ageing(np.random.default_rng(seed)) for seed in range(REPEATS)]
    yield _line("cycle wear of a condition not measured, 12 conditions of 8 check-ups", held)
    held = [_cycle_ageing_less_rest(np.random.default_rng(seed)) for seed in range(REPEATS)]
    yield _line("the same with loss at rest in the tests, taken off by a fit of 9 conditions", held)
    for what, simulate in (("60 cycles", cycle_table), ("two days by the minute", day_series)):
        found = []
        for seed in range(REPEATS):
            data = simulate(np.random.default_rng(seed))
            fit = fit_battery_cycles if "cycles" in what else fit_battery_series
            model = fit(data, OPTIONS)
            true = float(np.exp(2.0 * BATTERY[1]) * (1 - LOSS) / (1 + LOSS))
            said = model.round_trip(0.5 * RATED_KW)
            found.append(
                (
                    model.energy_kwh.low <= ENERGY_KWH <= model.energy_kwh.high,
                    bool(said.low <= true <= said.high),
                )
            )
        yield _line(f"battery from {what}: energy", [e for e, _ in found])
        yield _line(f"battery from {what}: round trip at half power", [r for _, r in found])
    yield (
        "No table of measured cycle wear and none of a measured battery is at hand: these lines "
        "show that the fits do what they say, not that batteries follow their laws."
    )


LOSS = float(converter_loss(BATTERY, np.array([0.5]))[0] / 0.5)
"""Loss of the simulated converter at half power, a share of that."""


def measurements(
    values: Mapping[str, FloatArray], labels: Mapping[str, FloatArray] | None = None
) -> Measurements:
    """Return simulated rows as measurements."""
    count = len(next(iter(values.values())))
    return Measurements(
        file="simulated",
        sha256="0" * 64,
        source="simulated",
        measurement_point="ac",
        measurement_note="Simulated.",
        values=values,
        labels={k: np.asarray(v, dtype=str) for k, v in (labels or {}).items()},
        lines=np.arange(count),
        rows_read=count,
    )


def cycle_tests(rng: np.random.Generator, conditions: int = 12) -> dict[str, FloatArray]:
    """Return check-ups of cells that err by condition and by check-up."""
    rows: dict[str, list[float]] = {n: [] for n in ("c_rate", "depth", "full_cycles", "capacity")}
    names = []
    for i in range(conditions):
        c_rate, depth = rng.uniform(0.25, 2.0), rng.uniform(0.1, 1.0)
        rate = float(cycle_rates(CYCLES, np.array([c_rate]), np.array([depth]))[0])
        rate += rng.normal(0.0, 1e-4)
        for cycles in np.linspace(0.0, 4000.0, 9):
            off = 0.0 if cycles == 0.0 else rng.normal(0.0, 0.002)
            for name, value in zip(
                rows, (c_rate, depth, cycles, 1.0 - rate * cycles**0.5 + off), strict=True
            ):
                rows[name].append(float(value))
            names.append(float(i))
    return {**{n: np.array(v) for n, v in rows.items()}, "condition": np.array(names)}


def _cycle_ageing(rng: np.random.Generator) -> bool:
    """Return whether the interval holds the end of a condition that was not measured."""
    rows = cycle_tests(rng, conditions=13)
    labels = {"condition": rows.pop("condition")}
    last = labels["condition"] == labels["condition"].max()
    data = measurements(rows, labels)
    options = CycleOptions(name="simulated", title="Simulated cell", temperature_c=(25.0, 25.0))
    model = fit_cycle_ageing(data.where(~last), options)
    c_rate, depth = float(rows["c_rate"][-1]), float(rows["depth"][-1])
    said = model.capacity(c_rate, depth, 4000.0, allow_extrapolation=True)
    return bool(said.holds(rows["capacity"][-1]))


def rest_tests(rng: np.random.Generator) -> CalendarAgeing:
    """Return loss at rest, fitted to cells that err by condition and by check-up."""
    places = [(t, s) for t in (10.0, 25.0, 40.0) for s in (0.1, 0.5, 1.0)]
    seconds = np.linspace(0.0, 3.0 * SECONDS_PER_YEAR, 9)
    temperature, soc = (np.repeat(v, len(seconds)) for v in np.array(places).T)
    rates = calendar_rates(REST, *np.array(places).T) + rng.normal(0.0, REST_OFF, len(places))
    off = rng.normal(0.0, 0.002, (len(places), len(seconds)))
    off[:, 0] = 0.0
    values = {
        "temperature": temperature,
        "soc": soc,
        "elapsed": np.tile(seconds, len(places)),
        "capacity": (1.0 - np.outer(rates, np.sqrt(seconds)) + off).ravel(),
    }
    labels = {"condition": np.repeat(np.arange(len(places), dtype=float), len(seconds))}
    options = CalendarOptions(name="simulated-rest", title="Simulated cell")
    return fit_calendar_ageing(measurements(values, labels), options)


def _cycle_ageing_less_rest(rng: np.random.Generator) -> bool:
    """Return whether the interval of cycling holds where the tests rested in one place, too."""
    rest, rows = rest_tests(rng), cycle_tests(rng, conditions=13)
    labels = {"condition": rows.pop("condition")}
    last = labels["condition"] == labels["condition"].max()
    truth, count = rows["capacity"].copy(), len(last)
    rows["elapsed"] = rows["full_cycles"] / 4000.0 * 2.0 * SECONDS_PER_YEAR
    rows["temperature"], rows["soc"] = np.full(count, 30.0), np.full(count, 0.6)
    rate = calendar_rates(REST, np.array([30.0]), np.array([0.6]))[0] + rng.normal(0.0, REST_OFF)
    rows["capacity"] = truth - rate * np.sqrt(rows["elapsed"])
    options = CycleOptions(name="simulated", title="Simulated cell")
    model = fit_cycle_ageing(measurements(rows, labels).where(~last), options, calendar=rest)
    c_rate, depth = float(rows["c_rate"][-1]), float(rows["depth"][-1])
    said = model.capacity(c_rate, depth, 4000.0, allow_extrapolation=True)
    return bool(said.holds(truth[-1]))


def cycle_table(rng: np.random.Generator, count: int = 60) -> Measurements:
    """Return cycles at four powers with meters that err by 0.3 %."""
    power: FloatArray = rng.choice([0.1, 0.2, 0.5, 1.0], count)
    depth: FloatArray = rng.uniform(0.3, 0.9, count)
    share = converter_loss(BATTERY, power) / power
    efficiency = float(np.exp(BATTERY[1]))
    meters: FloatArray = np.exp(rng.normal(0.0, 0.003, (2, count)))
    return measurements(
        {
            "energy_in": depth * ENERGY_KWH / (1.0 - share) / efficiency * meters[0],
            "energy_out": depth * ENERGY_KWH * efficiency / (1.0 + share) * meters[1],
            "power": RATED_KW * power,
            "depth": depth,
        }
    )


def day_series(rng: np.random.Generator, count: int = 2880, step_s: float = 60.0) -> Measurements:
    """Return minutes of a battery that goes up and down, with a state of charge read to 0.2 %."""
    power: FloatArray = np.zeros(count)
    soc: FloatArray = np.full(count, 0.5)
    time_s: FloatArray = step_s * np.arange(count, dtype=float)
    sign, level, left = 1.0, 0.1, 0
    before = 0.0
    for i in range(1, count):
        if left == 0:
            sign, level = rng.choice([-1.0, 1.0]), rng.choice([0.1, 0.3, 0.6, 1.0])
            left = int(rng.integers(10, 40))
        left -= 1
        sign = 1.0 if soc[i - 1] > 0.9 else -1.0 if soc[i - 1] < 0.1 else sign
        power[i] = sign * level
        now = float(cells_take(BATTERY, power[i : i + 1])[0])
        mean_kw = 0.5 * RATED_KW * (now + before)
        soc[i] = soc[i - 1] + mean_kw * step_s / 3600.0 / ENERGY_KWH
        before = now
    return measurements(
        {
            "time": time_s,
            "battery_power": RATED_KW * power,
            "soc": soc + rng.normal(0.0, 0.002, count),
        }
    )


def _line(what: str, held: list[bool]) -> Line:
    share = float(np.mean(held))
    return Line(
        what=f"{what}: truth inside the 90 % interval",
        value=f"{share:.0%} of {len(held)}",
        goal=f"{GOALS[0]:.0%} to {GOALS[1]:.0%}",
        reached=GOALS[0] <= share <= GOALS[1],
    )

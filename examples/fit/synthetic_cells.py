"""Write two tables of made-up cells with known ageing: no measurement, to try the fits on.

    python examples/fit/synthetic_cells.py [FOLDER]

At rest they lose ``k exp(-E/R (1/T - 1/298.15)) (1 + c (s - 1/2)^3) sqrt(t)``, by cycling
``(a C + b) d^m sqrt(n)``; each condition errs by itself, and each check-up. Cells at a low rate
take longer for the same cycles and lose more at rest meanwhile, which hides how the loss by cycling
grows with the rate.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import numpy as np

from ebplan.models.calendar_ageing import calendar_rates
from ebplan.models.cycle_ageing import cycle_rates

REST = np.array([np.log(0.02), 4.0, 4.5])
"""2 % in the first year at 25 degrees Celsius and SoC 0.5, 40 kJ/mol, and the cubic c."""
CYCLES = np.array([np.log(0.03), 0.6, 0.5])
"""3 % after 1,000 full cycles without current, depth to the 0.6, half as much again per C."""
YEAR_D = 365.25
TEMPERATURES_C, SOCS = (10.0, 25.0, 40.0), (0.0, 0.5, 1.0)
RATES_C, DEPTHS = (0.25, 0.5, 1.0), (0.2, 0.5, 0.8, 1.0)
REST_D = np.linspace(0.0, 3.0 * YEAR_D, 9)
"""Check-ups of cells at rest, days."""
FULL_CYCLES = np.linspace(0.0, 3000.0, 9)
"""Check-ups of cycled cells."""
CHAMBERS_C = (23.0, 27.0)
"""Temperatures of the cycle tests, one after the other."""
CYCLED_SOC = 0.5
"""Mean state of charge of the cycle tests."""
OFF_REST, OFF_CYCLES, OFF_CHECK_UP = 0.001, 5e-5, 0.001
"""Standard deviations: of a condition at rest after a year, of a cycled one after one cycle, and
of a check-up; shares of capacity."""


def at_rest(rng: np.random.Generator) -> list[str]:
    """Return the table of cells at rest, line by line."""
    lines = ["cell,temperature_c,soc,days,capacity_pct"]
    for temperature_c, soc in product(TEMPERATURES_C, SOCS):
        rate = _rest_per_root_day(temperature_c, soc) + rng.normal(0.0, OFF_REST) / YEAR_D**0.5
        for days, left in zip(REST_D, _left(rate * np.sqrt(REST_D), rng), strict=True):
            where = f"rest {temperature_c:g} degC SoC {soc:g},{temperature_c:g},{soc:g}"
            lines.append(f"{where},{days:.1f},{left:.3f}")
    return lines


def cycled(rng: np.random.Generator) -> list[str]:
    """Return the table of cycled cells, line by line."""
    lines = ["cell,temperature_c,mean_soc,days,c_rate,depth,full_cycles,capacity_pct"]
    off_rest = rng.normal(0.0, OFF_REST, len(CHAMBERS_C)) / YEAR_D**0.5
    for i, (c_rate, depth) in enumerate(product(RATES_C, DEPTHS)):
        chamber = i % len(CHAMBERS_C)
        temperature_c = CHAMBERS_C[chamber]
        days = FULL_CYCLES * 2.0 / c_rate / 24.0
        per_root_cycle = float(cycle_rates(CYCLES, np.array([c_rate]), np.array([depth]))[0])
        per_root_cycle += rng.normal(0.0, OFF_CYCLES)
        per_root_day = _rest_per_root_day(temperature_c, CYCLED_SOC) + off_rest[chamber]
        left = _left(per_root_day * np.sqrt(days) + per_root_cycle * np.sqrt(FULL_CYCLES), rng)
        for n, day, capacity in zip(FULL_CYCLES, days, left, strict=True):
            where = f"{c_rate:g} C depth {depth:g},{temperature_c:g},{CYCLED_SOC:g}"
            lines.append(f"{where},{day:.1f},{c_rate:g},{depth:g},{n:g},{capacity:.3f}")
    return lines


def _rest_per_root_day(temperature_c: float, soc: float) -> float:
    per_root_s = calendar_rates(REST, np.array([temperature_c]), np.array([soc]))[0]
    return float(per_root_s * 86400.0**0.5)


def _left(lost: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the capacity left in percent, as check-ups read it; the first is the reference."""
    off = rng.normal(0.0, OFF_CHECK_UP, len(lost))
    off[0] = 0.0
    return 100.0 * (1.0 - lost + off)


def main(folder: Path) -> None:
    """Write both tables."""
    rng = np.random.default_rng(2026)
    for name, lines in (("at_rest", at_rest(rng)), ("cycled", cycled(rng))):
        (folder / f"synthetic_cells_{name}.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

"""Published ageing models of the same cells, written anew for standing beside ours.

SimSES (TUM, BSD-3) stores Naumann's parameters, a refit and three bootstrap sets of one law.
BLAST-Lite (NREL, BSD-3) has laws of its own; their formulas are those of its two papers, doi
10.1149/1945-7111/ac86a8 (3 Ah) and 10.1016/j.est.2023.109042 (250 Ah). Both need the potential of
the graphite anode, which BLAST-Lite's parameter file does not hold: the curve is that of Safari
and Delacourt, J. Electrochem. Soc. 158 (2011) A562, its range of lithiation that of Schimpe et
al., J. Electrochem. Soc. 165 (2018) A181. All at constant stress.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ebplan.models.curves import FloatArray
from ebplan.models.wear import GAS_CONSTANT, KELVIN

DAY_S = 86400.0
LITHIATION = (0.0085, 0.78)
"""Of the anode when the cell is empty, and full."""
RATE_FLOOR = 1e-2
"""BLAST-Lite takes lower rates, in C, for rest."""


@dataclass(frozen=True)
class SimsesSet:
    """One set of parameters of SimSES."""

    name: str
    """Its name there."""
    numbers: dict[str, float]
    """Its parameters, by column."""

    def calendar_loss(self, temperature_c: float, soc: float, seconds: FloatArray) -> FloatArray:
        """Return the share of capacity lost at rest, same shape as ``seconds``."""
        n = self.numbers
        apart = 1.0 / (temperature_c + KELVIN) - 1.0 / (25.0 + KELVIN)
        rate = n["k_ref"] * np.exp(-n["Ea"] / GAS_CONSTANT * apart)
        return np.asarray(rate * (n["C_cal"] * (soc - 0.5) ** 3 + n["D_cal"]) * np.sqrt(seconds))

    def cycle_loss(self, c_rate: float, depth: float, full_cycles: float) -> float:
        """Return the share of capacity lost by cycling; the first set alone is in percent."""
        n = self.numbers
        percent = 100.0 if self.name == "Naumann" else 1.0
        rate = (n["A_cyc"] * c_rate + n["B_cyc"]) / percent
        return float(rate * (n["C_cyc"] * (depth - 0.6) ** 3 + n["D_cyc"]) * full_cycles**0.5)


def read_simses(folder: Path) -> tuple[SimsesSet, ...]:
    """Return SimSES's sets; ``folder`` is that of the ageing data."""
    path = folder / "simses_lfp_sony_ageing_params.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return tuple(
        SimsesSet(r["Q fade"], {k: float(v) for k, v in r.items() if k != "Q fade"}) for r in rows
    )


def anode_potential(soc: FloatArray) -> FloatArray:
    """Return the potential of graphite against lithium in V."""
    empty, full = LITHIATION
    x = empty + np.asarray(soc) * (full - empty)
    return np.asarray(
        0.6379
        + 0.5416 * np.exp(-305.5309 * x)
        + 0.044 * np.tanh(-(x - 0.1958) / 0.1088)
        - 0.1978 * np.tanh((x - 1.0571) / 0.0854)
        - 0.6875 * np.tanh((x + 0.0117) / 0.0529)
        - 0.0175 * np.tanh((x - 0.5692) / 0.0875)
    )


@dataclass(frozen=True)
class Duty:
    """What a cell does every day; evenly spaced readings of it."""

    soc: FloatArray
    """State of charge, shape (n,)."""
    temperature_c: FloatArray
    """Its temperature, shape (n,)."""
    step_s: float
    """Between two readings."""

    @property
    def depth(self) -> float:
        """Deepest cycle."""
        return float(np.ptp(self.soc))

    @property
    def c_rate(self) -> float:
        """Mean rate over the day, rest included, in C."""
        rates = np.abs(np.diff(self.soc)) * 3600.0 / self.step_s
        return float(np.where(rates < RATE_FLOOR, 0.0, rates).mean())


def at_rest(temperature_c: float, soc: float) -> Duty:
    """Return a day of rest."""
    return Duty(np.full(2, soc), np.full(2, temperature_c), DAY_S)


def read_duties(folder: Path) -> dict[str, Duty]:
    """Return the days of the reference trajectories, by case."""
    path = folder / "blast_lite_reference_day_profiles.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    duties = {}
    for case in sorted({row["case"] for row in rows}):
        mine = [row for row in rows if row["case"] == case]
        duties[case] = Duty(
            soc=np.array([float(row["soc"]) for row in mine]),
            temperature_c=np.array([float(row["temperature_c"]) for row in mine]),
            step_s=float(mine[1]["t_s"]) - float(mine[0]["t_s"]),
        )
    return duties


@dataclass(frozen=True)
class Blast:
    """BLAST-Lite's two LFP cells."""

    small: dict[str, float]
    """Parameters of the 3 Ah cell (Sony/Murata)."""
    large: dict[str, float]
    """Parameters of the 250 Ah cell."""

    def small_loss(self, duty: Duty, days: FloatArray, full_cycles: FloatArray) -> FloatArray:
        """Return the share lost by the 3 Ah cell; its break-in above 3 cycles a day is left out."""
        p, kelvin = self.small, duty.temperature_c + KELVIN
        anode = anode_potential(duty.soc)
        most = p["q1_b0"] * np.exp((p["q1_b1"] / kelvin**2 + p["q1_b2"] / kelvin) * np.sqrt(anode))
        bend = p["q3_b0"] * np.exp(
            (p["q3_b1"] / kelvin**4 + p["q3_b3"] / kelvin**3) * np.cbrt(anode)
            + (p["q3_b2"] * kelvin**3 + p["q3_b4"] * kelvin**2) * anode**0.25
        )
        rest = _mean(most) * np.tanh(0.5 * (p["q2"] * days) ** _mean(bend))
        rate = p["q5_b0"] + p["q5_b1"] * duty.depth
        rate += p["q5_b2"] * np.exp(duty.depth**2 * duty.c_rate**3)
        return np.asarray(rest + (abs(rate) * full_cycles) ** p["q6"])

    def large_loss(self, duty: Duty, days: FloatArray, full_cycles: FloatArray) -> FloatArray:
        """Return the share lost by the 250 Ah cell."""
        p, kelvin = self.large, duty.temperature_c + KELVIN
        resting = p["p1"] * np.exp((p["p2"] + p["p3"] * anode_potential(duty.soc)) / kelvin)
        cycling = (p["p4"] + p["p5"] * duty.depth + p["p6"] * duty.c_rate) * (
            np.exp(p["p7"] / kelvin) + np.exp(-p["p8"] / kelvin)
        )
        rest = _mean(resting) * days ** p["pcal"]
        return np.asarray(rest + _mean(cycling) * full_cycles ** p["pcyc"])


def read_blast(folder: Path) -> Blast:
    """Return BLAST-Lite's parameters."""
    cells = json.loads((folder / "blast_lite_lfp_parameters.json").read_text(encoding="utf-8"))
    by_size = {
        ("3Ah" if "3Ah" in name else "250Ah"): cell["params"] for name, cell in cells.items()
    }
    return Blast(small=by_size["3Ah"], large=by_size["250Ah"])


def read_trajectories(folder: Path) -> list[dict[str, str]]:
    """Return the rows of BLAST-Lite's stored trajectories: model output, not measurement."""
    path = folder / "blast_lite_reference_trajectories.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _mean(values: FloatArray) -> float:
    """Return the mean over a day, by trapezoids."""
    return float(0.5 * (values[1:] + values[:-1]).mean())

"""The wear model of the library, from published parameters of one LFP cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ebplan.models.card import Assumption, Finding, ModelCard, Statistic, ValidRange
from ebplan.models.curves import FloatArray
from ebplan.models.fit.build import dataset, rounded
from ebplan.models.fit.table import Table, read_table
from ebplan.models.wear import DEPTH_MIDDLE, WearModel

WEAR_NAME = "lfp-sony-us26650"
END_OF_LIFE_LOSS = 0.2
"""Assumed: cells are replaced at 80 % of their capacity."""
FITTED_DEPTHS = np.linspace(0.1, 1.0, 91)
"""Depths that the power law is fitted to."""
CARD_TEMPERATURES_C = (25.0, 40.0)
"""Temperatures of the card's examples."""
CARD_C_RATE = 0.5
"""Rate of the card's examples, in C."""

SOURCE = (
    "Naumann et al., J. Energy Storage 17 (2018) 153 (calendar, doi 10.1016/j.est.2018.01.019) and "
    "J. Power Sources (2020, cycles), as stored in SimSES 1.3.12 (TUM, BSD-3); rates "
    "and temperatures from BLAST-Lite 1.1.1 (NREL, BSD-3)"
)


def read_published(path: Path) -> tuple[dict[str, float], Table]:
    """Return the published figures by quantity, and their table."""
    table = read_table(path, ("quantity", "value", "unit"))
    return {row.text("quantity"): row.positive("value") for row in table.rows}, table


def build_wear(path: Path) -> WearModel:
    """Return the wear model with its card; ``path`` is the table of published figures."""
    said, table = read_published(path)
    coefficient, exponent = power_law(said["cycle_depth_cubic"], said["cycle_depth_constant"])
    return WearModel(
        name=WEAR_NAME,
        cell="Sony/Murata US26650FTC1, LFP against graphite, 3 Ah",
        valid_temperature_c=(said["cycled_at_low"], said["cycled_at_high"]),
        max_charge_c=said["max_charge"],
        max_discharge_c=said["max_discharge"],
        card=_card(said, table, coefficient, exponent),
        depth_coefficient=rounded(coefficient),
        depth_exponent=rounded(exponent),
        **_laws(said),
    )


def stress_law(depth: FloatArray, cubic: float, constant: float) -> FloatArray:
    """Return d (c (d - 0.6)^3 + r)^2: the life lost in a cycle but for the rate."""
    return np.asarray(depth * (cubic * (depth - DEPTH_MIDDLE) ** 3 + constant) ** 2)


def power_law(cubic: float, constant: float) -> tuple[float, float]:
    """Return (coefficient, exponent) fitted to the stress law, least squares of logarithms."""
    law = stress_law(FITTED_DEPTHS, cubic, constant)
    exponent, log_coefficient = np.polyfit(np.log(FITTED_DEPTHS), np.log(law), 1)
    return float(np.exp(log_coefficient)), float(exponent)


def _card(said: dict[str, float], table: Table, coefficient: float, exponent: float) -> ModelCard:
    law = stress_law(FITTED_DEPTHS, said["cycle_depth_cubic"], said["cycle_depth_constant"])
    errors = coefficient * FITTED_DEPTHS**exponent / law - 1.0
    return ModelCard(
        title="Wear of LFP cells: Sony/Murata US26650FTC1",
        summary=(
            "Life lost by depth of cycle and by state of charge at rest, for pricing the use of a "
            "battery. Published laws, made convex."
        ),
        data=(dataset(table, SOURCE),),
        method=_METHOD,
        residuals=(
            Statistic(name="depth: coefficient of the power law", value=coefficient, unit="1"),
            Statistic(name="depth: exponent of the power law", value=exponent, unit="1"),
            Statistic(
                name="depth: power law over published law, lowest",
                value=float(errors.min()),
                unit="share",
            ),
            Statistic(
                name=f"depth: the same, highest (depth {FITTED_DEPTHS[errors.argmax()]:.1f})",
                value=float(errors.max()),
                unit="share",
            ),
            *_calendar_statistics(said),
        ),
        validity=_validity(said),
        measurement_point="ac",
        measurement_note=(
            "Nothing here is a power. Depth and state of charge are shares of the capacity of the "
            "cells."
        ),
        assumptions=_ASSUMPTIONS,
        findings=_findings(said, exponent),
        not_for=(
            "other cells or chemistries: ask for the same two curves from the maker",
            "temperatures outside the range: the laws do not know cold charging, and at 60 degrees "
            "Celsius the calendar law lies well below the measured loss",
            "the capacity that is left at a given age: the mean over the life has no age",
            "resistance growth, warranty terms, early failures",
        ),
    )


def _calendar_statistics(said: dict[str, float]) -> list[Statistic]:
    """Return how far the convex curve lies from the published one, as share of life per year."""
    statistics = []
    socs = np.linspace(0.0, 1.0, 501)
    for temperature_c in CARD_TEMPERATURES_C:
        model = _without_card(said)
        law = model.calendar_loss_per_year(temperature_c, socs)
        points = np.array(model.calendar_points(temperature_c))
        apart = np.abs(np.interp(socs, points[:, 0], points[:, 1]) - law)
        statistics += [
            Statistic(
                name=f"life lost at rest, {temperature_c:g} degC, SoC {soc:g}",
                value=float(model.calendar_loss_per_year(temperature_c, soc)),
                unit="share per year",
            )
            for soc in (0.5, 1.0)
        ]
        statistics.append(
            Statistic(
                name=f"largest error of the convex curve, {temperature_c:g} degC",
                value=float(apart.max()),
                unit="share per year",
            )
        )
    return statistics


def _without_card(said: dict[str, float]) -> WearModel:
    """Return the laws alone, for the numbers that go on the card."""
    return WearModel.model_construct(**_laws(said))


def _laws(said: dict[str, float]) -> dict[str, Any]:
    """Return the published numbers by the names of the model's fields; percent become shares."""
    return {
        "end_of_life_loss": END_OF_LIFE_LOSS,
        "calendar_rate": said["calendar_rate"],
        "activation_energy_j_per_mol": said["calendar_activation_energy"],
        "reference_temperature_c": 25.0,
        "soc_cubic": said["calendar_soc_cubic"],
        "soc_constant": said["calendar_soc_constant"],
        "c_rate_slope": said["cycle_c_rate_slope"] / 100.0,
        "c_rate_constant": said["cycle_c_rate_constant"] / 100.0,
        "depth_cubic": said["cycle_depth_cubic"],
        "depth_constant": said["cycle_depth_constant"],
        "valid_soc": (0.0, 1.0),
    }


def _validity(said: dict[str, float]) -> tuple[ValidRange, ...]:
    low, high = said["cycled_at_low"], said["cycled_at_high"]
    return (
        ValidRange(name="temperature of the cells", low=low, high=high, unit="degrees Celsius"),
        ValidRange(name="state of charge", low=0.0, high=1.0, unit="share"),
        ValidRange(name="charging rate", low=0.0, high=said["max_charge"], unit="C"),
        ValidRange(name="discharging rate", low=0.0, high=said["max_discharge"], unit="C"),
        ValidRange(
            name="depth of cycle, power law fitted",
            low=float(FITTED_DEPTHS[0]),
            high=1.0,
            unit="share",
        ),
        ValidRange(
            name="depth of cycle, BLAST-Lite's own fit of this cell",
            low=said["fully_cycled_depth_low"],
            high=1.0,
            unit="share",
        ),
    )


def _findings(said: dict[str, float], exponent: float) -> tuple[Finding, ...]:
    model = _without_card(said)
    cycles = 1.0 / float(model.cycle_life_lost(CARD_C_RATE, 1.0))
    _, refitted = power_law(said["refit_cycle_depth_cubic"], said["refit_cycle_depth_constant"])
    resting = float(model.calendar_loss_per_year(CARD_TEMPERATURES_C[0], 0.5))
    half = float(model.cycle_life_lost(CARD_C_RATE, 0.5) / model.cycle_life_lost(CARD_C_RATE, 1.0))
    return (
        Finding(
            title="Depth is the least certain part",
            text=f"The published depth law gives an exponent of {exponent:.2f}; the refit stored "
            f"beside it in SimSES, from the same cells, gives {refitted:.2f}. Both agree that deep "
            "cycles wear more per kWh, not by how much.",
        ),
        Finding(
            title="These cells last long",
            text=f"At {CARD_C_RATE:g} C the published law gives {cycles:,.0f} full cycles to "
            f"{1.0 - END_OF_LIFE_LOSS:.0%} of capacity, and one of half the depth costs "
            f"{half:.0%} of a whole one. A full cycle a day takes {365.25 / cycles:.1%} of the "
            f"life in a year, lying at SoC 0.5 and {CARD_TEMPERATURES_C[0]:g} degC {resting:.1%}.",
        ),
    )


_METHOD = (
    "Capacity lost at rest: `k exp(-E/R (1/T - 1/298.15)) (c (s - 0.5)^3 + r) sqrt(t)`; by "
    "cycling: `(a C + b) (c (d - 0.6)^3 + r) sqrt(n)` with n full equivalent cycles. "
    "Life lost per year or per cycle is the inverse of how long, or how many cycles of that "
    "depth, it takes to the end of life: the mean over the life. Depth: a power law by least "
    "squares of logarithms, because the cubic is not convex. Rest: the convex hull of the life "
    "lost per year against state of charge, raised by half its largest distance. No temperature "
    "acts on cycling."
)
_ASSUMPTIONS = (
    Assumption(
        name="end of life",
        value=END_OF_LIFE_LOSS,
        unit="share of capacity lost",
        provenance="assumed",
        note="cells are replaced at this loss; life lost goes with its inverse square",
    ),
    Assumption(
        name="cycles and rest add up",
        value=1.0,
        unit="share",
        provenance="assumed",
        note="two square-root laws added as shares of one life; the true sum is not linear",
    ),
)

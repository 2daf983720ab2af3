"""The wear model: its laws, what is made of them, and the published data where they are at hand."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from ebplan.errors import RangeError
from ebplan.models.fit.source import DATA
from ebplan.models.fit.wear import END_OF_LIFE_LOSS, WEAR_NAME, read_published
from ebplan.models.library import load_wear
from ebplan.models.wear import SECONDS_PER_YEAR, WearModel

AGEING = Path(__file__).parents[3] / "shared" / "data" / "battery_ageing"
"""Published data that are not part of this repository."""


@pytest.fixture(scope="module")
def model() -> WearModel:
    return load_wear(WEAR_NAME)


def rows_of(name: str) -> list[dict[str, str]]:
    path = AGEING / name
    if not path.is_file():
        pytest.skip(f"{name} is not at hand: published data are not part of this repository")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_life_ends_after_what_is_lost_per_year(model: WearModel) -> None:
    for temperature_c, soc in ((25.0, 0.5), (40.0, 1.0), (20.0, 0.0)):
        years = 1.0 / float(model.calendar_loss_per_year(temperature_c, soc))
        lost = float(model.calendar_loss(temperature_c, soc, years * SECONDS_PER_YEAR))
        assert lost == pytest.approx(END_OF_LIFE_LOSS)


def test_life_ends_after_the_cycles_of_a_depth(model: WearModel) -> None:
    for c_rate, depth in ((0.5, 1.0), (1.0, 0.4)):
        cycles = 1.0 / float(model.cycle_life_lost(c_rate, depth))
        assert float(model.cycle_loss(c_rate, depth, depth * cycles)) == pytest.approx(0.2)


def test_depth_is_a_power_law_near_the_published_one(model: WearModel) -> None:
    depth = np.linspace(0.1, 1.0, 91)
    coefficient, exponent = model.depth_stress(0.7)
    apart = coefficient * depth**exponent / model.cycle_life_lost(0.7, depth) - 1.0
    assert exponent > 1.0
    # What the card says.
    assert apart.min() == pytest.approx(-0.134, abs=1e-3)
    assert apart.max() == pytest.approx(0.371, abs=1e-3)


@pytest.mark.parametrize("temperature_c", [20.0, 25.0, 40.0])
def test_the_calendar_is_convex_and_errs_alike_both_ways(
    model: WearModel, temperature_c: float
) -> None:
    socs, lost = np.array(model.calendar_points(temperature_c)).T
    slopes = np.diff(lost) / np.diff(socs)
    assert (socs[0], socs[-1]) == (0.0, 1.0)
    assert (np.diff(slopes) > 0.0).all()
    fine = np.linspace(0.0, 1.0, 501)
    apart = np.interp(fine, socs, lost) - model.calendar_loss_per_year(temperature_c, fine)
    assert apart.max() == pytest.approx(-apart.min(), rel=0.02)
    assert apart.max() < 0.25 * float(model.calendar_loss_per_year(temperature_c, 0.5))


def test_warm_and_full_cells_age_faster(model: WearModel) -> None:
    rate = model.calendar_loss_per_year
    assert rate(40.0, 0.5) > rate(25.0, 0.5)
    assert rate(25.0, 1.0) > rate(25.0, 0.5) > rate(25.0, 0.1)
    assert model.depth_stress(1.0)[0] > model.depth_stress(0.2)[0]


@pytest.mark.parametrize(
    ("temperature_c", "charge_c", "discharge_c", "field"),
    [
        (19.9, 0.5, 0.5, "temperature"),
        (40.1, 0.5, 0.5, "temperature"),
        (25.0, 1.01, 0.5, "charge_limit"),
        (25.0, 0.5, 2.01, "discharge_limit"),
        (math.nan, 0.5, 0.5, "temperature"),
    ],
)
def test_what_is_not_covered_is_refused(
    model: WearModel, temperature_c: float, charge_c: float, discharge_c: float, field: str
) -> None:
    with pytest.raises(RangeError, match=field):
        model.check_use(temperature_c, charge_c=charge_c, discharge_c=discharge_c)
    model.check_use(25.0, charge_c=1.0, discharge_c=2.0)


def test_states_of_charge_outside_the_fit_are_refused() -> None:
    model = load_wear(WEAR_NAME).model_copy(update={"valid_soc": (0.2, 0.9)})
    model.check_use(25.0, charge_c=1.0, discharge_c=1.0, soc=(0.2, 0.9))
    with pytest.raises(RangeError, match=r"soc_max: got 0\.95; allowed: 0\.2 to 0\.9"):
        model.check_use(25.0, charge_c=1.0, discharge_c=1.0, soc=(0.2, 0.95))


# --- against published data ------------------------------------------------------------------


def test_the_figures_are_the_published_ones() -> None:
    said, _ = read_published(DATA / "published_lfp_ageing.csv")
    first, second, *_ = rows_of("simses_lfp_sony_ageing_params.csv")
    for column, quantity in {
        "k_ref": "calendar_rate",
        "Ea": "calendar_activation_energy",
        "C_cal": "calendar_soc_cubic",
        "D_cal": "calendar_soc_constant",
        "A_cyc": "cycle_c_rate_slope",
        "B_cyc": "cycle_c_rate_constant",
        "C_cyc": "cycle_depth_cubic",
        "D_cyc": "cycle_depth_constant",
    }.items():
        assert said[quantity] == pytest.approx(float(first[column]), rel=1e-12)
    assert said["refit_cycle_depth_cubic"] == float(second["C_cyc"])
    assert said["refit_cycle_depth_constant"] == float(second["D_cyc"])


def test_the_range_is_the_published_one(model: WearModel) -> None:
    path = AGEING / "blast_lite_lfp_parameters.json"
    if not path.is_file():
        pytest.skip("BLAST-Lite's parameters are not at hand: not part of this repository")
    cells = json.loads(path.read_text(encoding="utf-8"))
    ranges = next(cell["valid_range"] for name, cell in cells.items() if "Sony" in name)
    assert list(model.valid_temperature_c) == ranges["cycling_temperature_c"]
    assert (model.max_charge_c, model.max_discharge_c) == (
        ranges["max_charge_c"],
        ranges["max_discharge_c"],
    )


def test_measured_calendar_losses_are_met_within_the_range_and_beyond_40_degrees_are_not(
    model: WearModel,
) -> None:
    # 885 days of storage, mean of three cells each.
    last = {row["condition_id"]: row for row in rows_of("naumann_lfp_calendar.csv")}
    apart = {0.0: [], 25.0: [], 40.0: [], 60.0: []}  # type: dict[float, list[float]]
    for row in last.values():
        temperature_c = float(row["temperature_c"])
        seconds = 86400.0 * float(row["elapsed_days"])
        lost = float(
            model.calendar_loss(temperature_c, float(row["storage_soc_fraction"]), seconds)
        )
        measured = 1.0 - float(row["capacity_retention_pct"]) / 100.0
        apart[temperature_c].append(lost - measured)
    inside = np.abs(np.concatenate([apart[0.0], apart[25.0], apart[40.0]]))
    assert len(inside) == 9
    assert inside.max() < 0.012
    assert max(apart[60.0]) < -0.05


def test_another_model_of_the_same_cell_ages_alike(model: WearModel) -> None:
    # BLAST-Lite's fit of the same cell, fifteen years: at rest a few per cent of capacity apart;
    # with a cycle a day ours, a sum of two square roots, says more: 26 % against 15 %.
    rows = [r for r in rows_of("blast_lite_reference_trajectories.csv") if "Sony" in r["model"]]
    ends = {row["case"]: row for row in rows}
    rest, cycled = ends["cal_25C_soc50"], ends["cyc1_25C_dod80"]
    seconds = 86400.0 * float(rest["t_days"])
    lost = float(model.calendar_loss(25.0, 0.5, seconds))
    assert lost == pytest.approx(1.0 - float(rest["capacity_rel"]), abs=0.04)
    both = lost + float(model.cycle_loss(0.5, 0.8, float(cycled["efc"])))
    assert 0.0 < both - (1.0 - float(cycled["capacity_rel"])) < 0.12

"""Energy and efficiency of the battery: told apart, within what is physical, named by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.models.tracking.assumed import storage
from ebplan.models.tracking.parameter import REMEMBERED, Drift
from ebplan.models.tracking.storage import ROWS, Stored, Way

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)
CELLS = 0.975
HIGHEST = 0.9875
STORAGE = storage(CELLS, HIGHEST)
Reading = tuple[Way, float]


def reads(way: Way, energy: float, efficiency: float) -> Reading:
    of_energy, of_efficiency = ROWS[way]
    return way, energy**of_energy * efficiency**of_efficiency


def learnt(
    readings: list[Reading], stored: Stored | None = None
) -> tuple[Stored, list[tuple[int, Drift]]]:
    """Return what is known after readings five minutes apart, and the drifts of each."""
    stored, found = stored or Stored(), []
    begin = stored.at or BEGAN
    for n, (way, value) in enumerate(readings, start=1):
        at = begin + timedelta(seconds=300.0 * n)
        stored, drifts, _ = STORAGE.learn(stored, way, value, at)
        found += [(n, drift) for drift in drifts]
    return stored, found


def test_fade_is_fade_and_never_efficiency() -> None:
    cycle = [reads("giving", 0.94, 1.0)] * 3 + [reads("taking", 0.94, 1.0)] * 3
    stored, found = learnt(cycle * 3)
    assert stored.applied == pytest.approx((0.94, 1.0), abs=0.006)
    assert [drift.parameter for _, drift in found] == ["battery", "battery_energy"]
    assert "has faded: it holds 5." in found[-1][1].words
    assert "its site says" in found[-1][1].words
    assert stored.pending is None


@pytest.mark.parametrize("first", ["giving", "taking"])
def test_loss_is_loss(first: Way) -> None:
    other: Way = "taking" if first == "giving" else "giving"
    cycle = [reads(first, 1.0, 0.95)] * 3 + [reads(other, 1.0, 0.95)] * 3
    stored, found = learnt(cycle * 3)
    assert stored.applied == pytest.approx((1.0, 0.95), abs=0.006)
    assert [drift.parameter for _, drift in found] == ["battery", "battery_efficiency"]
    assert "one-way efficiency is" in found[-1][1].words
    assert "lower than its site says" in found[-1][1].words


def test_a_loss_does_not_cancel_where_giving_and_taking_take_turns() -> None:
    turns = [reads("giving", 1.0, 0.975), reads("taking", 1.0, 0.975)] * 10
    _, found = learnt(turns)
    assert found[0][0] <= 10
    assert found[0][1].parameter == "battery_efficiency"


def test_both_at_once_are_both_named() -> None:
    cycle = [reads("giving", 0.94, 0.96)] * 3 + [reads("taking", 0.94, 0.96)] * 3
    stored, found = learnt(cycle * 3)
    assert stored.told == pytest.approx((0.94, 0.96), abs=0.01)
    assert {drift.parameter for _, drift in found[1:]} == {"battery_energy", "battery_efficiency"}


def test_one_way_alone_names_the_two_together() -> None:
    stored, found = learnt([reads("giving", 0.9, 1.0)] * 40)
    assert {drift.parameter for _, drift in found} == {"battery"}
    assert "tell apart once it is charged too" in found[0][1].words
    energy, efficiency = stored.applied
    assert energy * efficiency == pytest.approx(0.9, abs=0.006)
    assert stored.told == (1.0, 1.0)


def test_where_cells_are_measured_each_is_told_by_itself() -> None:
    _, found = learnt([reads("cells", 1.0, 0.97)] * 30)
    assert [drift.parameter for _, drift in found] == ["battery_efficiency"]
    _, found = learnt([reads("cells", 0.94, 1.0), reads("counted", 0.94, 1.0)] * 5)
    assert [drift.parameter for _, drift in found] == ["battery_energy"]


def test_frequent_readings_do_not_drive_out_rare_ones() -> None:
    stored, _ = learnt([reads("counted", 1.0, 1.0)] * 3 + [reads("cells", 1.0, 1.0)] * 200)
    ways = [one.way for one in stored.recent]
    assert ways.count("counted") == 3
    assert ways.count("cells") == REMEMBERED


def test_a_second_drift_is_held_against_what_was_told() -> None:
    stored, _ = learnt([reads("counted", 0.94, 1.0)] * 10)
    _, found = learnt([reads("counted", 0.88, 1.0)] * 10, stored)
    ((_, drift),) = found
    assert drift.before == pytest.approx(0.94, abs=0.01)
    assert drift.after == pytest.approx(0.88, abs=0.01)
    assert "told before (0.9" in drift.words


@pytest.mark.parametrize("seed", range(3))
def test_a_year_of_the_assumed_noise_names_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sd = STORAGE.by_charge.sd
    ways: list[Way] = ["giving", "giving", "taking", "taking"]
    noise = rng.standard_normal(3000)
    stored, found = learnt([(ways[n % 4], float(np.exp(sd * e))) for n, e in enumerate(noise)])
    assert found == []
    assert stored.applied == pytest.approx((1.0, 1.0), abs=0.01)


@given(
    st.lists(
        st.tuples(st.sampled_from(get_args(Way)), st.floats(0.5, 2.0), st.floats(0.0, 1e7)),
        max_size=40,
    )
)
def test_what_is_planned_with_stays_physical(readings: list[tuple[Way, float, float]]) -> None:
    stored, at = Stored(), BEGAN
    for way, value, pause_s in readings:
        at += timedelta(seconds=pause_s)
        stored, _, _ = STORAGE.learn(stored, way, value, at)
        energy, efficiency = stored.applied
        assert 0.5 <= energy <= 1.1 + 1e-9
        assert efficiency >= 0.7
        assert CELLS * efficiency <= HIGHEST + 1e-9 < 1.0


def test_what_is_kept_over_a_restart_goes_on_alike() -> None:
    stored, _ = learnt([reads("giving", 0.94, 1.0)] * 4)
    assert stored.pending is not None
    again = Stored.parse(stored.model_dump_json().encode())
    assert again == stored
    more = [reads("taking", 0.94, 1.0)] * 3
    assert learnt(more, again) == learnt(more, stored)

"""What tracking knows of a site: told in sentences, kept in rows, saved and read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ebplan.errors import InputError
from ebplan.models.tracking.assumed import storage
from ebplan.models.tracking.history import MOST_ENTRIES, Entry, appended, json_lines, rows
from ebplan.models.tracking.known import (
    SiteKnown,
    learn_battery,
    learn_capacity,
    learn_caps,
    learn_power,
)
from ebplan.state import PoolCorrection

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)
ROW = (0.25, 0.75)
STORAGE = storage(0.975, 0.9875)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def lived() -> SiteKnown:
    known = SiteKnown()
    for n in range(30):
        known = learn_power(known, "a", ROW, 1.0 if n < 15 else 1.08, at(10.0 * n))
        known = learn_capacity(known, "b", 0.9, at(10.0 * n))
    known = learn_caps(known, "a", 0.8, 0.03, at(400.0), new_use=True)
    return learn_battery(known, STORAGE, "cells", 0.97, at(500.0))


def test_what_differs_from_the_models_is_what_plans_are_made_with() -> None:
    assert SiteKnown().pool("a").correction is None
    known = lived()
    a, b = known.pool("a").correction, known.pool("b").correction
    assert a is not None
    assert 0.25 * a.idle_gain + 0.75 * a.busy_gain == pytest.approx(1.08, abs=0.006)
    assert (a.capacity_gain, a.cap_delivery) == (1.0, 0.8)
    assert b == PoolCorrection(capacity_gain=b.capacity_gain if b else 0.0)
    assert b.capacity_gain == pytest.approx(0.9, abs=0.006)


def test_each_drift_and_each_de_rating_is_a_sentence() -> None:
    told = lived().told()
    assert len(told) == 3
    assert any("pool a draws more" in words for words in told)
    assert any("pool b serves less" in words for words in told)
    assert "pool a: power caps are de-rated, they deliver 80%" in told


def test_a_drift_named_anew_replaces_the_one_before() -> None:
    known = lived()
    for n in range(30):
        known = learn_power(known, "a", ROW, 0.95, at(600.0 + 10.0 * n))
    (of_power,) = (d for d in known.drifts if d.parameter == "power")
    assert of_power.after == pytest.approx(0.95, abs=0.006)
    assert any("told before" in words for words in known.told())
    # the history has both
    assert sum(e.reason == "drift" and e.parameter == "busy_gain" for e in known.history) == 2


def test_a_drift_that_went_back_is_not_told_any_more() -> None:
    known = lived()
    for n in range(30):
        known = learn_power(known, "a", ROW, 1.0, at(600.0 + 10.0 * n))
    assert [d.after for d in known.drifts if d.parameter == "power"] == [
        pytest.approx(1.0, abs=0.01)
    ]
    assert not any("draws" in words for words in known.told())


def test_what_is_saved_is_read_again() -> None:
    known = lived()
    again = SiteKnown.parse(known.to_json().encode())
    assert again == known
    after = learn_power(again, "a", ROW, 1.02, at(1000.0))
    assert after == learn_power(known, "a", ROW, 1.02, at(1000.0))
    with pytest.raises(InputError, match="kind"):
        SiteKnown.parse({"kind": "state"})


def test_a_drift_of_both_goes_once_they_are_told_apart() -> None:
    known = SiteKnown()
    for n in range(4):
        known = learn_battery(known, STORAGE, "giving", 0.94, at(300.0 * n))
    assert [d.parameter for d in known.drifts] == ["battery"]
    assert any("tell apart" in words for words in known.told())
    known = learn_battery(known, STORAGE, "taking", 0.94, at(2000.0))
    assert [d.parameter for d in known.drifts] == ["battery_energy"]
    assert any("has faded" in words for words in known.told())
    assert known.battery_energy_gain == pytest.approx(0.94, abs=0.006)
    assert known.battery_efficiency_gain == pytest.approx(1.0, abs=0.006)


def test_the_history_is_rows_in_order() -> None:
    history = lived().history
    found = rows(history)
    assert [row["at"] for row in found] == sorted(row["at"] for row in found)
    assert {row["reason"] for row in found} >= {"drift", "de-rated"}
    assert all(row["old"] != row["new"] and row["words"] for row in found)
    lines = json_lines(history).splitlines()
    assert [Entry.parse(json.loads(line)) for line in lines] == list(history)


def test_the_history_forgets_the_oldest() -> None:
    one = lived().history[0]
    many = appended((one,) * MOST_ENTRIES, (one.model_copy(update={"pool": "last"}),))
    assert len(many) == MOST_ENTRIES
    assert many[-1].pool == "last"

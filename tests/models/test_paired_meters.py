"""Which readings of two meters make a pair, and which do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.models.fit.lag import find_lag
from ebplan.models.fit.pairs import Readings, pair


def meter(time: list[float], kw: list[float] | None = None) -> Readings:
    power = kw if kw is not None else [1.0 + 0.1 * t for t in time]
    return Readings(np.array(time), np.array(power), np.arange(len(time)))


def test_the_slower_meter_is_paired_with_the_faster_ones_value_then() -> None:
    inner = meter([0.0, 1.0, 2.0, 3.0, 4.0])
    outer = meter([0.5, 3.5], [7.0, 9.0])
    pairs = pair(inner, outer)
    assert pairs.time.tolist() == [0.5, 3.5]
    assert pairs.inner.tolist() == pytest.approx([1.05, 1.35])
    assert pairs.outer.tolist() == [7.0, 9.0]
    swapped = pair(outer, inner)
    assert swapped.inner.tolist() == pairs.outer.tolist()
    assert swapped.outer.tolist() == pairs.inner.tolist()


def test_a_gap_makes_no_pairs() -> None:
    inner = meter([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    outer = meter([0.0, 1.5, 5.0, 9.0, 11.0, 13.0], [2.0, 2.1, 2.2, 2.3, 2.4, 2.5])
    pairs = pair(inner, outer)
    assert pairs.time.tolist() == [0.0, 1.5, 11.0]
    assert pairs.unpaired == 3


def test_how_near_is_near_can_be_said() -> None:
    inner = meter([0.0, 10.0, 20.0])
    outer = meter([0.0, 4.0, 9.0, 14.0], [2.0, 2.1, 2.2, 2.3])
    assert len(pair(inner, outer, most_apart_s=1.0).time) == 1
    assert len(pair(inner, outer, most_apart_s=5.0).time) == 2


@given(
    times=st.lists(st.floats(0.0, 1000.0), min_size=2, max_size=40, unique=True),
    others=st.lists(st.floats(0.0, 1000.0), min_size=2, max_size=40, unique=True),
    lag_s=st.floats(-50.0, 50.0),
)
def test_partners_are_between_their_neighbours(
    times: list[float], others: list[float], lag_s: float
) -> None:
    inner, outer = meter(sorted(times)), meter(sorted(others))
    pairs = pair(inner, outer, lag_s=lag_s)
    slower = outer if outer.interval_s >= inner.interval_s else inner
    assert len(pairs.time) + pairs.unpaired == len(slower.time)
    for reading, powers in ((inner, pairs.inner), (outer, pairs.outer)):
        assert ((powers >= reading.kw.min() - 1e-9) & (powers <= reading.kw.max() + 1e-9)).all()


@given(shift_s=st.floats(-1e6, 1e6))
def test_only_differences_of_time_count(shift_s: float) -> None:
    inner, outer = meter([0.0, 1.0, 2.0, 3.0]), meter([0.5, 2.5], [5.0, 6.0])
    moved = [Readings(one.time + shift_s, one.kw, one.lines) for one in (inner, outer)]
    there = pair(*moved)
    assert there.inner == pytest.approx(pair(inner, outer).inner, abs=1e-6)


def test_a_stale_reading_is_kept_only_at_first() -> None:
    readings = meter([float(t) for t in range(8)], [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0])
    assert readings.fresh(2.0).time.tolist() == [0.0, 1.0, 2.0, 3.0, 6.0, 7.0]


def test_a_steady_load_tells_no_lag() -> None:
    rng = np.random.default_rng(1)
    time = [float(t) for t in range(300)]
    inner = meter(time, (5.0 + 0.01 * rng.normal(size=300)).tolist())
    outer = meter(time, (5.6 + 0.01 * rng.normal(size=300)).tolist())
    assert find_lag(inner, outer, most_lag_s=10.0).lag_s is None


def test_meters_that_never_meet_tell_no_lag() -> None:
    inner, outer = meter([0.0, 1.0, 2.0]), meter([100.0, 101.0, 102.0])
    found = find_lag(inner, outer, most_lag_s=5.0)
    assert (found.lag_s, found.at_the_end) == (None, False)

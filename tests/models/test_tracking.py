"""Parameters tracked: learnt within bounds, never wound up, drift named, noise not."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.models.tracking.assumed import CAPACITY, POWER
from ebplan.models.tracking.belief import Prior, surprise
from ebplan.models.tracking.block import Block
from ebplan.models.tracking.cusum import Cusum, add, average_run, long_run_sd, threshold_for
from ebplan.models.tracking.delivery import CONFIRMATIONS, LEAST, Delivery, observed
from ebplan.models.tracking.parameter import Drift, Parameter, Tracked

pytestmark = pytest.mark.slow

BEGAN = datetime(2026, 6, 1, tzinfo=UTC)
PRIOR = Prior.of_gains(2, apart=0.02, together=0.1, bounds=(0.5, 2.0), memory_s=86400.0)
ROW = (0.25, 0.75)
shares = st.floats(0.0, 1.0)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


# --- belief ---------------------------------------------------------------------------------


def test_what_readings_tell_apart_is_learnt() -> None:
    rng = np.random.default_rng(1)
    belief, truth, sd = PRIOR.begin(), (1.1, 0.93), 0.01
    for share in rng.uniform(0.1, 0.9, 400):
        row = (float(share), 1.0 - float(share))
        value = float(np.dot(row, truth)) + sd * float(rng.standard_normal())
        belief = PRIOR.learn(PRIOR.forget(belief, 10.0), row, value, sd)
    spread = np.sqrt(np.diag(belief.covariance))
    assert np.all(np.abs(np.array(belief.mean) - truth) < 4.0 * spread)
    assert np.all(spread < 0.005)


def test_what_no_reading_tells_apart_moves_together() -> None:
    belief = PRIOR.begin()
    for _ in range(200):
        belief = PRIOR.learn(belief, ROW, 1.05, 0.01)
    idle, busy = belief.mean
    assert 0.25 * idle + 0.75 * busy == pytest.approx(1.05, abs=1e-3)
    assert abs(idle - busy) < 0.01


@given(
    st.lists(st.tuples(shares, st.floats(-1e3, 1e3), st.floats(0.0, 1e7)), max_size=30),
    st.floats(1e-4, 1.0),
)
def test_it_stays_within_bounds_and_never_winds_up(
    readings: list[tuple[float, float, float]], sd: float
) -> None:
    belief = PRIOR.begin()
    for share, value, pause_s in readings:
        belief = PRIOR.learn(PRIOR.forget(belief, pause_s), (share, 1.0 - share), value, sd)
        assert all(0.5 <= m <= 2.0 for m in belief.mean)
        left = np.array(PRIOR.covariance) - np.array(belief.covariance)
        assert np.linalg.eigvalsh(left).min() > -1e-12
        assert np.linalg.eigvalsh(np.array(belief.covariance)).min() > 0.0


@given(st.floats(1.0, 1e9))
def test_unexcited_it_forgets_back_to_the_prior_and_no_further(pause_s: float) -> None:
    learnt = PRIOR.learn(PRIOR.begin(), ROW, 1.2, 0.01)
    left = PRIOR.forget(learnt, pause_s)
    assert left.mean == learnt.mean
    assert np.trace(learnt.covariance) < np.trace(left.covariance)
    assert np.trace(left.covariance) <= np.trace(PRIOR.covariance) + 1e-12
    assert abs(surprise(left, ROW, 1.2, 0.01)) <= abs(surprise(learnt, ROW, 1.2, 0.01)) + 1e-9


# --- readings and sums ----------------------------------------------------------------------


def test_a_bad_reading_does_not_move_a_block() -> None:
    block, found = Block(10.0), []
    for second in range(11):
        value = 1e6 if second == 4 else 1.0 + 1e-3 * second
        found.append(block.add(at(second), ROW, value))
    assert found[:-1] == [None] * 10
    assert found[-1] is not None
    row, value = found[-1]
    assert row == pytest.approx(ROW)
    assert value == pytest.approx(1.006)


def test_readings_too_far_apart_make_no_block() -> None:
    block = Block(10.0)
    assert [block.add(at(100.0 * k), ROW, 1.0) for k in range(5)] == [None] * 5
    # the clock went back: what was read later belongs to no block any more
    assert block.add(at(0.0), ROW, 1.0) is None


def run_until_alarm(
    rng: np.random.Generator, reference: float, threshold: float, keep: float, most: int
) -> int:
    """Return after how many readings of an autoregression of unit variance an alarm is raised."""
    level, sums = float(rng.standard_normal()), Cusum()
    for n in range(1, most + 1):
        level = keep * level + np.sqrt(1.0 - keep**2) * float(rng.standard_normal())
        long_run = long_run_sd(0.0, 1.0, -1.0 / np.log(keep), 1.0) if keep else 1.0
        sums = add(sums, level / long_run, reference, at(n))
        if sums.highest > threshold:
            return n
    return most


@pytest.mark.parametrize("keep", [0.0, 0.8])
def test_noise_raises_alarms_no_oftener_than_stated(keep: float) -> None:
    rng = np.random.default_rng(2)
    reference, run = 0.5, 300.0
    threshold = threshold_for(reference, run)
    assert average_run(reference, threshold) == pytest.approx(run, rel=1e-6)
    runs = [run_until_alarm(rng, reference, threshold, keep, 5000) for _ in range(150)]
    assert np.mean(runs) > 0.85 * run  # 150 runs tell the mean to 8 %
    if not keep:
        assert np.mean(runs) < 1.3 * run


def test_a_shift_is_found_and_its_begin_told() -> None:
    sums, found = Cusum(), None
    for n in range(40):
        sums = add(sums, 2.0 if n >= 20 else -0.1, 0.5, at(n))
        if found is None and sums.highest > 5.0:
            found = sums.since
    assert found == at(20)


# --- parameters -----------------------------------------------------------------------------


def blocks(
    parameter: Parameter, values: list[float], row: tuple[float, ...], tracked: Tracked
) -> tuple[Tracked, list[Drift]]:
    drifts, begin = [], tracked.at or BEGAN
    for n, value in enumerate(values, start=1):
        when = begin + timedelta(seconds=parameter.block_s * n)
        tracked, drift, _ = parameter.learn(tracked, row, value, when, "p")
        if drift is not None:
            drifts.append(drift)
    return tracked, drifts


def noise(parameter: Parameter, count: int, seed: int) -> list[float]:
    """Return what a parameter's blocks are assumed to be off by."""
    rng = np.random.default_rng(seed)
    keep = float(np.exp(-parameter.block_s / parameter.correlation_s))
    wander, found = 0.0, []
    for white, fresh in rng.standard_normal((count, 2)).tolist():
        wander = keep * wander + parameter.correlated_sd * np.sqrt(1.0 - keep**2) * fresh
        found.append(float(parameter.white_sd * white + wander))
    return found


@pytest.mark.parametrize(
    ("parameter", "row", "factor"),
    [
        *((POWER, ROW, factor) for factor in (0.9, 0.95, 1.05, 1.08)),
        *((CAPACITY, (1.0,), factor) for factor in (0.9, 1.08)),
    ],
)
def test_drift_is_named_within_two_minutes(
    parameter: Parameter, row: tuple[float, ...], factor: float
) -> None:
    quiet = noise(parameter, 400, seed=3)
    values = [(1.0 if n < 200 else factor) + e for n, e in enumerate(quiet)]
    tracked, drifts = blocks(parameter, values, row, parameter.begin())
    (drift,) = drifts
    assert drift.before == 1.0
    assert drift.after == pytest.approx(factor, abs=0.02)
    late_s = (drift.at - BEGAN).total_seconds() - 200 * parameter.block_s
    assert 0.0 < late_s <= 120.0
    assert drift.evidence > 1.0
    assert "pool p" in drift.words
    # and what plans are made with follows
    assert sum(w * g for w, g in zip(row, tracked.applied, strict=True)) == pytest.approx(
        factor, abs=0.012
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_day_of_the_assumed_noise_names_nothing(seed: int) -> None:
    values = [1.0 + e for e in noise(POWER, 8640, seed)]
    tracked, drifts = blocks(POWER, values, ROW, POWER.begin())
    assert drifts == []
    assert all(abs(g - 1.0) < 0.02 for g in tracked.applied)


def test_an_outlier_is_not_learnt_from() -> None:
    calm, _ = blocks(POWER, [1.0] * 50, ROW, POWER.begin())
    after, drifts = blocks(POWER, [1.9], ROW, calm)
    assert drifts == []
    assert after.belief.mean == calm.belief.mean
    after, drifts = blocks(POWER, [1.0] * 20, ROW, after)
    assert drifts == []
    assert after.applied == (1.0, 1.0)


def test_a_drift_that_goes_back_is_named_again() -> None:
    values = [1.0] * 50 + [1.08] * 50 + [1.0] * 50
    tracked, drifts = blocks(POWER, values, ROW, POWER.begin())
    first, second = drifts
    assert (first.after, second.after) == (
        pytest.approx(1.08, abs=0.005),
        pytest.approx(1.0, abs=0.005),
    )
    assert second.before == first.after
    assert "told before" in second.words
    assert tracked.applied == pytest.approx((1.0, 1.0), abs=0.02)


def test_a_first_drift_is_against_the_model_whatever_its_shares_round_to() -> None:
    row = (0.3, math.nextafter(0.7, 0.0))
    assert sum(row) != 1.0
    _, (drift,) = blocks(POWER, [1.08] * 30, row, POWER.begin())
    assert drift.words.startswith("pool p draws more: 8.0 % against what its model says")


def test_what_is_kept_over_a_restart_goes_on_alike() -> None:
    values = [1.0 + e for e in noise(POWER, 60, 7)] + [1.05] * 3
    tracked, _ = blocks(POWER, values, ROW, POWER.begin())
    again = Tracked.parse(tracked.model_dump_json().encode())
    assert again == tracked
    assert blocks(POWER, [1.05] * 10, ROW, again) == blocks(POWER, [1.05] * 10, ROW, tracked)


# --- delivery -------------------------------------------------------------------------------


def used(known: Delivery, share: float, blocks: int = 10) -> tuple[Delivery, list[str]]:
    """Take one use in, of so many observations."""
    changes = []
    for n in range(blocks):
        known, what = observed(known, share, 0.02, new_use=n == 0)
        changes += [what] if what else []
    return known, changes


def test_a_mechanism_is_de_rated_at_once_and_restored_on_evidence_only() -> None:
    full = Delivery()
    assert observed(full, 0.97, 0.02, new_use=True) == (full, None)  # within its interval
    less, what = observed(full, 0.8, 0.02, new_use=False)
    assert (less.share, what) == (0.8, "de-rated")
    # what is left of the use in which it fell short is no evidence, however long
    known = less
    for _ in range(100):
        known, what = observed(known, 1.0, 0.02, new_use=False)
        assert (known, what) == (less, None)
    for _ in range(CONFIRMATIONS - 1):
        known, changes = used(known, 1.0)
        assert (known.share, changes) == (0.8, [])
    # one use in between that delivers no more: it is counted anew
    known, _ = used(known, 0.8)
    assert known == less
    for _ in range(CONFIRMATIONS):
        known, changes = used(known, 1.0)
    assert (known.share, changes) == (1.0, ["restored"])


def test_one_use_is_one_confirmation_however_long_it_lasts() -> None:
    known, changes = used(Delivery(share=0.8), 1.0, blocks=1000)
    assert (known.share, changes) == (0.8, [])
    assert known.confirming == (1.0,)


def test_a_use_confirms_the_least_that_it_delivered() -> None:
    known, _ = used(Delivery(share=0.5), 1.0)
    for share in (0.9, 0.7, 0.95):
        known, _ = observed(known, share, 0.02, new_use=False)
    assert known.confirming == (0.7,)


def test_what_delivers_some_more_is_restored_that_far() -> None:
    known, _ = observed(Delivery(), 0.6, 0.02, new_use=True)
    for share in (0.82, 0.79, 0.84):
        known, what = observed(known, share, 0.02, new_use=True)
    assert (known.share, what) == (0.79, "restored")
    known, what = observed(known, 0.5, 0.02, new_use=False)
    assert (known.share, what) == (0.5, "de-rated")


@given(st.lists(st.tuples(st.floats(-5.0, 5.0), st.floats(1e-3, 0.2), st.booleans()), max_size=60))
def test_a_share_stays_physical_and_rises_only_with_uses(
    seen: list[tuple[float, float, bool]],
) -> None:
    known, before, uses = Delivery(), 1.0, 0
    for share, sd, new_use in seen:
        known, what = observed(known, share, sd, new_use=new_use)
        assert LEAST <= known.share <= 1.0
        uses += new_use
        if known.share > before:
            assert what == "restored"
            assert uses >= CONFIRMATIONS
        if known.share != before:
            uses = 0
        before = known.share

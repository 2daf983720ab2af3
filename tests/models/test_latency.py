"""The queue against the exact Erlang C formula, the slowing, and what limits ask of a pool."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.latency import exact_mean_s, exact_p95_s, exact_utilisation_within
from ebplan.document import FieldFault
from ebplan.models.latency import (
    ClassLatency,
    Queue,
    power_share,
    speed,
    speed_per_power_share,
)

SLOTS = [1, 2, 4, 8, 16, 32, 64]
SERVICE_S = 10.0
shares = st.floats(0.3, 1.0)
elasticities = st.floats(0.1, 3.0)


def test_one_slot_is_exact() -> None:
    # M/M/1: everybody waits with probability x, and the exponent is sqrt(4) - 1 = 1.
    queue = Queue(slots=1.0, service_s=SERVICE_S)
    for x in (0.1, 0.5, 0.9, 0.99):
        assert queue.mean_wait_s(x) == pytest.approx(SERVICE_S * x / (1.0 - x))
        assert queue.wait_p95_s(x) == pytest.approx(exact_p95_s(queue, x))


@pytest.mark.parametrize("slots", SLOTS)
def test_waits_are_those_of_erlang_and_rather_longer(slots: int) -> None:
    # A few slots: up to a quarter of the service time too long; many: ever less of it.
    queue = Queue(slots=slots, service_s=SERVICE_S)
    most_s = 0.45 * SERVICE_S / math.sqrt(slots)
    for x in map(float, np.linspace(0.02, 0.98, 97)):
        for approximate_s, exact_s in (
            (queue.mean_wait_s(x), exact_mean_s(queue, x)),
            (queue.wait_p95_s(x), exact_p95_s(queue, x)),
        ):
            assert -0.01 * exact_s <= approximate_s - exact_s <= most_s


@pytest.mark.parametrize("slots", SLOTS)
@pytest.mark.parametrize("share", [0.05, 0.2, 1.0, 3.0])
def test_the_utilisation_for_a_wait_is_cautious(slots: int, share: float) -> None:
    queue = Queue(slots=slots, service_s=SERVICE_S)
    found = queue.utilisation_within(share * SERVICE_S)
    exact = exact_utilisation_within(queue, share * SERVICE_S)
    assert exact - 0.08 <= found <= exact + 2e-4


@given(st.sampled_from(SLOTS), st.floats(0.0, 0.999), st.floats(0.0, 0.999))
def test_a_fuller_instance_lets_wait_longer(slots: int, x: float, y: float) -> None:
    queue = Queue(slots=slots, service_s=SERVICE_S)
    x, y = sorted((x, y))
    assert queue.wait_p95_s(x) <= queue.wait_p95_s(y)
    assert queue.mean_wait_s(x) <= queue.mean_wait_s(y)


@given(st.sampled_from(SLOTS), st.floats(1e-3, 100.0))
def test_at_the_utilisation_for_a_wait_it_is_just_as_long(slots: int, wait_s: float) -> None:
    queue = Queue(slots=slots, service_s=SERVICE_S)
    x = queue.utilisation_within(wait_s)
    assert queue.wait_p95_s(x) == pytest.approx(wait_s, rel=1e-6)


def test_an_idle_instance_lets_nobody_wait_and_a_full_one_for_ever() -> None:
    queue = Queue(slots=8.0, service_s=SERVICE_S)
    assert queue.wait_p95_s(0.0) == queue.mean_wait_s(0.0) == 0.0
    assert queue.wait_p95_s(1.0) == queue.mean_wait_s(1.0) == math.inf


@given(elasticities, shares, shares)
def test_a_deeper_cap_is_never_faster(g: float, k: float, deeper: float) -> None:
    deeper, k = sorted((deeper, k))
    assert 0.0 <= speed(deeper, g) <= speed(k, g) <= speed(1.0, g) == 1.0


@given(elasticities, st.floats(0.2, 1.0))
def test_power_share_undoes_speed(g: float, z: float) -> None:
    assert speed(power_share(z, g), g) == pytest.approx(z)


@given(elasticities, st.floats(0.4, 0.99))
def test_slope_of_the_speed(g: float, k: float) -> None:
    if speed(k - 1e-6, g) <= 0.0:
        return
    steps = (speed(k + 1e-6, g) - speed(k - 1e-6, g)) / 2e-6
    assert speed_per_power_share(k, g) == pytest.approx(steps, rel=1e-4)


def test_without_power_nothing_moves() -> None:
    assert speed(0.0, 0.5) == speed(-1.0, 2.0) == 0.0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"itl_limit_s": 0.05}, "itl_s"),
        ({"late_per_instance_s": 1.0}, "late_per_instance_s"),
        ({"itl_s": math.nan}, "itl_s"),
        ({"ttft_p95_limit_s": 0.0}, "ttft_p95_limit_s"),
    ],
)
def test_a_latency_that_does_not_fit_is_refused(fields: dict[str, float], field: str) -> None:
    with pytest.raises((FieldFault, ValueError), match=field) as caught:
        ClassLatency(prefill_s=0.1, **fields)
    if isinstance(caught.value, FieldFault):
        assert caught.value.field == field


def test_limits_are_hard_unless_they_have_a_price() -> None:
    known = ClassLatency(prefill_s=0.1, itl_s=0.02)
    assert not known.has_limits
    assert not known.is_hard
    limited = known.model_copy(update={"itl_limit_s": 0.03})
    assert limited.is_hard
    assert not limited.model_copy(update={"late_per_instance_s": 0.0}).is_hard

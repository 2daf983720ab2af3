"""The judge of calls on the wire, on meters made by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.on_the_wire.cases import SHORTENED, Done, event_of
from benchmarks.on_the_wire.faults import FAULTS, PAIRS
from benchmarks.on_the_wire.judge import TOLERANCE_KW, Sample, judge
from benchmarks.on_the_wire.page import section

BASELINE_KW = 5.0


def meter(kw_at: dict[float, float], battery_kw: float = 0.0) -> list[Sample]:
    """Return a sample a second: the draw of the last second that is named."""
    samples, kw = [], BASELINE_KW
    for t in range(-20, 200):
        kw = kw_at.get(float(t), kw)
        samples.append(Sample(float(t), kw, kw, battery_kw, 0.6))
    return samples


def test_a_release_that_comes_within_meter_and_cycle_is_kept() -> None:
    event = event_of("under_frequency")
    verdict = judge(event, meter({2.0: 4.0, 76.0: 5.0}))
    assert verdict.baseline_kw == BASELINE_KW
    assert verdict.is_kept
    assert verdict.held_kw == pytest.approx(-1.0)
    # 0 to the end of the recovery, both ends
    assert verdict.samples == 75 + 20 + 1


def test_one_that_comes_late_ends_early_or_rebounds_is_not() -> None:
    event = event_of("under_frequency")
    late = judge(event, meter({5.0: 4.0, 76.0: 5.0}))
    assert late.samples - late.inside == 2  # at 3 and 4 s
    assert late.worst_kw == pytest.approx(1.0 - TOLERANCE_KW)
    early = judge(event, meter({2.0: 4.0, 70.0: 5.0}))
    assert early.samples - early.inside == 6  # 70 to 75 s
    rebound = judge(event, meter({2.0: 4.0, 76.0: 6.0}))
    assert rebound.worst_kw == pytest.approx(1.0 - 0.5 - TOLERANCE_KW)


def test_an_absorption_is_judged_the_other_way() -> None:
    event = event_of("surplus_absorb")
    assert judge(event, meter({1.0: 6.5, 151.0: 5.0})).is_kept
    assert not judge(event, meter({})).is_kept


def test_a_silent_meter_is_no_sample_and_the_battery_is_seen_after_the_hand_off() -> None:
    event = event_of("under_frequency")
    samples = [s._replace(meter_kw=None) if s.t_s == 30.0 else s for s in meter({2.0: 4.0}, 0.2)]
    verdict = judge(event, samples)
    assert verdict.samples == 95
    assert verdict.battery_after_kw == pytest.approx(0.2)


@pytest.mark.parametrize("name", SHORTENED)
def test_shortened_calls_keep_ramp_and_hand_off(name: str) -> None:
    event = event_of(name)
    assert event.response.full_activation_s < event.duration_s
    assert event.handoff is None or event.handoff.by_s < event.duration_s


def test_the_page_says_what_was_not_run_and_how_often_the_controller_was_late() -> None:
    verdict = judge(event_of("under_frequency"), meter({2.0: 4.0, 76.0: 5.0}))
    done = Done(
        *("under_frequency", -1.0, 75.0, verdict, 0, 0, 3, 900, True, True, "ok", 7, 0, 0.1, 0)
    )
    text = section([done], [], [], ["- processor: one"])
    assert "longer than their second, with nothing wrong: 7" in text
    assert "96 of 96" in text
    assert "demand_response" in text
    assert "controller killed" in text
    assert "converter silent + meter silent" in text


def test_pairs_are_of_faults_that_there_are_and_each_fault_comes_twice() -> None:
    counts = Counter(fault for pair in PAIRS for fault in pair)
    assert len({frozenset(pair) for pair in PAIRS}) == 10
    assert set(counts) == set(FAULTS)
    assert min(counts.values()) >= 2

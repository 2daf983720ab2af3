"""Counts become names: the counts are met, with the fewest switches, and dwell where it can be."""

import numpy as np
import pytest
from disaggregation import carried_out, draw_walk, every_way, make_epoch
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan.disaggregate import Instance, Switch, Timing, disaggregate
from ebplan.errors import InputError
from ebplan.plan import PoolEpoch

seeds = st.integers(0, 2**32 - 1)
NOBODY = dict.fromkeys(
    (
        *("active", "locked", "drained", "lower_active", "lower_drained", "asleep"),
        *("to_asleep", "to_awake", "to_own", "to_lower"),
    ),
    0,
)
TOLD = dict.fromkeys(("to_asleep", "to_awake", "to_own", "to_lower"), 0)


@given(seed=seeds, instances=st.integers(1, 40), epochs=st.integers(1, 12))
def test_counts_are_met_at_every_epoch(seed: int, instances: int, epochs: int) -> None:
    walk = draw_walk(np.random.default_rng(seed), instances=instances, epochs=epochs)
    named = carried_out(walk, disaggregate(walk.epochs, walk.instances, walk.timing))
    for after, counts in zip(named, walk.counts, strict=True):
        assert {mode: after.modes.count(mode) for mode in counts} == counts


@given(seed=seeds)
@settings(max_examples=60, deadline=None)
def test_switches_are_the_fewest_there_can_be(seed: int) -> None:
    walk = draw_walk(np.random.default_rng(seed), instances=4, epochs=3)
    mine = carried_out(walk, disaggregate(walk.epochs, walk.instances, walk.timing))[-1]
    assert mine.switches == min(named.switches for named in every_way(walk))


@given(seed=seeds)
@settings(max_examples=120, deadline=None)
def test_dwell_is_kept_where_any_assignment_with_as_few_switches_keeps_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk = draw_walk(rng, instances=4, epochs=4, ways=False)
    mine = carried_out(walk, disaggregate(walk.epochs, walk.instances, walk.timing))[-1]
    fewest = [named for named in every_way(walk) if named.switches == mine.switches]
    if any(named.cut_short == 0 for named in fewest):
        assert mine.cut_short == 0


def epoch(t_s: float, told: dict[str, int] | None = None, **here: int) -> PoolEpoch:
    return make_epoch(t_s, NOBODY | here, TOLD | (told or {}))


def test_the_longest_in_its_mode_leaves_it() -> None:
    instances = [Instance("a", "active", -5.0), Instance("b", "active", -50.0)]
    assert disaggregate([epoch(0.0, active=1, drained=1)], instances) == [
        [Switch("b", "active", "drained")]
    ]


def test_the_most_recently_drained_is_put_to_work_first() -> None:
    instances = [
        Instance("cold", "drained", -50.0),
        Instance("warm", "drained", -5.0),
        Instance("busy", "active", -500.0),
    ]
    assert disaggregate([epoch(0.0, active=2, drained=1)], instances) == [
        [Switch("warm", "drained", "active")]
    ]


def test_one_woken_lately_is_spared_the_next_sleep() -> None:
    """It was drained, so without its dwell it would be put back to work last."""
    instances = [
        Instance("woken", "drained", -20.0, awake_since_s=-20.0),
        Instance("old", "drained", -10.0),
    ]
    plan = [
        epoch(0.0, active=1, drained=1),
        epoch(10.0, {"to_asleep": 1}, active=1, to_asleep=1),
    ]
    short, spared = (
        disaggregate(plan, instances, Timing(sleep_s=3.0, min_awake_s=s))[1] for s in (5.0, 60.0)
    )
    assert short == [Switch("woken", "drained", "to_asleep")]
    assert spared == [Switch("old", "drained", "to_asleep")]


def test_a_transition_that_takes_no_time_is_over_at_once() -> None:
    plan = [epoch(0.0, {"to_awake": 1}, active=1)]
    assert disaggregate(plan, [Instance("a", "asleep")]) == [
        [Switch("a", "asleep", "to_awake"), Switch("a", "to_awake", "active")]
    ]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (epoch(0.0, active=2), "active, clock_lock.active and drained"),
        (epoch(0.0, {"to_awake": 1}, active=1, to_awake=1), "woken"),
        (epoch(0.0, {"to_asleep": 1}, to_asleep=1), "put_to_sleep and to_tier"),
    ],
)
def test_counts_that_the_instances_cannot_give_are_refused(asked: PoolEpoch, field: str) -> None:
    with pytest.raises(InputError) as error:
        disaggregate([asked], [Instance("a", "active")])
    assert error.value.field == f"epochs.0.{field}"


def test_of_those_who_arrive_the_one_just_woken_goes_to_work() -> None:
    """The other has long been awake and may be put to sleep; it only had its weights changed."""
    instances = [
        Instance("changed", "to_own", awake_since_s=-900.0),
        Instance("woken", "to_awake"),
    ]
    assert disaggregate([epoch(0.0, active=1, drained=1)], instances) == [
        [Switch("woken", "to_awake", "active"), Switch("changed", "to_own", "drained")]
    ]

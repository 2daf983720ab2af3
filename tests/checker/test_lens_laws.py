"""The lens laws asked of a locked clock and of a lower precision, each with curves of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from handmade_fleet import make_clock_lock, make_tier, told
from handmade_problem import Told
from planting import FLEET, Case, broken_laws


def with_curve(part: str, **changes: float) -> dict[str, object]:
    """Return a change of the pool: a clock lock or a tier with another cap curve."""
    stated = {"clock_lock": make_clock_lock(), "tier": make_tier()}[part]
    curve = stated.cap_curve.model_copy(update=changes)
    return {part: stated.model_copy(update={"cap_curve": curve})}


LENS: dict[str, tuple[Callable[[], Case], set[str]]] = {
    "clock below its floor": (
        lambda: FLEET.retold(1, told(1), **with_curve("clock_lock", floor_kw=0.76)),
        {"cap_floor"},
    ),
    "cap of the tier below its floor": (
        lambda: FLEET.retold(1, told(1), **with_curve("tier", floor_kw=0.81)),
        {"cap_floor"},
    ),
    "draw under a clock above its load": (
        lambda: FLEET.retold(2, told(2, locked=Told(3, load=2.2, power_each_kw=0.99))),
        {"natural_draw"},
    ),
    "draw in the tier above its load": (
        lambda: FLEET.retold(3, told(3, tier=Told(2, power_each_kw=0.96))),
        {"natural_draw"},
    ),
    "load above what the clock allows": (
        lambda: FLEET.retold(1, told(1), **with_curve("clock_lock", elasticity=1.2)),
        {"cap_frontier", "max_utilisation"},
    ),
    "load above what the cap of the tier allows": (
        lambda: FLEET.retold(1, told(1), **with_curve("tier", elasticity=2.6)),
        {"cap_frontier", "max_utilisation"},
    ),
    "no headroom under the clock": (
        lambda: FLEET.retold(1, told(1), **with_curve("clock_lock", elasticity=0.9)),
        {"max_utilisation"},
    ),
    "no headroom in the tier": (
        lambda: FLEET.retold(1, told(1), **with_curve("tier", elasticity=2.45)),
        {"max_utilisation"},
    ),
    "too little load in the tier": (
        lambda: FLEET.against_pool(min_utilisation=0.41),
        {"min_utilisation"},
    ),
    "too little load under the clock": (
        lambda: FLEET.retold(3, told(3, locked=Told(2, load=0.55), drained=1)),
        {"min_utilisation"},
    ),
    "utilisation of the tier": (
        lambda: FLEET.scaled_way(2, "tier", "utilisation"),
        {"utilisation"},
    ),
    "use of the tier": (lambda: FLEET.scaled_way(3, "tier", "capacity_used"), {"utilisation"}),
    "use under the clock": (
        lambda: FLEET.scaled_way(1, "clock_lock", "capacity_used"),
        {"utilisation"},
    ),
    "load where nothing runs": (
        lambda: FLEET.altered_way(0, "clock_lock", utilisation=0.01),
        {"utilisation"},
    ),
    "limit of the tier": (lambda: FLEET.scaled_way(3, "tier", "cap_w_per_gpu"), {"cap_set_point"}),
    "limit of the tier left out": (
        lambda: FLEET.altered_way(3, "tier", cap_w_per_gpu=None),
        {"cap_set_point"},
    ),
    "clock left out": (
        lambda: FLEET.altered_way(1, "clock_lock", clock_mhz=None),
        {"clock_set_point"},
    ),
    "clock where nothing runs": (
        lambda: FLEET.altered_way(0, "clock_lock", clock_mhz=1500.0),
        {"clock_set_point"},
    ),
    "another highest clock": (
        lambda: FLEET.against_part("clock_lock", max_clock_mhz=2000.0),
        {"clock_set_point"},
    ),
    "another exponent of the clock": (
        lambda: FLEET.against_part("clock_lock", power_exponent=2.02),
        {"clock_set_point"},
    ),
}


@pytest.mark.parametrize("what", LENS)
def test_planted_breach_of_a_lens_is_found_and_nothing_else(what: str) -> None:
    plant, broken = LENS[what]
    assert broken_laws(*plant()) == broken


@pytest.mark.parametrize("factor", [0.99, 1.01])
@pytest.mark.parametrize("field", ["power_kw", "utilisation", "capacity_used"])
@pytest.mark.parametrize(("k", "way"), [(1, "clock_lock"), (3, "tier")])
def test_one_percent_of_each_column_of_a_way_is_found(
    k: int, way: str, field: str, factor: float
) -> None:
    assert broken_laws(*FLEET.scaled_way(k, way, field, factor))


def test_a_clock_is_rounded_to_a_tenth() -> None:
    mhz = round(FLEET.plan.pools["chat"][1].clock_lock.clock_mhz, 1)
    assert broken_laws(*FLEET.altered_way(1, "clock_lock", clock_mhz=mhz)) == set()


def test_all_ways_together_serve_what_is_served() -> None:
    # More under the clock than it was: the pool's own way is left with less than it says.
    case = FLEET.scaled_way(1, "clock_lock", "utilisation")
    assert "utilisation" in broken_laws(*case)
    # Without any other way at work nothing takes the rest.
    assert "cap_frontier" in broken_laws(*FLEET.scaled_way(2, "clock_lock", "utilisation"))


def test_load_of_the_tier_counts_in_its_own_instances() -> None:
    assert "utilisation" in broken_laws(*FLEET.against_part("tier", capacity_factor=1.515))

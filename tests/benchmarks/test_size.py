"""The table of sizes is what was measured; cases of many pools pose. No time is asserted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.mixed import mixed
from benchmarks.size import FAMILIES, Sized, exponent, exponents_table, measure, sizes_table
from benchmarks.subjects import example
from ebplan.pose import pose


@pytest.fixture(scope="module")
def measured() -> Sized:
    return measure("alike", 2, 4, 1, 5.0)


def test_a_case_is_measured_and_checked(measured: Sized) -> None:
    assert measured.ok
    assert measured.whole_mip is not None
    _, cost, bound = measured.whole_mip
    assert measured.relaxed == pytest.approx(measured.whole_lp[1], rel=1e-3)
    assert measured.relaxed <= cost * (1.0 + 1e-9)
    assert measured.objective >= bound * (1.0 - 1e-9)
    assert measured.memory_mib > 0.0
    assert {"build", "relaxation", "whole", "rest", "solve", "plan"} <= set(measured.seconds)


def test_the_exponent_is_the_slope(measured: Sized) -> None:
    sizes = [
        replace(measured, pools=n, seconds=dict.fromkeys(measured.seconds, 0.01 * n**1.25))
        for n in (1, 3, 10, 30, 100)
    ]
    assert exponent(sizes, "solve", 1, 100) == pytest.approx(1.25)
    assert exponent(sizes, "solve", 10, 100) == pytest.approx(1.25)
    assert exponent(sizes[:1], "solve", 1, 10) is None
    assert len(sizes_table(sizes)) == 2 + len(sizes)
    assert "1.25" in exponents_table(sizes)[-1]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_the_pools_it_says(family: str) -> None:
    case = FAMILIES[family].build(5, 8)
    problem = pose(case.event, case.site, case.state)
    assert [pool.instances for pool in problem.pools] == [8] * 5


def test_mixed_pools_differ_and_everything_else_grows_with_them() -> None:
    small = example("mixed_pools")
    large = mixed(small, instances=100, pools=20)
    before = pose(small.event, small.site, small.state)
    after = pose(large.event, large.site, large.state)
    loads = [pool.load for pool in after.pools]
    assert len(set(loads)) == len(loads)
    assert len({(pool.tier is None, pool.clock_lock is None) for pool in after.pools}) > 2
    drawn = [sum(pool.power_at_start_kw() for pool in p.pools) for p in (before, after)]
    whole = min(after.target_kw) / min(before.target_kw)
    assert np.isclose(drawn[1] / drawn[0], whole, rtol=0.1)
    assert before.battery is not None
    assert after.battery is not None
    assert after.battery.energy_kwh == pytest.approx(whole * before.battery.energy_kwh)

"""The way back is even, one GPU at a time, and ends where it should."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.daemon.ramp import ramp

watts = st.floats(100.0, 1000.0)
nodes = st.dictionaries(st.integers(0, 15), st.tuples(watts, watts), min_size=1, max_size=16)


@given(nodes, st.floats(0.0, 60.0), st.integers(1, 8))
def test_each_gpu_comes_back_in_time_and_alone(
    node: dict[int, tuple[float, float]], within_s: float, steps: int
) -> None:
    from_w = {gpu: low for gpu, (low, _) in node.items()}
    to_w = {gpu: high for gpu, (_, high) in node.items()}
    found = ramp(from_w, to_w, within_s, steps)
    assert [step.at_s for step in found] == sorted(step.at_s for step in found)
    assert all(0.0 <= step.at_s <= within_s for step in found)
    now_w = dict(from_w)
    for step in found:
        new_w = to_w[step.gpu] if step.cap_w is None else step.cap_w
        # no step is larger than its part of the way up; down goes at once
        gap_w = to_w[step.gpu] - from_w[step.gpu]
        assert new_w - now_w[step.gpu] <= max(gap_w, 0.0) / steps + 1e-6
        now_w[step.gpu] = new_w
    assert now_w == to_w
    assert {step.gpu for step in found if step.cap_w is None} == set(node)
    if within_s > 1e-3:
        assert len({step.at_s for step in found}) == len(found)


def test_a_gpu_whose_limit_before_is_unknown_is_restored_last() -> None:
    found = ramp({0: 300.0, 1: 300.0}, {0: 600.0}, 8.0)
    assert [step.cap_w for step in found if step.gpu == 1] == [None]
    assert [step.cap_w for step in found if step.gpu == 0] == [375.0, 450.0, 525.0, None]


def test_nothing_to_bring_back_takes_no_step() -> None:
    assert ramp({}, {0: 600.0}, 10.0) == ()

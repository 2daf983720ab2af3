"""What is measured: the shipped examples, and their site with more instances."""

from __future__ import annotations

from pathlib import Path

from benchmarks.registry import register
from benchmarks.scaling import scaled
from ebplan.case import Case, load_case

EXAMPLES = Path(__file__).parent.parent / "examples"
FOUR_HOURS_S = 14_400.0


def example(name: str) -> Case:
    """Return a shipped example by its file's stem."""
    return load_case(EXAMPLES / f"{name}.json")


@register("under_frequency")
def _under_frequency() -> Case:
    return example("under_frequency")


@register("curtailment_3h")
def _curtailment_3h() -> Case:
    return example("curtailment_3h")


@register("infeasible_target")
def _infeasible_target() -> Case:
    return example("infeasible_target")


@register("demand_response")
def _demand_response() -> Case:
    return example("demand_response")


@register("mixed_pools")
def _mixed_pools() -> Case:
    return example("mixed_pools")


@register("surplus_queue")
def _surplus_queue() -> Case:
    return example("surplus_queue")


@register("5 min, 4")
def _five_minutes_4() -> Case:
    return scaled(example("under_frequency"), instances=4)


@register("5 min, 16")
def _five_minutes_16() -> Case:
    return scaled(example("under_frequency"), instances=16)


@register("5 min, 64")
def _five_minutes_64() -> Case:
    return scaled(example("under_frequency"), instances=64)


@register("4 h, 4")
def _four_hours_4() -> Case:
    return scaled(example("curtailment_3h"), instances=4, duration_s=FOUR_HOURS_S)


@register("4 h, 16")
def _four_hours_16() -> Case:
    return scaled(example("curtailment_3h"), instances=16, duration_s=FOUR_HOURS_S)


@register("4 h, 64")
def _four_hours_64() -> Case:
    return scaled(example("curtailment_3h"), instances=64, duration_s=FOUR_HOURS_S)


@register("5 min, 10 x 100", heavy=True)
def _five_minutes_1000() -> Case:
    return scaled(example("under_frequency"), instances=100, pools=10)


@register("4 h, 10 x 100", heavy=True)
def _four_hours_1000() -> Case:
    return scaled(example("curtailment_3h"), instances=100, pools=10, duration_s=FOUR_HOURS_S)

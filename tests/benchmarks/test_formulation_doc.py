"""docs/formulation.md names what the code builds: no row and no variable is missing there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scaling import scaled
from benchmarks.subjects import example
from ebplan.models.latency import ClassLatency, Queue
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Uncertainty
from ebplan.solvers.formulation import Formulation, formulate
from ebplan.solvers.leave_out import leave_out
from ebplan.wear import CalendarLine, DepthSegment

PAGE = Path(__file__).parents[2] / "docs" / "formulation.md"


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """The names in code spans, without placeholders (POOL, CLASS, H, I)."""
    spans = re.findall(r"`([^`\n]+)`", PAGE.read_text(encoding="utf-8"))
    return {plain_name(re.sub(r"\b(POOL|CLASS|H|I)\b", "", span)) for span in spans}


@pytest.fixture(scope="module", params=["under_frequency", "fcr_tracking", "price_window"])
def formulated(request: pytest.FixtureRequest) -> tuple[Formulation, set[str]]:
    """A formulated example, and the names of its pools and classes."""
    case = example(request.param)
    problem = with_limits(pose(case.event, case.site, case.state))
    own = {pool.name for pool in problem.pools}
    own |= {requests.name for pool in problem.pools for requests in pool.classes}
    # One instant inside a step, so that the rows of watched instants stand there too.
    watched = [middle_of_event_step(problem)] if problem.in_event.any() else []
    return formulate(problem, instants_s=watched, exact_loss=[0]), own


@pytest.fixture(scope="module")
def worn() -> Formulation:
    """The same example with wear by depth and by the calendar."""
    case = example("under_frequency")
    problem = pose(case.event, case.site, case.state)
    assert problem.battery is not None
    wear = {
        "depth_segments": (
            DepthSegment(from_kwh=0.0, price_per_kwh=1.0),
            DepthSegment(from_kwh=0.5, price_per_kwh=2.0),
        ),
        "calendar": (CalendarLine(price_per_kwh_h=1.0, price_per_h=0.0),),
    }
    battery = problem.battery.model_copy(update=wear)
    return formulate(problem.model_copy(update={"battery": battery}))


def with_limits(problem: Problem) -> Problem:
    """Return the problem with both limits on latency, of every kind that stands in rows."""
    (pool,) = problem.pools
    hard = ClassLatency(prefill_s=0.6, itl_s=0.035, ttft_p95_limit_s=6.0, itl_limit_s=0.037)
    priced = hard.model_copy(update={"late_per_instance_s": 0.01})
    classes = tuple(
        requests.model_copy(update={"latency": latency})
        for requests, latency in zip(pool.classes, (hard, priced), strict=True)
    )
    queue = Queue(slots=32.0, service_s=2.0)
    pool = pool.model_copy(update={"classes": classes, "queue": queue})
    return problem.model_copy(update={"pools": (pool,)})


def middle_of_event_step(problem: Problem) -> float:
    """Return an instant inside the last step of the event."""
    last = np.flatnonzero(problem.in_event)[-1]
    return float(problem.grid.starts_s[last] + 0.5 * problem.grid.durations_s[last])


def plain_name(name: str, own: frozenset[str] | set[str] = frozenset()) -> str:
    """Strip numbers and the case's own names: ``llama70b.natural_draw.2`` -> ``natural_draw``."""
    return ".".join(p for p in name.split(".") if p and p not in own and not p.isdigit())


def test_every_constraint_label_is_documented(
    documented: set[str], formulated: tuple[Formulation, set[str]]
) -> None:
    formulation, own = formulated
    labels = {plain_name(group.name, own) for group in formulation.program.rows}
    assert labels - documented == set()


def test_what_a_pool_without_caps_adds_is_documented(
    documented: set[str], formulated: tuple[Formulation, set[str]]
) -> None:
    case, (_, own) = example("under_frequency"), formulated
    problem = leave_out(pose(case.event, case.site, case.state), ["power_cap"])
    program = formulate(problem).program
    names = {plain_name(group.name, own) for group in (*program.rows, *program.columns)}
    assert names - documented == set()
    assert {"no_cap", "one_line", "no_cap_secant", "uncapped"} <= names


def test_every_variable_group_is_documented(
    documented: set[str], formulated: tuple[Formulation, set[str]]
) -> None:
    formulation, own = formulated
    names = {plain_name(group.name, own) for group in formulation.program.columns}
    assert names - documented == set()


def test_every_cause_is_documented(
    documented: set[str], formulated: tuple[Formulation, set[str]]
) -> None:
    formulation, _ = formulated
    assert set(formulation.program.cost_of) - documented == set()


def test_every_variable_is_bounded_and_only_counts_are_whole(
    formulated: tuple[Formulation, set[str]],
) -> None:
    """What the page says of the program as a whole."""
    formulation, own = formulated
    program = formulation.program
    whole = {
        plain_name(group.name, own)
        for group in program.columns
        if program.integer[group.start : group.start + group.size].any()
    }
    # binaries stand only where drawing power may pay
    counted = {"active", "drained", "asleep", "to_sleep", "to_wake"}
    assert counted <= whole <= counted | {"not_drained", "discharging", "loss_full"}
    assert max(abs(program.lower).max(), abs(program.upper).max()) < float("inf")


def test_margins_are_documented(documented: set[str]) -> None:
    case = example("under_frequency")
    said = Uncertainty(confidence=0.9, load_std=0.02, response_std=0.1)
    planning = case.site.planning.model_copy(update={"uncertainty": said})
    site = case.site.model_copy(update={"planning": planning})
    program = formulate(pose(case.event, site, case.state)).program
    names = {plain_name(group.name) for group in (*program.rows, *program.columns)}
    margin = {name for name in names if name.startswith("margin")}
    assert len(margin) == 7  # margin_carried is a variable and a row
    assert margin - documented == set()
    assert "margin" in documented & set(program.cost_of)


def test_wear_is_documented(
    documented: set[str], formulated: tuple[Formulation, set[str]], worn: Formulation
) -> None:
    _, own = formulated
    said = {re.sub(r"\.J$", "", name) for name in documented}
    groups = (*worn.program.rows, *worn.program.columns)
    names = {plain_name(group.name, own) for group in groups}
    assert {"depth_layers", "depth_out", "depth_energy", "calendar_rate"} <= names
    assert names - said == set()
    assert set(worn.program.cost_of) - documented == set()


def test_what_pools_that_answer_alike_share_is_documented(documented: set[str]) -> None:
    case = scaled(example("under_frequency"), instances=4, pools=2)
    program = formulate(pose(case.event, case.site, case.state)).program
    groups = [g for g in (*program.rows, *program.columns) if g.name.startswith("channel.")]
    assert {plain_name(group.name) for group in groups} <= documented
    assert len(groups) == 4

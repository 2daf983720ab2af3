"""What a person at a running site looks at."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from ebplan import Planner, load_case
from ebplan.controller.controller import Status
from ebplan.controller.degradations import Degradation
from ebplan.controller.numbers import NAMED, numbers
from ebplan.controller.sensing import Sensed
from ebplan.report.live import live_view, one_line
from ebplan.state import MeteredPower, PoolState, State


def status(**changes: object) -> Status:
    case = load_case("examples/under_frequency.json")
    plan = Planner(case.site).plan(case.event, case.state)
    state = State(
        at=datetime(2026, 11, 26, 12, tzinfo=UTC),
        soc=0.5,
        grid=MeteredPower(kw=3.95, measurement_point="connection_point"),
        battery_kw=0.98,
        pools={
            "llama70b": PoolState(
                active=3, drained=1, load_req_per_s={"interactive": 30.0, "batch": 7.5}
            )
        },
    )
    given = {
        "cycles": 12,
        "sensed": Sensed(state, 0.98, {}, 0.01, 49.98),
        "plan": plan,
        "step": plan.steps[3],
        "event": case.event,
        "why": ("event dr-1",),
        "leased": {"battery": True, "router": False},
        "degradations": (Degradation("not_leased", "router", "silent\n\x1b[2J"),),
    }
    return Status(**(given | changes))  # type: ignore[arg-type]


def shown(of: Status) -> str:
    console = Console(width=100, record=True, file=None, force_terminal=False, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(live_view(of))
    return capture.get()


def test_the_view_says_what_is_drawn_planned_and_wrong() -> None:
    view = shown(status())
    for said in ("3.95 kW", "+0.98 kW", "50.0 %", "49.980 Hz", "37.5", "1 of 2 actuators leased"):
        assert said in view
    assert "event under-frequency-5min: optimal" in view
    assert "not_leased router" in view
    assert "\x1b[2J" not in view


def test_what_is_not_known_is_not_made_up() -> None:
    state = State(at=datetime(2026, 11, 26, 12, tzinfo=UTC), pools={})
    view = shown(status(sensed=Sensed(state, None, {}, 0.01, None), plan=None, step=None))
    assert "silent" in view
    assert "no plan yet" in view
    assert shown(Status()).strip() == "reading the devices ..."


def test_a_line_is_one_line() -> None:
    line = one_line(status())
    assert line.startswith("2026-11-26T12:00:00+00:00 drawn 3.95 kW")
    assert "\n" not in line
    assert "\x1b" not in line


def test_each_number_is_named_and_what_is_not_known_is_absent() -> None:
    found = numbers(status())
    assert found.keys() == NAMED.keys()
    assert found["grid_kw"] == {(): 3.95}
    assert found["instances"]["llama70b", "drained"] == 1.0
    assert found["degraded"] == {("not_leased", "router"): 1.0}
    assert numbers(Status())["soc"] == {(): None}


def test_a_plan_without_a_bound_is_shown() -> None:
    """The rule has none; at a running site that is no reason to end."""
    told = status()
    assert told.plan is not None
    ruled = told.plan.model_copy(update={"status": "merit_order", "bound": None, "gap": None})
    assert "merit_order, without a bound" in shown(status(plan=ruled))

"""Golden model files: every block at two steps, row by row, in numbers.

A change of a block's mathematics shows as a change of its file. The files are rewritten on purpose
only, from the root of the repository, and their diff is read before it is committed:

    python -m tests.solvers.golden_models --write
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from ebplan.models.curves import CapCurve
from ebplan.models.latency import ClassLatency, Queue
from ebplan.problem import (
    ArrivalCount,
    ClockLockProblem,
    DeferralProblem,
    LoweredProblem,
    Margins,
    PrewarmProblem,
    Problem,
    PullForwardProblem,
    TierProblem,
    ValueSegment,
)
from ebplan.site import CongestionStep, Response
from ebplan.solvers import blocks, formulation
from ebplan.solvers.describe import row_in_words
from ebplan.solvers.program import IndexArray, Program, ProgramBuilder, Term
from ebplan.wear import CalendarLine, DepthSegment

sys.path.insert(0, str(Path(__file__).parent))

import small_problems as small

FOLDER = Path(__file__).with_name("golden")
WRITE = "python -m tests.solvers.golden_models --write"


TWO_POOLS, COUPLING = "two pools that answer alike", ("channels", "response")
"""What two pools have in common shows in these blocks; every other writes one pool like another."""


def block_names() -> list[str]:
    """Return the modules of the package of blocks."""
    files = Path(blocks.__path__[0]).glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def two_steps(**changes: object) -> Problem:
    """Return a release over two steps that exercises every block."""
    pool = small.pool(
        name="p",
        min_utilisation=0.4,
        active_at_start=2,
        drained_at_start=1,
        asleep_at_start=1,
        arrivals=(ArrivalCount(to="awake", count=1, at_s=30.0),),
        may_sleep=True,
        sleep_s=20.0,
        wake_s=40.0,
        min_asleep_s=90.0,
        min_awake_s=90.0,
        cap_curve=CapCurve(full_kw=0.95, elasticity=1.2, floor_kw=0.5),
        cap_response=Response(delay_s=0.5, time_constant_s=1.0),
        route_response=Response(delay_s=0.5, time_constant_s=10.0),
        classes=(
            small.requests(name="chat", load=1.0, max_rejected=0.0),
            small.requests(
                name="batch",
                load=0.5,
                value_per_instance_s=0.01,
                deferral=DeferralProblem(
                    deadline_s=90.0, price_per_work_h=2.0, backlog_at_start=6.0
                ),
            ),
        ),
        congestion=(CongestionStep(above_utilisation=0.7, price_per_instance_h=10.0),),
        cap_depth_per_kwh=5.0,
        readiness_per_instance_h=2.0,
        drain_per_instance=0.05,
        wake_per_instance=0.5,
    )
    fields: dict[str, object] = {
        "edges_s": (0.0, 60.0, 120.0),
        "epoch_steps": (0, 1),
        "release_kw": (0.5, 1.0),
        "pools": (pool,),
        "battery": small.battery(
            start_kwh=1.5,
            reserve_kwh=1.0,
            loss_linear=0.01,
            loss_quadratic=0.02,
            cell_efficiency=0.95,
            wear_per_kwh=8.0,
            terminal=(
                ValueSegment(width_kwh=1.0, price_per_kwh=40.0),
                ValueSegment(width_kwh=1.0, price_per_kwh=20.0),
            ),
        ),
        "handoff_from_s": 60.0,
        "handoff_kw": 0.1,
        "prices": small.prices(
            energy_per_kwh=20.0,
            shortfall_per_kwh=60.0,
            firmness_per_kwh=300.0,
            early_shortfall_premium=0.1,
            reserve_per_kwh=200.0,
            handoff_excess_per_kwh=100.0,
            overrun_per_kwh=400.0,
        ),
    }
    return small.problem(**(fields | changes))  # type: ignore[arg-type]


def uncapped() -> Problem:
    """Return the same with a pool of which nothing may be capped."""
    problem = two_steps()
    (pool,) = problem.pools
    return problem.model_copy(update={"pools": (pool.model_copy(update={"may_cap": False}),)})


def every_way() -> Problem:
    """Return the same with every way to run an instance, limits, work ahead and wear by depth."""
    problem = two_steps()
    (pool,) = problem.pools
    chat, batch = pool.classes
    late = ClassLatency(prefill_s=0.2, itl_s=0.03, ttft_p95_limit_s=2.0, itl_limit_s=0.04)
    priced = late.model_copy(update={"late_per_instance_s": 0.002})
    changes = {
        "clock_lock": ClockLockProblem(
            cap_curve=CapCurve(full_kw=0.95, elasticity=0.6, floor_kw=0.3),
            power_exponent=1.5,
            max_clock_mhz=1980.0,
        ),
        "tier": TierProblem(
            name="fp8",
            capacity_factor=1.25,
            load_curve=pool.load_curve,
            cap_curve=pool.cap_curve,
            swap_s=30.0,
            swap_price_per_instance=0.5,
            drained_at_start=1,
        ),
        "prewarm": PrewarmProblem(
            lead_s=40.0,
            expires_s=300.0,
            power_kw=0.1,
            price=0.2,
            drain_per_instance=0.01,
            wake_s=20.0,
        ),
        "rise_response": Response(delay_s=0.5, time_constant_s=2.0),
        "instances": pool.instances + 1,
        "queue": Queue(slots=24.0, service_s=1.5),
        "classes": (
            chat.model_copy(
                update={
                    "lowered": LoweredProblem(eligible_share=0.5, price_per_instance_s=1e-3),
                    "latency": late,
                }
            ),
            batch.model_copy(
                update={
                    "pull_forward": PullForwardProblem(available=30.0, value_per_work_h=1.0),
                    "latency": priced,
                }
            ),
        ),
    }
    worn = {
        "depth_segments": (
            DepthSegment(from_kwh=0.0, price_per_kwh=2.0),
            DepthSegment(from_kwh=0.5, price_per_kwh=6.0),
        ),
        "calendar": (
            CalendarLine(price_per_kwh_h=0.1, price_per_h=0.2),
            CalendarLine(price_per_kwh_h=0.4, price_per_h=-0.1),
        ),
        "wear_per_kwh": 0.0,
    }
    assert problem.battery is not None
    battery = problem.battery.model_copy(update=worn)
    pools = (pool.model_copy(update=changes),)
    return problem.model_copy(update={"pools": pools, "battery": battery})


MARGINS = Margins(
    confidence=0.9,
    z=1.5,
    load_kw=0.1,
    response_share=0.2,
    power_per_kwh=180.0,
    energy_per_kwh=150.0,
)


def alike() -> Problem:
    """Return the same with every way to run an instance in two pools that answer alike."""
    problem = every_way()
    (pool,) = problem.pools
    twin = pool.model_copy(update={"name": "q"})
    return problem.model_copy(update={"pools": (pool, twin)})


def absorbing() -> Problem:
    """Return an absorb where drawing is paid for."""
    paid = two_steps().prices.model_copy(update={"energy_per_kwh": -5.0})
    return two_steps(release_kw=0.0, absorb_kw=(0.5, 1.0), prices=paid)


@dataclass
class Witness(ProgramBuilder):
    """A builder that notes which block writes each group of variables and rows."""

    writer: dict[str, str] = field(default_factory=dict)

    def variables(self, name: str, size: int, **bounds: Any) -> IndexArray:
        self.writer["variable " + name] = _calling_block()
        return super().variables(name, size, **bounds)

    def rows(self, label: str, size: int, terms: Sequence[Term], **bounds: Any) -> None:
        self.writer["row " + label] = _calling_block()
        super().rows(label, size, terms, **bounds)


def _calling_block() -> str:
    """Return the name of the block that called the builder."""
    frame = inspect.currentframe()
    while frame is not None:
        module = frame.f_globals["__name__"]
        if module.startswith(f"{blocks.__name__}."):
            return str(module.rsplit(".", 1)[-1])
        frame = frame.f_back
    raise AssertionError("a row that no block has written")


def witnessed(problem: Problem, **options: Any) -> tuple[Program, dict[str, str]]:
    """Return the program of a problem, and which block wrote each of its groups."""
    witness = Witness()
    with patch.object(formulation, "ProgramBuilder", lambda: witness):
        program = formulation.formulate(problem, **options).program
    return program, witness.writer


def golden_texts() -> dict[str, str]:
    """Return the text of each block's golden file, by the name of the block.

    Each line stands once, in the first model that has it with these numbers.
    """
    models = {
        "release": witnessed(two_steps(), instants_s=[90.0]),
        "release without caps": witnessed(uncapped()),
        "release with every way to run": witnessed(every_way()),
        "absorb at a price below zero": witnessed(absorbing()),
        "release with margins": witnessed(two_steps(margins=MARGINS), instants_s=[90.0]),
        "absorb with margins": witnessed(absorbing().model_copy(update={"margins": MARGINS})),
        TWO_POOLS: witnessed(alike()),
    }
    texts: dict[str, list[str]] = {}
    for what, (program, writer) in models.items():
        for name in dict.fromkeys(writer.values()):
            if what == TWO_POOLS and name not in COUPLING:
                continue
            lines = texts.setdefault(name, [f"{name}: two steps, two epochs. Written by: {WRITE}"])
            new = [line for line in _lines(program, writer, name) if line not in lines]
            lines += ["", f"== {what}", *new] if new else []
    return {name: "\n".join(lines) + "\n" for name, lines in texts.items()}


def _lines(program: Program, writer: dict[str, str], block: str) -> Iterator[str]:
    """Yield the variables with their prices, and the rows, that a block has written."""
    cost, names = program.cost, program.column_names()
    for group in program.columns:
        if writer["variable " + group.name] != block:
            continue
        for at in range(group.start, group.start + group.size):
            kind = "whole" if program.integer[at] else "real"
            price = f", costs {cost[at]:.6g}" if abs(cost[at]) > 1e-12 else ""
            span = f"{program.lower[at]:.6g} to {program.upper[at]:.6g}"
            yield f"{group.member(at - group.start)}: {kind}, {span}{price}"
    for group in program.rows:
        if writer["row " + group.name] == block:
            for i in range(group.size):
                yield f"{group.member(i)}: {row_in_words(program, group.start + i, names)}"


def main() -> None:
    """Write the files where told to; say otherwise what would change."""
    for name, text in golden_texts().items():
        file = FOLDER / f"{name}.txt"
        same = file.exists() and file.read_text(encoding="utf-8") == text
        print(f"{file.name}: {'as it was' if same else 'changed'}")
        if "--write" in sys.argv[1:]:
            FOLDER.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

"""Days in closed loop: ``python -m benchmarks.closed_loop --write docs/closed_loop.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from benchmarks.day import Day, make_day
from benchmarks.machine import describe_machine
from benchmarks.myopic import Myopic
from benchmarks.scaling import scaled
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.closed_loop import ClosedLoop, Cycle
from ebplan.document import write_atomically
from ebplan.errors import NoPlanError
from ebplan.event import Baseline, Event
from ebplan.plan import Plan, Step
from ebplan.planner import Planner, solve_problem
from ebplan.pose.repair import pose_measured
from ebplan.problem import PoolProblem, Problem
from ebplan.realised import Realised, RecordedPlant, realised
from ebplan.site import Response
from ebplan.state import State
from ebplan.twin import Bias

TOLERANCE_SHARE = 0.02
"""Share of the baseline by which the mean of ten seconds may miss the target."""
JUDGED_OVER_S = 10.0
FAULT_LASTS_S = 1200.0
"""An event this soon after a fault may still feel it."""

HEAD = """\
# Days in closed loop

Written by `python -m benchmarks.closed_loop --write docs/closed_loop.md --plot
docs/figures/closed_loop.png`; do not edit.

A controller (`ebplan/closed_loop.py`) measures the fluid plant each second, asks the planner with a
deadline of 0.2 s, and carries out what it says. Events come both ways at random; models err by 5 %
(draw, elasticity of caps, response times), loads by a forecast error of 3 % with 300 s of memory,
the meters of the site and of its pool have noise and dropouts; an instance is lost in one event,
the converter trips in another, other load steps in a third. A day has 24 h. Times do not count what
planning takes: the plant waits.

What an event really cost is priced from the plant's registers by the checker's laws of money
(`ebplan/realised.py`). **Perfect foresight** is the optimal plan of each event, from the state
in which the controller met it, with the plant's true curves and responses and the mean of the loads
that then came. The **receding horizon** tracks its models from what is measured; **as fitted** it
does not, and takes the error of the draw for load that no pool explains. **Least impact first** is
the whitepaper's rule, once at each event and again when an instance or the converter is lost.
Events that a fault fell into are left out of the money: nobody foresees one.

![One event in closed loop](figures/closed_loop.png)"""


@dataclass
class Met:
    """An event as a controller met it."""

    event_id: str
    problem: Problem
    """With the plant's truth, to price by."""
    began_s: float
    hit: bool
    """Whether a fault fell into it: nobody foresees one."""
    loads: list[dict[str, dict[str, float]]] = field(default_factory=list)
    cost: Realised | None = None
    foresight: Plan | None = None


@dataclass
class Run:
    """A controller's day."""

    name: str
    hours: float
    met: list[Met] = field(default_factory=list)
    cycles: Counter[str] = field(default_factory=Counter)
    planning_s: Counter[str] = field(default_factory=Counter)
    plant_s: Counter[str] = field(default_factory=Counter)
    unchecked: int = 0
    replans: int = 0
    rungs: Counter[str] = field(default_factory=Counter)
    missed: list[tuple[float, str]] = field(default_factory=list)
    """By how much the mean of ten seconds missed a target beyond what the plan announced."""
    judged: int = 0
    socs: list[float] = field(default_factory=list)
    trace: list[tuple[float, float, float, float, float, float]] = field(default_factory=list)
    """Second, asked draw or NaN, draw, battery, compute, state of charge."""


def run_day(day: Day, name: str, controller: Planner | Myopic, *, hours: float) -> Run:
    """Let a controller live through a day."""
    recorded = RecordedPlant(day.plant())
    loop = ClosedLoop(controller, recorded, day.events)  # type: ignore[arg-type]
    run = Run(name, hours)
    waiting = sorted(day.events, key=lambda event: event.start)
    began = day.case.state.at
    running: Met | None = None
    window: list[float] = []
    cycles = loop.run(hours * 3600.0)
    state, kwh = day.case.state, 0.0
    for now_s in np.arange(0.0, hours * 3600.0, 1.0).tolist():
        starts = waiting and (waiting[0].start - began).total_seconds() <= now_s + 1e-6
        if starts:
            recorded.begin()
        cycle = next(cycles)
        if starts:
            event = waiting.pop(0).model_copy(update={"start": state.at})
            agreed_kw = cycle.plan.steps[0].baseline_kw
            running = _met(day, event, state, now_s, agreed_kw)
            run.met.append(running)
            window = []
        last = cycle.measured[-1]
        state, drawn_kwh = last.state(), last.registers.grid_kwh - kwh
        kwh = last.registers.grid_kwh
        _count(run, cycle)
        if running is not None:
            running.loads.append({n: dict(p.load_req_per_s) for n, p in state.pools.items()})
            draw_kw = drawn_kwh * 3600.0 / (last.at_s - now_s)
            _judge(run, cycle, running, window, draw_kw)
            if now_s + 1.0 - running.began_s >= running.problem.grid.horizon_s - 1e-6:
                running.cost = realised(
                    running.problem, recorded.slices, recorded.before, running.began_s
                )
                running = None
        elif len(recorded.slices) > 10:
            recorded.begin()
    run.met = [met for met in run.met if met.cost is not None]
    return run


def _met(day: Day, event: Event, state: State, now_s: float, agreed_kw: float) -> Met:
    """Pose an event as it is met, with the plant's truth and the baseline that was agreed."""
    fixed = Baseline(rule="fixed", kw=agreed_kw)
    event = event.model_copy(update={"baseline": fixed})
    posed, *_ = pose_measured(event, day.case.site, state)
    ends_s = now_s + posed.grid.horizon_s
    hit = any(now_s - FAULT_LASTS_S <= d.at_s <= ends_s for d in day.disturbances)
    return Met(posed.event_id, true_problem(posed, day.bias, agreed_kw), now_s, hit)


def true_problem(problem: Problem, bias: Bias, draw_kw: float) -> Problem:
    """Return a problem with the plant's curves and responses, that draws this at the start."""
    pools = tuple(_true_pool(pool, bias) for pool in problem.pools)
    other_kw = draw_kw - sum(pool.power_at_start_kw() for pool in pools)
    steps = problem.grid.n_steps
    return problem.model_copy(update={"pools": pools, "other_kw": (other_kw,) * steps})


def _true_pool(pool: PoolProblem, bias: Bias) -> PoolProblem:
    cap = pool.cap_curve
    full_kw = cap.full_kw * bias.load_power
    return pool.model_copy(
        update={
            "load_curve": pool.load_curve.scaled(bias.load_power),
            "drained_kw": pool.drained_kw * bias.load_power,
            "cap_curve": cap.model_copy(
                update={
                    "full_kw": full_kw,
                    "elasticity": cap.elasticity * bias.cap_elasticity,
                }
            ),
            "cap_response": _slower(pool.cap_response, bias),
            "route_response": _slower(pool.route_response, bias),
            "rise_response": None
            if pool.rise_response is None
            else _slower(pool.rise_response, bias),
        }
    )


def _slower(response: Response, bias: Bias) -> Response:
    return Response(
        delay_s=response.delay_s * bias.response_time,
        time_constant_s=response.time_constant_s * bias.response_time,
    )


def _count(run: Run, cycle: Cycle) -> None:
    run.cycles[cycle.kind] += 1
    run.planning_s[cycle.kind] += cycle.planning_s
    run.plant_s[cycle.kind] += cycle.plant_s
    run.unchecked += not cycle.plan.check.ok
    last = cycle.measured[-1]
    if cycle.why:
        run.replans += 1
        rung = "one shot" if cycle.plan.answer is None else cycle.plan.answer.rung
        run.rungs[rung] += 1
    if last.soc is not None:
        run.socs.append(last.soc)
    if last.grid_kw is not None:
        step = _step_at(cycle.plan, last.at_s - cycle.plan_began_s)
        asked = cycle.kind == "event" and step.target_kw != 0.0
        run.trace.append(
            (
                last.at_s,
                step.baseline_kw + step.target_kw if asked else float("nan"),
                last.grid_kw,
                last.battery_kw,
                sum(last.pool_kw.values()),
                last.soc or 0.0,
            )
        )


def _step_at(plan: Plan, at_s: float) -> Step:
    starts = [step.t_s for step in plan.steps]
    return plan.steps[max(int(np.searchsorted(starts, at_s - 1e-6)) - 1, 0)]


def _judge(run: Run, cycle: Cycle, met: Met, window: list[float], draw_kw: float) -> None:
    """Hold the mean of ten seconds to the target, but for what the plan announced."""
    problem = met.problem
    now_s = cycle.at_s - met.began_s
    inside = now_s >= 2.0 and now_s + 1.0 <= problem.event_end_s - problem.event_start_s
    if not inside:
        return
    aim_kw = problem.baseline_kw[0] + _target_kw(problem)
    announced = _step_at(cycle.plan, cycle.at_s + 0.5 - cycle.plan_began_s).shortfall_kw
    window.append(-problem.direction * (draw_kw - aim_kw) - announced)
    if len(window) >= JUDGED_OVER_S:
        off_kw = float(np.mean(window[-int(JUDGED_OVER_S) :]))
        run.judged += 1
        if off_kw > TOLERANCE_SHARE * problem.baseline_kw[0]:
            run.missed.append((off_kw, f"{met.event_id} at {now_s:.0f} s"))


def _target_kw(problem: Problem) -> float:
    targets = problem.target_kw
    return min(targets) if problem.direction < 0 else max(targets)


def with_foresight(run: Run) -> None:
    """Plan each event as if what came had been known."""
    for met in run.met:
        problem = met.problem
        mean: dict[str, dict[str, float]] = {}
        for pool in problem.pools:
            mean[pool.name] = {
                c.name: float(np.mean([at[pool.name][c.name] for at in met.loads]))
                / c.requests_per_s_per_instance
                for c in pool.classes
            }
        pools = tuple(
            pool.model_copy(
                update={
                    "classes": tuple(
                        c.model_copy(update={"load": mean[pool.name][c.name]}) for c in pool.classes
                    )
                }
            )
            for pool in problem.pools
        )
        try:
            met.foresight = solve_problem(problem.model_copy(update={"pools": pools}))
        except NoPlanError:
            met.foresight = None


def money_rows(runs: list[Run]) -> Iterator[tuple[str, ...]]:
    """Yield money by cause for each controller, foresight beside it."""
    causes = sorted(
        {c for run in runs for met in run.met if met.cost for c in met.cost.cost}
        - {"firmness", "reserve", "recovery"}
    )
    for cause in causes:
        row = [cause]
        for run in runs:
            kept = compared(run)
            real = sum(met.cost.cost.get(cause, 0.0) for met in kept if met.cost)
            best = sum(met.foresight.cost.get(cause, 0.0) for met in kept if met.foresight)
            row += [f"{real:,.1f}", f"{best:,.1f}"]
        if any(cell not in ("0.0", "-0.0") for cell in row[1:]):
            yield tuple(row)
    row = ["in all"]
    for run in runs:
        real, best = totals(run)
        row += [f"{real:,.1f}", f"{best:,.1f}"]
    yield tuple(row)


def compared(run: Run) -> list[Met]:
    """Return the events that are compared with foresight: those no fault fell into."""
    return [met for met in run.met if met.foresight and met.cost and not met.hit]


def totals(run: Run) -> tuple[float, float]:
    """Return what a day really cost, and with perfect foresight."""
    kept = compared(run)
    real = sum(met.cost.money for met in kept if met.cost)
    best = sum(met.foresight.money for met in kept if met.foresight)
    return real, best


def summary_rows(runs: list[Run]) -> Iterator[tuple[str, ...]]:
    """Yield what each controller did."""
    for run in runs:
        real, best = totals(run)
        simulated = {kind: float(count) for kind, count in run.cycles.items()}
        took = {kind: run.planning_s[kind] + run.plant_s[kind] for kind in run.cycles}
        yield (
            run.name,
            f"{sum(run.cycles.values()):,}",
            f"{run.unchecked}",
            f"{run.replans}",
            f"{len(run.met)}",
            f"{len(run.missed)} of {run.judged:,}",
            f"{min(run.socs):.2f} to {max(run.socs):.2f}, {run.socs[-1]:.2f} at the end",
            f"{100.0 * (real / best - 1.0):+.1f} %" if best else "-",
            *(f"{simulated[k] / max(took[k], 1e-9):,.0f} x" for k in ("idle", "event")),
            *(f"{took[k] / max(simulated[k], 1.0) * 3600.0:.2f} s" for k in ("idle", "event")),
        )


SUMMARY = (
    "controller",
    "cycles",
    "unchecked plans",
    "plans made",
    "events",
    "10-s means off target",
    "state of charge",
    "money over foresight",
    "real time, idle",
    "real time, event",
    "wall time of an hour, idle",
    "wall time of an hour, event",
)


def measure(instances: int, *, hours: float, seed: int) -> list[Run]:
    """Run the controllers through one day."""
    case = example("under_frequency")
    case = case if instances == 4 else scaled(case, instances=instances)
    day = make_day(case, hours=hours, seed=seed)
    runs = []
    with Planner(case.site) as planner:
        planner.start(wait_s=30.0)
        runs.append(run_day(day, "receding horizon", planner, hours=hours))
    with Planner(case.site, tracks=False) as planner:
        planner.start(wait_s=30.0)
        runs.append(run_day(day, "receding horizon, as fitted", planner, hours=hours))
    with Planner(case.site, tracks=False) as planner:
        planner.start(wait_s=30.0)
        runs.append(run_day(day, "least impact first", Myopic(planner), hours=hours))
    for run in runs:
        with_foresight(run)
    return runs


def together(days: list[Run]) -> Run:
    """Return the days of one controller as one run."""
    whole = Run(days[0].name, sum(day.hours for day in days))
    for day in days:
        whole.met += day.met
        whole.cycles += day.cycles
        whole.planning_s += day.planning_s
        whole.plant_s += day.plant_s
        whole.unchecked += day.unchecked
        whole.replans += day.replans
        whole.missed += day.missed
        whole.judged += day.judged
        whole.socs += day.socs
    return whole


@click.command()
@click.option("--hours", type=click.FloatRange(min=2.0), default=24.0, show_default=True)
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True)
@click.option("--instances", type=int, multiple=True, default=(4, 64), show_default=True)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw an event of the first here.")
def main(
    hours: float,
    seeds: tuple[int, ...],
    instances: tuple[int, ...],
    write: Path | None,
    plot: Path | None,
) -> None:
    """Print what days in closed loop cost, and how fast they run."""
    lines: list[str] = []
    for count in instances:
        days = [measure(count, hours=hours, seed=seed) for seed in seeds]
        runs = [together([day[i] for day in days]) for i in range(len(days[0]))]
        lines += [f"## {count} instances", ""]
        rows = [
            (f"{seed}", *row)
            for seed, day in zip(seeds, days, strict=True)
            for row in summary_rows(day)
        ]
        rows += [("all", *row) for row in summary_rows(runs)]
        lines += [*table(("seed", *SUMMARY), rows), ""]
        heads = [h for run in runs for h in (run.name, "with foresight")]
        lines += ["Money by cause of all seeds, in JPY:", ""]
        lines += table(("cause", *heads), list(money_rows(runs)))
        worst = sorted(runs[0].missed, reverse=True)[:3]
        if worst:
            lines += ["", "Worst misses: " + "; ".join(f"{kw:.2f} kW, {at}" for kw, at in worst)]
        lines.append("")
        if plot is not None and count == instances[0]:
            from benchmarks.closed_loop_figure import draw_event, telling

            draw_event(days[0][0], telling(days[0][0]), plot)
    page = "\n".join(lines).rstrip() + "\n"
    if write is None:
        click.echo(page)
    else:
        write_atomically(write, "\n".join([HEAD, "", *describe_machine(), "", ""]) + page)


if __name__ == "__main__":
    main()

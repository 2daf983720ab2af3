"""Where a plan misses its target, by how much, and what was exhausted then."""

from __future__ import annotations

from collections.abc import Iterator

from ebplan.plan import Shortfall, Step
from ebplan.problem import BatteryProblem, Problem
from ebplan.solvers.decision import NOTHING_KW, PoolDecision

AT_LIMIT_KW = 1e-3
"""A watt (or a watt-hour) from a limit is at it."""


def shortfalls(
    steps: tuple[Step, ...], decisions: tuple[PoolDecision, ...], problem: Problem
) -> tuple[Shortfall, ...]:
    """Join neighbouring steps with a shortfall into intervals."""
    intervals: list[list[Step]] = []
    for step in steps:
        if step.shortfall_kw <= NOTHING_KW:
            continue
        last = intervals[-1][-1] if intervals else None
        if last is not None and abs(last.t_s + last.duration_s - step.t_s) < 1e-6:
            intervals[-1].append(step)
        else:
            intervals.append([step])
    return tuple(
        Shortfall(
            from_s=run[0].t_s,
            to_s=run[-1].t_s + run[-1].duration_s,
            max_kw=max(s.shortfall_kw for s in run),
            energy_kwh=sum(s.shortfall_kw * s.duration_s for s in run) / 3600.0,
            reason=_why_short(run, decisions, problem),
        )
        for run in intervals
    )


def _why_short(run: list[Step], decisions: tuple[PoolDecision, ...], problem: Problem) -> str:
    """Name what was exhausted while the target was missed."""
    if problem.tracks:
        return _why_off_target(run, problem)
    battery, reasons = problem.battery, []
    if battery is None:
        reasons.append("the site has no battery")
    else:
        reasons.extend(_battery_is_spent(run, battery, problem))
    if problem.direction < 0:
        if min(s.grid_kw for s in run) <= -problem.export_limit_kw + AT_LIMIT_KW:
            reasons.append(f"the site may not feed in more than {problem.export_limit_kw:g} kW")
        kept = [
            f"{d.pool.name}.{c.name}"
            for d in decisions
            for c in d.pool.classes
            if c.max_rejected < c.load
        ]
        if kept:
            reasons.append(f"protected requests are kept ({', '.join(kept)})")
    else:
        limits = dict(zip(problem.grid.edges_s[:-1], problem.import_limit_kw, strict=True))
        if any(step.grid_kw >= limits[step.t_s] - AT_LIMIT_KW for step in run):
            reasons.append(f"the site may not draw more than {limits[run[0].t_s]:g} kW")
    return "; ".join(reasons) or "no mechanism is left that acts in time"


def _why_off_target(run: list[Step], problem: Problem) -> str:
    """Name what was exhausted while a target followed both ways was missed, on either side."""
    battery, reasons = problem.battery, []
    above = any(s.grid_kw > s.baseline_kw + s.target_kw for s in run)
    if battery is None:
        return "the site has no battery to follow the frequency with"
    if run[0].t_s + 1e-9 < problem.event_start_s + battery.delay_s:
        reasons.append(f"the converter answers after {battery.delay_s:g} s")
    limit_kw = battery.discharge_limit_kw if above else battery.charge_limit_kw
    if max(abs(s.battery_kw) for s in run) >= limit_kw - AT_LIMIT_KW:
        reasons.append(f"the converter is at its limit of {limit_kw:g} kW")
    stored = [s.soc * battery.energy_kwh for s in run if s.soc is not None]
    if above and min(stored) <= battery.min_kwh + AT_LIMIT_KW:
        reasons.append(f"the battery is empty ({battery.min_kwh:g} kWh left)")
    if not above and max(stored) >= battery.max_kwh - AT_LIMIT_KW:
        reasons.append(f"the battery is full ({battery.max_kwh:g} kWh)")
    if above and min(s.grid_kw for s in run) <= -problem.export_limit_kw + AT_LIMIT_KW:
        reasons.append(f"the site may not feed in more than {problem.export_limit_kw:g} kW")
    limits = dict(zip(problem.grid.edges_s[:-1], problem.import_limit_kw, strict=True))
    if not above and any(s.grid_kw >= limits[s.t_s] - AT_LIMIT_KW for s in run):
        reasons.append(f"the site may not draw more than {limits[run[0].t_s]:g} kW")
    return "; ".join(reasons) or "no mechanism is left that acts in time"


def _battery_is_spent(run: list[Step], battery: BatteryProblem, problem: Problem) -> Iterator[str]:
    """Yield what keeps the battery from giving or taking more."""
    releases = problem.direction < 0
    limit_kw = battery.discharge_limit_kw if releases else battery.charge_limit_kw
    if run[0].t_s + 1e-9 < problem.event_start_s + battery.delay_s:
        yield f"the converter answers after {battery.delay_s:g} s"
    if max(abs(s.battery_kw) for s in run) >= limit_kw - AT_LIMIT_KW:
        yield f"the converter is at its limit of {limit_kw:g} kW"
    stored = [s.soc * battery.energy_kwh for s in run if s.soc is not None]
    if releases and min(stored) <= battery.min_kwh + AT_LIMIT_KW:
        yield f"the battery is empty ({battery.min_kwh:g} kWh left)"
    if not releases and max(stored) >= battery.max_kwh - AT_LIMIT_KW:
        yield f"the battery is full ({battery.max_kwh:g} kWh)"

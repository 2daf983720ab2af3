"""The whitepaper's measured variables of one case, from what was recorded of it.

Response times are of the fleet, not of the connection point, where the battery hides them. All are
read off means over the fifth of a second before, with the baseline's own waver as the threshold
below which a change is none:

    depth        mean change of the fleet's draw over the last third of the step
    delay        from the first command that moves something until a tenth of the depth is there,
                 and on average over the next 2 s as well
    to 90 %      until nine tenths of it are, likewise
    back         from the end of the response until less than a tenth of it is left, and on average
                 over the next 10 s as well
    hand-off     from when on the battery gives or takes at most a tenth of the target, to stay,
                 in means over 5 s
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ebplan.adapters.commands import (
    CapPower,
    Command,
    LimitAdmission,
    LoadWeights,
    LockClock,
    PaceBacklog,
    Route,
    RouteLower,
    ServeAhead,
    Sleep,
    Wake,
    WarmCache,
)
from ebplan.experiment.steps import CaseRun
from ebplan.experiment.telemetry import latency
from ebplan.experiment.untouched import untouched_cost
from ebplan.plan import PRIORITY_CAUSES
from ebplan.realised import COMPUTE_CAUSES, Realised, merged, realised
from ebplan.twin.requests import Answer

FloatArray = NDArray[np.float64]
SMOOTH_S, STAYS_S, BACK_STAYS_S, HANDOFF_MEAN_S = 0.2, 2.0, 10.0, 5.0
START, FULL = 0.1, 0.9
HANDED_OVER = 0.1
NOTICEABLE = 3.0
"""A change is one beyond so many of the baseline's 5 s spreads, and beyond ``LEAST_KW``."""
LEAST_KW = 0.01
WITHIN = 0.05
"""Share of the target within which a mean over 5 s counts as delivered."""


class Series:
    """A column of the telemetry as means: piecewise constant over its samples."""

    def __init__(self, rows: Sequence[dict[str, Any]], column: str) -> None:
        self.from_s = np.array([r["t_s"] for r in rows])
        durations = np.array([r["duration_s"] for r in rows])
        self.edges_s = np.append(self.from_s, self.from_s[-1] + durations[-1])
        values = np.array([np.nan if r[column] is None else r[column] for r in rows], dtype=float)
        self._area = np.concatenate([[0.0], np.cumsum(values * np.diff(self.edges_s))])

    def mean(self, from_s: float, to_s: float) -> float:
        """Return the mean over a stretch."""
        area = np.interp([from_s, to_s], self.edges_s, self._area)
        return float((area[1] - area[0]) / (to_s - from_s))

    def means(
        self, from_s: float, to_s: float, over_s: float, every_s: float
    ) -> tuple[FloatArray, FloatArray]:
        """Return times and the means over ``over_s`` about them."""
        at = np.arange(from_s, to_s + 1e-9, every_s)
        low = np.maximum(at - 0.5 * over_s, self.edges_s[0])
        high = np.minimum(at + 0.5 * over_s, self.edges_s[-1])
        area = np.interp(high, self.edges_s, self._area) - np.interp(low, self.edges_s, self._area)
        return at, area / (high - low)


def measured_variables(run: CaseRun) -> dict[str, Any]:
    """Return the measured variables of a case, as plain data."""
    case, base = run.case, run.baseline
    return {
        "simulated": True,
        "case": {
            "name": case.name,
            "shape": case.shape,
            "concurrency": case.users,
            "event": case.event.name,
            "direction": case.event.direction,
            "mechanisms": list(case.mechanisms),
            "set": case.set_name,
            "seed": case.seed,
        },
        "times_s": {
            "settled": base.after_s,
            "injected": run.injected_s,
            "triggered": run.triggered_s,
            "mechanisms_started": run.compute_s,
            "response_ended": run.ended_s,
            "over": run.over_s,
        },
        "injected_at": _wall(run, run.injected_s),
        "triggered_at": _wall(run, run.triggered_s),
        "baseline": _baseline(run),
        "target": {"most_kw": run.asked.most_kw},
        "battery": _battery(run),
        "compute": _compute(run),
        "handoff": _handoff(run),
        "delivery": _delivery(run),
        "recovery": _recovery(run),
        "throughput": _by_phase(run, _throughput),
        "latency": _by_phase(run, lambda a, _: latency(a)),
        "quality": _quality(run),
        "value_cost": _value_cost(run),
        "planning": _planning(run),
    }


def _wall(run: CaseRun, at_s: float) -> str:
    from datetime import timedelta

    return (run.bench.state.at + timedelta(seconds=at_s)).isoformat()


def _baseline(run: CaseRun) -> dict[str, Any]:
    base = run.baseline
    rows = [r for r in run.recorder.rows if base.from_s <= r["t_s"] + 1e-9 < base.after_s]
    powers = ("grid_kw", "fleet_kw", "fleet_ac_kw", "server_kw", "gpu_kw")
    return {
        "settled": base.settled,
        "after_s": base.after_s,
        "windows": base.windows,
        **{name: float(np.mean([r[name] for r in rows])) for name in powers},
        "fleet_spread_kw": base.fleet_std_kw,
        "req_per_s": base.req_per_s,
    }


def _battery(run: CaseRun) -> dict[str, Any]:
    """How fast the bridge stood: the battery against the target, from the trigger on."""
    most_kw, bridge_s = run.asked.most_kw, run.compute_s - run.triggered_s
    rows = [r for r in run.recorder.rows if run.triggered_s - 1e-9 <= r["t_s"] < run.compute_s]
    found: dict[str, Any] = {"bridge_s": bridge_s, "delay_s": None, "to_90_s": None}
    follows = run.case.event.target.frequency is not None
    if not follows and most_kw:
        for name, share in (("delay_s", START), ("to_90_s", FULL)):
            there = [
                r["t_s"] + r["duration_s"] - run.triggered_s
                for r in rows
                if -r["battery_kw"] / most_kw >= share
            ]
            found[name] = min(there, default=None)
    kwh = [r["battery_kw"] * r["duration_s"] / 3600.0 for r in rows]
    found["bridge_kwh"] = float(np.sum(kwh))
    in_event = [r for r in run.recorder.rows if run.triggered_s <= r["t_s"] + 1e-9 < run.ended_s]
    found["event_kwh"] = float(
        np.sum([r["battery_kw"] * r["duration_s"] / 3600.0 for r in in_event])
    )
    found["soc_at_trigger"] = rows[0]["soc"] if rows else None
    found["soc_at_end"] = in_event[-1]["soc"]
    return found


# --- the fleet ------------------------------------------------------------------------------------


def first_move_s(run: CaseRun) -> float | None:
    """Return when the first command was told that moves compute; None where there is none."""
    told = run.bench.state.pools[run.bench.pool]
    for at_s, step, command in run.recorder.commands:
        if step == 5 and _moves(command, told.active):
            return at_s
    return None


def _moves(command: Command, active: int) -> bool:
    match command:
        case Route():
            return command.active != active
        case CapPower():
            return command.w_per_gpu is not None
        case LimitAdmission():
            return command.req_per_s is not None
        case PaceBacklog():
            return command.req_per_s > 0.0
        case ServeAhead():
            return command.req_per_s > 0.0
        case LockClock():
            return command.clock_mhz is not None
        case RouteLower():
            return command.active > 0
    return isinstance(command, Sleep | Wake | LoadWeights | WarmCache)


def _compute(run: CaseRun) -> dict[str, Any]:
    """Depth and speed of the fleet's own response."""
    base, moved_s = run.baseline, first_move_s(run)
    found: dict[str, Any] = {
        "first_command_after_s": None if moved_s is None else moved_s - run.compute_s,
        **dict.fromkeys(("depth_kw", "depth_share", "delay_s", "to_90_s", "back_s")),
        "noticeable": False,
    }
    fleet = Series(run.recorder.rows, "fleet_kw")
    last_s = run.ended_s - (run.ended_s - run.compute_s) / 3.0
    depth_kw = fleet.mean(last_s, run.ended_s) - base.fleet_kw
    found |= {"depth_kw": depth_kw, "depth_share": depth_kw / base.fleet_kw}
    threshold_kw = max(NOTICEABLE * base.fleet_std_kw, LEAST_KW)
    if moved_s is None or abs(depth_kw) < threshold_kw:
        return found
    if run.case.event.target.frequency is not None:
        return found | {"noticeable": True}  # it moves with the frequency: no one settled depth
    at, kw = fleet.means(moved_s + 0.5 * SMOOTH_S, run.ended_s, SMOOTH_S, 0.05)
    share = (kw - base.fleet_kw) / depth_kw
    # chance moves a fifth of a second more than two: a level that is reached is kept on average
    _, kw = fleet.means(moved_s + 0.5 * STAYS_S, run.ended_s + STAYS_S, STAYS_S, 0.05)
    kept = (kw - base.fleet_kw) / depth_kw
    seen_s = at + 0.5 * SMOOTH_S - moved_s
    for name, level in (("delay_s", START), ("to_90_s", FULL)):
        found[name] = _first(seen_s, (share >= level) & (kept[: len(at)] >= level))
    last_s = run.over_s - BACK_STAYS_S
    at, kw = fleet.means(run.ended_s + 0.5 * SMOOTH_S, last_s, SMOOTH_S, 0.05)
    left = (kw - base.fleet_kw) / depth_kw
    _, kw = fleet.means(run.ended_s + 0.5 * BACK_STAYS_S, run.over_s, BACK_STAYS_S, 0.05)
    kept = (kw - base.fleet_kw) / depth_kw
    level = max(START, threshold_kw / abs(depth_kw))
    gone = (left <= level) & (kept[: len(at)] <= level)
    found["back_s"] = _first(at + 0.5 * SMOOTH_S - run.ended_s, gone)
    return found | {"noticeable": True}


def _first(at: FloatArray, there: NDArray[np.bool_]) -> float | None:
    return float(at[there.argmax()]) if there.any() else None


def _stays(at: FloatArray, there: NDArray[np.bool_]) -> float | None:
    """Return from when on it is there to the end."""
    if not there[-1]:
        return None
    missing = np.flatnonzero(~there)
    return float(at[missing[-1] + 1]) if len(missing) else float(at[0])


# --- the connection point -------------------------------------------------------------------------


def _handoff(run: CaseRun) -> dict[str, Any]:
    most_kw = run.asked.most_kw
    found: dict[str, Any] = {"after_trigger_s": None, "after_mechanisms_s": None}
    battery = Series(run.recorder.rows, "battery_kw")
    end_s = run.ended_s - 0.5 * HANDOFF_MEAN_S
    at, kw = battery.means(run.compute_s, end_s, HANDOFF_MEAN_S, 0.5)
    found["battery_left_kw"] = battery.mean(run.ended_s - 30.0, run.ended_s)
    if run.case.event.target.frequency is not None or not most_kw:
        return found
    at_s = _stays(at, np.abs(kw) <= HANDED_OVER * abs(most_kw) + 1e-6)
    if at_s is not None:
        found["after_trigger_s"] = at_s - run.triggered_s
        found["after_mechanisms_s"] = at_s - run.compute_s
    return found


def _delivery(run: CaseRun) -> dict[str, Any]:
    """What the meter saw of the target, in means over 5 s, once it was to be there in full."""
    full_s = run.triggered_s + max(run.case.event.response.full_activation_s, 1.0)
    grid = Series(run.recorder.rows, "grid_kw")
    asked = Series(run.recorder.rows, "target_kw")
    half = 0.5 * HANDOFF_MEAN_S
    _, kw = grid.means(full_s + half, run.ended_s - half, HANDOFF_MEAN_S, 1.0)
    _, target = asked.means(full_s + half, run.ended_s - half, HANDOFF_MEAN_S, 1.0)
    off = kw - run.baseline.grid_kw - target
    if run.case.event.direction != "both":  # more than was asked misses nothing
        off = np.maximum(off * (1.0 if run.asked.most_kw < 0.0 else -1.0), 0.0)
    allowed = max(WITHIN * abs(run.asked.most_kw), LEAST_KW)
    return {
        "mean_kw": grid.mean(run.triggered_s, run.ended_s) - run.baseline.grid_kw,
        "asked_mean_kw": asked.mean(run.triggered_s, run.ended_s),
        "worst_miss_kw": float(np.abs(off).max()),
        "within_5_percent": float((np.abs(off) <= allowed).mean()),
    }


def _recovery(run: CaseRun) -> dict[str, Any]:
    """Rebound: the farthest beyond the baseline against the response, means over 5 s."""
    half = 0.5 * HANDOFF_MEAN_S
    grid, fleet = (Series(run.recorder.rows, c) for c in ("grid_kw", "fleet_kw"))
    sign = -1.0 if run.asked.most_kw > 0.0 else 1.0
    found = {}
    for name, series, base in (
        ("rebound_kw", grid, run.baseline.grid_kw),
        ("fleet_rebound_kw", fleet, run.baseline.fleet_kw),
    ):
        _, kw = series.means(run.ended_s + half, run.over_s - half, HANDOFF_MEAN_S, 1.0)
        found[name] = float(max((sign * (kw - base)).max(), 0.0))
    last = run.recorder.rows[-1]
    told = run.bench.state.pools[run.bench.pool]
    found["instances_back"] = bool(
        (last["active"], last["drained"], last["asleep"]) == (told.active, told.drained, 0)
    )
    found["soc_missing"] = run.recorder.rows[0]["soc"] - last["soc"]
    return found


# --- requests -------------------------------------------------------------------------------------


def phases(run: CaseRun) -> dict[str, tuple[float, float]]:
    """Return the stretches that throughput and latency are told of."""
    return {
        "baseline": (run.baseline.from_s, run.baseline.after_s),
        "bridge": (run.triggered_s, run.compute_s),
        "mechanisms": (run.compute_s, run.ended_s),
        "recovery": (run.ended_s, run.over_s),
    }


def _by_phase(
    run: CaseRun, of: Callable[[list[Answer], float], dict[str, float | None]]
) -> dict[str, dict[str, float | None]]:
    return {
        name: of([a for a in run.answers if begin <= a.answered_s < end], end - begin)
        for name, (begin, end) in phases(run).items()
    }


def _throughput(answers: list[Answer], seconds: float) -> dict[str, float | None]:
    tokens = sum(a.output_tokens for a in answers)
    return {"req_per_s": len(answers) / seconds, "tokens_per_s": tokens / seconds}


def _quality(run: CaseRun) -> dict[str, Any]:
    """Verified quality of what was answered: that of the precision that served it."""
    pool = run.bench.site.pools[run.bench.pool]
    scores = {
        name: max((t.quality_score for t in of.tiers.values()), default=1.0)
        for name, of in pool.classes.items()
    }
    inside = [a for a in run.answers if run.triggered_s <= a.answered_s < run.over_s]
    each = [scores[a.request_class] if a.lowered else 1.0 for a in inside]
    last, first = run.recorder.rows[-1], _row_at(run, run.triggered_s)
    return {
        "answered": len(inside),
        "lowered": sum(a.lowered for a in inside),
        "mean_score": float(np.mean(each)) if each else None,
        "rejected": last["rejected_total"] - first["rejected_total"],
        "waiting_at_end": last["backlog"],
    }


def _row_at(run: CaseRun, at_s: float) -> dict[str, Any]:
    return next(r for r in run.recorder.rows if r["t_s"] + r["duration_s"] > at_s + 1e-9)


# --- money and plans ------------------------------------------------------------------------------


def _value_cost(run: CaseRun) -> dict[str, Any]:
    """What happened from the trigger to the end of the recovery, by cause, at the site's prices.

    Causes of the fleet count against the same minutes without an event (``untouched``).
    """
    real, untouched = realised_cost(run), untouched_cost(run)
    cost = {
        cause: amount - (untouched[cause] if cause in COMPUTE_CAUSES else 0.0)
        for cause, amount in real.cost.items()
    }
    cost = {cause: amount for cause, amount in cost.items() if abs(amount) > 1e-9}
    return {
        "currency": run.bench.site.currency,
        "by_cause": cost,
        "compute": sum(amount for cause, amount in cost.items() if cause in COMPUTE_CAUSES),
        "money": sum(a for cause, a in cost.items() if cause not in PRIORITY_CAUSES),
        "untouched": {c: a for c, a in untouched.items() if c in COMPUTE_CAUSES and abs(a) > 1e-9},
        "shortfall_kwh": real.shortfall_kwh,
    }


def realised_cost(run: CaseRun) -> Realised:
    """Price what was recorded by the checker's laws of money."""
    slices = merged(run.recorded.slices, run.triggered_s, 1.0)
    return realised(run.problem, slices, run.recorded.before, run.triggered_s)


def _planning(run: CaseRun) -> dict[str, Any]:
    first = run.plans[0].plan
    return {
        "plans": len(run.plans),
        "all_checked": all(made.plan.check.ok for made in run.plans),
        "rungs": sorted({m.plan.answer.rung for m in run.plans if m.plan.answer is not None}),
        "first_status": first.status,
        "first_gap": first.gap,
        "first_handoff_s": first.handoff.complete_s,
        "refused_commands": len(run.recorder.refused),
    }

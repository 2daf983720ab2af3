"""What a person sees of a plan; here, what the terminal and the figure share.

That is one time axis on which 100 ms and hours both read, the phases of a plan, what its fleet is
told in words, and one sentence that says what it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ebplan.plan import Plan, PoolEpoch, Step
from ebplan.problem import PoolProblem, Problem

FloatArray = NDArray[np.float64]

COLOURS = {
    "battery": "#0072B2",
    "consolidation": "#009E73",
    "power_cap": "#E69F00",
    "admission": "#CC79A7",
    "shortfall": "#D55E00",
}
"""Okabe and Ito's palette: told apart with every common colour vision."""
OTHER_COLOUR = "#56B4E9"
"""For a mechanism that the palette does not name."""

NOTICEABLE = 0.101
"""Share of the peak that counts: just above what a complete hand-off may leave to the battery."""
ALONE = 0.95
"""Share of a response from which its carrier is said to act alone."""

SMALLEST_CAP_MOVE_W = 1.0
"""A smaller move of the cap is not told."""

_LINEAR_S = 0.1
"""Below this time the axis is linear, above it logarithmic: the shortest step of a plan."""
_RECOVERY_SCALE = 0.4
_NOTICE_SCALE = 0.25
"""Width of a decade after and before the event, against one within it."""
_TICKS_S = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
_CHARACTER = 0.012
"""Width of a character of a tick's label, as a share of the axis."""


@dataclass(frozen=True)
class EventAxis:
    """A time axis on which 100 ms and hours both read.

    Within the event the position of a time is ``asinh((t - start) / 0.1 s)``: linear up to the
    shortest step, then the same width for each decade. The same clock runs backwards from the
    start and onwards from the end, on a smaller scale: the recovery of a long event stays visible.
    """

    start_s: float
    """Start of the event, seconds from plan start."""
    end_s: float
    """End of the event."""
    horizon_s: float
    """End of the plan."""

    @classmethod
    def of(cls, problem: Problem) -> EventAxis:
        """Return the axis of a problem."""
        return cls(problem.event_start_s, problem.event_end_s, problem.grid.horizon_s)

    def position(self, t_s: FloatArray) -> FloatArray:
        """Return where each time (seconds from plan start) lies, same shape, rising."""
        t = np.asarray(t_s, dtype=float)
        before = np.arcsinh(np.maximum(self.start_s - t, 0.0) / _LINEAR_S)
        inside = np.arcsinh((np.clip(t, self.start_s, self.end_s) - self.start_s) / _LINEAR_S)
        after = np.arcsinh(np.maximum(t - self.end_s, 0.0) / _LINEAR_S)
        return np.asarray(inside + _RECOVERY_SCALE * after - _NOTICE_SCALE * before)

    def time_s(self, position: FloatArray) -> FloatArray:
        """Return the time at each position: the inverse of ``position``."""
        p = np.asarray(position, dtype=float)
        width = float(self.position(np.array(self.end_s)))
        before_s = _LINEAR_S * np.sinh(np.maximum(-p, 0.0) / _NOTICE_SCALE)
        inside_s = _LINEAR_S * np.sinh(np.clip(p, 0.0, width))
        after_s = _LINEAR_S * np.sinh(np.maximum(p - width, 0.0) / _RECOVERY_SCALE)
        return np.asarray(self.start_s + inside_s + after_s - before_s)

    def share(self, t_s: float) -> float:
        """Return where a time lies between the plan's start (0) and end (1)."""
        at, first, last = self.position(np.array([t_s, 0.0, self.horizon_s]))
        return float((at - first) / (last - first))

    def ticks(self) -> list[tuple[float, str]]:
        """Return times and their labels, the most important first, none too close to another.

        Labels count from the start of the event; those with a plus count from its end.
        """
        length_s = self.end_s - self.start_s
        wanted = [(self.start_s, "0"), (self.end_s, time_words(length_s))]
        if self.start_s > 0.0:
            wanted.append((0.0, f"-{time_words(self.start_s)}"))
        wanted += [(self.horizon_s, f"+{time_words(self.horizon_s - self.end_s)}")]
        wanted += [(self.start_s + t, time_words(t)) for t in _TICKS_S if t < length_s]
        wanted += [
            (self.end_s + t, f"+{time_words(t)}")
            for t in reversed(_TICKS_S)
            if self.end_s + t < self.horizon_s
        ]
        kept: list[tuple[float, str]] = []
        for t_s, label in wanted:
            at = self.share(t_s)
            if all(
                abs(at - self.share(other)) >= _CHARACTER * (1.0 + (len(label) + len(text)) / 2.0)
                for other, text in kept
            ):
                kept.append((t_s, label))
        return kept


@dataclass(frozen=True)
class Phase:
    """Adjacent steps in which the same mechanisms act; powers are means over its duration."""

    from_s: float
    to_s: float
    who: str
    """Who carries the response, in words."""
    target_kw: float
    grid_kw: float
    mechanisms: dict[str, float]
    """Change of the draw by mechanism in kW."""
    shortfall_kw: float
    soc: float | None
    """State of charge at the end of the phase."""


def peak_kw(plan: Plan) -> float:
    """Return the largest power asked for in kW, or moved where nothing is asked."""
    asked_kw = max(abs(step.target_kw) for step in plan.steps)
    return asked_kw or max(abs(step.grid_kw - step.baseline_kw) for step in plan.steps) or 1.0


def mechanism_names(plan: Plan) -> list[str]:
    """Return the mechanisms of a plan that move power at all, the known ones first."""
    floor_kw = 0.01 * peak_kw(plan)
    present = {
        name for step in plan.steps for name, kw in step.mechanisms.items() if abs(kw) > floor_kw
    }
    return [n for n in COLOURS if n in present] + sorted(present.difference(COLOURS))


def mechanism_kw(plan: Plan, name: str) -> FloatArray:
    """Return the change of the draw by one mechanism in kW, shape (T,)."""
    return np.array([step.mechanisms.get(name, 0.0) for step in plan.steps])


def phases(plan: Plan, problem: Problem, *, at_most: int = 9) -> list[Phase]:
    """Merge adjacent steps in which the same things happen.

    Steps belong together while the same mechanisms take part in the same direction, within the
    same part of the plan (notice, event, recovery). Where that leaves more than ``at_most``
    phases, what counts as taking part is doubled, up to the whole target. The phases cover the
    plan without gaps.
    """
    share = NOTICEABLE
    while True:
        floor_kw = share * peak_kw(plan)
        told = [_what_happens(step, problem, floor_kw) for step in plan.steps]
        cuts = [i for i in range(1, len(told)) if told[i] != told[i - 1]]
        if len(cuts) < at_most or share > 1.0:
            bounds = [0, *cuts, len(told)]
            break
        share *= 2.0
    return [_phase(plan, _window(plan.steps[a].t_s, problem), a, b) for a, b in pairwise(bounds)]


def _what_happens(step: Step, problem: Problem, floor_kw: float) -> tuple[object, ...]:
    """Return what two steps of the same phase have in common."""
    mechanisms = sorted(step.mechanisms.items())
    parts = tuple(int(np.sign(kw)) if abs(kw) >= floor_kw else 0 for _, kw in mechanisms)
    target = round(step.target_kw / floor_kw)
    return _window(step.t_s, problem), parts, target, step.shortfall_kw > floor_kw


def _window(t_s: float, problem: Problem) -> str:
    """Return the part of the plan that a time belongs to."""
    if t_s < problem.event_start_s - 1e-9:
        return "notice"
    return "event" if t_s < problem.event_end_s - 1e-9 else "recovery"


def _phase(plan: Plan, window: str, first: int, last: int) -> Phase:
    """Return steps ``first`` to ``last`` (exclusive) as one phase."""
    steps = plan.steps[first:last]
    seconds = np.array([step.duration_s for step in steps])

    def mean(values: list[float]) -> float:
        return float(np.average(values, weights=seconds))

    names = sorted({name for step in plan.steps for name in step.mechanisms})
    mechanisms = {name: mean([s.mechanisms.get(name, 0.0) for s in steps]) for name in names}
    target_kw = mean([step.target_kw for step in steps])
    return Phase(
        from_s=steps[0].t_s,
        to_s=steps[-1].t_s + steps[-1].duration_s,
        who=_who(mechanisms, target_kw, window, NOTICEABLE * peak_kw(plan)),
        target_kw=target_kw,
        grid_kw=mean([step.grid_kw for step in steps]),
        mechanisms=mechanisms,
        shortfall_kw=mean([step.shortfall_kw for step in steps]),
        soc=steps[-1].soc,
    )


def _who(mechanisms: dict[str, float], target_kw: float, window: str, floor_kw: float) -> str:
    """Say who moves the draw."""
    if all(abs(kw) < floor_kw for kw in mechanisms.values()):
        return "at rest" if abs(target_kw) < floor_kw else "no response"
    if window != "event":
        return "preparation" if window == "notice" else "recovery"
    battery_kw = max(-mechanisms.get("battery", 0.0), 0.0)
    compute_kw = sum(max(-kw, 0.0) for name, kw in mechanisms.items() if name != "battery")
    share = battery_kw / max(battery_kw + compute_kw, 1e-12)
    if share >= ALONE:
        return "battery alone"
    return "compute carries" if battery_kw < floor_kw else "battery + compute"


@dataclass(frozen=True)
class Action:
    """What a pool is told at an epoch, or over a run of epochs that only move the cap."""

    pool: str
    from_s: float
    to_s: float
    words: tuple[str, ...]
    caps_w: tuple[float, ...] = ()
    """Caps in W per GPU, where nothing else is told."""
    active: int = 0


def fleet_actions(plan: Plan, problem: Problem) -> list[Action]:
    """Return what the fleet is told wherever something changes, in order of time."""
    found: list[Action] = []
    for pool in problem.pools:
        found.extend(_merge_cap_moves(_actions(pool, plan.pools[pool.name]), pool))
    return sorted(found, key=lambda action: action.from_s)


def _actions(pool: PoolProblem, epochs: Iterable[PoolEpoch]) -> Iterator[Action]:
    """Yield what changes, epoch by epoch."""
    active, cap_w = pool.active_at_start, None
    rejected: dict[str, float] = {}
    for epoch in epochs:
        counts = tuple(_count_words(pool, active, epoch))
        service = tuple(_admission_words(rejected, epoch))
        cap = _cap_words(pool, cap_w, epoch)
        if counts or service or cap:
            told_w = epoch.cap_w_per_gpu
            caps_w = () if counts or service or told_w is None else (told_w,)
            words = counts + cap + service
            yield Action(pool.name, epoch.t_s, epoch.t_s, words, caps_w, epoch.active)
        if cap:
            cap_w = epoch.cap_w_per_gpu
        active = epoch.active
        rejected = {name: one.rejected_req_per_s for name, one in epoch.classes.items()}


def _count_words(pool: PoolProblem, active: int, epoch: PoolEpoch) -> Iterator[str]:
    """Say how many instances change their mode."""
    if epoch.active < active:
        yield f"drain {active - epoch.active} of {pool.instances} instances"
    if epoch.woken:
        yield f"wake {epoch.woken} of {pool.instances} instances"
    if epoch.active > active:
        yield f"load {epoch.active - active} more ({epoch.active} of {pool.instances} active)"
    if epoch.put_to_sleep:
        yield f"put {epoch.put_to_sleep} of {pool.instances} instances to sleep"


def _capped(pool: PoolProblem, active: int) -> str:
    """Say what is capped."""
    return f"cap {active * pool.gpus_per_instance} GPUs ({active} instances)"


def _cap_words(pool: PoolProblem, cap_w: float | None, epoch: PoolEpoch) -> tuple[str, ...]:
    """Say how the power limit of each GPU moves."""
    now_w = epoch.cap_w_per_gpu
    if now_w is None:
        return ("lift the cap",) if cap_w is not None else ()
    if cap_w is not None and abs(now_w - cap_w) < SMALLEST_CAP_MOVE_W:
        return ()
    return (f"{_capped(pool, epoch.active)} at {now_w:.0f} W per GPU",)


def _admission_words(before: dict[str, float], epoch: PoolEpoch) -> Iterator[str]:
    """Say which requests are turned away."""
    for name, one in epoch.classes.items():
        floor = 1e-3 * one.offered_req_per_s
        if abs(one.rejected_req_per_s - before.get(name, 0.0)) <= floor:
            continue
        if one.rejected_req_per_s <= floor:
            yield f"admit all {name} again"
        else:
            rates = f"{one.rejected_req_per_s:.1f} of {one.offered_req_per_s:.1f} req/s"
            yield f"reject {rates} {name}"


def _merge_cap_moves(actions: Iterable[Action], pool: PoolProblem) -> Iterator[Action]:
    """Turn each run of epochs that only move the cap into one line."""
    run: Action | None = None
    for action in actions:
        if run is not None and run.caps_w and action.caps_w:
            caps_w = run.caps_w + action.caps_w
            moved = f"{caps_w[0]:.0f} → {caps_w[-1]:.0f} W per GPU in {len(caps_w)} moves"
            words = (f"{_capped(pool, run.active)} at {moved}",)
            run = replace(run, to_s=action.to_s, words=words, caps_w=caps_w)
        else:
            if run is not None:
                yield run
            run = action
    if run is not None:
        yield run


def message(plan: Plan, problem: Problem) -> str:
    """Say in one sentence what the plan does, with numbers computed from it."""
    event = [s for s in plan.steps if _window(s.t_s, problem) == "event"]
    clauses = []
    if problem.battery is not None and max(s.battery_kw for s in event) > NOTICEABLE * peak_kw(
        plan
    ):
        clauses.append(f"battery answers within {time_words(problem.battery.delay_s)}")
    clauses.extend(_who_carries(plan, problem, event))
    sentence = ", ".join(clauses) or "nothing is asked"
    return f"{sentence[0].upper()}{sentence[1:]}; cost {money_words(plan.money, plan.currency)}"


def _who_carries(plan: Plan, problem: Problem, event: list[Step]) -> Iterator[str]:
    """Say which share of the energy asked for compute brings, from the hand-off on.

    Without a hand-off, or where the target is not met, say it of the whole event.
    """
    handed_s = None if is_short(plan) else plan.handoff.complete_s
    steps = [s for s in event if handed_s is None or s.t_s >= handed_s - 1e-9]
    asked_kws = -sum(s.target_kw * s.duration_s for s in steps)
    if asked_kws <= 0.0:
        return
    battery = 100.0 * sum(s.battery_kw * s.duration_s for s in steps) / asked_kws
    moved = 100.0 * sum((s.baseline_kw - s.grid_kw) * s.duration_s for s in steps) / asked_kws
    asked = power_words(peak_kw(plan))
    if handed_s is None:
        yield f"compute brings {moved - battery:.0f} % and battery {battery:.0f} % of {asked}"
    else:
        since = time_words(handed_s - problem.event_start_s)
        yield f"compute carries {moved - battery:.0f} % of {asked} after {since}"
    if is_short(plan):
        yield f"up to {power_words(max(s.shortfall_kw for s in plan.steps))} fall short"


def is_short(plan: Plan) -> bool:
    """Tell whether a part of the target worth mentioning (0.1 %) is not met."""
    return max(step.shortfall_kw for step in plan.steps) > 1e-3 * peak_kw(plan)


def time_words(seconds: float) -> str:
    """Return a duration as a person says it: ``0.1 s``, ``31 s``, ``1 min 30 s``, ``3 h``."""
    sign, s = ("-", -seconds) if seconds < 0 else ("", seconds)
    if s < 59.5:
        digits = 0 if s >= 20 else 1 if s >= 1 else 2
        text = f"{s:.{digits}f}"
        return f"{sign}{text.rstrip('0').rstrip('.') if '.' in text else text} s"
    whole = round(s) if s < 3600.0 else 60 * round(s / 60.0)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [f"{hours} h"] if hours else []
    parts += [f"{minutes} min"] if minutes else []
    parts += [f"{rest} s"] if rest else []
    return sign + " ".join(parts)


def decimals_for(largest: float) -> int:
    """Return how many decimals show three digits of ``largest``, at most 3."""
    magnitude = abs(largest)
    return 3 if magnitude < 1e-2 else min(max(2 - math.floor(math.log10(magnitude)), 0), 3)


def power_words(kw: float) -> str:
    """Return a power with its unit: ``1.00 kW``, ``62.5 kW``."""
    return f"{number_words(kw, min(decimals_for(kw), 2))} kW"


def money_words(amount: float, currency: str) -> str:
    """Return an amount with its currency: ``2.13 JPY``, ``12,300 JPY``."""
    return f"{number_words(amount, min(decimals_for(amount), 2))} {currency}"


def number_words(value: float, decimals: int) -> str:
    """Return a number with a fixed number of decimals and no negative zero."""
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"

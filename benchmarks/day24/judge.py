"""Each sample of the meter against what was asked, while the controller runs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from ebplan.controller import Status
from ebplan.plan import Plan

TOLERANCE_SHARE = 0.02
"""Share of the draw by which a second may fall short of what was asked; assumed."""
SETTLES_S = 4.0
"""So long after a call began or changed, or the plan did, the battery is still being steered there:
a meter that shows the mean of a second, a cycle of a second, twice."""
FAULT_LINGERS_S = 60.0
"""So long after a fault a miss is counted as its own."""
REFILL_SHARE = 0.1
"""Share of the draw by which the battery may raise it between calls, as calls limit the rebound."""
When = Literal["settled", "changing", "fault"]


@dataclass
class Tally:
    """Samples of one kind."""

    samples: int = 0
    missed: int = 0
    short_kwh: float = 0.0
    worst_kw: float = 0.0
    over_kwh: float = 0.0
    """Delivered beyond what was asked."""


@dataclass
class Judge:
    """What became of the day.

    Args:
        draw_kw: what the site draws at the start.
        soc_limits: least and most state of charge that the site allows.
    """

    draw_kw: float
    soc_limits: tuple[float, float]
    by_kind: dict[str, Tally] = field(default_factory=dict)
    """By when a sample fell: ``settled``, ``changing``, ``fault``."""
    answered: dict[str, dict[str, float]] = field(default_factory=dict)
    """By event: seconds judged, seconds missed while settled, kWh asked, kWh named as shortfall."""
    between: Tally = field(default_factory=Tally)
    """Seconds in which nothing is asked: missed where the battery's charging raises the draw by
    more than its share, and over by what it takes then."""
    plans: Counter[str] = field(default_factory=Counter)
    """Plans followed, by what made them."""
    unchecked: int = 0
    degraded_s: Counter[str] = field(default_factory=Counter)
    no_plan: Counter[str] = field(default_factory=Counter)
    soc_out_s: float = 0.0
    worst: list[tuple[float, float, str]] = field(default_factory=list)
    """Settled misses: kW, second, event."""
    trace: list[tuple[float, ...]] = field(default_factory=list)
    """Each ten seconds: second, draw, asked draw or NaN, battery, state of charge, fault."""
    cycles: int = 0
    fault_until_s: float = 0.0
    _before: tuple[float, float, Plan | None, str] | None = None
    _changed_s: float = 0.0

    def see(self, status: Status, now_s: float, grid_kwh: float, battery_kw: float) -> None:
        """Take the end of a cycle: what the site drew since the last one, and what was asked."""
        self.cycles += 1
        self._notes(status)
        event = "" if status.event is None else status.event.id
        before, plan = self._before, status.plan
        if before is not None and now_s - before[0] > 1e-3:
            self._judge(status, now_s, before, grid_kwh, battery_kw)
        changed = before is None or plan is not before[2] or event != before[3]
        if changed:
            self._changed_s = now_s
            if plan is not None and (before is None or plan is not before[2]):
                rung = "none" if plan.answer is None else plan.answer.rung
                self.plans[str(rung)] += 1
                self.unchecked += not plan.check.ok
        if before is None or now_s - before[0] > 1e-3 or changed:
            self._before = (now_s, grid_kwh, plan, event)

    def _notes(self, status: Status) -> None:
        for one in status.degradations:
            self.degraded_s[one.name] += 1
            if one.name == "no_plan":
                self.no_plan[one.why[:90]] += 1

    def _judge(
        self,
        status: Status,
        now_s: float,
        before: tuple[float, float, Plan | None, str],
        grid_kwh: float,
        battery_kw: float,
    ) -> None:
        then_s, then_kwh, plan, event = before
        seconds = now_s - then_s
        mean_kw = (grid_kwh - then_kwh) * 3600.0 / seconds
        soc = None if status.sensed is None else status.sensed.state.soc
        low, high = self.soc_limits
        if soc is not None and not low - 1e-3 <= soc <= high + 1e-3:
            self.soc_out_s += seconds
        asked_kw = math.nan
        if plan is not None and event and status.sensed is not None:
            since_s = (status.sensed.state.at - plan.start).total_seconds() - 0.5 * seconds
            step = next((s for s in plan.steps if s.t_s <= since_s < s.t_s + s.duration_s), None)
            if step is not None and step.target_kw != 0.0:
                asked_kw = step.baseline_kw + step.target_kw
                sign = -1.0 if step.target_kw < 0.0 else 1.0
                short_kw = sign * (asked_kw - mean_kw) - step.shortfall_kw
                over_kw = sign * (mean_kw - asked_kw)
                self._count(now_s, seconds, event, short_kw, over_kw, step.shortfall_kw, asked_kw)
        if math.isnan(asked_kw):
            self._count_between(seconds, -battery_kw)
        if not self.trace or now_s - self.trace[-1][0] >= 10.0:
            fault = float(now_s < self.fault_until_s)
            self.trace.append((now_s, mean_kw, asked_kw, battery_kw, soc or math.nan, fault))

    def _count_between(self, seconds: float, charge_kw: float) -> None:
        self.between.samples += 1
        self.between.worst_kw = max(self.between.worst_kw, charge_kw)
        if charge_kw > REFILL_SHARE * self.draw_kw:
            self.between.missed += 1
            self.between.over_kwh += charge_kw * seconds / 3600.0

    def _count(
        self,
        now_s: float,
        seconds: float,
        event: str,
        short_kw: float,
        over_kw: float,
        named_kw: float,
        asked_kw: float,
    ) -> None:
        when: When = "settled"
        if now_s < self.fault_until_s + FAULT_LINGERS_S:
            when = "fault"
        elif now_s - self._changed_s < SETTLES_S:
            when = "changing"
        tally = self.by_kind.setdefault(when, Tally())
        tally.samples += 1
        tally.short_kwh += max(short_kw, 0.0) * seconds / 3600.0
        tally.over_kwh += max(over_kw, 0.0) * seconds / 3600.0
        tally.worst_kw = max(tally.worst_kw, short_kw)
        missed = short_kw > TOLERANCE_SHARE * self.draw_kw
        tally.missed += missed
        call = self.answered.setdefault(event, {"s": 0.0, "missed": 0.0, "named_kwh": 0.0})
        call["s"] += seconds
        call["named_kwh"] += named_kw * seconds / 3600.0
        if missed and when == "settled":
            call["missed"] += 1
            self.worst = sorted([*self.worst, (short_kw, now_s, event)], reverse=True)[:20]

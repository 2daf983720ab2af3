"""What a site did in a call, judged by its meter alone: no code of planner or controller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from ebplan.event import Event

TOLERANCE_KW = 0.15
"""About 3 % of the site's draw; assumed, the examples name none."""
METER_S = 1.0
"""The meter shows a mean over this long: a sample is as old."""
CYCLE_S = 1.0
"""The controller steers the converter once in so long."""
BEFORE_S = 10.0
"""The baseline is the mean of the meter over this long before the start."""
REST_KW = 0.05


class Sample(NamedTuple):
    """One look at the site; seconds from the start of the call."""

    t_s: float
    meter_kw: float | None
    grid_kw: float
    battery_kw: float
    soc: float


@dataclass(frozen=True)
class Verdict:
    """Numbers of one call."""

    baseline_kw: float
    samples: int
    inside: int
    """Samples of the meter inside the envelope."""
    worst_kw: float
    """How far the meter was outside at most, the tolerance taken off; 0: never."""
    held_kw: float
    """Mean change against the baseline in the last 10 s of the call."""
    battery_after_kw: float | None
    """Mean size of the battery's power from the hand-off to the end; None without a hand-off."""
    most_battery_kw: float
    lowest_soc: float
    highest_soc: float
    end_soc: float

    @property
    def is_kept(self) -> bool:
        """Whether every sample lay inside."""
        return self.inside == self.samples


def judge(event: Event, samples: Sequence[Sample]) -> Verdict:
    """Judge what the meter showed during a call and its recovery.

    A release asks for no more than ``baseline + delta x ramp`` (an absorption for no less), where
    the ramp is that of the moment one mean of the meter and one cycle earlier; after the end a
    release may draw ``rebound_limit_kw`` more than the baseline, an absorption that much less.
    """
    before = [s.meter_kw for s in samples if -BEFORE_S <= s.t_s < 0.0 and s.meter_kw is not None]
    baseline_kw = fmean(before)
    delta_kw = 0.0 if event.target is None else event.target.delta_kw or 0.0
    sign = 1.0 if delta_kw <= 0.0 else -1.0
    inside = count = 0
    worst_kw = 0.0
    if delta_kw:
        last_s = event.duration_s + event.response.recovery_s
        for s in samples:
            if s.meter_kw is None or not 0.0 <= s.t_s <= last_s:
                continue
            limit_kw = sign * (baseline_kw + delta_kw * _asked(event, s.t_s))
            if s.t_s > event.duration_s:
                limit_kw = sign * baseline_kw + event.response.rebound_limit_kw
            over_kw = sign * s.meter_kw - limit_kw - TOLERANCE_KW
            count += 1
            inside += over_kw <= 0.0
            worst_kw = max(worst_kw, over_kw)
    end = [s for s in samples if event.duration_s - 10.0 <= s.t_s < event.duration_s]
    after = None
    if event.handoff is not None:
        handed = [s for s in samples if event.handoff.by_s <= s.t_s < event.duration_s]
        after = fmean(abs(s.battery_kw) for s in handed)
    within = [s for s in samples if s.t_s >= 0.0]
    return Verdict(
        baseline_kw=baseline_kw,
        samples=count,
        inside=inside,
        worst_kw=worst_kw,
        held_kw=fmean(s.grid_kw for s in end) - baseline_kw,
        battery_after_kw=after,
        most_battery_kw=max(abs(s.battery_kw) for s in within),
        lowest_soc=min(s.soc for s in within),
        highest_soc=max(s.soc for s in within),
        end_soc=within[-1].soc,
    )


def _asked(event: Event, t_s: float) -> float:
    """Return the share of the response that a sample must show."""
    shape = event.response
    t_s -= METER_S + CYCLE_S
    if t_s < shape.initial_delay_s:
        return 0.0
    if t_s >= shape.full_activation_s:
        return 1.0
    return (t_s - shape.initial_delay_s) / (shape.full_activation_s - shape.initial_delay_s)

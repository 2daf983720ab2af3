"""The receding policy: what is decided when, in the market's order of information.

For each day D of delivery, by the clock of D - 1, which stands in the definitions of the day-ahead
market and of each product (times of Japan):

    10:00  energy    the whole of what is expected to be drawn is bought at prices that are forecast
    14:00  bids      the day-ahead price is known; what is bought stays bought, and may be traded
    15:00  awards    the market has taken each bid or not; until then a bid counts as it is expected
    then   repair    every few half-hours the rest is planned again from the state that has come:
                     calls move the battery, and what cannot be traded any more is imbalance

A product whose bids close before the day-ahead market is bid with its price as a forecast. Load,
and what compute can do at it, are forecast as well; a repair sees the load of its own step.

Each is the same program (``window.py``) with other columns fixed. A forecast never sees what the
clock has not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.solvers.program import FloatArray
from ebplan.study.answered import plan
from ebplan.study.clock import Clock, Planning
from ebplan.study.decisions import Track, carry, empty_track, layers_after
from ebplan.study.forecast import Forecaster
from ebplan.study.horizon import Horizon
from ebplan.study.ledger import draw_kw
from ebplan.study.moment import GroupMoment, Moment, WindowPlan
from ebplan.study.numbers import (
    ServiceNumbers,
    StudyNumbers,
    levy_per_kwh,
    mean_levy,
)
from ebplan.study.rows import ahead, contracted, fixed, known_gate, stacked
from ebplan.study.window import Window

MOSTLY = 0.5
"""A product is held in a longer step of a window where it is in so much of it."""
Stepped = Callable[[int, int], None]
"""Called with the day that begins, and of how many."""


@dataclass(frozen=True)
class _Start:
    """Where a window begins: a group's battery."""

    energy_kwh: float
    layers_kwh: FloatArray


@dataclass(frozen=True)
class _Load:
    """What is forecast of a group's load."""

    baseline: Forecaster
    width: Forecaster
    lost: Forecaster
    alone: Forecaster


class Receding:
    """A study carried out step by step.

    Args:
        numbers: the study.
        accepted: share of a bid that the market takes, shape (S, T); seen when awards are.
        clock: the market's.
        planning: how the policy plans.
    """

    def __init__(
        self, numbers: StudyNumbers, accepted: FloatArray, clock: Clock, planning: Planning
    ) -> None:
        self.numbers, self.accepted = numbers, accepted
        self.clock, self.planning = clock, planning
        self.track = empty_track(numbers)
        day = numbers.steps_per_day
        self._market = Horizon((1,) * day + planning.lookahead)
        self._repairs = Horizon((1,) * planning.repair_steps)
        expected = (
            [service.expected_activation for service in numbers.services],
            [service.expected_absorption for service in numbers.services],
            [service.highest_absorption for service in numbers.services],
        )
        self._windows = {
            horizon: Window(
                horizon.shape(numbers.hours, *expected), numbers.groups, numbers.services
            )
            for horizon in (self._market, self._repairs)
        }
        perfect = planning.forecast == "perfect"

        def forecaster(truth: FloatArray) -> Forecaster:
            return Forecaster(truth, day, perfect=perfect)

        self._spot = forecaster(numbers.market.spot_per_kwh)
        self._paid = [forecaster(s.price_per_kw) for s in numbers.services]
        self._energy = [forecaster(s.energy_per_kwh) for s in numbers.services]
        self._loads = [
            _Load(
                forecaster(group.baseline_kw),
                forecaster(group.width_kw),
                forecaster(group.lost_per_kwh),
                forecaster(group.alone_kw),
            )
            for group in numbers.groups
        ]
        self._levies = [levy_per_kwh(numbers.market, group) for group in numbers.groups]
        self._contracted = np.full(numbers.steps, np.nan)
        self._award = np.array([contracted(numbers, s) for s in numbers.services]).reshape(
            -1, numbers.steps
        )
        self._seen = [0] * len(numbers.services)  # steps whose awards and prices are known
        self._day_ahead = known_gate("market.day_ahead", numbers.market.gate)
        self._gates = {
            i: known_gate(f"services.{service.id}", service.gate)
            for i, service in enumerate(numbers.services)
            if service.contract_kw is None
        }
        self._peaks = np.zeros((len(numbers.groups), int(numbers.month.max()) + 1))
        self._plan: tuple[int, WindowPlan] | None = None

    def run(self, stepped: Stepped | None = None) -> Track:
        """Carry the study out and return what became of it."""
        day = self.numbers.steps_per_day
        begins = self._now(0)
        for at in sorted({self._day_ahead.bid, *(gate.bid for gate in self._gates.values())}):
            self._decide(at, 0, begins)
        for i in self._gates:
            self._see(i, 0)
        for i, service in enumerate(self.numbers.services):
            if service.contract_kw is not None:
                self.track.award_kw[i] = self.track.bid_kw[i] = self._award[i]
        for at in range(self.numbers.steps // day):
            if stepped is not None:
                stepped(at, self.numbers.steps // day)
            self.day(at)
        return self.track

    def day(self, day: int) -> None:
        """Carry one day out, and decide for the next one by the clock."""
        per_day = self.numbers.steps_per_day
        first, last = day * per_day, (day + 1) * per_day
        for step in range(first, last):
            at, come = step - first, False
            if last < self.numbers.steps:
                if self._plan is None:
                    self._repair(step)  # a gate in the study's first step: nothing runs yet
                self._decide(at, last)
                for i, gate in self._gates.items():
                    if gate.known == at:
                        self._see(i, last)
                        come = True
            if come or step % self.planning.repair_every == 0:
                self._repair(step)
            self._carry(step)

    def _decide(self, at: int, first: int, start: Sequence[_Start] | None = None) -> None:
        """Buy and bid for a day what closes in this step of the day before."""
        if at == self._day_ahead.bid:
            self._buy(at, first, start or self._foreseen(first))
        closing = [i for i, gate in self._gates.items() if gate.bid == at]
        if closing:
            self._bid(at, first, closing, start or self._foreseen(first))

    def _buy(self, at: int, first: int, start: Sequence[_Start]) -> None:
        """Buy the energy of a day at prices that are forecast."""
        per_day = self.numbers.steps_per_day
        now = max(first - per_day + at, 0)
        found = self._solve(self._market, first, start, spot_known=first, now=now)
        day = slice(first, first + per_day)
        self.track.position_kw[day] = self._contracted[day] = found.position_kw[:per_day]

    def _bid(self, at: int, first: int, closing: Sequence[int], start: Sequence[_Start]) -> None:
        """Offer products for a day, and see later which offers are taken."""
        per_day = self.numbers.steps_per_day
        seen = first + per_day * (at >= self._day_ahead.known)
        now = max(first - per_day + at, 0)
        found = self._solve(self._market, first, start, spot_known=seen, now=now)
        day = slice(first, first + per_day)
        for i in closing:
            service = self.numbers.services[i]
            bid = found.award_kw[i, :per_day]
            if self.planning.whole_bids:
                bid = whole_bids(service, bid)
            self.track.bid_kw[i, day] = bid
            self._award[i, day] = bid * service.award_probability

    def _see(self, i: int, first: int) -> None:
        """See which bids of a day were taken."""
        day = slice(first, first + self.numbers.steps_per_day)
        award = self.track.bid_kw[i, day] * self.accepted[i, day]
        self.track.award_kw[i, day] = self._award[i, day] = award
        self._seen[i] = day.stop

    def _repair(self, step: int) -> None:
        """Plan the steps ahead again, from where the batteries are."""
        day, at = divmod(step, self.numbers.steps_per_day)
        known = (day + 1) * self.numbers.steps_per_day
        if at >= self._day_ahead.known:
            known += self.numbers.steps_per_day
        found = self._solve(self._repairs, step, self._now(step), spot_known=known, now=step + 1)
        self._plan = (step, found)
        self._trade(step, found)

    def _trade(self, step: int, found: WindowPlan) -> None:
        """Trade what is planned otherwise than bought, as long as the market is open."""
        open_from = step + round(self.clock.closure_h / self.numbers.hours)
        end = min(step + len(found.position_kw), self.numbers.steps)
        for t in range(open_from, end):
            if np.isnan(self._contracted[t]):
                break
            change = float(sum(g.grid_kw[t - step] for g in found.groups)) - self._contracted[t]
            self.track.bought_kw[t] += max(change, 0.0)
            self.track.sold_kw[t] += max(-change, 0.0)
            self._contracted[t] += change

    def _carry(self, step: int) -> None:
        assert self._plan is not None
        made, found = self._plan
        carry(self.numbers, self.track, found, step, 1, at=step - made)
        month = self.numbers.month[step]
        for i, (group, done) in enumerate(zip(self.numbers.groups, self.track.groups, strict=True)):
            drawn = draw_kw(self.numbers, group, done, step)
            self._peaks[i, month] = max(self._peaks[i, month], drawn)

    def _now(self, step: int) -> list[_Start]:
        return [
            _Start(float(done.energy_kwh[step]), done.layers_kwh[step])
            for done in self.track.groups
        ]

    def _foreseen(self, step: int) -> list[_Start]:
        """Return where the running plan expects the batteries to be."""
        assert self._plan is not None
        made, found = self._plan
        starts = []
        for group, done, planned in zip(
            self.numbers.groups, self.track.groups, found.groups, strict=True
        ):
            path = planned.energy_kwh[: step - made + 1]
            layers = done.layers_kwh[made]
            for change in np.diff(path).tolist():
                layers = layers_after(group, layers, change)
            starts.append(_Start(float(path[-1]), layers))
        return starts

    def _solve(
        self, horizon: Horizon, first: int, start: Sequence[_Start], *, spot_known: int, now: int
    ) -> WindowPlan:
        return plan(self._windows[horizon], self._moment(horizon, first, start, spot_known, now))

    def _moment(
        self, horizon: Horizon, first: int, start: Sequence[_Start], spot_known: int, now: int
    ) -> Moment:
        numbers, count = self.numbers, horizon.steps
        begins = first + horizon.begins()
        real = begins < numbers.steps
        spot = horizon.mean(self._spot.known_until(spot_known, first, count))
        chance = np.array([[s.award_probability] for s in numbers.services]).reshape(-1, 1)
        fees = stacked([ahead(s.fee_per_kw, first, count) for s in numbers.services], count)
        held = stacked([ahead(s.held, first, count) for s in numbers.services], count)
        # prices of a product become known with its awards
        paid, energy = (
            stacked(
                [f.known_until(n, first, count) for f, n in zip(of, self._seen, strict=True)],
                count,
            )
            for of in (self._paid, self._energy)
        )
        month = numbers.month[np.minimum(begins, numbers.steps - 1)]
        return Moment(
            groups=tuple(
                self._group(horizon, first, i, begin, now)
                for i, (group, begin) in enumerate(zip(numbers.groups, start, strict=True))
            ),
            spot_per_kwh=spot,
            spread_per_kwh=numbers.market.intraday_spread_per_kwh,
            position_kw=fixed(self._contracted, horizon, first),
            award_kw=self._awards(horizon, first),
            held=horizon.mean(held) > MOSTLY,
            block=np.array([begins // s.block for s in numbers.services]).reshape(-1, len(begins)),
            paid_per_kw=horizon.total(chance * (paid - fees)),
            energy_per_kwh=horizon.mean(chance * energy),
            demand_per_kw=tuple(g.demand_per_kw_month[month[[0, -1]]] for g in numbers.groups),
            last_month=month > month[0],
            real=real,
            terminal_per_kwh=self._terminal(first, horizon, spot),
            sure_load=self.planning.forecast == "perfect",
        )

    def _awards(self, horizon: Horizon, first: int) -> FloatArray:
        """Return what is awarded, or contracted; NaN where it is open, shape (S, T)."""
        rows = []
        for award, service in zip(self._award, self.numbers.services, strict=True):
            if service.contract_kw is None:
                rows.append(fixed(award, horizon, first))
            else:
                rows.append(horizon.mean(ahead(award, first, horizon.steps)))
        return stacked(rows, len(horizon.holds))

    def _terminal(self, first: int, horizon: Horizon, spot: FloatArray) -> float:
        """Return what a kWh is worth at the end of the window."""
        if first + horizon.steps >= self.numbers.steps:
            return self.numbers.terminal_per_kwh
        return float(spot.mean()) + mean_levy(self.numbers.market, self.numbers.groups)

    def _group(self, horizon: Horizon, first: int, at: int, start: _Start, now: int) -> GroupMoment:
        end, steps, load = first + horizon.steps, self.numbers.steps, self._loads[at]
        there = np.arange(first, end) < steps

        def cut(forecast: Forecaster) -> FloatArray:
            """Return the mean over each step of the window, nothing beyond the study's end."""
            values = forecast.known_until(now, first, horizon.steps)
            values[~there] = 0.0
            return horizon.mean(values.T).T

        months = self.numbers.month[[min(first, steps - 1), min(end - 1, steps - 1)]]
        levy = ahead(self._levies[at], first, horizon.steps) * there
        return GroupMoment(
            baseline_kw=cut(load.baseline),
            width_kw=cut(load.width),
            lost_per_kwh=cut(load.lost),
            alone_kw=cut(load.alone),
            levy_per_kwh=horizon.mean(levy),
            start_kwh=start.energy_kwh,
            layers_kwh=start.layers_kwh,
            peaks_kw=(self._peak(at, int(months[0])), self._peak(at, int(months[1]))),
        )

    def _peak(self, at: int, month: int) -> float:
        """Return the highest draw that a month is taken to have anyway."""
        group = self.numbers.groups[at]
        highest = float(group.baseline_kw[self.numbers.month == month].max())
        return max(float(self._peaks[at, month]), self.planning.peak_floor * highest)


def whole_bids(service: ServiceNumbers, kw: FloatArray) -> FloatArray:
    """Return bids cut to whole steps; none where that is below the least bid."""
    cut = np.floor(kw / service.step_kw + 1e-6) * service.step_kw
    return np.asarray(np.where(cut >= service.min_bid_kw - 1e-9, cut, 0.0))

"""A study in numbers: groups of identical sites, products, prices; arrays over the whole period.

Powers are kW at the connection points and of whole groups, energies kWh, times steps of the study.
T steps, K slices of the compute frontier, J depth segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ebplan.problem import BatteryProblem
from ebplan.solvers.program import FloatArray

IndexArray = NDArray[np.int64]


@dataclass(frozen=True)
class BatteryNumbers:
    """The battery of a group. Energies are in the cells, powers at the connection point."""

    problem: BatteryProblem
    """Limits and wear as the planner knows them, of the whole group."""
    charge_efficiency: float
    """kWh in the cells for each kWh drawn."""
    discharge_efficiency: float
    """kWh delivered for each kWh taken out of the cells."""

    @property
    def start_kwh(self) -> float:
        """Energy in the cells when the study begins."""
        return self.problem.start_kwh


@dataclass(frozen=True)
class GroupNumbers:
    """Identical sites that act alike, as one."""

    name: str
    sites: int
    baseline_kw: FloatArray
    """Draw without grid actions, battery apart, shape (T,)."""
    width_kw: FloatArray
    """Slices of the compute frontier, from cheap to dear, shape (T, K)."""
    lost_per_kwh: FloatArray
    """Value of compute lost for each kWh released with a slice, shape (T, K)."""
    rejected_per_kwh: FloatArray
    """Requests turned away for each kWh, shape (T, K)."""
    alone_kw: FloatArray
    """Release that compute alone gives within each product's activation time, shape (T, S)."""
    settled_s: float
    """From the command until compute has settled (95 %)."""
    bridge_s: float
    """Seconds of full response that the battery gives meanwhile."""
    revenue_per_h: FloatArray
    """Value of the requests served without grid actions, shape (T,)."""
    requests_per_h: FloatArray
    """Requests offered, shape (T,)."""
    import_kw: float
    export_kw: float
    demand_per_kw_month: FloatArray
    """Demand charge by the highest step of each month, shape (M,)."""
    wheeling_per_kwh: FloatArray
    """What each kWh drawn costs the site besides its price, shape (T,)."""
    battery: BatteryNumbers | None

    @property
    def slices(self) -> int:
        """Number K of slices."""
        return int(self.width_kw.shape[1])


@dataclass(frozen=True)
class Gate:
    """When a product is bid, as steps of the day before delivery."""

    bid: int
    """Bids close in this step."""
    known: int
    """Awards are known from this step on."""


@dataclass(frozen=True)
class ServiceNumbers:
    """A product: for release, for absorbing, or one award for both."""

    id: str
    releases: bool
    """Whether an award stands for drawing less."""
    absorbs: bool
    """Whether an award stands for drawing more."""
    sustain_s: float
    """Energy to hold for each kW awarded, as seconds of full release."""
    room_s: float
    """Room to hold for each kW awarded, as seconds of full absorbing."""
    opposite: float
    """Power that a battery holds in the direction that is not sold, for each kW that it holds."""
    rated: float
    """Power that a battery has for each kW that it holds, 1 or more."""
    activation_s: float
    """From when it is known to when the whole response must be there."""
    min_bid_kw: float
    step_kw: float
    max_bid_kw: float
    price_per_kw: FloatArray
    """Paid for each kW held in a step, shape (T,)."""
    fee_per_kw: FloatArray
    """Taken for each kW awarded in a step, shape (T,)."""
    award_probability: float
    activation: FloatArray
    """Mean share of an award that is called for release in a step, as it comes, shape (T,)."""
    expected_activation: float
    """The same as expected beforehand."""
    absorption: FloatArray
    """Mean share of an award that is called for absorbing in a step, as it comes, shape (T,)."""
    expected_absorption: float
    """The same as expected beforehand."""
    highest_absorption: float
    """The most of it that is expected in any step."""
    energy_per_kwh: FloatArray
    """Paid for each kWh released, taken for each kWh absorbed, shape (T,)."""
    penalty_per_kwh: float
    """Taken for each kWh called and not delivered, either way."""
    unavailable_times: float
    """For a kW awarded and not there, so many times its payment is taken."""
    gate: Gate | None
    """When it is bid; None where that is not known, or a contract stands."""
    block: int
    """Steps that one bid covers, counted from midnight."""
    held: FloatArray
    """1 in each step in which it may be called, 0 in others, shape (T,)."""
    contract_kw: float | None
    """What is contracted for the whole period; None where it is bid by the day."""
    exclusive_with: tuple[str, ...]
    """Products to which the same kW cannot be sold as well; here it never is, to any."""
    clipped: int
    """Steps whose price was cut down to the cap."""


@dataclass(frozen=True)
class MarketNumbers:
    """Prices of energy."""

    spot_per_kwh: FloatArray
    """Day-ahead, shape (T,)."""
    imbalance_per_kwh: FloatArray
    """One price for what is drawn beyond or below the plan, shape (T,)."""
    intraday_spread_per_kwh: float
    """Intraday energy costs this much more than spot, and is sold for this much less."""
    carbon_kg_per_kwh: FloatArray
    """Carbon of what is drawn, shape (T,)."""
    carbon_per_kg: float
    """Its price."""
    gate: Gate | None = None
    """When energy is bought day-ahead; None where that is not known."""


@dataclass(frozen=True)
class StudyNumbers:
    """Everything that a policy is told, and what comes."""

    hours: float
    """Length of a step."""
    steps_per_day: int
    month: IndexArray
    """Number of the calendar month of each step, from 0, shape (T,)."""
    market: MarketNumbers
    groups: tuple[GroupNumbers, ...]
    services: tuple[ServiceNumbers, ...]
    terminal_per_kwh: float
    """Value of a kWh left in the cells at the end."""

    @property
    def steps(self) -> int:
        """Number T of steps."""
        return len(self.month)


def levy_per_kwh(market: MarketNumbers, group: GroupNumbers) -> FloatArray:
    """Return what each kWh drawn costs besides its price: wheeling and carbon, shape (T,)."""
    return group.wheeling_per_kwh + market.carbon_per_kg * market.carbon_kg_per_kwh


def mean_levy(market: MarketNumbers, groups: Sequence[GroupNumbers]) -> float:
    """Return the mean of it over steps and groups."""
    return float(np.mean([levy_per_kwh(market, group).mean() for group in groups]))

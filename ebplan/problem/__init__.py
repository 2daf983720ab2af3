"""The problem: everything the solver is told, in numbers, frozen and savable.

All input handling has ended when a problem exists. Powers are kW at the connection point, times
are seconds from plan start, money is in ``currency``, work is in *instance-equivalents* (1 = one
uncapped instance at saturation). The saved file is the bug report: ``ebplan solve problem.json``
solves it again.

The whole stands here; its parts stand in modules of their own and are imported from here.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive, Timestamp
from ebplan.problem.battery import BatteryProblem, ValueSegment
from ebplan.problem.classes import ClassProblem, DeferralProblem, LoweredProblem, PullForwardProblem
from ebplan.problem.margins import Margins
from ebplan.problem.pool import ArrivalCount, PoolProblem
from ebplan.problem.ways import ClockLockProblem, PrewarmProblem, TierProblem
from ebplan.timegrid import TimeGrid

__all__ = [
    "ArrivalCount",
    "Asks",
    "BatteryProblem",
    "ClassProblem",
    "ClockLockProblem",
    "DeferralProblem",
    "LoweredProblem",
    "Margins",
    "PoolProblem",
    "PrewarmProblem",
    "Prices",
    "Problem",
    "PullForwardProblem",
    "TierProblem",
    "ValueSegment",
]

Asks = Literal["one_way", "both_ways", "nothing"]
"""A change of the draw in one direction; to follow a target within a band, both ways; or nothing,
so that prices and limits decide."""


class Prices(Part):
    """Money per kWh for what happens at the connection point."""

    energy_per_kwh: float | tuple[float, ...]
    """Energy drawn: one price, or one per step, shape (T,); below 0 drawing is paid."""
    shortfall_per_kwh: NonNegative
    """Payment forgone and penalty for each kWh not delivered."""
    firmness_per_kwh: NonNegative
    """Surcharge that makes a shortfall dearer than every mechanism: the target is firm."""
    early_shortfall_premium: Fraction = 0.0
    """Share by which the surcharge is higher at the start of the event than at its end."""
    reserve_per_kwh: NonNegative
    """For each kWh of the deepest dip below the battery reserve."""
    handoff_excess_per_kwh: NonNegative
    """For battery energy beyond the hand-off share."""
    overrun_per_kwh: NonNegative
    """For energy drawn above the import or rebound limit."""
    soc_missing_per_kwh: NonNegative = 0.0
    """For each kWh below the energy to be restored by the end of the recovery."""


class Problem(Document):
    """One planning problem; see the module's docstring for units."""

    kind: Literal["problem"] = "problem"
    event_id: str
    """Identifier of the event."""
    start: Timestamp
    """Wall time of plan second 0."""
    currency: str
    """ISO 4217 code of every money value."""
    grid: TimeGrid
    """Steps and epochs."""
    event_start_s: float
    """Start of the event; < 0 where it has begun before the plan."""
    event_end_s: Positive
    """End of the event."""
    target_kw: tuple[float, ...]
    """Asked change against the baseline per step: all <= 0 releases, all >= 0 absorbs; (T,).
    Where the site follows a target ``both_ways`` it may have either sign."""
    baseline_kw: tuple[float, ...]
    """Baseline at the connection point per step, shape (T,)."""
    other_kw: tuple[float, ...]
    """Load that is not planned per step, shape (T,)."""
    import_limit_kw: tuple[float, ...]
    """Draw allowed per step: the contract, and after the event the rebound limit; shape (T,)."""
    export_limit_kw: NonNegative
    """Feed-in allowed."""
    handoff_from_s: NonNegative | None
    """From when the battery should be free; None where it need not be."""
    handoff_kw: NonNegative
    """Battery power still allowed then."""
    pools: tuple[PoolProblem, ...] = Field(min_length=1)
    """Pools of serving instances."""
    battery: BatteryProblem | None
    """The battery, if there is one."""
    prices: Prices
    """What happens at the connection point, in money."""
    asks: Asks = "one_way"
    """What is asked inside the event."""
    tolerance_kw: NonNegative = 0.0
    """How far the draw may lie from a target that is followed ``both_ways``."""
    restore_kwh: NonNegative | None = None
    """Energy to be in the battery again at the end of the recovery; None where none is asked."""
    restore_limit_kw: NonNegative | None = None
    """Most that the battery may add to the draw in the steps ``restores``; None where its converter
    alone limits it, and left out of the file then."""
    caveats: tuple[str, ...] = ()
    """Where models are used outside what their data cover, in sentences."""
    without: tuple[str, ...] = ()
    """Mechanisms that were left out on purpose; their switches are in the pools and the battery."""
    margins: Margins | None = None
    """What is held back against errors of load and response; left out of the file where None."""

    @model_serializer(mode="wrap")
    def _only_what_is_said(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not said: the digest of a problem without it stays what it was."""
        plain: dict[str, Any] = write(self)
        for field in ("margins", "restore_limit_kw"):
            if plain.get(field, 0) is None:
                del plain[field]
        return plain

    @model_validator(mode="after")
    def _shapes(self) -> Problem:
        steps = self.grid.n_steps
        for field in ("target_kw", "baseline_kw", "other_kw", "import_limit_kw"):
            if len(getattr(self, field)) != steps:
                raise FieldFault(
                    field=field,
                    value=f"{len(getattr(self, field))} values",
                    allowed=f"{steps}, one per step",
                    remedy="give one value per step",
                )
        energy = self.prices.energy_per_kwh
        if isinstance(energy, tuple) and len(energy) != steps:
            raise FieldFault(
                field="prices.energy_per_kwh",
                value=f"{len(energy)} values",
                allowed=f"one number, or {steps}, one per step",
                remedy="give one value per step",
            )
        return self

    @model_validator(mode="after")
    def _asks_what_it_says(self) -> Problem:
        lowest, highest = min(self.target_kw), max(self.target_kw)
        allowed = None
        if self.asks == "one_way" and lowest < 0.0 < highest:
            allowed = "one direction: all <= 0 (release) or all >= 0 (absorb)"
        if self.asks == "nothing" and (lowest, highest) != (0.0, 0.0):
            allowed = "0 at every step where nothing is asked"
        if allowed is not None:
            raise FieldFault(
                field="target_kw",
                value=f"{lowest:g} to {highest:g}",
                allowed=allowed,
                remedy="plan each direction as an event of its own, or say asks: both_ways",
            )
        if self.asks != "one_way" and self.handoff_from_s is not None:
            raise FieldFault(
                field="handoff_from_s",
                value=self.handoff_from_s,
                allowed="none where the event does not ask in one direction",
                remedy="leave the hand-off out",
            )
        if self.asks != "one_way" and self.margins is not None:
            raise FieldFault(
                field="margins",
                value="given",
                allowed="none where the event does not ask in one direction",
                remedy="leave the margins out",
            )
        return self

    @model_validator(mode="after")
    def _can_be_restored(self) -> Problem:
        highest = 0.0 if self.battery is None else self.battery.max_kwh
        if self.restore_kwh is not None and self.restore_kwh > highest:
            raise FieldFault(
                field="restore_kwh",
                value=self.restore_kwh,
                allowed=f"<= {highest:g}, what the battery can hold",
                remedy="ask for less, or for nothing where there is no battery",
            )
        return self

    @property
    def tracks(self) -> bool:
        """Whether the draw follows a target both ways."""
        return self.asks == "both_ways"

    @property
    def energy_prices_per_kwh(self) -> NDArray[np.float64]:
        """Price of energy drawn in each step, shape (T,)."""
        return np.broadcast_to(np.array(self.prices.energy_per_kwh), (self.grid.n_steps,))

    @property
    def direction(self) -> int:
        """1 where the event absorbs, -1 where it releases, asks both ways or nothing."""
        if self.asks != "one_way":
            return -1
        return 1 if max(self.target_kw) > 0.0 else -1

    @property
    def firmness_weight(self) -> NDArray[np.float64]:
        """Weight of the firmness surcharge per step, falling to 1 at the event's end, (T,)."""
        left = (self.event_end_s - self.grid.starts_s) / (self.event_end_s - self.event_start_s)
        return 1.0 + self.prices.early_shortfall_premium * np.clip(left, 0.0, 1.0)

    @property
    def in_event(self) -> NDArray[np.bool_]:
        """Steps in which a response is asked, shape (T,); a band is held where 0 is asked, too."""
        if self.tracks:
            starts = self.grid.starts_s
            began = starts >= self.event_start_s - 1e-9
            return np.asarray(began & (starts < self.event_end_s - 1e-9))
        return np.asarray(np.array(self.target_kw) != 0.0)

    @property
    def restores(self) -> NDArray[np.bool_]:
        """Steps in which ``restore_limit_kw`` holds, (T,): all where nothing is asked."""
        return self.after_event | (self.asks == "nothing")

    @property
    def after_event(self) -> NDArray[np.bool_]:
        """Steps after the end of the event, shape (T,)."""
        return self.grid.starts_s >= self.event_end_s - 1e-9

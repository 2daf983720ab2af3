"""Documents of what is paid without a response: energy prices, imbalance, demand charges."""

from __future__ import annotations

from datetime import date
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive
from ebplan.services.evidence import Defined
from ebplan.services.market import Dated, Market


class Scarcity(Part):
    """Price against the reserve margin, from a day on: linear between points."""

    from_date: date
    """First day of delivery for which it holds."""
    points: tuple[tuple[float, float], ...] = Field(min_length=2)
    """(Reserve margin as a share, price in the unit of energy), margin rising."""
    spot_threshold: NonNegative | None = None
    """Area spot price that counts as high."""
    slots: int | None = Field(default=None, ge=1)
    """So many high slots within ``window_days`` lower the cap."""
    window_days: int | None = Field(default=None, ge=1)
    """Days over which high slots are counted."""
    lowered_cap: NonNegative | None = None
    """The cap from then on."""

    @model_validator(mode="after")
    def _rising(self) -> Scarcity:
        for before, after in pairwise(self.points):
            if after[0] <= before[0]:
                raise FieldFault(
                    field="points",
                    value=after[0],
                    allowed=f"> {before[0]:g}, the margin before it",
                    remedy="sort the points by margin",
                )
        return self

    def price(self, margin: float) -> float:
        """Return the least imbalance price at a reserve margin (a share, 0.05 is 5 %)."""
        import numpy as np

        at, prices = np.array(self.points).T
        return float(np.interp(margin, at, prices))


class TariffDefinition(Defined):
    """What energy or a connection costs, and a market of energy."""

    GROUPS: ClassVar[tuple[tuple[str, type[Part]], ...]] = (("market", Market),)

    kind: Literal["tariff"] = "tariff"
    settles: Literal["energy", "imbalance", "demand", "coincident_peak"]
    """What is paid for: energy traded, its deviation from the plan, the highest draw of a month, or
    the draw at the peaks of the system."""
    block_s: Positive | None = None
    """Length of the time over which it is settled."""
    price_step: Positive | None = None
    """Prices are whole numbers of these."""
    price_floor: float | None = None
    """Lowest price."""
    lot_kwh: Positive | None = None
    """Least energy of a bid; bids are whole numbers of these."""
    rate: tuple[Dated, ...] | None = None
    """The price itself, where a tariff sets it, by date, in ``rate_unit``."""
    rate_unit: str | None = None
    """Unit of ``rate``."""
    energy_rate: tuple[Dated, ...] | None = None
    """What each kWh costs beside it, in the energy unit of the market."""
    scarcity: tuple[Scarcity, ...] | None = None
    """Least price when reserve is short."""
    market: Market = Market()
    """When it is traded and what is paid."""


def scarcity_at(tariff: TariffDefinition, day: date) -> Scarcity | None:
    """Return the scarcity curve that holds on a day; none where there is none."""
    found = [one for one in tariff.scarcity or () if one.from_date <= day]
    return found[-1] if found else None

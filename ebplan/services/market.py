"""What a definition says about money: when it is traded, what is paid, and what it excludes.

Prices stand in the units of their market; ``PriceUnit`` brings them to money per kW and hour. A cap
or a fee is a list of dates and prices, never one number: the cap of the Japanese balancing market
changed twice in 2026.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.errors import InputError
from ebplan.services.price_unit import PriceUnit

Payment = Literal[
    "capacity", "energy", "mileage", "capacity_year", "demand_month", "imbalance", "none"
]


class Clock(Part):
    """A time of day, some days before delivery."""

    days_before: int = Field(ge=0)
    """Days before the day of delivery."""
    at: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    """Time of day, e.g. ``14:00``."""
    time_zone: str
    """Name in the IANA database."""

    @model_validator(mode="after")
    def _zone_is_known(self) -> Clock:
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise FieldFault(
                field="time_zone",
                value=self.time_zone,
                allowed="a name in the IANA time zone database, e.g. 'Asia/Tokyo'",
                remedy="correct the name",
            ) from None
        return self

    def moment(self, delivery: date) -> datetime:
        """Return when it strikes for a day of delivery."""
        day = delivery - timedelta(days=self.days_before)
        return datetime.combine(day, time.fromisoformat(self.at), ZoneInfo(self.time_zone))


class Dated(Part):
    """A number that holds from a day on."""

    from_date: date
    """First day of delivery for which it holds."""
    price: float
    """The number, in the unit of what it is the price of."""


class RecoveryRule(Part):
    """What must be given back: when it begins, how fast, and by when."""

    trigger: str = Field(min_length=1)
    """What starts it."""
    limit: NonNegative | None = None
    """Largest power of recovery, as a share of the award."""
    energy_share: Fraction | None = None
    """Largest energy of recovery in ``period_s``, as a share of the energy held."""
    period_s: Positive | None = None
    """Period of ``energy_share``."""
    lag_s: NonNegative | None = None
    """It is judged this much later."""
    time_s: Positive | None = None
    """Whole again within this."""


class CallHours(Part):
    """When it may be called."""

    days: Literal["weekdays", "all"]
    """On which days."""
    begins: int = Field(ge=0, le=23)
    """First hour."""
    ends: int = Field(ge=1, le=24)
    """End of the last hour."""


class PriceExample(Part):
    """A price that was paid: for orientation, no forecast."""

    value: float
    """The price."""
    unit: str
    """Its unit."""
    period: str
    """When."""
    note: str | None = None
    """What it is the mean of, and who says so."""


class Market(Part):
    """When a product is traded, what is paid for it, and what it excludes."""

    currency: str | None = Field(default=None, pattern="^[A-Z]{3}$")
    """ISO 4217 code."""
    gate: Clock | None = None
    """Bids close."""
    award: Clock | None = None
    """Results are known."""
    pays: tuple[Payment, ...] | None = None
    """What is paid."""
    capacity_unit: str | None = None
    """Unit of the price of capacity, of cap, and of fee."""
    energy_unit: str | None = None
    """Unit of the price of energy."""
    energy_rule: str | None = None
    """How delivered energy is paid."""
    price_cap: tuple[Dated, ...] | None = None
    """Highest price by date, rising dates."""
    fee: tuple[Dated, ...] | None = None
    """Fee of the market by date, rising dates."""
    penalty_multiple: NonNegative | None = None
    """What is missing costs this many times its payment."""
    penalty: str | None = None
    """The rule on what is missing."""
    reservoir_release_h: Positive | None = None
    """Energy to hold for release, as hours of the award."""
    reservoir_absorb_h: Positive | None = None
    """Room to hold for absorption, as hours of the award."""
    power_ratio: Positive | None = None
    """Rated power a limited store must have for each kW awarded."""
    opposite_share: Fraction | None = None
    """Share of the award that is held in the other direction too."""
    recovery_rules: tuple[RecoveryRule, ...] | None = None
    """The rules on getting ready again, for a machine."""
    exclusive_with: tuple[str, ...] | None = None
    """Products for which the same kW cannot be awarded."""
    members: tuple[str, ...] | None = None
    """Products in one award, whose size is the largest of theirs."""
    call_hours: CallHours | None = None
    """When it may be called."""
    price_examples: tuple[PriceExample, ...] | None = None
    """Prices that were paid."""

    @model_validator(mode="after")
    def _units_fit(self) -> Market:
        for field, kind in (("capacity_unit", "capacity"), ("energy_unit", "energy")):
            text = getattr(self, field)
            if text is None:
                continue
            try:
                unit = PriceUnit.parse(text, field=field)
            except InputError as error:
                raise FieldFault(
                    field=field, value=text, allowed=error.allowed, remedy=error.remedy
                ) from None
            if unit.kind != kind or unit.currency != self.currency:
                raise FieldFault(
                    field=field,
                    value=text,
                    allowed=f"a price of {kind} in {self.currency or 'the currency'}",
                    remedy="correct the unit or the currency",
                )
        return self

    @model_validator(mode="after")
    def _dates_rise(self) -> Market:
        for field in ("price_cap", "fee"):
            dated: tuple[Dated, ...] = getattr(self, field) or ()
            days = [one.from_date for one in dated]
            if sorted(set(days)) != days:
                raise FieldFault(
                    field=field,
                    value=[day.isoformat() for day in days],
                    allowed="dates that rise",
                    remedy="sort them, each date once",
                )
        return self


def at_date(dated: Sequence[Dated] | None, day: date) -> float | None:
    """Return the number that holds on a day; none before the first date, or without a list."""
    found = [one.price for one in dated or () if one.from_date <= day]
    return found[-1] if found else None


def composite_kw(members_kw: Sequence[float]) -> float:
    """Return the size of a composite award: the largest of its members, not their sum."""
    return max(members_kw, default=0.0)

"""The document of a study: what is studied, over which period, in which markets, by which policy.

A value that is not known is not given a default in silence: either the file states it, or states it
as assumed with a range and the reason, or the study refuses and says which value is missing.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Discriminator, Field, Tag, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.study.clock import Clock, Planning
from ebplan.study.series.declared import SyntheticSeries, TimedFile
from ebplan.study.stated import Assumed, NotNegative, Stated, StatedCost, StatedShare
from ebplan.wear import Wear

PolicyKind = Literal["perfect_foresight", "receding", "myopic"]


class Period(Part):
    """What is studied of time."""

    start: date
    """First day, in the time zone of the study."""
    days: int = Field(ge=1, le=36_525)
    """Days, whole ones."""
    time_zone: str
    """Name in the IANA database, e.g. ``Asia/Tokyo``; one without daylight saving."""
    step_s: Literal[1800, 3600] = 1800
    """Length of a step."""

    @model_validator(mode="after")
    def _zone_is_known(self) -> Period:
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


class Profile(Part):
    """A series that repeats every day."""

    by_hour: tuple[float, ...] = Field(min_length=24, max_length=24)
    """One value for each hour of the day."""


class FileSeries(Part):
    """A series in a CSV file with a header, one row for each step of the period."""

    file: str
    """Path, relative to the study."""
    column: str
    """Name of the column."""


class FrequencyTrace(Part):
    """A frequency, from which the curve of a product makes the share of an award that is called.

    It is repeated over the period: a day of measurements, or a made-up one.
    """

    frequency: str
    """Path of a CSV or Parquet file, relative to the study, or ``synthetic``."""
    nominal_hz: Positive
    """Nominal frequency."""
    time: str = "t_s"
    """Column with the seconds."""
    hz: str = "freq_hz"
    """Column with the frequency in Hz."""
    seed: int = Field(default=1, ge=0)
    """What chance begins with, where it is made up."""


def _form(value: object) -> str:
    """Tell by its fields which form of a series is meant, so that an error speaks of that one."""
    fields = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
    for field, form in (
        ("source", "made"),
        ("frequency", "frequency"),
        ("by_hour", "day"),
        ("time", "timed"),
        ("file", "file"),
    ):
        if field in fields:
            return form
    return "assumed" if fields else "number"


Series = Annotated[
    Annotated[float, Tag("number")]
    | Annotated[Assumed, Tag("assumed")]
    | Annotated[Profile, Tag("day")]
    | Annotated[FileSeries, Tag("file")]
    | Annotated[TimedFile, Tag("timed")]
    | Annotated[SyntheticSeries, Tag("made")]
    | Annotated[FrequencyTrace, Tag("frequency")],
    Discriminator(_form),
]
"""One number for the whole period, a day that repeats, a column of a file with times or without, a
series of a made-up year; for a share that is called, a frequency."""


class BatterySize(Part):
    """Another battery than the site's, of the same kind."""

    energy_kwh: Positive
    """Energy of each site."""
    power_kw: Positive
    """Power of each site's converter, both ways."""


class OfTariff(Part):
    """A rate that a tariff sets, by date."""

    tariff: str
    """A built-in tariff by name, or a file."""


class Load(Part):
    """Requests over the period."""

    nominal_req_per_s: dict[str, dict[str, NonNegative]]
    """Requests per second of one site at a share of 1, by pool and class."""
    share: Series
    """Load as a share of the nominal one."""
    levels: int = Field(default=6, ge=1, le=48)
    """Distinct load levels for which the planner is asked; loads in between take the nearest."""


class Group(Part):
    """Identical sites."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """Name of the group."""
    site: str
    """A built-in site by name, or a site file."""
    count: int = Field(ge=1)
    """Number of sites."""
    battery: BatterySize | Literal["site", "none"] = "site"
    """The site's own battery, none, or one of another size."""
    wear: Annotated[Wear | Stated | Literal["site"], NotNegative] = "site"
    """Wear of the cells: the site's own, by depth and calendar, or money for each kWh taken out."""
    start_soc: Fraction = 0.5
    """State of charge when the study begins."""
    compute: bool = True
    """Whether compute takes part; without it the battery stands beside a load that is served."""
    without: tuple[str, ...] = ()
    """Mechanisms that are left out, by their names in a plan."""
    load: Load
    """Requests served."""
    demand_per_kw_month: Annotated[Stated | OfTariff, NotNegative]
    """Demand charge for each kW of a month's highest step: a number, or a tariff's by date, whose
    rate for each kWh drawn is then paid too."""


class Market(Part):
    """Prices of energy."""

    spot_per_kwh: Series
    """Day-ahead price."""
    imbalance_per_kwh: Series | Literal["spot"]
    """Price of what is drawn beyond or below the plan."""
    carbon_kg_per_kwh: Series | None = None
    """Carbon of what is drawn; without, none is reported."""
    carbon_per_kg: StatedCost = 0.0
    """Price of carbon, besides what the prices of energy hold; needs its amount."""
    day_ahead: str | None = None
    """Tariff of the day-ahead market, built in or a file: it says when bids close and prices are
    known; ``receding`` needs it."""
    intraday_spread_per_kwh: StatedCost
    """How much dearer energy is bought intraday than day-ahead, and cheaper sold."""


class Service(Part):
    """A product that is offered."""

    service: str
    """A built-in definition by name, or a file."""
    values: dict[str, Any] = Field(default_factory=dict)
    """What the definition does not say, by fact."""
    price_per_kw: Series
    """Paid for each kW held in a step."""
    price_times: StatedCost = 1.0
    """The price, times this: a range for the level of a whole series."""
    above_cap: Literal["refuse", "clip"] = "refuse"
    """What is done with prices above the cap of their day: ``clip`` cuts and counts them."""
    members: tuple[str, ...] = ()
    """Of a composite product: the products that one award is for."""
    direction: Literal["release", "absorb"] | None = None
    """Of a product that sells both directions apart: which of them is offered."""
    contract_kw: NonNegative | None = None
    """Of a product that is paid by the year: what is contracted for the whole period."""
    fee_per_kw: StatedCost | None = None
    """Taken for each kW awarded in a step; where absent, the definition's by date."""
    activation_share: Series
    """Mean share of an award that is called in a step; of a contract over all steps of the period,
    those included in which it is not held."""
    absorb_share: Series | None = None
    """Of a symmetric product: the share that is called for absorbing, where ``activation_share`` is
    that for release; where absent, as much both ways. A frequency calls each way by itself."""
    energy_per_kwh: Series | Literal["spot", "imbalance", "none"]
    """Paid for each kWh released, taken for each kWh absorbed."""
    penalty_per_kwh: StatedCost
    """Taken for each kWh called and not delivered."""
    award_probability: StatedShare
    """How often a bid is taken."""
    unavailable_times: StatedCost | None = None
    """For a kW that is awarded and not there, so many times its payment is taken; where absent,
    what the definition knows, or its range."""


class Policy(Part):
    """How decisions are made."""

    kind: PolicyKind
    """Knowing everything, by the market's clock with forecasts, or by a rule."""
    beside: tuple[PolicyKind, ...] = ()
    """Policies that are run for comparison."""
    clock: Clock = Clock()
    """The market's clock, for ``receding``."""
    planning: Planning = Planning()
    """How finely ``receding`` plans."""


class Economics(Part):
    """What the battery costs, for its present value; every value is stated or assumed."""

    capex_per_kwh: StatedCost
    """Cells and their housing."""
    capex_per_kw: StatedCost
    """Converter and connection."""
    replacement_per_kwh: StatedCost
    """New cells when the old ones are worn."""
    opex_per_kw_year: StatedCost
    """Upkeep."""
    discount_rate: StatedShare
    """Per year."""
    lifetime_years: int = Field(ge=1, le=60)
    """Years that are looked at."""
    life_model: str = "lfp-sony-us26650"
    """Wear model whose laws say how long cells last."""
    temperature_c: float
    """Temperature of the cells in degrees Celsius."""


class StudySpec(Document):
    """A study."""

    kind: Literal["study"] = "study"
    name: str
    """Name of the study."""
    currency: str = Field(pattern="^[A-Z]{3}$")
    """ISO 4217 code of all money."""
    exchange: dict[str, Annotated[Stated, NotNegative]] = Field(default_factory=dict)
    """Of sites in another currency, by its code: what one unit of it is worth in the study's."""
    period: Period
    """When."""
    portfolio: tuple[Group, ...] = Field(min_length=1)
    """Groups of identical sites."""
    market: Market
    """Prices of energy."""
    services: tuple[Service, ...] = ()
    """Products offered."""
    policy: Policy
    """How decisions are made."""
    economics: Economics | None = None
    """What the battery costs; without, no present value is given."""
    seed: int = Field(ge=0)
    """Of everything that is drawn by lot."""

    @model_validator(mode="after")
    def _carbon_has_an_amount(self) -> StudySpec:
        if self.market.carbon_kg_per_kwh is None and self.market.carbon_per_kg != 0.0:
            raise FieldFault(
                field="market.carbon_kg_per_kwh",
                value=None,
                allowed="the carbon of each kWh, where carbon has a price",
                remedy="give it, or leave the price out",
            )
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> StudySpec:
        for field, names in (
            ("portfolio", [group.name for group in self.portfolio]),
            ("services", [service.service for service in self.services]),
        ):
            if len(set(names)) < len(names):
                raise FieldFault(
                    field=field,
                    value=names,
                    allowed="each name once",
                    remedy="rename or remove the repeated one",
                )
        return self

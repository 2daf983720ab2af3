"""The document of a portfolio: a study's sites, the limits they share, awards that are given."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, NonNegative, Part, Positive
from ebplan.study.spec import Series

MOST_DAYS = 31
"""Each award is shared for the whole period at once: a day or a few, at most over two months."""


class SharedLimit(Part):
    """Sites behind one connection or one substation."""

    name: str = Field(min_length=1)
    """What tables call it."""
    groups: tuple[str, ...] = Field(min_length=1)
    """Groups of the study that lie behind it; one may lie behind several."""
    import_limit_kw: Positive
    """The most that they may draw together."""
    export_limit_kw: NonNegative
    """The most that they may feed in together."""


class GivenAward(Part):
    """An award that has been given: it is shared, not chosen."""

    service: str
    """A product of the study, by the name it has there or its identifier."""
    kw: Series
    """Of the whole portfolio in each step; in steps in which the product is not held nothing is."""


class PortfolioSpec(Document):
    """A portfolio whose awards are shared."""

    kind: Literal["portfolio"] = "portfolio"
    name: str
    """Name of the portfolio."""
    study: str
    """The study's file, relative to this one: groups, products, prices. Its policy has no part:
    prices are known."""
    start: date | None = None
    """First day; the study's if absent."""
    days: int | None = Field(default=None, ge=1, le=MOST_DAYS)
    """Days; the study's if absent."""
    regions: tuple[SharedLimit, ...] = ()
    """Limits that several groups share."""
    awards: tuple[GivenAward, ...] = ()
    """Awards that have been given; what is held of the study's other products is chosen."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> PortfolioSpec:
        for field, names in (
            ("regions", [region.name for region in self.regions]),
            ("awards", [award.service for award in self.awards]),
        ):
            if len(set(names)) < len(names):
                raise FieldFault(
                    field=field,
                    value=names,
                    allowed="each name once",
                    remedy="rename or remove the repeated one",
                )
        return self

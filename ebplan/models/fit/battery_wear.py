"""Put two fits of ageing together to a wear model that a site's battery can name.

No table is read: everything comes from the two artefacts, and from what they do not say.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part
from ebplan.models.calendar_ageing import CalendarAgeing
from ebplan.models.card import Provenance
from ebplan.models.cycle_ageing import CycleAgeing
from ebplan.models.fit.named import load_named
from ebplan.models.fitted_wear import END_OF_LIFE_LOSS, CellLife, wear_model
from ebplan.models.wear import CellPrice, WearModel

ARTEFACTS = ("calendar", "cycles")
"""Options that name an artefact."""


class WearOptions(Part):
    """What two fits of ageing do not say of a battery's wear."""

    name: str
    """Name of the artefact."""
    calendar: str
    """Calendar ageing artefact: its name, or its file beside this one (.json)."""
    cycles: str
    """Cycle ageing artefact, likewise; with the loss at rest of ``calendar`` taken off."""
    end_of_life_loss: float = Field(default=END_OF_LIFE_LOSS, gt=0.0, lt=1.0)
    """Share of the capacity lost when the cells are replaced."""
    end_of_life_provenance: Provenance = "assumed"
    """Where that comes from."""
    replacement_per_kwh: NonNegative | None = None
    """Price of new cells per kWh of the battery's energy; the site says it where absent."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    """ISO 4217 code of the price."""
    replacement_provenance: Provenance = "assumed"
    """Where the price comes from."""
    rest_counted_twice: bool = False
    """Accept cycles from which no loss at rest was taken off: wear is then too dear."""

    @model_validator(mode="after")
    def _price_has_a_currency(self) -> WearOptions:
        if (self.replacement_per_kwh is None) != (self.currency is None):
            raise FieldFault(
                field="currency",
                value=self.currency,
                allowed="given together with replacement_per_kwh, or neither",
                remedy="give both, or leave both out and let the site say the price",
            )
        return self

    def life(self) -> CellLife:
        """Return when cells are replaced, and what that costs."""
        price = None
        if self.replacement_per_kwh is not None and self.currency is not None:
            price = CellPrice(
                per_kwh=self.replacement_per_kwh,
                currency=self.currency,
                provenance=self.replacement_provenance,
            )
        return CellLife(
            end_of_life_loss=self.end_of_life_loss,
            end_of_life_provenance=self.end_of_life_provenance,
            price=price,
        )


def compose_wear(options: WearOptions) -> WearModel:
    """Return the wear model of the two artefacts that the options name.

    Raises:
        InputError: one of them is not there or of another kind, or they do not belong together
            (``fitted_wear.wear_model``).
    """
    return wear_model(
        load_named(options.calendar, CalendarAgeing, "options.calendar"),
        load_named(options.cycles, CycleAgeing, "options.cycles"),
        name=options.name,
        life=options.life(),
        rest_counted_twice=options.rest_counted_twice,
    )

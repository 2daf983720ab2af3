"""What the payloads of an event ask of a site, in our units and signs.

| payload (OpenADR 3 event enumerations) | asks | units | note |
|---|---|---|---|
| SIMPLE | a level | none | 0 to 3; 0 asks for nothing |
| ALERT_GRID_EMERGENCY | the level that the site declares for it | none | text |
| PRICE | a price | money per KWH, MWH | in the site's currency |
| DISPATCH_SETPOINT | a draw | W, KW, MW | "absolute amount of consumption" |
| DISPATCH_SETPOINT_RELATIVE | a change | W, KW, MW, PERCENT | "relative change of consumption" |
| IMPORT_CAPACITY_LIMIT | a limit | W, KW, MW | of the site |

KW, KWH and PERCENT (-1.0 to 1.0) are of the published list of units; W, MW and MWH are not, and are
read as private texts that say what they mean. Consumption > 0 is draw, as here. The published
schema gives DISPATCH_SETPOINT_RELATIVE a minimum of 0 and says not which way: ``relative_is`` does.
CHARGE_STATE_SETPOINT is refused: what the battery holds is the plan's to choose.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from ebplan.adapters.events.openadr3.spec import Descriptor, OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import ValuesMap
from ebplan.adapters.events.terms import Ask
from ebplan.errors import InputError

POWER_KW: Final = {"W": 1e-3, "KW": 1.0, "MW": 1e3}
ENERGY_KWH: Final = {"KWH": 1.0, "MWH": 1e3}
LEVELS: Final = 3
PERCENT: Final = "PERCENT"
UNDERSTOOD: Final = (
    "SIMPLE",
    "ALERT_GRID_EMERGENCY",
    "PRICE",
    "DISPATCH_SETPOINT",
    "DISPATCH_SETPOINT_RELATIVE",
    "IMPORT_CAPACITY_LIMIT",
)


@dataclass(frozen=True)
class Meaning:
    """How to read the numbers of one payload type in one event."""

    kind: str
    """Its type."""
    ask: Ask
    """What they ask."""
    factor: float = 1.0
    """From theirs to ours."""
    level: int | None = None
    """The level asked, where the payload holds no number."""

    def values(self, payload: ValuesMap) -> list[float]:
        """Return what a payload asks, in order of time.

        Raises:
            InputError: it holds nothing, or something else than numbers in range.
        """
        if self.level is not None:
            return [float(self.level)]
        numbers = [self._number(value) for value in payload.values]
        if not numbers:
            raise refused(self.kind, [], "a number")
        return [self.factor * number for number in numbers]

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise refused(self.kind, value, "a number")
        number = float(value)
        if self.ask == "level" and number not in range(LEVELS + 1):
            raise refused(self.kind, value, f"a whole number from 0 to {LEVELS}")
        if self.ask in ("limit_kw", "draw_kw") and number < 0.0:
            raise refused(self.kind, value, "a number >= 0")
        return number


def meaning(kind: str, descriptor: Descriptor | None, spec: OpenAdr3Spec) -> Meaning:
    """Return how to read a payload type.

    Args:
        kind: the payload type.
        descriptor: its units, as told by the event, else the program, else the site's file.
        spec: what the site says.

    Raises:
        InputError: it is not understood, or not in these units; the line names it.
    """
    units = None if descriptor is None else descriptor.units
    match kind:
        case "SIMPLE":
            return Meaning(kind, "level")
        case "ALERT_GRID_EMERGENCY":
            if spec.emergency_level is None:
                raise refused(kind, kind, "a payload that the site declares: emergency_level")
            return Meaning(kind, "level", level=spec.emergency_level)
        case "PRICE":
            currency = None if descriptor is None else descriptor.currency
            if currency != spec.currency:
                raise refused(f"{kind}.currency", currency, f"{spec.currency}, the site's")
            return Meaning(kind, "price", 1.0 / _of(f"{kind}.units", units, ENERGY_KWH))
        case "DISPATCH_SETPOINT":
            return Meaning(kind, "draw_kw", _of(f"{kind}.units", units, POWER_KW))
        case "DISPATCH_SETPOINT_RELATIVE":
            sign = 1.0 if spec.relative_is == "change" else -1.0
            if units == PERCENT:
                return Meaning(kind, "fraction", sign)
            return Meaning(kind, "delta_kw", sign * _of(f"{kind}.units", units, POWER_KW))
        case "IMPORT_CAPACITY_LIMIT":
            return Meaning(kind, "limit_kw", _of(f"{kind}.units", units, POWER_KW))
        case _:
            raise refused(kind, kind, f"one of {', '.join(UNDERSTOOD)}")


def refused(field: str, value: object, allowed: str) -> InputError:
    """Return the one line about a payload that cannot be read."""
    return InputError(
        field=f"payload {field}",
        value=value,
        allowed=allowed,
        remedy="nothing is done for this payload; agree with the program on what it sends",
    )


def _of(field: str, units: str | None, known: dict[str, float]) -> float:
    if units is None or units not in known:
        raise refused(field, units, " or ".join(known))
    return known[units]

"""The artefact and the card of a fitted battery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.models.battery_efficiency import BatteryEfficiency, FittedNumber
from ebplan.models.card import (
    Assumption,
    Excluded,
    Finding,
    ModelCard,
    Provenance,
    Statistic,
    ValidRange,
)
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.battery_efficiency import (
    CELLS,
    ENERGY,
    NAMES,
    NO_LOAD,
    BatteryOptions,
    FittedBattery,
)
from ebplan.models.fit.build import rounded
from ebplan.models.fit.measurements import Measurements
from ebplan.models.points import Points


@dataclass(frozen=True)
class Told:
    """What the two kinds of tables say differently."""

    method: str
    """How it was made."""
    reading: str
    """What a reading is, in words."""
    unit: str
    """Unit of its residual."""
    findings: tuple[Finding, ...] = ()
    """Further findings."""
    powers_kw: tuple[float, float] = (0.0, 0.0)
    """Sizes of power covered."""
    points: tuple[Points, ...] = ()
    """The readings, for the figure."""


def battery_artefact(
    data: Measurements, options: BatteryOptions, fitted: FittedBattery, told: Told
) -> BatteryEfficiency:
    """Return the artefact with its card."""
    rated = options.converter_rated_kw
    numbers = {name: _number(fitted, place, rated) for place, name in enumerate(NAMES)}
    return BatteryEfficiency(
        name=options.name,
        title=options.title,
        converter_rated_kw=rated,
        covariance=tuple(tuple(rounded(v) for v in row) for row in fitted.covariance.tolist()),
        degrees=fitted.degrees,
        spread=rounded(fitted.spread),
        valid_power_kw=told.powers_kw,
        measurement_point=data.measurement_point,
        points=told.points,
        card=_card(data, options, fitted, told, numbers),
        **numbers,
    )


def _shown(place: int, value: float, rated: float) -> float:
    if place in (ENERGY, CELLS):
        return float(np.exp(value))
    return float(value * rated) if place == NO_LOAD else float(value)


def _number(fitted: FittedBattery, place: int, rated: float) -> FittedNumber:
    low, high = fitted.intervals()[place]
    return FittedNumber(
        value=rounded(_shown(place, fitted.theta[place], rated)),
        low=rounded(_shown(place, low, rated)),
        high=rounded(_shown(place, high, rated)),
        provenance=_provenance(fitted, place),
    )


def _provenance(fitted: FittedBattery, place: int) -> Provenance:
    return "assumed" if place in fitted.given else "measured"


UNITS = dict(zip(NAMES, ("kWh", "share", "share", "share of rated power", "kW"), strict=True))
_NOTES = {
    "converter_loss_linear": "cannot be told from cell_efficiency at the AC side; 0 puts the whole "
    "of it there, and the losses of a plan stay the same",
}


def _card(
    data: Measurements,
    options: BatteryOptions,
    fitted: FittedBattery,
    told: Told,
    numbers: dict[str, FittedNumber],
) -> ModelCard:
    low, high = told.powers_kw
    return ModelCard(
        title=options.title,
        summary="Energy, efficiency and converter loss of a battery: the fields `energy_kwh`, "
        "`converter_rated_kw`, `converter_loss_linear`, `converter_loss_quadratic` and "
        "`cell_efficiency` of a site's battery.",
        data=(data.dataset(),),
        method=told.method,
        residuals=(*_statistics(numbers), _spread(fitted, told)),
        excluded=(*data.excluded, *_left_out(fitted, told)),
        validity=(ValidRange(name="size of AC power", low=low, high=high, unit="kW"),),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        assumptions=tuple(
            Assumption(
                name=name,
                value=numbers[name].value,
                unit=UNITS[name],
                provenance="assumed",
                note=_NOTES.get(name, "given with the options, not fitted"),
            )
            for place, name in enumerate(NAMES)
            if _provenance(fitted, place) == "assumed"
        ),
        findings=(*fitted.findings, *told.findings, *_about_no_load(numbers["no_load_kw"])),
        not_for=(
            "powers beyond the range: the loss is extrapolated there",
            "temperatures other than those of the readings",
            "what ageing takes: fit again",
        ),
    )


def _statistics(numbers: dict[str, FittedNumber]) -> list[Statistic]:
    shown = []
    for name, number in numbers.items():
        if number.provenance == "measured":
            shown += [
                Statistic(name=name, value=number.value, unit=UNITS[name]),
                Statistic(
                    name=f"{name}: {CONFIDENCE:.0%} interval from",
                    value=number.low,
                    unit=UNITS[name],
                ),
                Statistic(
                    name=f"{name}: {CONFIDENCE:.0%} interval to",
                    value=number.high,
                    unit=UNITS[name],
                ),
            ]
    return shown


def _spread(fitted: FittedBattery, told: Told) -> Statistic:
    return Statistic(
        name=f"{told.reading} off the law, standard deviation", value=fitted.spread, unit=told.unit
    )


def _left_out(fitted: FittedBattery, told: Told) -> Sequence[Excluded]:
    missing = int((~fitted.used).sum())
    if not missing:
        return ()
    return (
        Excluded(
            run=f"{missing} of {len(fitted.used)}: {told.reading}",
            weight=0.0,
            reason="far off the law: a jump of the state of charge, or a reading that is missing",
        ),
    )


def _about_no_load(number: FittedNumber) -> tuple[Finding, ...]:
    if number.value == 0.0:
        return ()
    return (
        Finding(
            title="A site has no field for the no-load loss",
            text=f"{number.value:.3g} kW whenever the converter is on: add it to the site's "
            "constant load. Without it a plan takes little power for cheaper than it is.",
        ),
    )

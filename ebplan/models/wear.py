"""How cells wear: life lost by depth of cycle, and by state of charge at rest.

Both losses of capacity q are published as square-root laws, at constant stress

    calendar   q = k(T) (c_s (s - 1/2)^3 + r_s) sqrt(t)          s state of charge
    cycles     q = (a C + b) (c_d (d - 0.6)^3 + r_d) sqrt(n)     d depth, n full cycles, C rate

with k(T) an Arrhenius law. Life ends at a loss of ``end_of_life_loss``. Turned round, each law says
after how long, or how many cycles, that is; the life lost per year, or per cycle, is the inverse:
the mean over the life. A plan then needs no age, and losses add up as shares of one life. (A young
cell loses capacity faster than that, an old one slower.)

A planner needs both convex. Neither cubic is: below its middle it bends the other way. Depth
becomes a power law, or is one from the start where cells were fitted
(``fitted_wear.py``); the life lost at rest becomes its convex hull, raised by half the largest
distance, so that it errs by the same either way.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.models.card import ModelCard, Provenance
from ebplan.models.curves import FloatArray
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges

GAS_CONSTANT = 8.314462618
"""J / (mol K)."""
KELVIN = 273.15
"""0 degrees Celsius in K."""
SECONDS_PER_YEAR = 365.25 * 86400.0
DEPTH_MIDDLE = 0.6
"""Depth at which the published cubic bends."""
SOC_MIDDLE = 0.5
"""State of charge at which the published cubic bends."""
SOC_POINTS = 11
"""Points of the convex curve before those above a line of others are left out."""


class CellPrice(Part):
    """What new cells cost."""

    per_kwh: NonNegative
    """Price per kWh of the battery's energy."""
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    """ISO 4217 code of the price."""
    provenance: Provenance
    """Where it comes from."""


class WearModel(WithPoints):
    """Life lost by cycling and at rest."""

    kind: Literal["wear_model"] = "wear_model"
    """Document kind."""
    name: str
    """Name in the library."""
    cell: str
    """The cell, in words."""
    end_of_life_loss: float = Field(gt=0.0, lt=1.0)
    """Share of the capacity lost when the cells are replaced."""
    calendar_rate: Positive
    """k at the reference temperature, share of capacity per square root of a second."""
    activation_energy_j_per_mol: NonNegative
    """How k grows with temperature."""
    reference_temperature_c: float
    """Temperature of ``calendar_rate`` in degrees Celsius."""
    soc_cubic: NonNegative
    """c_s."""
    soc_constant: Positive
    """r_s."""
    c_rate_slope: NonNegative
    """a: share of capacity per square root of a full cycle, per C."""
    c_rate_constant: NonNegative
    """b: the same without current."""
    depth_cubic: NonNegative | None = None
    """c_d; absent where the power law below is the law itself, as in a fit of one's own."""
    depth_constant: Positive | None = None
    """r_d; absent with c_d."""
    depth_coefficient: Positive
    """Of the power law for d (c_d (d - 0.6)^3 + r_d)^2."""
    depth_exponent: float = Field(ge=1.0, le=5.0)
    """Its exponent."""
    valid_temperature_c: tuple[float, float]
    """Cell temperatures covered, lowest and highest."""
    valid_soc: tuple[Fraction, Fraction]
    """States of charge covered."""
    max_charge_c: Positive
    """Highest charging rate covered, in C."""
    max_discharge_c: Positive
    """Highest discharging rate covered, in C."""
    max_depth: float = Field(default=1.0, gt=0.0, le=1.0)
    """Deepest cycle covered, a share of capacity."""
    replacement: CellPrice | None = None
    """What new cells cost; None: the site says it."""
    card: ModelCard
    """What it was made from."""

    @model_validator(mode="after")
    def _cubic_is_whole(self) -> WearModel:
        if (self.depth_cubic is None) != (self.depth_constant is None):
            raise FieldFault(
                field="depth_cubic",
                value=self.depth_cubic,
                allowed="given together with depth_constant, or neither",
                remedy="give both, or leave both out",
            )
        return self

    def check_use(
        self,
        temperature_c: float,
        *,
        charge_c: float,
        discharge_c: float,
        soc: tuple[float, float] = (0.5, 0.5),
    ) -> None:
        """Refuse what the model does not cover.

        Args:
            temperature_c: temperature of the cells in degrees Celsius.
            charge_c: highest charging power over energy, in C.
            discharge_c: highest discharging power over energy, in C.
            soc: lowest and highest state of charge in use.

        Raises:
            RangeError: temperature, rates, states of charge or the depth between them outside the
                range of the model.
        """
        check_ranges(
            (
                ("wear.temperature_c", temperature_c, self.valid_temperature_c, "degrees Celsius"),
                ("charge_limit_kw over energy_kwh", charge_c, (0.0, self.max_charge_c), "C"),
                (
                    "discharge_limit_kw over energy_kwh",
                    discharge_c,
                    (0.0, self.max_discharge_c),
                    "C",
                ),
                ("soc_min", soc[0], self.valid_soc, ""),
                ("soc_max", soc[1], self.valid_soc, ""),
                # rounded, so that 0.95 less 0.15 is not deeper than 0.8
                ("soc_max less soc_min", round(soc[1] - soc[0], 9), (0.0, self.max_depth), ""),
            )
        )

    def calendar_loss(
        self, temperature_c: float, soc: float | FloatArray, seconds: float | FloatArray
    ) -> FloatArray:
        """Return the share of capacity lost at rest after a time, by the published law."""
        return np.asarray(self._calendar_stress(temperature_c, soc) * np.sqrt(seconds))

    def cycle_loss(
        self, c_rate: float, depth: float | FloatArray, full_cycles: float | FloatArray
    ) -> FloatArray:
        """Return the share of capacity lost after so many full equivalents, published law."""
        return np.asarray(self._rate_stress(c_rate) * self._depth(depth) * np.sqrt(full_cycles))

    def calendar_loss_per_year(self, temperature_c: float, soc: float | FloatArray) -> FloatArray:
        """Return the share of life lost in a year at rest, mean over the life."""
        each = self._calendar_stress(temperature_c, soc) / self.end_of_life_loss
        return np.asarray(SECONDS_PER_YEAR * each**2)

    def cycle_life_lost(self, c_rate: float, depth: float | FloatArray) -> FloatArray:
        """Return the share of life lost in one cycle, mean over the life, by the published law."""
        each = self._rate_stress(c_rate) * self._depth(depth) / self.end_of_life_loss
        return np.asarray(depth * each**2)

    def depth_stress(self, c_rate: float) -> tuple[float, float]:
        """Return (coefficient, exponent) of the life lost in one cycle, coefficient * d^exponent.

        Args:
            c_rate: power over energy while cycling, in C.
        """
        each = self._rate_stress(c_rate) / self.end_of_life_loss
        return self.depth_coefficient * each**2, self.depth_exponent

    def calendar_points(self, temperature_c: float) -> tuple[tuple[float, float], ...]:
        """Return the convex life lost per year as points (state of charge, share of the life).

        Args:
            temperature_c: temperature of the cells in degrees Celsius.
        """
        socs = np.linspace(*self.valid_soc, SOC_POINTS)
        kept = _lower_hull(socs, self.calendar_loss_per_year(temperature_c, socs))
        fine = np.linspace(*self.valid_soc, 50 * (SOC_POINTS - 1) + 1)
        lost = self.calendar_loss_per_year(temperature_c, socs[kept])
        above = self.calendar_loss_per_year(temperature_c, fine)
        apart = above - np.interp(fine, socs[kept], lost)
        raised = lost + 0.5 * (float(apart.max()) + min(float(apart.min()), 0.0))
        return tuple(zip(socs[kept].tolist(), raised.tolist(), strict=True))

    def _calendar_stress(self, temperature_c: float, soc: float | FloatArray) -> FloatArray:
        """Return the loss after one second, share of capacity."""
        apart = 1.0 / (temperature_c + KELVIN) - 1.0 / (self.reference_temperature_c + KELVIN)
        warmer = np.exp(-self.activation_energy_j_per_mol / GAS_CONSTANT * apart)
        bent = self.soc_cubic * (np.asarray(soc) - SOC_MIDDLE) ** 3 + self.soc_constant
        return np.asarray(self.calendar_rate * warmer * bent)

    def _rate_stress(self, c_rate: float) -> float:
        return self.c_rate_slope * c_rate + self.c_rate_constant

    def _depth(self, depth: float | FloatArray) -> FloatArray:
        if self.depth_cubic is None or self.depth_constant is None:
            # d times the square of this is the power law
            steep = np.asarray(depth) ** (0.5 * (self.depth_exponent - 1.0))
            return np.asarray(self.depth_coefficient**0.5 * steep)
        bent = self.depth_cubic * (np.asarray(depth) - DEPTH_MIDDLE) ** 3
        return np.asarray(bent + self.depth_constant)


def _lower_hull(x: FloatArray, y: FloatArray) -> list[int]:
    """Return which points lie on the lower convex hull; x increases."""
    kept: list[int] = []
    for i in range(len(x)):
        while len(kept) > 1:
            a, b = kept[-2], kept[-1]
            if (y[b] - y[a]) * (x[i] - x[a]) < (y[i] - y[a]) * (x[b] - x[a]):
                break
            kept.pop()
        kept.append(i)
    return kept

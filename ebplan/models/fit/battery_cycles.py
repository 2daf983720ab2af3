"""Fit a battery from a table of cycles: energy in, energy out, and at which power.

Each cycle ends at the state of charge at which it began. Its round trip is

    out / in = e^2 (P - loss) / (P + loss)

with charge and discharge at one AC power P; the energy between SoC 0 and 1 follows from the depth,

    energy = sqrt(in (1 - loss / P) out (1 + loss / P)) / depth

the geometric mean of what went into the cells and what came out, in which e cancels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ebplan.errors import InputError
from ebplan.models.battery_efficiency import BatteryEfficiency, converter_loss, log_round_trip
from ebplan.models.curves import FloatArray
from ebplan.models.fit.battery_artefact import Told, battery_artefact
from ebplan.models.fit.battery_efficiency import (
    ENERGY,
    BatteryOptions,
    FittedBattery,
    fit_battery,
)
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.plausible import check_battery_energy, check_converter
from ebplan.models.points import Points

CYCLE_FLOOR = 0.02
"""A cycle whose round trip is off by less than this share is never left out."""


def fit_battery_cycles(data: Measurements, options: BatteryOptions) -> BatteryEfficiency:
    """Fit energy, efficiency and converter loss.

    Args:
        data: the quantities ``energy_in`` and ``energy_out`` (AC side); ``power``, the size of
            the AC power of a cycle, unless its losses are given as 0; ``depth`` unless
            ``energy_kwh`` is given.
        options: what the table does not say.

    Raises:
        InputError: more comes out than goes in, a column is missing, or parameters that the
            cycles do not determine.
    """
    energy_in, energy_out = data.quantity("energy_in"), data.quantity("energy_out")
    if np.median(energy_out) >= np.median(energy_in):
        raise InputError(
            field="columns.energy_out",
            value=f"{np.median(energy_out):g} kWh against {np.median(energy_in):g} in",
            allowed="less than energy_in",
            remedy="exchange the two columns, or let cycles end where they began",
            file=data.file,
        )
    power = _powers(data, options)
    seen = np.log(energy_out / energy_in)

    def residuals(theta: FloatArray) -> FloatArray:
        return np.asarray(log_round_trip(theta, power) - seen)

    given = {**options.given()}
    given.setdefault(ENERGY, 0.0)  # the round trip does not know it
    fitted = fit_battery(residuals, given, start_kwh=1.0, floor=CYCLE_FLOOR, file=data.file)
    kw = power * options.converter_rated_kw
    columns = {"power_kw": kw, "round_trip": energy_out / energy_in}
    if options.energy_kwh is None:
        each = _energies(data, fitted, power)
        columns["energy_kwh"] = np.exp(each)
        fitted = _with_energy(fitted, each)
    check_battery_energy(float(np.exp(fitted.theta[ENERGY])), options.converter_rated_kw, data.file)
    told = Told(
        method="`out / in = e^2 (P - loss) / (P + loss)`, `loss = c + l P + q P^2 / R`, robust "
        "least squares of logarithms; energy: the mean of `ln sqrt(in (1 - loss / P) out (1 + "
        "loss / P)) - ln depth`. Intervals by Student's t.",
        reading="round trip of a cycle",
        unit="share",
        powers_kw=(float(kw.min()), float(kw.max())),
        points=(Points.of("cycles", columns, ~fitted.used),),
    )
    return battery_artefact(data, options, fitted, told)


def _powers(data: Measurements, options: BatteryOptions) -> FloatArray:
    """Return the power of each cycle over rated power, shape (rows,)."""
    if "power" in data.values:
        check_converter(
            data.quantity("power"), options.converter_rated_kw, data.file, "columns.power"
        )
        return data.quantity("power") / options.converter_rated_kw
    if options.converter_loss_quadratic == 0.0 and options.no_load_kw == 0.0:
        # the round trip is then the same at every power
        return np.ones(len(data))
    raise InputError(
        field="columns.power",
        value=None,
        allowed="the AC power of each cycle: without it no loss can be told from another",
        remedy="map it, or give converter_loss_quadratic = 0 and no_load_kw = 0, which puts the "
        "whole loss into cell_efficiency",
        file=data.file,
    )


def _energies(data: Measurements, fitted: FittedBattery, power: FloatArray) -> FloatArray:
    """Return ln of the energy that each cycle shows, shape (rows,)."""
    lost = converter_loss(fitted.theta, power) / power
    through = data.quantity("energy_in") * data.quantity("energy_out") * (1.0 - lost**2)
    return np.asarray(0.5 * np.log(through) - np.log(data.quantity("depth")))


def _with_energy(fitted: FittedBattery, each: FloatArray) -> FittedBattery:
    """Add the energy and its variance, which do not depend on the cells' efficiency."""
    theta, covariance = fitted.theta.copy(), fitted.covariance.copy()
    theta[ENERGY] = float(np.median(each))
    # of a median, from the spread of a normal distribution
    covariance[ENERGY, ENERGY] = 0.5 * np.pi * float(each.var(ddof=1)) / len(each)
    known = {place: value for place, value in fitted.given.items() if place != ENERGY}
    return replace(fitted, theta=theta, covariance=covariance, given=known)

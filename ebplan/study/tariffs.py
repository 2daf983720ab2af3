"""What the tariffs that a study names say: the day-ahead market's clock, demand charges by date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.services import PriceUnit, TariffDefinition, at_date, load_tariff
from ebplan.solvers.program import FloatArray
from ebplan.study.gates import step_of
from ebplan.study.numbers import Gate
from ebplan.study.spec import Group, OfTariff, StudySpec
from ebplan.study.stated import central


def _tariff(name: str, folder: Path, currency: str, field: str) -> TariffDefinition:
    tariff = load_tariff(name, folder=folder, field=field)
    if tariff.market.currency not in (None, currency):
        raise InputError(
            field=field,
            value=tariff.market.currency,
            allowed=f"a tariff in {currency}, the currency of the study",
            remedy="name another tariff, or a file of yours",
        )
    return tariff


def day_ahead_gate(spec: StudySpec, folder: Path, first: datetime) -> Gate | None:
    """Return when energy is bought, and its price known; None where no tariff is named.

    Raises:
        InputError: the tariff is unknown, or no day-ahead market.
    """
    field = "market.day_ahead"
    if spec.market.day_ahead is None:
        return None
    market = _tariff(spec.market.day_ahead, folder, spec.currency, field).market
    if market.gate is None or market.award is None:
        raise InputError(
            field=field,
            value=spec.market.day_ahead,
            allowed="a tariff that says when bids close and results are known",
            remedy="name the tariff of a day-ahead market, e.g. jp_jepx_spot",
        )
    step_s = spec.period.step_s
    return Gate(
        bid=step_of(market.gate, first, step_s, field),
        known=step_of(market.award, first, step_s, field, late=True),
    )


def demand_of(group: Group, folder: Path, firsts: list[datetime]) -> FloatArray:
    """Return the demand charge of each month, shape (M,).

    Args:
        group: states it, or names a tariff.
        folder: where the study lies.
        firsts: beginning of the first step of each month.

    Raises:
        InputError: the tariff is no demand charge, or begins later.
    """
    stated = group.demand_per_kw_month
    if not isinstance(stated, OfTariff):
        return np.full(len(firsts), central(stated))
    field = f"portfolio.{group.name}.demand_per_kw_month"
    site = load_site(group.site, folder=folder)
    tariff = _tariff(stated.tariff, folder, site.currency, field)
    found = [at_date(tariff.rate, at.date()) for at in firsts]
    if tariff.settles != "demand" or tariff.rate_unit is None or None in found:
        raise InputError(
            field=field,
            value=stated.tariff,
            allowed=f"a demand charge that is known from {firsts[0].date()} on",
            remedy="name another tariff, or state the charge",
        )
    hours = PriceUnit.parse("JPY/kW/month").factor
    per_month = PriceUnit.parse(tariff.rate_unit).factor / hours
    return per_month * np.array(found, dtype=float)


def wheeling_of(group: Group, folder: Path, starts: Sequence[datetime]) -> FloatArray:
    """Return what each kWh drawn costs besides its price, by the group's tariff, shape (T,).

    Raises:
        InputError: the tariff is unknown, or has a rate that begins later.
    """
    stated = group.demand_per_kw_month
    if not isinstance(stated, OfTariff):
        return np.zeros(len(starts))
    field = f"portfolio.{group.name}.demand_per_kw_month"
    tariff = _tariff(stated.tariff, folder, load_site(group.site, folder=folder).currency, field)
    if not tariff.energy_rate or tariff.market.energy_unit is None:
        return np.zeros(len(starts))
    found = [at_date(tariff.energy_rate, at.date()) for at in starts]
    if None in found:
        raise InputError(
            field=field,
            value=stated.tariff,
            allowed=f"a tariff whose rate is known from {starts[0].date()} on",
            remedy="name another tariff, or state the charge",
        )
    return PriceUnit.parse(tariff.market.energy_unit).factor * np.array(found, dtype=float)

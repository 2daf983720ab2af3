"""A study's document becomes numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.services import ServiceDefinition
from ebplan.site import Site
from ebplan.solvers.program import FloatArray
from ebplan.study.asked import Frontiers
from ebplan.study.battery import group_battery
from ebplan.study.called import called_by
from ebplan.study.completed import completed, definitions_of
from ebplan.study.contracts import check_contracts
from ebplan.study.frontier import LoadByPool, bridge_s, check_load, settled_s
from ebplan.study.numbers import (
    GroupNumbers,
    IndexArray,
    MarketNumbers,
    ServiceNumbers,
    StudyNumbers,
    mean_levy,
)
from ebplan.study.offered import offered
from ebplan.study.series.report import SeriesReport
from ebplan.study.series.resolve import resolve
from ebplan.study.series.wanted import Grid, wanted_of
from ebplan.study.spec import FrequencyTrace, Group, Series, StudySpec
from ebplan.study.stated import central
from ebplan.study.tariffs import day_ahead_gate, demand_of, wheeling_of

MOST_CARBON_KG_PER_KWH = 5.0
"""More than this no fuel emits (coal: about 1): such a number is in grams."""


@dataclass(frozen=True)
class Built:
    """A study in numbers, and what it was made from."""

    spec: StudySpec
    numbers: StudyNumbers
    sites: tuple[Site, ...]
    services: tuple[ServiceDefinition, ...]
    starts: tuple[datetime, ...]
    """Start of each step, with its zone, shape (T,)."""
    series: tuple[SeriesReport, ...] = ()
    """What was found in files with times and made-up years."""


def build(spec: StudySpec, folder: Path, *, frontiers: Frontiers | None = None) -> Built:
    """Return a study in numbers.

    Args:
        spec: the study.
        folder: where it lies: files are named relative to it.
        frontiers: those that are known already are not asked for again.

    Raises:
        InputError: something it refers to is missing or wrong.
    """
    frontiers = frontiers or Frontiers()
    starts = _starts(spec)
    steps, day = len(starts), 86_400 // spec.period.step_s

    definitions = definitions_of(spec, folder)
    spec = completed(spec, definitions)
    grid = Grid(starts[0], steps, spec.period.step_s)
    reports: list[SeriesReport] = []

    def series(stated: Series, field: str) -> FloatArray:
        way = field.rpartition(".")[2]
        if isinstance(stated, FrequencyTrace) and way in ("activation_share", "absorb_share"):
            product = next(d for d in definitions if d.id == field.split(".")[1])
            absorb = way == "absorb_share" or "release" not in product.directions
            return called_by(stated, product, grid, folder, reports, absorb=absorb)
        wanted = wanted_of(field, spec.currency, definitions)
        return resolve(stated, grid, folder, wanted, reports)

    spot = series(spec.market.spot_per_kwh, "market.spot_per_kwh")
    imbalance = spot
    if spec.market.imbalance_per_kwh != "spot":
        imbalance = series(spec.market.imbalance_per_kwh, "market.imbalance_per_kwh")
    carbon = np.zeros(steps)
    if spec.market.carbon_kg_per_kwh is not None:
        carbon = series(spec.market.carbon_kg_per_kwh, "market.carbon_kg_per_kwh")
        _check_carbon(carbon)
    market = MarketNumbers(
        spot_per_kwh=spot,
        imbalance_per_kwh=imbalance,
        carbon_kg_per_kwh=carbon,
        carbon_per_kg=central(spec.market.carbon_per_kg),
        intraday_spread_per_kwh=central(spec.market.intraday_spread_per_kwh),
        gate=day_ahead_gate(spec, folder, starts[0]),
    )
    by_clock = "receding" in (spec.policy.kind, *spec.policy.beside)
    if by_clock and market.gate is None:
        raise InputError(
            field="market.day_ahead",
            value=None,
            allowed="a tariff that says when bids close and results are known",
            remedy="name the tariff of the day-ahead market, e.g. jp_jepx_spot",
        )
    services = tuple(
        offered(service, definition, market, starts, spec.period.step_s, series, by_clock=by_clock)
        for service, definition in zip(spec.services, definitions, strict=True)
    )
    sites = tuple(_site(group, folder, spec) for group in spec.portfolio)
    months = np.array([12 * at.year + at.month for at in starts])
    firsts = [starts[i] for i in np.unique(months, return_index=True)[1].tolist()]
    groups = tuple(
        replace(
            _group(group, site, spec, services, series, frontiers),
            demand_per_kw_month=demand_of(group, folder, firsts),
            wheeling_per_kwh=wheeling_of(group, folder, starts),
        )
        for group, site in zip(spec.portfolio, sites, strict=True)
    )
    numbers = StudyNumbers(
        hours=spec.period.step_s / 3600.0,
        steps_per_day=day,
        month=months - months[0],
        market=market,
        groups=groups,
        services=services,
        terminal_per_kwh=float(spot.mean()) + mean_levy(market, groups),
    )
    check_contracts(numbers)
    return Built(spec, numbers, sites, definitions, starts, tuple(reports))


def _check_carbon(kg_per_kwh: FloatArray) -> None:
    """Refuse an amount of carbon that no power station has.

    Raises:
        InputError: it is below zero or above ``MOST_CARBON_KG_PER_KWH``.
    """
    wrong = kg_per_kwh[(kg_per_kwh < 0.0) | (kg_per_kwh > MOST_CARBON_KG_PER_KWH)]
    if len(wrong):
        raise InputError(
            field="market.carbon_kg_per_kwh",
            value=float(wrong[0]),
            allowed=f"0 to {MOST_CARBON_KG_PER_KWH:g} kg for each kWh",
            remedy="are these grams? divide them by 1000",
        )


def _starts(spec: StudySpec) -> tuple[datetime, ...]:
    """Return the start of each step.

    Raises:
        InputError: the clocks are changed within the period.
    """
    period, zone = spec.period, ZoneInfo(spec.period.time_zone)
    first = datetime.combine(period.start, datetime.min.time(), zone)
    step = timedelta(seconds=period.step_s)
    starts = tuple(first + i * step for i in range(period.days * 86_400 // period.step_s))
    offsets = {at.utcoffset() for at in starts[:: 86_400 // period.step_s]} | {
        starts[-1].utcoffset()
    }
    if len(offsets) > 1:
        raise InputError(
            field="period.time_zone",
            value=period.time_zone,
            allowed="a zone whose clocks are not changed within the period",
            remedy="name one with a fixed offset, e.g. 'Etc/GMT-1' for Central European Time",
        )
    return starts


def _site(group: Group, folder: Path, spec: StudySpec) -> Site:
    site = load_site(group.site, folder=folder, field=f"portfolio.{group.name}.site")
    if site.currency != spec.currency and site.currency not in spec.exchange:
        raise InputError(
            field="currency",
            value=spec.currency,
            allowed=f"{site.currency}, the currency of the site {group.site!r}",
            remedy=f"study in the currency of its sites, or say what one {site.currency} is worth: "
            f"exchange = {{ {site.currency} = ... }}",
        )
    check_load(site, group.load.nominal_req_per_s)
    return site


def _group(
    group: Group,
    site: Site,
    spec: StudySpec,
    services: tuple[ServiceNumbers, ...],
    series: Callable[[Series, str], FloatArray],
    frontiers: Frontiers,
) -> GroupNumbers:
    share = series(group.load.share, f"portfolio.{group.name}.load.share")
    levels, level = _levels(share, group.load.levels)
    nominal = group.load.nominal_req_per_s
    loads: list[LoadByPool] = [
        {pool: {c: v * one for c, v in by.items()} for pool, by in nominal.items()}
        for one in levels.tolist()
    ]
    rate = 1.0 if site.currency == spec.currency else central(spec.exchange[site.currency])
    activations = sorted({service.activation_s for service in services})
    found = frontiers.of(site, loads, activations, sorted(group.without))
    slices = max((len(f.segments) for f in found), default=0) if group.compute else 0
    width, lost, rejected = (np.zeros((len(found), slices)) for _ in range(3))
    for i, one in enumerate(found):
        for k, segment in enumerate(one.segments[:slices]):
            width[i, k] = segment.kw
            lost[i, k] = rate * segment.price_per_kwh
            rejected[i, k] = segment.rejected_per_kwh
    alone = np.array(
        [[f.alone_kw[s.activation_s] if slices else 0.0 for s in services] for f in found]
    ).reshape(len(found), len(services))
    per_s = sum(sum(by.values()) for by in nominal.values())
    value_per_s = sum(
        rate * site.pools[pool].classes[name].value_per_request
        for pool, by in nominal.items()
        for name, rate in by.items()
    )
    n, point = group.count, site.connection_point
    baseline = np.array([f.baseline_kw for f in found])
    return GroupNumbers(
        name=group.name,
        sites=n,
        baseline_kw=n * baseline[level],
        width_kw=n * width[level],
        lost_per_kwh=lost[level],
        rejected_per_kwh=rejected[level],
        alone_kw=n * alone[level],
        settled_s=settled_s(site),
        bridge_s=bridge_s(site),
        revenue_per_h=n * 3600.0 * rate * value_per_s * levels[level],
        requests_per_h=n * 3600.0 * per_s * levels[level],
        import_kw=n * point.import_limit_kw,
        export_kw=n * point.export_limit_kw,
        demand_per_kw_month=np.zeros(0),
        wheeling_per_kwh=np.zeros(0),
        battery=group_battery(group, site, currency=spec.currency, rate=rate),
    )


def _levels(share: FloatArray, most: int) -> tuple[FloatArray, IndexArray]:
    """Return distinct load levels, and the nearest of them for each step."""
    levels = np.unique(share)
    if len(levels) > most:
        levels = np.linspace(levels[0], levels[-1], most)
    nearest = np.abs(share[:, None] - levels).argmin(axis=1)
    return levels, nearest

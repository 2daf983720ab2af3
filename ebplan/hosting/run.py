"""Run a hosting study: what compute can release is asked of the planner, then units are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from ebplan.case import load_site
from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.hosting.fit import DAYS, Fit, Store, Unit, fit
from ebplan.hosting.spec import HOURS, Cells, Contract, HostingSpec, MechanismSet
from ebplan.site import Site
from ebplan.solvers.program import FloatArray
from ebplan.study.asked import Frontiers, Told
from ebplan.study.frontier import Frontier, LoadByPool, bridge_s, check_load, settled_s

TYPICAL_SHARE = 0.5
"""Share of its rated power at which the converter's loss is taken."""
AT_LEAST_S = 1.0
"""Nothing is asked of compute within less."""


@dataclass(frozen=True)
class Hosted:
    """What one battery hosts with one mechanism set under one contract."""

    mechanisms: str
    cells: Cells
    contract: Contract
    units: int
    """Whole units."""
    units_without: int
    """Units that neither battery nor mechanisms could help: they fit what is never curtailed."""
    compute_kw: float
    """Highest draw of the whole units."""
    found: Fit
    """Of any number, whole or not."""

    @property
    def lost_per_year(self) -> float:
        """Value of compute lost in a year, if all calls are the dearest."""
        return self.contract.calls_per_year * self.found.worst.lost


@dataclass(frozen=True)
class Study:
    """A hosting study with its results."""

    spec: HostingSpec
    currency: str
    unit_kw: float
    """Highest draw of one unit."""
    value_per_day: float
    """Value of the requests of one unit in a day."""
    cases: tuple[Hosted, ...]
    """By battery and mechanism set, under the contract as it is."""
    what_if: tuple[Hosted, ...]
    """The last battery under other terms, by mechanism set."""


def load_hosting(path: Path) -> HostingSpec:
    """Read a hosting study.

    Raises:
        InputError: the file is missing or wrong.
    """
    return HostingSpec.parse(read_data(path), file=str(path))


def run_hosting(
    spec: HostingSpec,
    folder: Path,
    *,
    frontiers: Frontiers | None = None,
    kept: Path | None = None,
    told: Told | None = None,
) -> Study:
    """Return what fits under the connection.

    Args:
        spec: the study.
        folder: where it lies.
        frontiers: those that are known are not asked for again.
        kept: folder in which frontiers are kept, and found again.
        told: called with progress.

    Raises:
        InputError: the site, its load or a mechanism is wrong.
    """
    site = load_site(spec.site, folder=folder)
    check_load(site, spec.load.nominal_req_per_s)
    sets = {tuple(sorted(one.without)) for one in spec.mechanisms}
    expected = len(set(spec.load.by_hour)) * len(sets)
    frontiers = frontiers or Frontiers(told, kept, expected=expected)
    units = {one.name: _unit(spec, site, one, frontiers) for one in spec.mechanisms}
    asked = [(cells, spec.contract) for cells in spec.batteries]
    asked += [(spec.batteries[-1], contract) for contract in contracts(spec)]
    found = []
    for i, ((cells, contract), (name, one)) in enumerate(product(asked, units.items())):
        found.append(_hosted(spec, site, name, one, cells, contract))
        if told is not None:
            told("counting what fits", i + 1, len(asked) * len(units))
    first = len(spec.batteries) * len(units)
    cases, what_if = found[:first], found[first:]
    unit, _ = next(iter(units.values()))
    unit_kw, per_day = float(unit.draw_kw.max()), float(unit.value_per_h.sum())
    return Study(spec, site.currency, unit_kw, per_day, tuple(cases), tuple(what_if))


def contracts(spec: HostingSpec) -> list[Contract]:
    """Return the other terms of the contract that are asked about."""
    if spec.what_if is None:
        return []
    terms = (spec.what_if.hours_per_year, spec.what_if.depth, spec.what_if.notice_s)
    return [
        spec.contract.model_copy(
            update={"hours_per_year": hours, "depth": depth, "notice_s": notice}
        )
        for hours, depth, notice in product(*terms)
    ]


Answered = tuple[Unit, dict[float, FloatArray]]
"""A unit, and what its compute releases within a notice without a battery, by notice."""


def _unit(spec: HostingSpec, site: Site, of: MechanismSet, frontiers: Frontiers) -> Answered:
    shares = np.array(spec.load.by_hour)
    levels, level = np.unique(shares, return_inverse=True)
    nominal = spec.load.nominal_req_per_s
    loads: list[LoadByPool] = [
        {pool: {c: v * one for c, v in by.items()} for pool, by in nominal.items()}
        for one in levels.tolist()
    ]
    notices = sorted({_asked(c.notice_s) for c in (spec.contract, *contracts(spec))})
    quick = [at for at in notices if at < settled_s(site)]
    found: list[Frontier] = frontiers.of(site, loads, quick, sorted(of.without))
    slices = max((len(f.segments) for f in found), default=0) if of.compute else 0
    width, lost = np.zeros((len(found), slices)), np.zeros((len(found), slices))
    for i, one in enumerate(found):
        for k, segment in enumerate(one.segments[:slices]):
            width[i, k], lost[i, k] = segment.kw, segment.price_per_kwh
    value = 3600.0 * sum(
        rate * site.pools[pool].classes[name].value_per_request
        for pool, by in nominal.items()
        for name, rate in by.items()
    )
    at_once = {
        at: np.array([f.alone_kw[at] if of.compute else 0.0 for f in found])[level] for at in quick
    }
    unit = Unit(
        draw_kw=np.array([f.baseline_kw for f in found])[level],
        width_kw=width[level],
        lost_per_kwh=lost[level],
        at_once_kw=np.zeros(HOURS),
        settled_s=settled_s(site),
        bridge_s=bridge_s(site),
        value_per_h=value * shares,
    )
    return unit, at_once


def _asked(notice_s: float) -> float:
    return max(notice_s, AT_LEAST_S)


def _hosted(
    spec: HostingSpec, site: Site, name: str, of: Answered, cells: Cells, contract: Contract
) -> Hosted:
    unit, at_once = of
    now = at_once.get(_asked(contract.notice_s), np.zeros(HOURS))
    unit = Unit(**{**vars(unit), "at_once_kw": now})
    store = _store(spec, site, cells)
    found = fit(unit, store, contract, spec.connection_kw, spec.most_lost)
    highest = float(unit.draw_kw.max())
    units = math.floor(found.units + 1e-6)
    return Hosted(
        mechanisms=name,
        cells=cells,
        contract=contract,
        units=units,
        units_without=math.floor(spec.connection_kw * (1.0 - contract.depth) / highest + 1e-6),
        compute_kw=units * highest,
        found=found,
    )


def _store(spec: HostingSpec, site: Site, cells: Cells) -> Store:
    """Return a battery of the site's kind.

    Raises:
        InputError: the site has no battery whose kind could be taken.
    """
    if cells.energy_kwh == 0.0:
        return Store(0.0, 0.0, 0.0)
    battery = site.battery
    if battery is None:
        raise InputError(
            field="batteries",
            value=cells.energy_kwh,
            allowed="none: the site has no battery whose kind could be taken",
            remedy="give the site a battery",
        )
    loss = battery.converter_loss_linear + battery.converter_loss_quadratic * TYPICAL_SHARE
    usable = battery.soc_max - battery.soc_min
    rest = min(max(spec.rest_soc - battery.soc_min, 0.0), usable)
    return Store(
        power_kw=cells.power_kw,
        usable_kwh=usable * cells.energy_kwh,
        rest_kwh=rest * cells.energy_kwh,
        charge_efficiency=battery.cell_efficiency * (1.0 - loss),
        discharge_efficiency=battery.cell_efficiency / (1.0 + loss),
    )


def columns(study: Study) -> dict[str, list[object]]:
    """Return all cases as a table, the contract as it is first."""
    rows = [("contract", one) for one in study.cases] + [("what if", one) for one in study.what_if]
    made = [
        {
            "terms": terms,
            "mechanisms": one.mechanisms,
            "battery_kwh": one.cells.energy_kwh,
            "battery_kw": one.cells.power_kw,
            "hours_per_year": one.contract.hours_per_year,
            "depth": one.contract.depth,
            "notice_s": one.contract.notice_s,
            "units": one.units,
            "units_without": one.units_without,
            "compute_kw": one.compute_kw,
            "binding": one.found.binding,
            "lost_per_year": one.lost_per_year,
            "lost_share": one.found.lost_share,
            "released_kwh_per_year": one.contract.calls_per_year * one.found.worst.released_kwh,
            "battery_kwh_per_year": one.contract.calls_per_year * one.found.worst.battery_kwh,
            "value_per_year": DAYS * one.units * study.value_per_day,
        }
        for terms, one in rows
    ]
    return {name: [row[name] for row in made] for name in made[0]}

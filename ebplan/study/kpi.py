"""A study in some dozen numbers, each with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.study.build import Built
from ebplan.study.decisions import Track
from ebplan.study.economics import Investment, worth
from ebplan.study.ledger import Ledger, released_kwh
from ebplan.study.life import life_taken
from ebplan.study.numbers import StudyNumbers
from ebplan.study.stated import central

LAYERS = (
    "inference",
    "grid_services",
    "arbitrage",
    "lost_compute",
    "wear",
    "imbalance",
    "penalty",
    "demand_charge",
    "wheeling",
    "carbon",
    "fees",
    "stock",
)
"""Layers of the ledger, revenue before costs."""
BASE = (
    ("inference", "requests"),
    ("inference", "energy"),
    ("demand_charge", "without_actions"),
    ("wheeling", "without_actions"),
    ("carbon", "without_actions"),
)
"""What would be earned and paid without any grid action; wear at rest apart."""


@dataclass(frozen=True)
class Kpi:
    """One number."""

    name: str
    value: float
    unit: str


def kpis(numbers: StudyNumbers, track: Track, ledger: Ledger, currency: str) -> list[Kpi]:
    """Return the numbers of one run."""
    return [
        Kpi("profit", ledger.total, currency),
        Kpi("gain", gain(ledger), currency),
        *(Kpi(layer, float(ledger.layer(layer).sum()), currency) for layer in LAYERS),
        *_services(numbers, track, ledger, currency),
        *_physical(numbers, track, ledger),
    ]


def gain(ledger: Ledger) -> float:
    """Return what acting on the grid has added to serving requests with energy at spot."""
    return ledger.total - sum(float(ledger.of[entry].sum()) for entry in BASE)


def life_and_worth(built: Built, track: Track, ledger: Ledger) -> list[Kpi]:
    """Return how long the cells last, and what the battery is worth; nothing without economics."""
    economics, numbers = built.spec.economics, built.numbers
    batteries = [
        (g.battery, d) for g, d in zip(numbers.groups, track.groups, strict=True) if g.battery
    ]
    if economics is None or not batteries:
        return []
    taken = [
        life_taken(
            done.energy_kwh / battery.problem.energy_kwh,
            numbers.hours,
            model=economics.life_model,
            temperature_c=economics.temperature_c,
            c_rate=battery.problem.discharge_limit_kw / battery.problem.energy_kwh,
        )
        for battery, done in batteries
    ]
    kwh = sum(battery.problem.energy_kwh for battery, _ in batteries)
    kw = sum(battery.problem.discharge_limit_kw for battery, _ in batteries)
    life_years = min(one.life_years for one in taken)
    investment = Investment(
        capex=central(economics.capex_per_kwh) * kwh + central(economics.capex_per_kw) * kw,
        opex_per_year=central(economics.opex_per_kw_year) * kw,
        replacement=central(economics.replacement_per_kwh) * kwh,
        discount_rate=central(economics.discount_rate),
        years=economics.lifetime_years,
    )
    not_paid = float((ledger.layer("wear") + ledger.layer("stock")).sum())
    years = taken[0].years
    found = worth(investment, (gain(ledger) - not_paid) / years, life_years)
    currency = built.spec.currency
    return [
        Kpi("life_taken_by_cycling", max(one.by_cycling for one in taken) / years, "1/year"),
        Kpi("life_taken_by_rest", max(one.by_rest for one in taken) / years, "1/year"),
        Kpi("battery_life_years", life_years, "years"),
        Kpi("capex", investment.capex, currency),
        Kpi("npv", found.npv, currency),
        Kpi("irr", found.irr, "1/year"),
        Kpi("payback_years", found.payback_years, "years"),
    ]


def _services(numbers: StudyNumbers, track: Track, ledger: Ledger, currency: str) -> Iterator[Kpi]:
    for i, service in enumerate(numbers.services):
        paid = ledger.of["grid_services", f"{service.id}.capacity"].sum()
        yield Kpi(f"{service.id}.capacity", float(paid), currency)
        yield Kpi(f"{service.id}.mean_award", float(track.award_kw[i].mean()), "kW")
        carried = sum(d.compute_award_kw[i].sum() for d in track.groups)
        total = float(track.award_kw[i].sum())
        share = float(carried) / total if total > 0.0 else 0.0
        yield Kpi(f"{service.id}.compute_share", share, "1")
        yield Kpi(f"{service.id}.delivered", float(ledger.delivered_kwh[i].sum()), "kWh")
        if service.absorbs:
            yield Kpi(f"{service.id}.absorbed", float(ledger.absorbed_kwh[i].sum()), "kWh")
        missed = sum(float(d.missed_kwh[i].sum()) for d in track.groups)
        yield Kpi(f"{service.id}.missed", missed, "kWh")


def _physical(numbers: StudyNumbers, track: Track, ledger: Ledger) -> Iterator[Kpi]:
    hours = numbers.hours
    yield Kpi("energy_drawn", float(ledger.grid_kw.sum()) * hours, "kWh")
    if numbers.market.carbon_kg_per_kwh.any():
        baseline = np.sum([g.baseline_kw for g in numbers.groups], axis=0)
        emitted = numbers.market.carbon_kg_per_kwh * hours
        yield Kpi("carbon_emitted", float(emitted @ ledger.grid_kw), "kg")
        yield Kpi("carbon_change", float(emitted @ (ledger.grid_kw - baseline)), "kg")
    yield Kpi("highest_draw", float(ledger.grid_kw.max()), "kW")
    released = rejected = out_kwh = cells_kwh = 0.0
    for group, done in zip(numbers.groups, track.groups, strict=True):
        gave = released_kwh(numbers, done)
        released += float(gave.sum())
        rejected += float((gave * group.rejected_per_kwh).sum())
        if group.battery is not None:
            out_kwh += float(np.maximum(-np.diff(done.energy_kwh), 0.0).sum())
            cells_kwh += group.battery.problem.energy_kwh
    yield Kpi("compute_released", released, "kWh")
    yield Kpi("requests_rejected", rejected, "requests")
    offered = sum(float(g.requests_per_h.sum()) * hours for g in numbers.groups)
    yield Kpi("requests_offered", offered, "requests")
    yield Kpi("equivalent_cycles", out_kwh / cells_kwh if cells_kwh else 0.0, "1")

"""A study in some dozen numbers, each with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ebplan.study.decisions import Track
from ebplan.study.ledger import Ledger, released_kwh
from ebplan.study.numbers import StudyNumbers

LAYERS = (
    "inference",
    "grid_services",
    "arbitrage",
    "lost_compute",
    "wear",
    "imbalance",
    "penalty",
    "demand_charge",
    "fees",
    "stock",
)
"""Layers of the ledger, revenue before costs."""
BASE = ("inference", "requests"), ("inference", "energy"), ("demand_charge", "without_actions")
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
        missed = sum(float(d.missed_kwh[i].sum()) for d in track.groups)
        yield Kpi(f"{service.id}.missed", missed, "kWh")


def _physical(numbers: StudyNumbers, track: Track, ledger: Ledger) -> Iterator[Kpi]:
    hours = numbers.hours
    yield Kpi("energy_drawn", float(ledger.grid_kw.sum()) * hours, "kWh")
    yield Kpi("highest_draw", float(ledger.grid_kw.max()), "kW")
    released = rejected = cycles = 0.0
    for group, done in zip(numbers.groups, track.groups, strict=True):
        gave = released_kwh(numbers, done)
        released += float(gave.sum())
        rejected += float((gave * group.rejected_per_kwh).sum())
        if group.battery is not None:
            out = np.maximum(-np.diff(done.energy_kwh), 0.0).sum()
            cycles += float(out) / group.battery.problem.energy_kwh / len(numbers.groups)
    yield Kpi("compute_released", released, "kWh")
    yield Kpi("requests_rejected", rejected, "requests")
    offered = sum(float(g.requests_per_h.sum()) * hours for g in numbers.groups)
    yield Kpi("requests_offered", offered, "requests")
    yield Kpi("equivalent_cycles", cycles, "1")

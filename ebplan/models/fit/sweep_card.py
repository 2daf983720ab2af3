"""The card of a fitted sweep: how well the laws hold, what was held out, which caps do nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ebplan.models.card import Assumption, Finding, Statistic
from ebplan.models.fit.board import FittedBoard, Readings
from ebplan.models.fit.sweep import Held, SweepOptions

W_PER_KW = 1000.0

Fits = Mapping[str, tuple[Readings, FittedBoard]]


def residual_statistics(fits: Fits) -> tuple[Statistic, ...]:
    """Return the spread of both laws by workload, and the powers they are made of."""
    return tuple(
        Statistic(name=f"{what}, {name}", value=value, unit=unit)
        for name, (_, fitted) in fits.items()
        for what, value, unit in (
            ("throughput, standard deviation", fitted.law.rate_law.spread, "share"),
            ("power, standard deviation", fitted.law.power_law.spread, "share"),
            ("natural draw", fitted.law.natural_kw_per_gpu * W_PER_KW, "W per GPU"),
            ("static power", fitted.law.static_kw_per_gpu * W_PER_KW, "W per GPU"),
        )
    )


def held_statistics(held: Sequence[Held], what: str) -> Iterator[Statistic]:
    """Return median error and coverage of readings that were held out, inside and at the ends."""
    groups = (
        ("", list(held)),
        (", between others", [h for h in held if h.kind == "inside"]),
        (", at an end", [h for h in held if h.kind == "end"]),
        (", cap does nothing", [h for h in held if h.kind == "free"]),
    )
    for where, chosen in groups:
        if not chosen:
            continue
        errors = np.median([abs(h.rate_error) for h in chosen])
        covered = np.mean([h.rate_held for h in chosen])
        name = f"throughput, {what}{where} ({len(chosen)})"
        yield Statistic(name=f"{name}, median error", value=float(errors), unit="share")
        yield Statistic(name=f"{name}, in its 90 % interval", value=float(covered), unit="share")


def free_caps_finding(fits: Fits) -> Finding:
    """Name the caps that do nothing."""
    told = []
    for name, (readings, fitted) in fits.items():
        free = fitted.free & np.isfinite(readings.cap)
        clocks = np.zeros(len(free)) if readings.clock is None else readings.clock
        for clock in np.unique(clocks[free]):
            caps = np.unique(readings.cap[free & (clocks == clock)]) * W_PER_KW
            listed = ", ".join(f"{cap:.0f}" for cap in caps)
            at = "" if readings.clock is None else f" at {clock:.0f} MHz"
            told.append(f"{name}{at}: {listed} W")
    return Finding(
        title="Caps that do nothing" if told else "Every cap binds",
        text="; ".join(told)
        + ". Power lies below the cap and throughput is that under a higher cap. They say what the "
        "natural draw is, and nothing about the elasticity."
        if told
        else "Under no cap is throughput that under a higher one. The highest cap may still take "
        "something: no reading without a cap is in the table.",
    )


def prior_assumptions(options: SweepOptions) -> tuple[Assumption, ...]:
    """Return what the laws take for known before the table is read."""
    prior = options.prior
    note = (
        f"pooled from {prior.workloads} fitted workloads"
        if prior.workloads
        else "wide; speaks only where the readings do not"
    )
    return (
        Assumption(
            name="repeatability of throughput",
            value=options.throughput_repeatability,
            unit="share",
            provenance="assumed",
            note="decides what counts as a change, and counts as 4 readings of the spread",
        ),
        Assumption(
            name="repeatability of power",
            value=options.power_repeatability,
            unit="share",
            provenance="assumed",
            note="as above",
        ),
        Assumption(
            name="static over highest power, before the readings",
            value=_share(prior.static),
            unit="share",
            provenance="measured" if prior.workloads else "assumed",
            note=note,
        ),
        Assumption(
            name="share of time that power sets, before the readings",
            value=_share(prior.limited),
            unit="share",
            provenance="measured" if prior.workloads else "assumed",
            note=note,
        ),
    )


def _share(odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-odds)))

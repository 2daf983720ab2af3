"""Whether the battery pays: present value, internal rate of return, payback.

Each year brings what acting on the grid gained in the period, by the year; wear is not taken off,
cells are bought anew when their life is over. What is stored at the end counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.solvers.program import FloatArray


@dataclass(frozen=True)
class Investment:
    """What is paid, for a whole portfolio."""

    capex: float
    """At the beginning."""
    opex_per_year: float
    replacement: float
    """New cells."""
    discount_rate: float
    """Per year."""
    years: int
    """How long is looked at."""


@dataclass(frozen=True)
class Worth:
    """What an investment comes to."""

    npv: float
    irr: float
    """NaN where no rate brings the present value to zero."""
    payback_years: float
    """Capital over a year's net gain; infinite where that is none."""


def worth(investment: Investment, gain_per_year: float, life_years: float) -> Worth:
    """Return what an investment comes to.

    Args:
        investment: what is paid.
        gain_per_year: what is earned each year, wear not taken off.
        life_years: when cells are bought anew, again and again.
    """
    flows = cash_flows(investment, gain_per_year, life_years)
    net = gain_per_year - investment.opex_per_year
    return Worth(
        npv=present_value(flows, investment.discount_rate),
        irr=internal_rate(flows),
        payback_years=investment.capex / net if net > 0.0 else float("inf"),
    )


def cash_flows(investment: Investment, gain_per_year: float, life_years: float) -> FloatArray:
    """Return what is received at the end of each year, from year 0; cells last whole years."""
    flows = np.full(investment.years + 1, gain_per_year - investment.opex_per_year)
    flows[0] = -investment.capex
    lasts = max(int(life_years), 1) if np.isfinite(life_years) else investment.years
    flows[lasts : investment.years : lasts] -= investment.replacement
    return flows


def present_value(flows: FloatArray, rate: float) -> float:
    """Return the value of yearly flows today."""
    return float(flows @ (1.0 + rate) ** -np.arange(len(flows), dtype=float))


def internal_rate(flows: FloatArray) -> float:
    """Return the rate at which flows are worth nothing, by bisection; NaN where there is none."""
    low, high = -0.99, 10.0
    if present_value(flows, low) * present_value(flows, high) > 0.0:
        return float("nan")
    for _ in range(200):
        middle = 0.5 * (low + high)
        if present_value(flows, low) * present_value(flows, middle) <= 0.0:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)

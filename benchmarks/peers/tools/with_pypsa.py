"""PyPSA: a bus, a market as generator that takes and gives, a store between two links."""

import logging

import numpy as np
import pandas as pd
import pypsa

logging.disable(logging.WARNING)


def _network(p, price, start):
    t, h = len(price), p.hours
    n = pypsa.Network()
    n.set_snapshots(pd.RangeIndex(t))
    n.snapshot_weightings = n.snapshot_weightings.astype(float) * h
    n.add("Bus", ["site", "cells"])
    n.add("Generator", "market", bus="site", p_nom=10 * p.power, p_min_pu=-1.0, marginal_cost=price)
    for name, ends, efficiency, power in (
        ("charge", ("site", "cells"), p.charge, p.power),
        ("discharge", ("cells", "site"), p.discharge, p.power / p.discharge),
    ):
        n.add("Link", name, bus0=ends[0], bus1=ends[1], efficiency=efficiency, p_nom=power)
    last = np.zeros(t)
    top = np.ones(t)
    last[-1] = top[-1] = p.start / p.energy
    n.add(
        "Store", "energy", bus="cells", e_nom=p.energy, e_initial=start,
        e_min_pu=last, e_max_pu=top,
    )  # fmt: skip
    return n


def _solve(n, **options):
    status, _ = n.optimize(
        solver_name="highs", solver_options={"output_flag": False, **options}, progress=False
    )
    assert status == "ok"
    return n.objective


def year(p):
    """One linear program."""
    return _solve(_network(p, p.price, p.start))


half_hours = year
LEFT_OUT = {
    "day": "no component charges or discharges but never both: that takes rows written in linopy",
    "plant": "no reserve and no direction binary: that takes rows written in linopy",
}


def rolling(p):
    """A network a window."""
    window, ahead = 48, 24
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        n = _network(p, price, energy)
        _solve(n)
        x = n.generators_t.p["market"].to_numpy()
        paid += p.hours * float(price[:ahead] @ x[:ahead])
        energy = float(np.clip(n.stores_t.e["energy"].iloc[ahead - 1], 0.0, p.energy))
    return paid

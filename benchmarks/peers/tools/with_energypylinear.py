"""energypylinear: a battery at a site, in MW, solved by the CBC that it brings."""

import energypylinear as epl
import numpy as np

LEFT_OUT = {"plant": "no reserve, and no load that chooses when it runs"}


def _solve(p, price, start):
    # its efficiency is all taken when charging: cells count what they will deliver
    out = p.discharge / 1000.0
    asset = epl.Battery(
        power_mw=p.power / 1000.0,
        capacity_mwh=p.energy * out,
        efficiency_pct=p.charge * p.discharge,
        initial_charge_mwh=start * out,
        final_charge_mwh=p.start * out,
        electricity_prices=price * 1000.0,
        export_electricity_prices=price * 1000.0,
        freq_mins=round(60 * p.hours),
    )
    options = epl.OptimizerConfig(verbose=False, relative_tolerance=p.gap, timeout=3600)
    return asset.optimize(verbose=4, optimizer_config=options).results


def _net(results):
    bought = results["site-import_power_mwh"] - results["site-export_power_mwh"]
    return 1000.0 * bought.to_numpy()


def day(p):
    """One plan."""
    return float(p.price @ _net(_solve(p, p.price, p.start)))


year = half_hours = day


def rolling(p):
    """A plan a window."""
    window, ahead = 48, 24
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        results = _solve(p, price, energy)
        paid += float(price[:ahead] @ _net(results)[:ahead])
        left = results["battery-electric_final_charge_mwh"].to_numpy()[ahead - 1]
        energy = float(np.clip(1000.0 * left / p.discharge, 0.0, p.energy))
    return paid

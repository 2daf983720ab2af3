"""EMHASS: a home with a battery, its load zero; always with a direction binary each step."""

import asyncio
import logging
from pathlib import Path

import emhass
import numpy as np
import pandas as pd
from emhass.optimization import Optimization
from emhass.utils import build_config, build_params, get_yaml_parse

LEFT_OUT = {"plant": "no reserve that is held in both directions"}
LOG = logging.getLogger("silent")
LOG.setLevel(logging.CRITICAL)


def _optimization(p, steps):
    data = Path(emhass.__file__).parent / "data"
    paths = {
        "data_path": data,
        "root_path": data.parent,
        "defaults_path": data / "config_defaults.json",
        "associations_path": data / "associations.csv",
    }
    config = asyncio.run(build_config(paths, LOG, str(paths["defaults_path"])))
    config |= {
        "optimization_time_step": round(60 * p.hours),
        "lp_solver_timeout": 3600,
        "lp_solver_mip_rel_gap": p.gap,
        "num_threads": 1,
        "set_nodischarge_to_grid": False,
        "number_of_deferrable_loads": 0,
        "maximum_power_from_grid": 1000 * p.power,
        "maximum_power_to_grid": 1000 * p.power,
        "set_use_battery": True,
        # the limits are those of the cells, in W
        "battery_discharge_power_max": 1000 * p.power / p.discharge,
        "battery_charge_power_max": 1000 * p.power * p.charge,
        "battery_discharge_efficiency": p.discharge,
        "battery_charge_efficiency": p.charge,
        "battery_nominal_energy_capacity": 1000 * p.energy,
        "battery_minimum_state_of_charge": 0.0,
        "battery_maximum_state_of_charge": 1.0,
        "battery_target_state_of_charge": p.start / p.energy,
    }
    secrets = {"time_zone": "UTC", "Latitude": 0.0, "Longitude": 0.0, "Altitude": 0.0}
    params = asyncio.run(build_params(paths, secrets, config, LOG))
    retrieve, optim, plant = get_yaml_parse(params, LOG)
    return Optimization(
        retrieve, optim, plant, "cost", "price", "profit", paths, LOG,
        opt_time_delta=steps * p.hours, num_timesteps=steps,
    )  # fmt: skip


def _power(p, model, price, start):
    """Return the battery's power in each step, kW, > 0 given."""
    at = pd.date_range("2026-01-01", periods=len(price), freq=pd.Timedelta(hours=p.hours), tz="UTC")
    data = pd.DataFrame({"cost": price, "price": price}, index=at)
    none = np.zeros(len(price))
    found = model.perform_optimization(
        data, none, none, price, price, soc_init=start / p.energy, soc_final=p.start / p.energy
    )
    return found["P_batt"].to_numpy() / 1000.0


def day(p):
    """One plan."""
    power = _power(p, _optimization(p, p.steps), p.price, p.start)
    return -p.hours * float(p.price @ power)


year = half_hours = day


def rolling(p):
    """One model, told other prices."""
    window, ahead = 48, 24
    model = _optimization(p, window)
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        x = _power(p, model, price, energy)[:ahead]
        paid -= p.hours * float(price[:ahead] @ x)
        cells = np.where(x > 0.0, x / p.discharge, x * p.charge)
        energy = float(np.clip(energy - p.hours * cells.sum(), 0.0, p.energy))
    return paid

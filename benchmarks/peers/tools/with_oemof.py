"""oemof.solph: a bus, a market that takes and gives, a storage."""

import logging
import warnings

import numpy as np
from oemof import solph
from oemof.solph import Bus, EnergySystem, Flow, Model, NonConvex
from oemof.solph.components import GenericStorage, Sink, Source

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

LEFT_OUT = {"plant": "a storage has no reserve that is held for some minutes in both directions"}


def _model(p, price, start, one_way=False):
    t = len(price)
    system = EnergySystem(timeindex=list(np.arange(t + 1) * p.hours), infer_last_interval=False)
    site = Bus("site")
    on = {"nonconvex": NonConvex()} if one_way else {}
    low, high = np.zeros(t + 1), np.ones(t + 1)
    low[-1] = high[-1] = p.start / p.energy
    cells = GenericStorage(
        label="cells",
        inputs={site: Flow(nominal_capacity=p.power, **on)},
        outputs={site: Flow(nominal_capacity=p.power, **on)},
        nominal_capacity=p.energy,
        initial_storage_level=start / p.energy,
        balanced=False,
        inflow_conversion_factor=p.charge,
        outflow_conversion_factor=p.discharge,
        min_storage_level=low,
        max_storage_level=high,
    )
    # what one sells costs as much less: a single flow each way, else both would grow without end
    buy = Source("buy", outputs={site: Flow(nominal_capacity=p.power, variable_costs=price)})
    sell = Sink("sell", inputs={site: Flow(nominal_capacity=p.power, variable_costs=-price)})
    system.add(site, cells, buy, sell)
    model = Model(system)
    if one_way:
        solph.constraints.limit_active_flow_count(
            model, "direction", [(site, cells), (cells, site)], upper_limit=1
        )
    return model, cells, site


def year(p):
    """One linear program."""
    model, *_ = _model(p, p.price, p.start)
    model.solve(solver="highs")
    return model.objective()


half_hours = year


def day(p):
    """Flows that are on or off, at most one of them at a time."""
    model, *_ = _model(p, p.price, p.start, one_way=True)
    model.solve(solver="highs", cmdline_options={"mip_rel_gap": p.gap})
    return model.objective()


def rolling(p):
    """A model a window."""
    window, ahead = 48, 24
    energy, paid = p.start, 0.0
    for first in range(0, p.steps - ahead, ahead):
        price = p.price[first : first + window]
        model, cells, site = _model(p, price, energy)
        model.solve(solver="highs")
        x = np.array(
            [
                model.flow[site, cells, t].value - model.flow[cells, site, t].value
                for t in range(ahead)
            ]
        )
        paid += p.hours * float(price[:ahead] @ x)
        level = model.GenericStorageBlock.storage_content[cells, ahead].value
        energy = float(np.clip(level, 0.0, p.energy))
    return paid

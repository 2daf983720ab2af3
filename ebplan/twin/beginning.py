"""How a plant begins: site and state are held to each other, the models looked up."""

from __future__ import annotations

from ebplan.document import FieldFault
from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.state import State
from ebplan.twin.pool_truth import PoolTruth
from ebplan.twin.settings import Bias


def check_fit(site: Site, state: State) -> None:
    """Refuse a state that does not account for every instance, class and battery of the site."""
    if set(site.pools) != set(state.pools):
        raise InputError(
            field="state.pools",
            value=sorted(state.pools),
            allowed=f"the pools of the site: {sorted(site.pools)}",
            remedy="give the state of each pool, and of no other",
        )
    for name, pool in site.pools.items():
        there = state.pools[name]
        if there.total != pool.instances or set(there.load_req_per_s) != set(pool.classes):
            raise InputError(
                field=f"state.pools.{name}",
                value=f"{there.total} instances, loads of {sorted(there.load_req_per_s)}",
                allowed=f"{pool.instances} instances, loads of {sorted(pool.classes)}",
                remedy="account for every instance and request class of the pool",
            )
    if site.battery is not None and state.soc is None:
        raise InputError(
            field="state.soc",
            value=None,
            allowed=f"{site.battery.soc_min} to {site.battery.soc_max}: the site has a battery",
            remedy="give the measured state of charge",
        )


def pool_truth(name: str, site: Site, bias: Bias) -> PoolTruth:
    """Return what is true of a pool; what is wrong with it names the site's field."""
    try:
        return PoolTruth(site.pools[name], site, bias)
    except FieldFault as fault:
        raise InputError(
            field=f"site.pools.{name}.{fault.field}",
            value=fault.value,
            allowed=fault.allowed,
            remedy=fault.remedy,
        ) from None


def other_load_kw(site: Site, state: State, truths: dict[str, PoolTruth], pools_kw: float) -> float:
    """Return what no pool draws: what the meter shows beyond them, or as the site says.

    Raises:
        InputError: the meter shows less than the pools draw in truth.
    """
    if state.grid is None:
        constant_kw = sum({t.measured_at: t.offset_kw for t in truths.values()}.values())
        return site.connection_point.other_load_kw + constant_kw
    if state.grid.kw < pools_kw:
        raise InputError(
            field="state.grid.kw",
            value=state.grid.kw,
            allowed=f">= {pools_kw:.3f}, what the pools draw with this bias",
            remedy="leave the reading out, or lower bias.load_power",
        )
    return state.grid.kw - pools_kw

"""What would raise a promise: one change of the site or its state at a time, and what it adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ebplan.offers.request import Direction
from ebplan.site import Battery, Site
from ebplan.state import PoolState, State

Change = Callable[[Site, State, Direction], tuple[Site, State] | None]
MORE = 0.1
"""Share by which a size is raised, or a load lowered."""
A_MINUTE_S = 60.0
WARM_S = 14_400.0


@dataclass(frozen=True)
class Move:
    """A change that a promise may grow by."""

    words: str
    kind: Literal["battery", "headroom", "pre-warm", "posture", "connection", "notice"]
    change: Change
    """Returns site and state with the change; None where there is nothing to change."""
    notice_s: float = 0.0
    """Notice that the change adds."""
    absorbing: str = ""
    """Its words to absorb, where they differ."""

    def words_to(self, direction: Direction) -> str:
        """Return its words in a direction."""
        return self.absorbing if self.absorbing and direction == "absorb" else self.words


def _battery(**factors: float) -> Change:
    """Return a change that multiplies fields of the battery."""

    def change(site: Site, state: State, _: Direction) -> tuple[Site, State] | None:
        if site.battery is None:
            return None
        fields = {name: factor * getattr(site.battery, name) for name, factor in factors.items()}
        return _with_battery(site, fields), state

    return change


def _with_battery(site: Site, fields: dict[str, float]) -> Site:
    battery: Battery | None = site.battery
    assert battery is not None
    return site.model_copy(update={"battery": battery.model_copy(update=fields)})


def _no_reserve(site: Site, state: State, direction: Direction) -> tuple[Site, State] | None:
    battery = site.battery
    if battery is None or direction == "absorb" or battery.reserve_soc <= battery.soc_min:
        return None
    return _with_battery(site, {"reserve_soc": battery.soc_min}), state


def _charged_ahead(site: Site, state: State, direction: Direction) -> tuple[Site, State] | None:
    """Begin with a full battery to release, with an empty one (to its reserve) to absorb."""
    battery = site.battery
    if battery is None or state.soc is None:
        return None
    soc = battery.soc_max if direction == "release" else battery.reserve_soc
    if (soc - state.soc) * (1 if direction == "release" else -1) <= 1e-6:
        return None
    return site, state.model_copy(update={"soc": soc})


def _pools(change: Callable[[PoolState, str], PoolState | None]) -> Change:
    """Return a change of the first pool that has something to change, or of all of them."""

    def changed(site: Site, state: State, direction: Direction) -> tuple[Site, State] | None:
        found = {name: change(pool, direction) for name, pool in state.pools.items()}
        if all(pool is None for pool in found.values()):
            return None
        pools = {name: found[name] or pool for name, pool in state.pools.items()}
        return site, state.model_copy(update={"pools": pools})

    return changed


def _less_load(pool: PoolState, _: str) -> PoolState:
    less = {name: (1.0 - MORE) * load for name, load in pool.load_req_per_s.items()}
    return pool.model_copy(update={"load_req_per_s": less, "power_kw": None})


def _one_drained(pool: PoolState, direction: str) -> PoolState | None:
    """Hold one instance drained ahead of an absorb: what is put to work is what it can add."""
    if direction == "release" or pool.active < 2:
        return None
    return pool.model_copy(update={"active": pool.active - 1, "drained": pool.drained + 1})


def _one_active(pool: PoolState, direction: str) -> PoolState | None:
    """Run one instance more ahead of a release: what runs can be drained."""
    if direction == "absorb" or pool.drained < 1:
        return None
    return pool.model_copy(update={"active": pool.active + 1, "drained": pool.drained - 1})


def _warm(site: Site, state: State, _: Direction) -> tuple[Site, State] | None:
    pools = {
        name: pool.model_copy(update={"warm_remaining_s": WARM_S})
        for name, pool in state.pools.items()
        if site.pools[name].prewarm is not None and pool.warm_remaining_s <= 0.0
    }
    return (site, state.model_copy(update={"pools": {**state.pools, **pools}})) if pools else None


def _connection(site: Site, state: State, direction: Direction) -> tuple[Site, State] | None:
    """Widen the contract in the direction that the promise pushes the draw."""
    point = site.connection_point
    step_kw = MORE * point.import_limit_kw
    field = "export_limit_kw" if direction == "release" else "import_limit_kw"
    wider = point.model_copy(update={field: getattr(point, field) + step_kw})
    return site.model_copy(update={"connection_point": wider}), state


def _unchanged(site: Site, state: State, _: Direction) -> tuple[Site, State]:
    return site, state


MOVES = (
    Move("10 % more energy in the battery", "battery", _battery(energy_kwh=1.0 + MORE)),
    Move(
        "10 % more converter power",
        "battery",
        _battery(
            discharge_limit_kw=1.0 + MORE, charge_limit_kw=1.0 + MORE, converter_rated_kw=1.0 + MORE
        ),
    ),
    Move("no reserve kept in the battery", "battery", _no_reserve),
    Move(
        "the battery full at its start",
        "posture",
        _charged_ahead,
        absorbing="the battery emptied to its reserve at its start",
    ),
    Move("one more instance drained ahead of it", "posture", _pools(_one_drained)),
    Move("one more instance active ahead of it", "posture", _pools(_one_active)),
    Move("10 % less load", "headroom", _pools(_less_load)),
    Move("caches warm at its start", "pre-warm", _warm),
    Move(
        "feed-in of 10 % of the import limit more",
        "connection",
        _connection,
        absorbing="10 % more import limit",
    ),
    Move("a minute's notice", "notice", _unchanged, notice_s=A_MINUTE_S),
)
"""What a promise may be raised by; a new lever is one entry."""

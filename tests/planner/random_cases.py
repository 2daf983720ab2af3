"""Random whole cases: events as the grid may ask them, states as devices may report them.

Not what a site should measure but what a controller may read: states of charge out of range or
unknown, counts that do not add up, pools that are not there, loads of nothing or of fifty times the
site, meters that show nonsense. Each case is the same for the same seed. An event is always a valid
document: what is refused at the door never reaches a planner.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.case import load_case, load_site
from ebplan.event import Event
from ebplan.site import Site
from ebplan.site.uncertainty import Uncertainty
from ebplan.state import InTransit, MeteredPower, PoolState, Settling, State, TierState

EXAMPLES = Path(__file__).parents[2] / "examples"
SITES = ("powerd-lab-phase-a", "powerd-lab-full-catalogue", "two-pools")
AT = load_case(EXAMPLES / "under_frequency.json").state.at
CURVE = {"shape": "droop", "dead_band_hz": 0.01, "full_hz": 0.2}

Draw = np.random.Generator


def random_case(seed: int) -> tuple[Event, Site, State]:
    """Return event, site and state of a seed."""
    rng = np.random.default_rng(seed)
    site = random_site(rng)
    return random_event(rng, site), site, random_state(rng, site)


def random_site(rng: Draw) -> Site:
    """Return a site from the examples with other sizes."""
    site = load_site(str(rng.choice(SITES)))
    pools = {}
    for name, pool in site.pools.items():
        instances = int(rng.choice([1, 2, pool.instances, 12, 64], p=[0.15, 0.2, 0.4, 0.15, 0.1]))
        changes: dict[str, Any] = {"instances": instances}
        if rng.random() < 0.2:
            changes["allow_extrapolation"] = True
        pools[name] = pool.model_copy(update=changes)
    most_kw = sum(3.0 * pool.instances for pool in pools.values()) + 6.0
    point = site.connection_point.model_copy(
        update={
            "import_limit_kw": most_kw * float(rng.choice([0.2, 1.0, 2.0], p=[0.15, 0.7, 0.15])),
            "export_limit_kw": float(rng.choice([0.0, 0.5, 5.0])),
        }
    )
    planning = site.planning
    if rng.random() < 0.25:
        spread = Uncertainty(confidence=0.95, load_std=0.03, response_std=0.05)
        planning = planning.model_copy(update={"uncertainty": spread})
    battery = site.battery
    if battery is not None:
        kwh = battery.energy_kwh * float(rng.choice([0.01, 0.3, 1.0, 20.0], p=[0.1, 0.2, 0.5, 0.2]))
        battery = battery.model_copy(update={"energy_kwh": kwh})
    if rng.random() < 0.15:
        battery = None
    changed = {
        "pools": pools,
        "battery": battery,
        "connection_point": point,
        "planning": planning,
        "assumptions": (),
    }
    return site.model_copy(update=changed)


def random_event(rng: Draw, site: Site) -> Event:
    """Return an event of any kind, of any size, with or without notice."""
    kind = str(
        rng.choice(
            [
                "under_frequency",
                "over_frequency",
                "congestion_curtailment",
                "renewable_surplus",
                "demand_response",
                "import_limit",
                "price_window",
                "frequency_response",
            ]
        )
    )
    duration_s = float(rng.choice([0.5, 1.0, 7.0, 60.0, 300.0, 1800.0, 7200.0, 14_000.0]))
    offset_s = float(rng.choice([0.0, 0.0, 0.3, 60.0, -0.2, -1.0, -45.0]))
    offset_s = max(offset_s, -0.9 * duration_s)
    recovery_s = float(rng.choice([1.0, 60.0, 300.0]))
    if duration_s > 10_000.0:
        offset_s, recovery_s = min(offset_s, 0.0), 60.0
    plain: dict[str, Any] = {
        "id": "random",
        "type": kind,
        "start": (AT + timedelta(seconds=offset_s)).isoformat(),
        "duration_s": duration_s,
        "response": {"recovery_s": recovery_s},
    }
    if rng.random() < 0.3:
        plain["response"]["rebound_limit_kw"] = float(rng.choice([0.0, 100.0]))
    if site.battery is not None and rng.random() < 0.25:
        low, high = site.battery.soc_min, site.battery.soc_max
        plain["response"]["restore_soc"] = float(rng.choice([low, 0.5, high]))
    if offset_s < 0.0 or rng.random() < 0.2:
        plain["baseline"] = {"rule": "fixed", "kw": float(rng.choice([0.001, 3.0, 5.0, 1e3]))}
    plain |= _asked(rng, kind, duration_s)
    shaped = "delta_kw" in plain.get("target", {}) or "fraction_of_baseline" in plain.get(
        "target", {}
    )
    if shaped and rng.random() < 0.5:
        delay_s = float(rng.choice([0.0, 0.1, 0.3])) * min(duration_s, 100.0)
        full_s = delay_s + float(rng.choice([0.0, 0.01, 0.5])) * min(duration_s, 100.0)
        plain["response"] |= {"initial_delay_s": delay_s, "full_activation_s": full_s}
    if shaped and rng.random() < 0.5:
        by_s = duration_s * float(rng.choice([0.0, 0.1, 1.0]))
        fraction = float(rng.choice([0.0, 0.1, 1.0]))
        plain["handoff"] = {"by_s": by_s, "battery_fraction": fraction}
    if plain.get("target") and rng.random() < 0.5:
        plain["penalty_per_kwh"] = float(rng.choice([1.0, 100.0, 1e5]))
        plain["payment_per_kwh"] = float(rng.choice([0.0, 40.0]))
    return Event.parse(plain)


def _asked(rng: Draw, kind: str, duration_s: float) -> dict[str, Any]:
    size_kw = float(10.0 ** rng.uniform(-6.0, 6.0)) if rng.random() < 0.3 else None
    if size_kw is None:
        size_kw = float(rng.uniform(0.05, 6.0))
    size_kw = max(size_kw, 1e-3)
    if kind == "import_limit":
        return {"target": {"import_limit_kw": float(rng.choice([0.0, 2.0, size_kw, 1e5]))}}
    if kind == "price_window":
        if rng.random() < 0.5:
            return {"price_per_kwh": float(rng.choice([-1e4, -50.0, 0.0, 30.0, 1e4]))}
        levels = rng.choice([-100.0, -5.0, 0.0, 12.0, 45.0, 900.0], size=3).tolist()
        starts = [0.0, duration_s / 3.0, duration_s / 1.5]
        return {"price_steps": [list(step) for step in zip(starts, levels, strict=True)]}
    if kind == "frequency_response":
        hz = 50.0 + rng.choice([-0.4, -0.1, 0.0, 0.02, 0.3], size=6)
        at_s = np.linspace(0.0, duration_s, 6)
        release, absorb = (
            (0.0, size_kw) if rng.random() < 0.2 else (size_kw, float(rng.choice([0.0, size_kw])))
        )
        return {
            "target": {
                "frequency": {
                    "release_capacity_kw": release,
                    "absorb_capacity_kw": absorb,
                    "curve": CURVE,
                    "nominal_hz": 50.0,
                    "trace": np.stack([at_s, hz], axis=1).tolist(),
                    "tolerance_kw": float(rng.choice([0.0, 0.1])) * size_kw,
                }
            }
        }
    sign = {
        "under_frequency": -1.0,
        "congestion_curtailment": -1.0,
        "over_frequency": 1.0,
        "renewable_surplus": 1.0,
    }.get(kind, float(rng.choice([-1.0, 1.0])))
    if rng.random() < 0.25:
        share = float(rng.choice([1e-3, 0.1, 0.5, 1.0, 2.0]))
        return {"target": {"fraction_of_baseline": sign * share}}
    return {"target": {"delta_kw": sign * size_kw}}


def random_state(rng: Draw, site: Site, *, at_s: float = 0.0) -> State:
    """Return a state as devices may report it, right or wrong."""
    pools = {name: _pool_state(rng, site, name) for name in site.pools}
    if rng.random() < 0.05 and len(pools) > 1:
        del pools[sorted(pools)[int(rng.integers(len(pools)))]]
    if rng.random() < 0.05:
        pools["nobody-knows"] = PoolState(active=2, load_req_per_s={"what": 1.0})
    soc: float | None = float(rng.uniform(0.1, 0.95))
    if rng.random() < 0.25:
        soc = [0.0, 1.0, 0.05, None][int(rng.integers(4))]
    meter = None
    if rng.random() < 0.4:
        kw = float(rng.choice([rng.uniform(2.0, 12.0), 0.0, -3.0, 1e3, 1e9, -1e9]))
        meter = MeteredPower(kw=kw, measurement_point="connection_point")
    return State(
        at=AT + timedelta(seconds=at_s),
        soc=soc,
        grid=meter,
        battery_kw=float(rng.choice([0.0, 0.0, 3.0, -2.0, 1e6])),
        converter_available=bool(rng.random() < 0.85),
        pools=pools,
    )


def _pool_state(rng: Draw, site: Site, name: str) -> PoolState:
    pool = site.pools[name]
    where = _where(rng, pool.instances)
    if rng.random() < 0.12:  # counts that do not add up
        wrong = str(rng.choice(["active", "drained", "lost"]))
        where[wrong] = max(where[wrong] + int(rng.integers(-3, 4)), 0)
    transit = tuple(
        InTransit(to=to, count=1, remaining_s=float(rng.choice([0.0, 2.0, 30.0, 1e5])))
        for to in ("asleep", "awake", "tier")
        for _ in range(where[f"to_{to}"])
    )
    scale = float(rng.choice([0.0, 1.0, 50.0], p=[0.1, 0.8, 0.1]))
    capacity = 14.0 * pool.instances * scale
    loads = {key: float(rng.uniform(0.0, 1.0)) * capacity / len(pool.classes)
             for key in pool.classes}  # fmt: skip
    if rng.random() < 0.05:
        loads["unknown"] = 3.0
    if rng.random() < 0.05:
        loads.pop(next(iter(loads)))
    waiting = {"batch": float(rng.choice([0.0, 100.0, 1e6]))} if rng.random() < 0.2 else {}
    if rng.random() < 0.05:
        waiting["unknown"] = 5.0
    queued = {"batch": float(rng.choice([0.0, 3e4, 1e7]))} if rng.random() < 0.2 else {}
    if rng.random() < 0.05:
        queued["unknown"] = 5.0
    tier = None
    if where["tier"] or rng.random() < 0.1:
        active = int(rng.integers(0, where["tier"] + 1))
        served = {} if rng.random() < 0.4 else {key: 0.3 * rate for key, rate in loads.items()}
        tier = TierState(active=active, drained=where["tier"] - active, load_req_per_s=served)
    settling = tuple(
        Settling(
            kw=float(rng.choice([0.5, -0.5, 50.0, -50.0])),
            delay_s=float(rng.choice([0.0, 1.0])),
            time_constant_s=float(rng.choice([0.4, 8.0, 1e4])),
        )
        for _ in range(int(rng.choice([0, 0, 1, 3])))
    )
    return PoolState(
        active=where["active"],
        drained=where["drained"],
        asleep=where["asleep"],
        in_transit=transit,
        load_req_per_s=loads,
        backlog_requests=waiting,
        queued_requests=queued,
        tier=tier,
        warm_remaining_s=float(rng.choice([0.0, 0.0, 100.0])),
        lost=where["lost"],
        usually_active=None if rng.random() < 0.7 else int(rng.integers(0, pool.instances + 3)),
        settling=settling,
    )


def _where(rng: Draw, instances: int) -> dict[str, int]:
    names = ["active", "drained", "asleep", "lost", "tier", "to_asleep", "to_awake", "to_tier"]
    kind = rng.random()
    if kind < 0.15:  # all at one place
        at = [int(rng.integers(len(names)))] * instances
    else:
        weights = [0.75, 0.08, 0.05, 0.04, 0.02, 0.02, 0.02, 0.02]
        at = rng.choice(len(names), size=instances, p=weights).tolist()
    return {name: at.count(i) for i, name in enumerate(names)}

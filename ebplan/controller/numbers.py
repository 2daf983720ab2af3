"""A controller's status as numbers."""

from __future__ import annotations

from collections.abc import Mapping

from ebplan.controller.controller import Status

NAMED: dict[str, tuple[str, tuple[str, ...]]] = {
    "cycles": ("Cycles since the start", ()),
    "grid_kw": ("Draw at the connection point; absent while the meter is silent", ()),
    "grid_planned_kw": ("Draw that the plan wants now", ()),
    "target_kw": ("Change that is asked now; < 0 releases", ()),
    "battery_kw": ("Battery power; > 0 discharges", ()),
    "soc": ("State of charge, 0 to 1", ()),
    "ready_soc": ("State of charge that is being restored; absent where nothing is", ()),
    "frequency_hz": ("Grid frequency", ()),
    "pool_kw": ("Draw of a pool at the connection point", ("pool",)),
    "node_kw": ("What the meter of a node said last, and what it covers", ("node", "covers")),
    "instances": ("Instances by what they do", ("pool", "mode")),
    "load_req_per_s": ("Requests that come", ("pool", "request_class")),
    "planning_s": ("Time of the last planning", ()),
    "plan_gap": ("Proven gap of the plan, as a share", ()),
    "armed_plans": ("Plans that are ready in advance", ()),
    "leased": ("1 where an actuator obeys", ("device",)),
    "audit_waiting": ("Records of the audit log that wait for the disk", ()),
    "audit_lost": ("Records of the audit log that were lost", ()),
    "audit_unsigned_s": ("For how long the oldest record has had no signature", ()),
    "degraded": ("1 for each degradation that is on", ("name", "of")),
}

Numbers = Mapping[str, Mapping[tuple[str, ...], float | None]]


def numbers(status: Status) -> Numbers:
    """Return the numbers of a status, by name and labels."""
    sensed, plan, step = status.sensed, status.plan, status.step
    state = None if sensed is None else sensed.state
    audit = status.audit
    pools = {} if state is None else state.pools
    return {
        "cycles": {(): status.cycles},
        "grid_kw": {(): None if state is None or state.grid is None else state.grid.kw},
        "grid_planned_kw": {(): None if step is None else step.grid_kw},
        "target_kw": {(): 0.0 if step is None else step.target_kw},
        "battery_kw": {(): None if sensed is None else sensed.battery_kw},
        "soc": {(): None if state is None else state.soc},
        "ready_soc": {(): None if status.restoring is None else status.restoring.ready_soc},
        "frequency_hz": {(): None if sensed is None else sensed.frequency_hz},
        "pool_kw": {(name,): pool.power_kw for name, pool in pools.items()},
        "node_kw": {(name, r.covers): r.power_kw for name, r in status.nodes.items()},
        "instances": {
            (name, mode): float(count)
            for name, pool in pools.items()
            for mode, count in (
                ("active", pool.active),
                ("drained", pool.drained),
                ("asleep", pool.asleep),
                ("in_transit", sum(t.count for t in pool.in_transit)),
                ("lost", pool.lost),
            )
        },
        "load_req_per_s": {
            (name, request_class): rate
            for name, pool in pools.items()
            for request_class, rate in pool.load_req_per_s.items()
        },
        "planning_s": {(): status.planning_s},
        "plan_gap": {(): None if plan is None else plan.gap},
        "armed_plans": {(): float(status.armed)},
        "leased": {(name,): float(held) for name, held in status.leased.items()},
        "audit_waiting": {(): None if audit is None else float(audit.waiting)},
        "audit_lost": {(): None if audit is None else float(audit.lost)},
        "audit_unsigned_s": {(): None if audit is None else audit.unsigned_s},
        "degraded": {(one.name, one.of): 1.0 for one in status.degradations},
    }

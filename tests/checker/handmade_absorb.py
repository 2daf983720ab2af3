"""The handmade site asked to absorb, and what it tells its fleet.

Three instances at work and one asleep; 0.7 kW more is asked from second 5 to second 185, and 1.3 kW
for one of these seconds. Before it the battery makes a little room. The sleeper is woken; while it
is under way and drained the battery charges, from 60 s it works, and from 110 s some batch requests
are turned away. Afterwards fewer are left at work than at the start. The first tenth of a second is
short: the converter needs it.
"""

from __future__ import annotations

from handmade_problem import (
    ASLEEP_KW,
    EDGES_S,
    Decision,
    make_battery,
    make_pool,
    make_problem,
    natural_kw,
)

from ebplan.problem import Problem

ABSORB_STORY = (
    Decision(3, 0, 0, in_transit=1, woken=1),
    Decision(3, 0, 0, in_transit=1),
    Decision(3, 1, 0),
    Decision(4, 0, 0),
    Decision(4, 0, 0, rejected=(0.0, 0.1)),
    Decision(3, 1, 0),
    Decision(2, 2, 0, rejected=(0.0, 0.4)),
)


def make_absorb_problem(**changes: object) -> Problem:
    pool = make_pool(active_at_start=3, asleep_at_start=1)
    draw_kw = 0.5 + 3 * natural_kw(pool, 2.2 / 3) + ASLEEP_KW
    starts_s = EDGES_S[:-1]
    asked_kw = {t: 0.7 for t in starts_s if 5.0 <= t < 185.0} | {110.0: 1.3}
    numbers: dict[str, object] = {
        "event_id": "handmade_absorb",
        "target_kw": tuple(asked_kw.get(t, 0.0) for t in starts_s),
        "baseline_kw": tuple(draw_kw for _ in starts_s),
        "import_limit_kw": tuple(draw_kw + 0.69 for _ in starts_s),
        "pools": (pool,),
        "battery": make_battery(reserve_kwh=0.25),
    }
    return make_problem(**{**numbers, **changes})

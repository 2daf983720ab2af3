"""Laws of money: every cause recomputed from the plan, and their sum.

A cause is the money itself and the size of its terms taken without sign, which rounding is
measured against. Money is in the problem's currency; h = duration / 3600.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ebplan.checker.depth import wear_by_depth
from ebplan.checker.evidence import INSTANT_S, Evidence, Finding, FloatArray, worst
from ebplan.checker.fleet_costs import FLEET_CAUSES
from ebplan.checker.margin_laws import margin_cost
from ebplan.checker.money import Amount
from ebplan.checker.money import total as _sum
from ebplan.checker.replay import Replay
from ebplan.checker.tolerances import (
    LOSS_GAP,
    MONEY,
    MONEY_SHARE,
    PLAN_SHARE,
    POWER_KW,
    UNDONE_KW,
)


def _slack(evidence: Evidence, money_per_h: FloatArray, price: float | FloatArray) -> Amount:
    """Return the cost of a slack; a plan may leave a milliwatt of it out."""
    undone = float(np.sum(price * UNDONE_KW * evidence.hours))
    return _sum(money_per_h * evidence.hours, may_be_less=undone)


# --- the site ---------------------------------------------------------------------------------


def energy(evidence: Evidence) -> Amount:
    """Energy drawn beyond the baseline."""
    change_kwh = (evidence.grid_kw - evidence.baseline_kw) * evidence.hours
    return _sum(evidence.energy_price * change_kwh)


def shortfall(evidence: Evidence) -> Amount:
    """Payment forgone and penalty."""
    price = evidence.problem.prices.shortfall_per_kwh
    return _slack(evidence, price * evidence.shortfall_kw, price)


def firmness(evidence: Evidence) -> Amount:
    """Surcharge that makes the target firm, higher by a premium that falls to 0 at the end."""
    problem, prices = evidence.problem, evidence.problem.prices
    left_s = problem.event_end_s - evidence.starts_s
    left = np.clip(left_s / (problem.event_end_s - problem.event_start_s), 0.0, 1.0)
    price = prices.firmness_per_kwh * (1.0 + prices.early_shortfall_premium * left)
    return _slack(evidence, price * evidence.shortfall_kw, price)


def overrun(evidence: Evidence) -> Amount:
    """Energy above the import or rebound limit."""
    limit_kw = np.array(evidence.problem.import_limit_kw)
    above_kw = np.maximum(evidence.grid_kw - limit_kw, 0.0)
    price = evidence.problem.prices.overrun_per_kwh
    return _slack(evidence, price * above_kw, price)


# --- the battery ------------------------------------------------------------------------------


def wear(evidence: Evidence) -> Amount:
    """Energy taken out of the cells, (d + loss(d)) / cell efficiency, and how deep it lay."""
    battery = evidence.problem.battery
    if battery is None:
        return Amount(0.0, 0.0)
    d = np.maximum(evidence.battery_kw, 0.0)
    loss = battery.loss_linear * d + battery.loss_quadratic * d**2 / battery.rated_kw
    price = battery.wear_per_kwh / battery.cell_efficiency
    busy_h = float(evidence.hours[d > POWER_KW].sum())
    tangents_kw = LOSS_GAP * battery.loss_quadratic * battery.rated_kw
    flat = price * (d + loss) * evidence.hours
    deep = wear_by_depth(evidence)
    terms = np.concatenate([flat, deep])
    return _sum(terms, may_be_less=price * tangents_kw * busy_h)


def calendar(evidence: Evidence) -> Amount:
    """Highest of the lines, as if straight between the edges of a step; against resting."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None or not battery.calendar:
        return Amount(0.0, 0.0)
    lines = [line.price_per_kwh_h * stored + line.price_per_h for line in battery.calendar]
    rate = np.maximum.reduce(lines)
    while_it_lasts = (rate[:-1] + rate[1:]) / 2.0 * evidence.hours
    resting = float(rate[0]) * evidence.hours
    terms = np.concatenate([while_it_lasts, -resting])
    return _sum(terms)


def stored_energy(evidence: Evidence) -> Amount:
    """Value of the energy at the start less the value at the end; segments fill from empty up."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return Amount(0.0, 0.0)
    value = np.zeros(2)
    below_kwh = 0.0
    for segment in battery.terminal:
        filled = np.clip(stored[[0, -1]] - below_kwh, 0.0, segment.width_kwh)
        value += segment.price_per_kwh * filled
        below_kwh += segment.width_kwh
    return Amount(float(value[0] - value[1]), float(value.sum()))


def reserve(evidence: Evidence) -> Amount:
    """Deepest dip below the reserve."""
    battery, stored = evidence.problem.battery, evidence.stored_kwh
    if battery is None or stored is None:
        return Amount(0.0, 0.0)
    # the energy at the start is no decision of the plan
    kept_kwh = min(battery.reserve_kwh, battery.start_kwh)
    dip_kwh = max(0.0, kept_kwh - float(stored[1:].min()))
    price = evidence.problem.prices.reserve_per_kwh
    return Amount(price * dip_kwh, price * battery.reserve_kwh)


def margin(evidence: Evidence) -> Amount:
    """What is not held of the margins."""
    return margin_cost(evidence)


def recovery(evidence: Evidence) -> Amount:
    """Energy missing at the end of what is to be restored."""
    restore_kwh, stored = evidence.problem.restore_kwh, evidence.stored_kwh
    if restore_kwh is None or stored is None:
        return Amount(0.0, 0.0)
    price = evidence.problem.prices.soc_missing_per_kwh
    return Amount(price * max(0.0, restore_kwh - float(stored[-1])), price * restore_kwh)


def handoff(evidence: Evidence) -> Amount:
    """Battery energy beyond its share after the hand-off."""
    problem = evidence.problem
    if problem.handoff_from_s is None:
        return Amount(0.0, 0.0)
    late = evidence.asked & (evidence.starts_s >= problem.handoff_from_s - INSTANT_S)
    beyond_kw = np.where(
        late, np.maximum(np.abs(evidence.battery_kw) - problem.handoff_kw, 0.0), 0.0
    )
    price = problem.prices.handoff_excess_per_kwh
    return _slack(evidence, price * beyond_kw, price)


CAUSES: dict[str, Callable[[Evidence], Amount]] = {
    cause.__name__: cause
    for cause in (
        energy,
        wear,
        calendar,
        stored_energy,
        shortfall,
        firmness,
        reserve,
        margin,
        recovery,
        handoff,
        overrun,
        *FLEET_CAUSES,
    )
}
"""How each cause of cost is recomputed, by its name in a plan."""


def cost(evidence: Evidence, _: Replay) -> list[Finding]:
    """Every cause costs what the plan's own numbers make it cost; a cause left out is nothing."""
    stated_by_cause = evidence.plan.cost
    gross = sum(map(abs, stated_by_cause.values()))
    found = [
        Finding(None, 1.0, 0.0, f"unknown cause of cost {cause!r}")
        for cause in stated_by_cause
        if cause not in CAUSES
    ]
    for cause, recompute in CAUSES.items():
        amount = recompute(evidence)
        allowed = MONEY + MONEY_SHARE * amount.size + PLAN_SHARE * gross
        off = stated_by_cause.get(cause, 0.0) - amount.money
        allowed += amount.may_be_more if off > 0.0 else amount.may_be_less
        message = f"cost.{cause} is {amount.money:g}"
        found += worst(abs(off), allowed, None, message)
    return found


def objective(evidence: Evidence, _: Replay) -> list[Finding]:
    """The causes sum to the objective."""
    causes = list(evidence.plan.cost.values())
    allowed = MONEY + MONEY_SHARE * sum(map(abs, causes))
    message = f"objective is not the sum of its causes, {sum(causes):g}"
    return worst(abs(evidence.plan.objective - sum(causes)), allowed, None, message)

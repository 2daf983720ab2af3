"""The findings of the comparison as sentences; every number and every verdict is computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebplan.plan import PRIORITY_CAUSES, Plan
from ebplan.solvers.explain import energy_by_mechanism_kwh

Outcome = tuple[str, Plan, Plan]
"""Name of the case, the optimal plan, the rule's plan."""

SAME_SHORTFALL_KWH = 1e-3
"""Shortfalls closer than a watt-hour count as equal."""
SAME_SHARE = 0.005
"""Shares closer than half a percent count as equal."""


def findings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the findings as Markdown list items."""
    return [
        f"- {sentence}"
        for sentence in (
            _premium(outcomes),
            _where_it_comes_from(outcomes),
            _mix(outcomes),
            _handoff(outcomes),
            _shortfall(outcomes),
        )
    ]


def premium(optimal: Plan, rule: Plan) -> float:
    """Return how much dearer the rule is, as a share of the optimal plan's money."""
    return (rule.money - optimal.money) / abs(optimal.money)


def missing_kwh(plan: Plan) -> float:
    """Return the energy of the target that a plan does not deliver."""
    return sum(gap.energy_kwh for gap in plan.shortfall)


def _premium(outcomes: Sequence[Outcome]) -> str:
    by_premium = sorted(outcomes, key=lambda o: premium(o[1], o[2]))
    (least, *least_plans), (most, *most_plans) = by_premium[0], by_premium[-1]
    ordered = all(rule.objective >= optimal.objective for _, optimal, rule in outcomes)
    verdict = "never cheaper than the mix" if ordered else "cheaper than the mix within its gap"
    return (
        f"Over {len(outcomes)} cases the rule is {verdict}. In money it costs "
        f"{premium(*least_plans):.2%} more in `{least}` "
        f"({_amounts(*least_plans)}) and {premium(*most_plans):.0%} more in `{most}` "
        f"({_amounts(*most_plans)}), the two ends of the range."
    )


def _where_it_comes_from(outcomes: Sequence[Outcome]) -> str:
    name, optimal, rule = max(outcomes, key=lambda o: premium(o[1], o[2]))
    causes = {*optimal.cost, *rule.cost} - {*PRIORITY_CAUSES}
    dearer = {c: rule.cost.get(c, 0.0) - optimal.cost.get(c, 0.0) for c in causes}
    cause = max(dearer, key=lambda c: dearer[c])
    return (
        f"In `{name}`, where the two are furthest apart, the largest difference is *{cause}*: "
        f"{rule.cost.get(cause, 0.0):.2f} against {optimal.cost.get(cause, 0.0):.2f} "
        f"{optimal.currency}. Fewest active instances: {_fewest_active(rule)} under the rule, "
        f"{_fewest_active(optimal)} in the mix."
    )


def _mix(outcomes: Sequence[Outcome]) -> str:
    more = [name for name, a, b in outcomes if _battery_share(a) > _battery_share(b) + SAME_SHARE]
    shallow = min(outcomes, key=lambda o: _deepest_kw(o[1]))
    name, optimal, rule = shallow
    return (
        f"The mix uses the battery more than the rule does in {len(more)} of {len(outcomes)} "
        f"cases; at the shallowest target, `{name}`, it carries {_battery_share(optimal):.0%} of "
        f"the energy kept from the grid, against {_battery_share(rule):.0%} under the rule."
    )


def _handoff(outcomes: Sequence[Outcome]) -> str:
    asked = [outcome for outcome in outcomes if outcome[1].handoff.asked_s is not None]
    late_mix = [name for name, optimal, _ in asked if _is_late(optimal)]
    late_rule = [name for name, _, rule in asked if _is_late(rule)]
    return (
        f"A hand-off is asked in {len(asked)} cases. The mix is late in {len(late_mix)}"
        f"{_listed(late_mix)}, the rule in {len(late_rule)}{_listed(late_rule)}: the rule knows "
        "the settled power of a posture, not when it settles."
    )


def _shortfall(outcomes: Sequence[Outcome]) -> str:
    short = [o for o in outcomes if max(missing_kwh(o[1]), missing_kwh(o[2])) > 0.0]
    if not short:
        return "Both meet the target in every case."
    more = [o for o in short if missing_kwh(o[2]) - missing_kwh(o[1]) > SAME_SHORTFALL_KWH]
    listed = "; ".join(
        f"`{name}`: {missing_kwh(optimal):.3f} kWh in the mix, {missing_kwh(rule):.3f} kWh under "
        "the rule"
        for name, optimal, rule in short
    )
    return (
        f"Both meet the target in full in {len(outcomes) - len(short)} of {len(outcomes)} cases "
        f"({listed}). The rule misses over a watt-hour more than the mix in {len(more)}."
    )


def _amounts(optimal: Plan, rule: Plan) -> str:
    return f"{rule.money:,.2f} against {optimal.money:,.2f} {optimal.currency}"


def _fewest_active(plan: Plan) -> int:
    active = np.array([[epoch.active for epoch in epochs] for epochs in plan.pools.values()])
    return int(active.sum(axis=0).min())


def _deepest_kw(plan: Plan) -> float:
    return max(-step.target_kw for step in plan.steps)


def _battery_share(plan: Plan) -> float:
    energy = energy_by_mechanism_kwh(plan)
    return energy.get("battery", 0.0) / sum(energy.values())


def _is_late(plan: Plan) -> bool:
    done, asked = plan.handoff.complete_s, plan.handoff.asked_s
    return asked is not None and (done is None or done > asked)


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(f'`{name}`' for name in names)})" if names else ""

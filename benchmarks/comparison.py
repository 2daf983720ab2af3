"""Cheapest mix against least-impact mechanism first: ``python -m benchmarks.comparison``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.findings import findings
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.case import Case
from ebplan.document import write_atomically
from ebplan.event import Target
from ebplan.plan import PRIORITY_CAUSES, Plan
from ebplan.planner import Method, solve_problem
from ebplan.pose import pose
from ebplan.solvers.explain import energy_by_mechanism_kwh

EXAMPLES = ("under_frequency", "curtailment_3h", "infeasible_target")
VARIED = "under_frequency"
"""The example whose target is varied."""
DEPTHS = (0.10, 0.20, 0.30, 0.35)
"""Target depths of the tables, as shares of the baseline."""
CURVE_DEPTHS = tuple(np.round(np.arange(0.05, 0.4501, 0.025), 3).tolist())
"""Target depths of the figure."""
METHODS: dict[Method, str] = {"highs": "cheapest mix", "merit_order": "least impact first"}

METHOD = """\
Every number on this page was written by `python -m benchmarks.comparison --write
docs/comparison.md`; do not edit it. Both plans answer the same problem, are priced by the same
program and are held to the same checker.

- **cheapest mix** is the optimal plan, proven to 0.1 %.
- **least impact first** is the whitepaper's escalation rule: consolidate while headroom lasts,
  then cap, then turn requests away; the battery bridges; one posture is held for the event
  (`ebplan/solvers/merit_order.py`).

The objective holds surcharges that only order what is given up last, here *firmness* and
*reserve*: nobody pays them. *Money* is the objective without them. Costs are against doing
nothing, so energy that is not bought counts as negative. Hand-off times count from the start of
the event; it is complete when the battery carries at most a tenth of the target. Prices are the
assumed ones of the shipped site: ratios and signs carry over, amounts do not."""


@dataclass(frozen=True)
class Pair:
    """One case, planned both ways."""

    name: str
    depth: float
    """Deepest target as a share of the baseline."""
    began_s: float
    """Start of the event in seconds from plan start."""
    plans: dict[Method, Plan]


def compare(name: str, case: Case) -> Pair:
    """Plan a case both ways.

    Raises:
        NoPlanError: one of the plans failed the check.
    """
    problem = pose(case.event, case.site, case.state)
    depth = max(-t / b for t, b in zip(problem.target_kw, problem.baseline_kw, strict=True))
    plans = {method: solve_problem(problem, method=method) for method in METHODS}
    return Pair(name=name, depth=depth, began_s=problem.event_start_s, plans=plans)


def at_depth(case: Case, depth: float) -> Case:
    """Return the case with a target of ``depth`` times the baseline."""
    target = Target(fraction_of_baseline=-depth)
    return case.model_copy(update={"event": case.event.model_copy(update={"target": target})})


def overview_table(pairs: Sequence[Pair]) -> list[str]:
    """Return objective, money, shortfall and hand-off of each plan."""
    currency = next(iter(pairs[0].plans.values())).currency
    amounts = (f"objective, {currency}", f"money, {currency}", "shortfall, kWh")
    head = ("case", "target", "plan", *amounts, "hand-off, s", "asked, s")
    rows = []
    for pair, method, plan in _each(pairs):
        missing_kwh = sum(gap.energy_kwh for gap in plan.shortfall)
        done, asked = plan.handoff.complete_s, plan.handoff.asked_s
        rows.append(
            (
                pair.name,
                f"{pair.depth:.0%}",
                METHODS[method],
                f"{plan.objective:,.2f}",
                f"{plan.money:,.2f}",
                f"{missing_kwh:.3f}",
                "never" if done is None else f"{done - pair.began_s:g}",
                "-" if asked is None else f"{asked - pair.began_s:g}",
            )
        )
    return table(head, rows)


def cause_table(pairs: Sequence[Pair]) -> list[str]:
    """Return the money of each plan by cause; surcharges last."""
    used = dict.fromkeys(c for _, _, plan in _each(pairs) for c in plan.cost)
    causes = [
        *(c for c in used if c not in PRIORITY_CAUSES),
        *(c for c in used if c in PRIORITY_CAUSES),
    ]
    marks = [f"*{c}*" if c in PRIORITY_CAUSES else c for c in causes]
    rows = [
        (pair.name, METHODS[method], *(_money(plan.cost.get(cause, 0.0)) for cause in causes))
        for pair, method, plan in _each(pairs)
    ]
    return table(("case", "plan", *marks), rows)


def mechanism_table(pairs: Sequence[Pair]) -> list[str]:
    """Return the energy that each mechanism kept from the grid during the event."""
    energies = [
        (pair, method, energy_by_mechanism_kwh(plan)) for pair, method, plan in _each(pairs)
    ]
    names = list(dict.fromkeys(name for _, _, energy in energies for name in energy))
    rows = [
        (pair.name, METHODS[method], *(f"{energy.get(name, 0.0):.4f}" for name in names))
        for pair, method, energy in energies
    ]
    return table(("case", "plan", *(f"{n.replace('_', ' ')}, kWh" for n in names)), rows)


def _each(pairs: Sequence[Pair]) -> list[tuple[Pair, Method, Plan]]:
    return [(pair, method, plan) for pair in pairs for method, plan in pair.plans.items()]


def _money(amount: float) -> str:
    return "0" if abs(amount) < 0.0005 else f"{amount:,.3f}"


def page(pairs: Sequence[Pair], figure: str | None) -> str:
    """Return the page; ``figure`` is the path of the picture as seen from it."""
    outcomes = [(pair.name, pair.plans["highs"], pair.plans["merit_order"]) for pair in pairs]
    picture = [] if figure is None else [f"![Cost against target depth]({figure})", ""]
    return "\n".join(
        [
            *("# Cheapest mix against least impact first", "", METHOD, ""),
            *("## Findings", "", *findings(outcomes), "", *picture),
            *("## Outcome", "", *overview_table(pairs), ""),
            *("## Cost by cause", "", *cause_table(pairs), ""),
            *("## Energy kept from the grid, by mechanism", "", *mechanism_table(pairs), ""),
        ]
    )


@click.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write page and figure here.")
def main(write: Path | None) -> None:
    """Compare the optimal plan with the rule, on the examples and over the target's depth."""
    pairs = [compare(name, example(name)) for name in EXAMPLES]
    varied = example(VARIED)
    pairs += [compare(f"{VARIED}, {d:.0%}", at_depth(varied, d)) for d in DEPTHS]
    if write is None:
        click.echo(page(pairs, None))
        return
    from benchmarks.figure import draw_cost_against_depth

    curve = [compare(f"{VARIED}, {d:.1%}", at_depth(varied, d)) for d in CURVE_DEPTHS]
    picture = write.parent / "figures" / "cost_against_depth.png"
    picture.parent.mkdir(exist_ok=True)
    draw_cost_against_depth(
        [pair.depth for pair in curve],
        [pair.plans["highs"] for pair in curve],
        [pair.plans["merit_order"] for pair in curve],
        picture,
    )
    write_atomically(write, page(pairs, f"figures/{picture.name}"))


if __name__ == "__main__":
    main()

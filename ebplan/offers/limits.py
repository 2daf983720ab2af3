"""Which limits keep a promise from being larger, in words, the strongest first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ebplan.solvers import highs
from ebplan.solvers.highs import LinearOptimum
from ebplan.solvers.program import FloatArray
from ebplan.solvers.promise import Promise

FELT = 1e-4
"""Change of the promise per unit of a limit below which nobody feels it."""

Words = tuple[str, str, str]

ROWS: tuple[Words, ...] = (
    (
        "repeat_energy",
        "energy for all calls: what the battery holds beyond its reserve",
        "room for all calls: what the battery can take up to full",
    ),
    (
        "repeat_rest",
        "the rest between calls, in which the battery takes back what it gave",
        "the rest between calls, in which the battery gives back what it took",
    ),
    (
        "margin_energy",
        "energy: what the battery holds beyond its reserve and margins",
        "room in the battery, up to full, with its margins",
    ),
    (
        "reserve",
        "energy: what the battery holds beyond its reserve",
        "room in the battery, up to full",
    ),
    ("converter_limit", "converter power, with its margins", "converter power, with its margins"),
    (
        "handoff",
        "the hand-off: compute must carry it by then",
        "the hand-off: compute must carry it by then",
    ),
    ("import_limit", "the import or rebound limit", "the import limit"),
    ("cap_floor", "the lowest cap or clock of active instances", "the lowest cap"),
    (
        "cap_frontier",
        "load that must be served: instances run as full as is planned for",
        "what active instances may draw",
    ),
    ("ttft_limit", "the limit on time to first token", "the limit on time to first token"),
    ("itl_limit", "the limit on inter-token latency", "the limit on inter-token latency"),
    (
        "natural_draw",
        "the natural draw of active instances",
        "the natural draw: instances draw no more at this load",
    ),
)
"""Label of rows, words to release, words to absorb."""
FEED_IN = "the export limit: the draw may fall no further"
NO_BATTERY = "how fast and how far compute goes, with its margins: there is no battery"
CONTRACT = "the highest draw that everything together can have"


def limits(stated: Promise, x: FloatArray) -> tuple[str, ...]:
    """Return what binds at the largest promise with the instances as they are there.

    Args:
        stated: the program.
        x: its solution with the largest promise, shape (n + 2,).
    """
    cost = np.zeros(stated.program.n_columns)
    cost[stated.column] = -1.0
    at = highs.fixed_optimum(stated.program, x, cost)
    felt: dict[str, float] = {}
    for words, amount in (*_rows(stated, at), *_battery(stated, at), *_contract(stated, at)):
        if words and amount > FELT:
            felt[words] = max(felt.get(words, 0.0), amount)
    order = {words: i for i, entry in enumerate(ROWS) for words in entry[1:]}
    return tuple(sorted(felt, key=lambda words: order.get(words, -1)))


Felt = Iterator[tuple[str, float]]
"""Words of a limit, and how much the promise changes with it."""


def _rows(stated: Promise, at: LinearOptimum) -> Felt:
    for group in stated.program.rows:
        dual = at.row_dual[group.start : group.start + group.size]
        yield _words(group.name, stated), float(np.abs(dual).sum())


def _battery(stated: Promise, at: LinearOptimum) -> Felt:
    """Yield the bounds of the battery: power in its columns, energy in those of what it stores."""
    battery = stated.formulation.battery
    if battery is None:
        return
    answers = battery.charge if stated.problem.direction > 0 else battery.discharge
    at_top = (at.column_dual[answers] < -FELT) & (at.x[answers] > 1e-6)
    yield _words("converter_limit", stated), float(at_top.any())
    label = "margin_energy" if stated.problem.margins else "reserve"
    yield _words(label, stated), float(np.abs(at.column_dual[battery.energy[1:]]).sum())


def _contract(stated: Promise, at: LinearOptimum) -> Felt:
    grid = at.column_dual[stated.formulation.connection.grid]
    if stated.problem.direction < 0:
        yield FEED_IN, float(grid.max(initial=0.0))
    else:
        yield CONTRACT, float(-grid.min(initial=0.0))


def _words(label: str, stated: Promise) -> str:
    """Return the words of a row group; none for rows that only link quantities."""
    parts = label.split(".")
    if stated.formulation.battery is None and "converter_limit" in parts:
        return NO_BATTERY
    for name, released, absorbed in ROWS:
        if name in parts:
            return absorbed if stated.problem.direction > 0 else released
    return ""

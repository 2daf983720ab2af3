"""Which limits keep a promise from being larger, in words, the strongest first."""

from __future__ import annotations

import numpy as np

from ebplan.solvers import highs
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
    ("reserve", "energy: what the battery holds beyond its reserve", "energy kept as a reserve"),
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
CONTRACT = "the highest draw that everything together can have"


def limits(stated: Promise, x: FloatArray) -> tuple[str, ...]:
    """Return what binds at the largest promise with the instances as they are there.

    Args:
        stated: the program.
        x: its solution with the largest promise, shape (n + 2,).
    """
    program = stated.program
    cost = np.zeros(program.n_columns)
    cost[stated.column] = -1.0
    at = highs.fixed_optimum(program, x, cost)
    absorbs = stated.problem.direction > 0
    felt: dict[str, float] = {}
    for group in program.rows:
        dual = float(np.abs(at.row_dual[group.start : group.start + group.size]).sum())
        words = _words(group.name, absorbs=absorbs)
        if words and dual > FELT:
            felt[words] = max(felt.get(words, 0.0), dual)
    battery = stated.formulation.battery
    if battery is not None:
        answers = battery.charge if absorbs else battery.discharge
        at_top = (at.column_dual[answers] < -FELT) & (at.x[answers] > 1e-6)
        if at_top.any():
            felt[_words("converter_limit", absorbs=absorbs)] = 1.0
        empty = float(np.abs(at.column_dual[battery.energy[1:]]).sum())
        if empty > FELT:
            label = "margin_energy" if stated.problem.margins else "reserve"
            words = _words(label, absorbs=absorbs)
            felt[words] = max(felt.get(words, 0.0), empty)
    grid = at.column_dual[stated.formulation.connection.grid]
    if not absorbs and float(grid.max(initial=0.0)) > FELT:
        felt[FEED_IN] = float(grid.max())
    if absorbs and float(grid.min(initial=0.0)) < -FELT:
        felt[CONTRACT] = float(-grid.min())
    order = {words: i for i, entry in enumerate(ROWS) for words in entry[1:]}
    return tuple(sorted(felt, key=lambda words: order.get(words, -1)))


def _words(label: str, *, absorbs: bool) -> str:
    """Return the words of a row group; none for rows that only link quantities."""
    parts = label.split(".")
    for name, released, absorbed in ROWS:
        if name in parts:
            return absorbed if absorbs else released
    return ""

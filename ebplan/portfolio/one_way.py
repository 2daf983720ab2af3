"""Batteries go one way at a time, where answers were mixed that go both.

A mix of a charging and a discharging answer does both in one step and loses energy between them. A
converter does the difference: the cells hold the same after, and less is drawn. That takes room of
the converter and of export limits, so only as much is taken out as there is room; what is left says
that burning pays (``ebplan/portfolio/share.py`` closes one direction there and shares again).
"""

from __future__ import annotations

import numpy as np

from ebplan.portfolio.regions import RegionalWindow, export_row
from ebplan.solvers.program import FloatArray, Program

ROUNDING = 1e-6
"""A smaller share of a battery's power, or of 1 kW, burnt in a step is rounding of a solver."""


def one_way(window: RegionalWindow, program: Program, x: FloatArray) -> bool:
    """Take out of a point what batteries charge and discharge at once; tell whether any is left.

    Args:
        window: whose columns it has.
        program: whose rows it keeps.
        x: the point, shape (n,), changed in place.
    """
    left = False
    activity = program.activity(x)
    ranges = window.row_ranges
    for group, columns in zip(window.groups, window.columns.groups, strict=True):
        if group.battery is None or columns.charge is None or columns.discharge is None:
            continue
        to_cells, from_cells = group.battery.charge_efficiency, group.battery.discharge_efficiency
        both = np.minimum(x[columns.charge] * to_cells, x[columns.discharge] / from_cells)
        lost = both * (1.0 / to_cells - from_cells)
        power, export = ranges[f"{group.name}.power"], ranges[f"{group.name}.export"]
        shared = [ranges[export_row(r)] for r in window.regions if group.name in r.groups]
        rooms = [program.row_upper[power] - activity[power]]
        rooms += [activity[rows] - program.row_lower[rows] for rows in (export, *shared)]
        room = np.maximum(np.min(rooms, axis=0), 0.0)
        size_kw = max(1.0, group.battery.problem.discharge_limit_kw)
        left = left or bool((lost - room > ROUNDING * size_kw).any())
        both *= np.minimum(1.0, room / np.maximum(lost, 1e-12))
        x[columns.charge] -= both / to_cells
        x[columns.discharge] -= both * from_cells
        lost = both * (1.0 / to_cells - from_cells)
        x[columns.grid] -= lost
        for rows in shared:
            activity[rows] -= lost
    return left

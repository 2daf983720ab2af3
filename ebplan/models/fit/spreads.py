"""How far a new run lies from a fit: from runs that were left out, workloads partly pooled.

A workload has a handful of runs, too few for a spread of its own; all together they have enough,
but one workload may be noisier than the others. Variances are pooled as if every workload had been
seen ``POOLED`` runs longer with the spread of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ebplan.models.curves import FloatArray

POOLED = 4.0
"""Weight of the spread of all workloads, in runs."""


def workload_spreads(
    errors: FloatArray, workloads: Sequence[str], parameters: int
) -> dict[str, tuple[float, int]]:
    """Return standard deviation and degrees of freedom by workload.

    Args:
        errors: relative errors of runs that were left out, shape (N,).
        workloads: workload of each, length N.
        parameters: parameters that one workload's law has.
    """
    squares, found = np.asarray(errors) ** 2, {}
    labels = np.array(workloads)
    for name in dict.fromkeys(workloads):
        mine = squares[labels == name]
        variance = (mine.sum() + POOLED * squares.mean()) / (len(mine) + POOLED)
        degrees = max(round(len(mine) + POOLED - parameters), 1)
        found[name] = (float(np.sqrt(variance)), degrees)
    return found

"""Models made from measurements that others have published and that are not part of this project.

The folder of the measurements is named by whoever fits; the models themselves, with their cards and
the digests of the tables, are part of the library. Where the folder is not there, they are left as
they are.
"""

from __future__ import annotations

from pathlib import Path

from ebplan.models.fit.clock_sweep import CLOCK_TABLE, build_clock
from ebplan.models.fit.precision_pair import build_tier
from ebplan.models.fit.serving_runs import SERVING_TABLE, build_fleet
from ebplan.models.library import Artefact


def build_outside(folder: Path) -> tuple[Artefact, ...]:
    """Return the models made from the tables in ``folder``.

    Raises:
        InputError: a table is missing or a cell is wrong.
    """
    clock, serving = folder / CLOCK_TABLE, folder / SERVING_TABLE
    return build_clock(clock), build_fleet(serving), build_tier(serving)

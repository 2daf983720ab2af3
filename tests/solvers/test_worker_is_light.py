"""A solver process loads what solves and nothing else: it stands in for one that died."""

from __future__ import annotations

import subprocess
import sys

LOADED = "import sys, ebplan.solvers.worker; print('pydantic' in sys.modules)"


def test_a_solver_process_loads_no_documents() -> None:
    told = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "False"

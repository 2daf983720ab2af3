"""Runs one tool on one problem within the tool's environment and prints a line of JSON.

    python run.py TOOL PROBLEM FILE REPEATS

Stands alone: it imports numpy and the tool's file beside it.
"""

import importlib
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

POWER_KW, ENERGY_KWH, CHARGE, DISCHARGE = 1000.0, 2000.0, 0.95, 0.94
GAP = 1e-6


class Day:
    """The arrays of a problem, and the numbers of the battery."""

    power, energy, start, charge, discharge, gap = (
        POWER_KW, ENERGY_KWH, 0.5 * ENERGY_KWH, CHARGE, DISCHARGE, GAP,
    )  # fmt: skip

    def __init__(self, path):
        self.__dict__.update(np.load(path))
        self.price = self.price / 1000.0  # money per kWh
        self.hours = float(self.hours)
        self.steps = len(self.price)


def main():
    """Run and print."""
    tool, problem, path, repeats = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).parent))
    began = time.perf_counter()
    module = importlib.import_module(f"with_{tool}")
    import_s = time.perf_counter() - began
    solve = getattr(module, problem, None)
    if solve is None:
        print(json.dumps({"left_out": getattr(module, "LEFT_OUT", {}).get(problem, "not stated")}))
        return
    seconds, objective = [], None
    for _ in range(int(repeats)):
        data = Day(path)
        began = time.perf_counter()
        objective = float(solve(data))
        seconds.append(time.perf_counter() - began)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    told = {"objective": objective, "seconds": seconds, "import_s": import_s, "peak_mb": peak_mb}
    print(json.dumps(told))


if __name__ == "__main__":
    main()

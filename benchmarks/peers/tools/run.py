"""Runs one tool on one problem within the tool's environment and prints a line of JSON.

    python run.py TOOL PROBLEM FILE THREADS LIMIT_S

Stands alone: it imports numpy, HiGHS and the tool's file beside it. Every tool reaches HiGHS
through ``highspy.Highs``, whose ``run`` is watched here: for seconds inside the solver, for what
it was given, and so that all work with as many threads.
"""

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

POWER_KW, ENERGY_KWH, CHARGE, DISCHARGE = 1000.0, 2000.0, 0.95, 0.94
GAP = 1e-6


class Data:
    """The arrays of a problem, and the numbers of the battery."""

    power, energy, start, charge, discharge, gap = (
        POWER_KW, ENERGY_KWH, 0.5 * ENERGY_KWH, CHARGE, DISCHARGE, GAP,
    )  # fmt: skip

    def __init__(self, path):
        self.__dict__.update(np.load(path))
        self.price = self.price / 1000.0  # money per kWh
        self.hours = float(self.hours)
        self.steps = len(self.price)


class Watch:
    """What HiGHS did: ``run`` of every solver of this process."""

    def __init__(self, threads):
        self.seconds, self.runs, self.nodes, self.rows, self.columns = 0.0, 0, 0, 0, 0
        import highspy

        plain = highspy.Highs.run

        def run(solver, *arguments):
            solver.setOptionValue("threads", threads)
            began = cpu_s()
            answer = plain(solver, *arguments)
            self.seconds += cpu_s() - began
            self.runs += 1
            self.nodes += max(int(solver.getInfo().mip_node_count), 0)
            self.rows, self.columns = solver.getNumRow(), solver.getNumCol()
            return answer

        highspy.Highs.run = run


def cpu_s():
    """Return the processor's seconds that this process and its children have used."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def peak_mb():
    """Return the most memory that this process held, MiB; of this program alone, not its parent."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024.0


def main():
    """Run and print."""
    tool, problem, path, threads, limit = sys.argv[1:]
    sys.path.insert(0, str(Path(__file__).parent))
    began = cpu_s()
    module = importlib.import_module(f"with_{tool}")
    import_s = cpu_s() - began
    solve = getattr(module, problem, None)
    if solve is None:
        print(json.dumps({"left_out": module.LEFT_OUT[problem]}))
        return
    watch = Watch(int(threads))
    data = Data(path)
    began, waited = cpu_s(), time.perf_counter()
    most = round(began + float(limit)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    objective = float(solve(data))
    told = {
        "objective": objective,
        "total_s": cpu_s() - began,
        "wall_s": time.perf_counter() - waited,
        "solver_s": watch.seconds,
        "import_s": import_s,
        "peak_mb": peak_mb(),
        "runs": watch.runs,
        "nodes": watch.nodes,
        "rows": watch.rows,
        "columns": watch.columns,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()

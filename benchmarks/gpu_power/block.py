"""One block of cells in a process of its own.

A fault of CUDA is fatal to the process it happens in: so it costs the rest of a block, not of the
run, and each block begins with all of the GPU's memory.
"""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from multiprocessing.context import SpawnContext

from benchmarks.gpu_power.cells import Files, Task, fail, measure_cells
from benchmarks.gpu_power.plan import Cell
from benchmarks.gpu_power.sampler import Readings

GRACE_S = 15.0
"""Seconds past the budget's end after which a block that does not answer is ended."""


def run_block(task: Task, gpu: int, dry: bool) -> None:
    """Measure a block here: the entry of the process."""
    # torch and NVML count the GPUs alike, in the order of the bus; before torch is imported
    os.environ.update(CUDA_DEVICE_ORDER="PCI_BUS_ID", CUDA_VISIBLE_DEVICES=str(gpu))
    try:
        from benchmarks.gpu_power.load import Loads
        from benchmarks.gpu_power.model import TINY, Shape

        load = Loads(task.block, TINY if dry else Shape(), "cpu" if dry else "cuda")
    except Exception as error:  # the blocks after this one may still be measured
        for cell in task.block:
            fail(task.files, cell, f"no load: {type(error).__name__}: {error}")
        return
    measure_cells(task, load, Readings(task.files.samples), time)


def measure_block(context: SpawnContext, task: Task, gpu: int, dry: bool) -> None:
    """Measure a block in a new process; record the cells it left without a word as failed."""
    process = context.Process(target=run_block, args=(task, gpu, dry), daemon=True)
    process.start()
    deadline_s = task.deadline_s
    process.join(None if deadline_s is None else deadline_s + GRACE_S - time.monotonic())
    if process.is_alive():
        process.terminate()
        process.join(5.0)
    for cell in unaccounted(task.files, task.block):
        fail(task.files, cell, f"the process of its block ended with code {process.exitcode}")


def unaccounted(files: Files, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that are neither measured nor recorded as failed."""
    known = set()
    for path in (files.runs, files.failed):
        if path.exists():
            with path.open(newline="") as file:
                known |= {(r["phase"], r["precision"], r["batch"]) for r in csv.DictReader(file)}
    return [
        cell
        for cell in cells
        if (cell.phase, cell.precision or "", str(cell.batch) if cell.loaded else "") not in known
    ]

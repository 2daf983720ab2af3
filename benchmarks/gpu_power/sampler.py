"""Reads the meter at a steady rate in a process of its own, and reads back what it wrote.

A process, because the load holds Python's lock for milliseconds at a time; a file, because a
measurement that is cut off keeps every reading taken until then.
"""

from __future__ import annotations

import multiprocessing
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from multiprocessing.context import SpawnContext
from pathlib import Path

from benchmarks.gpu_power.meter import SAMPLE_COLUMNS, Meter, Sample, open_meter


def sample(meter: Meter, path: Path, rate_hz: float, wanted: Callable[[], bool]) -> None:
    """Write a reading per period to `path` while `wanted`; a late one is not caught up."""
    with path.open("w", buffering=1) as file:
        file.write(",".join(SAMPLE_COLUMNS) + "\n")
        due_s = time.monotonic()
        while wanted():
            file.write(meter.read().line() + "\n")
            due_s = max(due_s + 1.0 / rate_hz, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))


def _sample_gpu(index: int, dry: bool, path: Path, rate_hz: float) -> None:
    # never outlives the measurement, however that ends
    parent = multiprocessing.parent_process()
    sample(open_meter(index, dry), path, rate_hz, parent.is_alive)


class Sampler:
    """The sampling process; a context manager that starts and ends it."""

    def __init__(
        self, context: SpawnContext, index: int, dry: bool, path: Path, rate_hz: float
    ) -> None:
        self._process = context.Process(
            target=_sample_gpu, args=(index, dry, path, rate_hz), daemon=True
        )

    def __enter__(self) -> Sampler:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(5.0)


class Readings:
    """The readings in a growing file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._samples: list[Sample] = []

    def between(self, begin_s: float, end_s: float) -> list[Sample]:
        """Return the readings taken in [begin_s, end_s] of `time.monotonic()`."""
        self._catch_up()
        first = bisect_left(self._samples, begin_s, key=lambda s: s.t_s)
        last = bisect_right(self._samples, end_s, key=lambda s: s.t_s)
        return self._samples[first:last]

    def _catch_up(self) -> None:
        with self._path.open() as file:
            file.seek(self._offset)
            text = file.read()
        # the last line may be half written: it is read with the next ones
        whole = text[: text.rfind("\n") + 1]
        for line in whole.splitlines():
            if not line.startswith(SAMPLE_COLUMNS[0]):
                self._samples.append(Sample.parse(line))
        self._offset += len(whole)

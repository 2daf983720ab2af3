"""Groups answer in processes of this machine."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from ebplan.solvers.part_solver import Answer, PartSolver
from ebplan.solvers.parts import Part
from ebplan.solvers.program import FloatArray
from ebplan.solvers.relaxation import Answerer


class Processes:
    """Groups answer in processes of this machine, each process for its own share of them.

    Args:
        jobs: how many; each keeps the programs of its groups alive.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pools: list[ProcessPoolExecutor] = []

    def __call__(self, parts: Sequence[Part]) -> Answerer:
        """Hand the groups out and return who answers for them; what was handed out before ends."""
        self.close()
        context = multiprocessing.get_context("spawn")
        shares = np.array_split(np.arange(len(parts)), min(self._jobs, len(parts)))
        # each process starts while the next is asked for
        self._pools += [
            ProcessPoolExecutor(1, mp_context=context, initializer=_leave_interrupts)
            for _ in shares
        ]
        kept = [
            pool.submit(_keep, [parts[i] for i in share_of])
            for pool, share_of in zip(self._pools, shares, strict=True)
        ]
        for one in kept:
            one.result()

        def ask(prices: FloatArray) -> Sequence[Answer]:
            asked = [pool.submit(_answer, prices) for pool in self._pools]
            return [answer for one in asked for answer in one.result()]

        return ask

    def close(self) -> None:
        """End them; what they are at is given up."""
        running = [p for pool in self._pools for p in (pool._processes or {}).values()]
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        for process in running:
            process.join()
        self._pools.clear()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_kept: list[PartSolver] = []
"""In a process that answers: the programs of its groups."""


def _leave_interrupts() -> None:
    """Ctrl-C reaches every process of a terminal: the one that asks decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _keep(parts: Sequence[Part]) -> None:
    _kept[:] = [PartSolver(part) for part in parts]


def _answer(prices: FloatArray) -> list[Answer]:
    return [solver.answer(prices) for solver in _kept]

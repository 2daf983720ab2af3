"""Work spread over processes of this machine, or over a cluster: results as they come.

Both are executors of the standard library's kind, so one loop serves both. Never more is handed out
than keeps the workers busy; what was handed to a worker that is lost is handed out again. Workers
only answer, they write nothing: so nothing can be there twice.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from ebplan.errors import EbplanError, InputError

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2
"""Tasks handed out for each worker: one it works on, one that waits."""
MOST_LOST = 3
"""So many losses with nothing finished between, and the work itself is at fault."""
LOOK_S = 0.5
"""How often who watches is told of workers while nothing finishes."""
CONNECT_S = 20.0


class WorkersLost(EbplanError):
    """Workers die over the same work again and again."""

    exit_code = 4


class Farm(Protocol):
    """Where work is done."""

    def executor(self) -> Executor:
        """Return what runs it; a new one where the last is broken."""

    def workers(self) -> int:
        """Return how many work now."""

    def close(self) -> None:
        """Let go of it."""


class Processes:
    """Processes of this machine.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None

    def executor(self) -> Executor:
        """Return a pool; a new one where a process of the last was lost."""
        if self._pool is not None and getattr(self._pool, "_broken", False):
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        if self._pool is None:
            # not a fork: a solver may have threads
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, mp_context=context)
        return self._pool

    def workers(self) -> int:
        """Return how many there are."""
        return self._jobs

    def close(self) -> None:
        """End them; what they are at is given up."""
        if self._pool is None:
            return
        running = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in running:
            process.terminate()
        for process in running:
            process.join()


class Cluster:
    """A Dask cluster.

    Args:
        address: of its scheduler.

    Raises:
        InputError: ``distributed`` is not installed, or nobody answers there, or nobody works.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise InputError(
                field="--scheduler",
                value=address,
                allowed="where Dask is installed",
                remedy="pip install 'ebplan[dask]'",
            ) from None
        try:
            self._client = Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                field="--scheduler",
                value=address,
                allowed="the address of a Dask scheduler that answers",
                remedy=f"start one: dask scheduler ({type(error).__name__})",
            ) from None
        try:
            self._client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError:
            self._client.close()
            raise InputError(
                field="--scheduler",
                value=address,
                allowed="a scheduler with a worker",
                remedy=f"start one: dask worker {address} --nthreads 1",
            ) from None
        self._executor = self._client.get_executor(pure=False)

    def executor(self) -> Executor:
        """Return it as an executor; the scheduler itself hands out again what is lost."""
        executor: Executor = self._executor
        return executor

    def workers(self) -> int:
        """Return how many threads of workers there are now."""
        return sum(self._client.nthreads().values())

    def close(self) -> None:
        """Let go of the cluster; it goes on without us."""
        self._executor.shutdown(wait=False)
        self._client.close()


@contextmanager
def farm(scheduler: str | None, jobs: int | None) -> Iterator[Farm]:
    """Open the cluster of a scheduler, or as many processes as there are cores, and close them."""
    open_one: Farm = Cluster(scheduler) if scheduler else Processes(jobs or cores())
    try:
        yield open_one
    finally:
        open_one.close()


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def done_by(
    where: Farm,
    function: Callable[[T], R],
    tasks: Iterable[T],
    look: Callable[[int, int], None],
) -> Iterator[tuple[T, R]]:
    """Yield each task with its result, in the order in which they finish.

    Args:
        where: who does it.
        function: what is done; a worker must be able to import it.
        tasks: taken as workers get free.
        look: called now and then with the number of workers, and of tasks handed out.

    Raises:
        WorkersLost: workers are lost again and again with nothing finished between.
        EbplanError: a task failed.
    """
    remaining = iter(tasks)
    out: dict[Future[R], T] = {}
    again: list[T] = []
    lost = 0
    while True:
        _hand_out(where, function, remaining, again, out)
        if not out:
            return
        look(where.workers(), len(out))
        finished, _ = wait(out, timeout=LOOK_S, return_when=FIRST_COMPLETED)
        broken = False
        for future in finished:
            task = out.pop(future)
            try:
                result = future.result()
            except BaseException as error:
                if not _is_loss(error):
                    raise
                again.append(task)
                broken = True
                continue
            lost = 0
            yield task, result
        if broken:
            lost += 1
            if lost > MOST_LOST:
                raise WorkersLost(
                    f"workers were lost {lost} times with nothing finished between: see whether "
                    "memory runs out"
                )


def _hand_out(
    where: Farm,
    function: Callable[[T], R],
    remaining: Iterator[T],
    again: list[T],
    out: dict[Future[R], T],
) -> None:
    room = AHEAD * max(where.workers(), 1) - len(out)
    nothing: Any = object()
    while room > 0:
        task = again.pop() if again else next(remaining, nothing)
        if task is nothing:
            return
        try:
            out[where.executor().submit(function, task)] = task
        except BrokenProcessPool:
            again.append(task)
            return
        room -= 1


def _is_loss(error: BaseException) -> bool:
    """Tell whether a worker was lost, not its work wrong."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ in {
        "KilledWorker",
        "CommClosedError",
    }

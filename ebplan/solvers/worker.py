"""The solver process: holds the hot model, streams points as it finds them, may be killed.

HiGHS oversteps its time limits and can crash (formulation.md in docs), so it does not run in the
process that has promised a plan. The parent (``session.py``) sends jobs over a pipe and reads
messages; whatever happens here, it has a plan in hand.

One job: solve the relaxation (its optimum is the bound), round it (``rounding.py``), then search
with the best rounded point as the start. Each better point is sent at once. A job ends on its own,
at its limit of seconds or of work, or when ``Cancel`` arrives: it is looked for between linear
programs and in the solver's callbacks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, Literal, TypeVar

import highspy
import numpy as np

from ebplan.errors import NoPlanError
from ebplan.solvers.decompose import ByPools, decompose
from ebplan.solvers.highs import RETRIES, load
from ebplan.solvers.integers import Integers
from ebplan.solvers.program import FloatArray, Group, Program
from ebplan.solvers.rounding import Relaxation, Rounded, rounded_points

Rung = Literal["relaxed", "rounded", "exact"]
Key = TypeVar("Key")
Value = TypeVar("Value")

HOT_MODELS, BASES = 4, 256
"""Live models kept, and bases, which are small; the least recently used is dropped."""

Shape = tuple[tuple[Group, ...], tuple[Group, ...]]
"""Groups of columns and of rows: what a basis is good for, whatever the entries."""


@dataclass(frozen=True)
class Job:
    """What to solve, and for how long."""

    number: int
    key: str
    """Structure of the program: models with the same key differ in vectors only."""
    program: Program
    integers: Integers
    seconds: float | None = None
    """Limit of time from its arrival."""
    moves: int | None = None
    """Limit of the linear programs that rounding may try; None leaves the usual one."""
    checks: int | None = None
    """Limit of the work of the search, in times the solver asks whether to go on."""
    gap: float | None = None
    start: FloatArray | None = None
    """A feasible point that is known, shape (n,)."""
    rungs: tuple[Rung, ...] = ("relaxed", "rounded", "exact")
    stop_at: tuple[Rung, int] | None = None
    """Stop with this point of a rung, counted from 0: a replay of an answer."""
    by_pools: ByPools | None = None
    """The program in parts, where it is to be planned by pools instead of at once."""
    work_by_pools: tuple[int, int] | None = None
    """Rounds of prices and tries of whole numbers to make then; as many as are of use if None."""
    name: str = ""
    """What the parent calls the program, for others of its structure to refer to."""
    cold: bool = False
    """Whether to solve as if the model were new, and to keep nothing of it."""

    @property
    def shape(self) -> Shape:
        """Groups of columns and rows of the program."""
        return self.program.columns, self.program.rows


@dataclass(frozen=True)
class Cancel:
    """Stop a job."""

    number: int


@dataclass(frozen=True)
class Point:
    """A point that was found, with the best bound known then."""

    job: int
    rung: Rung
    index: int
    """How many of its rung came before."""
    x: FloatArray
    objective: float
    bound: float | None
    hot_from: str | None = None
    """Name of the program whose basis it started from; None where it started cold."""
    work: tuple[int, ...] = ()
    """By pools: rounds of prices and tries of whole numbers."""


@dataclass(frozen=True)
class Done:
    """A job has ended."""

    job: int
    bound: float | None
    proven: bool
    """Whether the search ended on its own, at its gap."""
    seconds: dict[str, float]
    """By rung."""
    error: str | None = None


class Worker:
    """Solves one job after the other; ``send`` passes messages on, ``cancelled`` looks for one."""

    def __init__(
        self, send: Callable[[Point | Done], None], cancelled: Callable[[int], bool]
    ) -> None:
        self._send = send
        self._cancelled = cancelled
        self._hot: dict[str, Relaxation] = {}
        """Live models by structure."""
        self._bases: dict[Shape, _Basis] = {}

    def solve(self, job: Job) -> None:
        """Solve a job; the last message is ``Done``."""
        run = _Run(job, self._send, self._cancelled)
        error = None
        try:
            if (by_pools := job.by_pools) is not None:
                run.timed("rounded", lambda: _by_pools(run, by_pools))
            elif "relaxed" in job.rungs:
                error = self._relax_and_round(run)
            if "exact" in job.rungs and run.keep_on():
                run.timed("exact", lambda: _search(run))
        except NoPlanError as failure:
            error = str(failure)
        self._send(
            Done(
                job=job.number,
                bound=run.bound,
                proven=run.proven,
                seconds=run.seconds,
                error=error,
            )
        )

    def _relax_and_round(self, run: _Run) -> str | None:
        """Solve the relaxation and round it; return what went wrong.

        A load that has moved moves chords, hence entries: the live model is of no use then, the
        basis is. It is always that of the first of its shape, which was solved cold, so that what
        is found depends on two programs only.
        """
        job = run.job
        basis = None if job.cold else self._bases.pop(job.shape, None)
        relaxation = None if basis is None else self._hot.pop(job.key, None)
        if relaxation is None:
            relaxation = Relaxation(job.program, load(job.program, {}, relaxed=True))
        else:
            relaxation.write(job.program)
            relaxation.solver.clearSolver()
        if basis is not None:
            relaxation.solver.setBasis(basis.basis)
        optimum = run.timed("relaxed", relaxation.optimum)
        if optimum is None:
            # the verdict is wrong: every grid-side row has a slack; the next job starts afresh
            return f"the relaxation ended with {relaxation.verdict()}"
        x, run.bound = optimum
        if basis is None:
            basis = _Basis(relaxation.solver.getBasis(), job.name)
        else:
            run.hot_from = basis.name
        if not job.cold:
            _keep(self._hot, job.key, relaxation, HOT_MODELS)
            _keep(self._bases, job.shape, basis, BASES)
        run.found("relaxed", x, run.bound)
        if (again := _one_way(run, relaxation, x)) is not None:
            x = again
        if "rounded" in job.rungs:
            run.timed("rounded", lambda: _round(run, relaxation, x))
        return None


@dataclass(frozen=True)
class _Basis:
    """The optimal basis of the first program of its shape."""

    basis: Any
    name: str


def _keep(kept: dict[Key, Value], key: Key, value: Value, most: int) -> None:
    """Keep a value as the last used of so many."""
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


@dataclass
class _Run:
    """A job under way."""

    job: Job
    send: Callable[[Point | Done], None]
    cancelled: Callable[[int], bool]
    bound: float | None = None
    proven: bool = False
    best: Rounded | None = None
    hot_from: str | None = None
    work: tuple[int, ...] = ()
    restricted: bool = False
    """Whether the program was narrowed: its search bounds no other plan then."""
    seconds: dict[str, float] = field(default_factory=dict)
    _count: dict[str, int] = field(default_factory=dict)
    _stopped: bool = False

    def __post_init__(self) -> None:
        limit_s = self.job.seconds
        self.until = None if limit_s is None else monotonic() + limit_s

    def left_s(self) -> float | None:
        """Return the seconds left; None where there is no limit."""
        return None if self.until is None else self.until - monotonic()

    def keep_on(self) -> bool:
        """Tell whether to go on."""
        late = self.until is not None and monotonic() >= self.until
        if not self._stopped and (late or self.cancelled(self.job.number)):
            self._stopped = True
        return not self._stopped

    def found(self, rung: Rung, x: FloatArray, objective: float) -> None:
        """Send a point on."""
        index = self._count.get(rung, 0)
        self._count[rung] = index + 1
        self.send(
            Point(self.job.number, rung, index, x, objective, self.bound, self.hot_from, self.work)
        )
        if self.job.stop_at == (rung, index):
            self._stopped = True

    def raise_bound(self, bound: float) -> None:
        """Take note of what the search has proven."""
        if np.isfinite(bound) and not self.restricted:
            self.bound = bound if self.bound is None else max(self.bound, bound)

    def timed(self, rung: Rung, work: Callable[[], Any]) -> Any:
        """Do work and add its seconds to a rung's."""
        began = monotonic()
        try:
            return work()
        finally:
            self.seconds[rung] = self.seconds.get(rung, 0.0) + monotonic() - began


def _by_pools(run: _Run, by_pools: ByPools) -> None:
    """Find bound and point by prices and answers of the pools (``decompose.py``)."""
    try:
        found = decompose(
            run.job.program,
            by_pools.parts,
            by_pools.orders,
            until=run.until,
            work=run.job.work_by_pools,
        )
    except NoPlanError:
        return  # not in time: the parent has a plan in hand
    if found.bound is not None:
        run.raise_bound(found.bound)
    run.best = Rounded(found.x, found.objective)
    run.work = (found.relaxation.rounds, found.tries)
    run.found("rounded", found.x, found.objective)


def _one_way(run: _Run, relaxation: Relaxation, x: FloatArray) -> FloatArray | None:
    """Leave a battery one direction in each step, and return the optimum then.

    What is found from here on is honest; the bound stays that of the relaxation.
    """
    directions, program = run.job.integers.directions, run.job.program
    upper = None if directions is None else directions.fixed(x, program.upper)
    if upper is None:
        return None
    run.job = replace(run.job, program=replace(program, upper=upper))
    run.restricted = True
    relaxation.write(run.job.program)
    optimum = run.timed("relaxed", relaxation.optimum)
    return None if optimum is None else optimum[0]


def _round(run: _Run, relaxation: Relaxation, relaxed: FloatArray) -> None:
    limits = {} if run.job.moves is None else {"most_moves": run.job.moves}
    for point in rounded_points(
        relaxation, run.job.integers, relaxed, keep_on=run.keep_on, **limits
    ):
        run.best = point
        run.found("rounded", point.x, point.objective)


def _search(run: _Run) -> None:
    """Search for the optimum, from the best point that is known.

    Raises:
        NoPlanError: the solver refuses the model.
    """
    job, program = run.job, run.job.program
    integer = program.integer
    start = run.best.x if run.best is not None else job.start
    best = np.inf if run.best is None else run.best.objective
    for retry in RETRIES:
        if not run.keep_on():
            return
        options = dict(retry)
        if job.gap is not None:
            options["mip_rel_gap"] = job.gap
        if (left_s := run.left_s()) is not None:
            options["time_limit"] = max(left_s, 0.001)
        solver = load(program, options)
        if start is not None:
            known = highspy.HighsSolution()
            known.col_value = start
            solver.setSolution(known)
        checks = 0

        def improved(event: Any) -> None:
            nonlocal best
            run.raise_bound(event.data_out.mip_dual_bound)
            objective = float(event.data_out.objective_function_value)
            if objective < best - 1e-9 * max(abs(best), 1.0) or not np.isfinite(best):
                best = objective
                x = np.array(event.data_out.mip_solution)
                x[integer] = np.round(x[integer])
                run.found("exact", x, objective)

        def asked(event: Any) -> None:
            nonlocal checks
            checks += 1
            spent = job.checks is not None and checks >= job.checks
            if spent or not run.keep_on():
                event.interrupt()

        solver.cbMipImprovingSolution += improved
        solver.cbMipInterrupt += asked
        solver.run()
        info = solver.getInfo()
        feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        run.raise_bound(info.mip_dual_bound)
        if feasible and np.isfinite(info.mip_dual_bound):
            run.proven = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
            x = np.array(solver.getSolution().col_value)
            x[integer] = np.round(x[integer])
            if run.proven and not run.cancelled(job.number):
                run.found("exact", x, float(info.objective_function_value))
            return


def serve(connection: Connection) -> None:
    """Solve jobs from a connection until it is closed."""
    waiting: list[Job | Cancel] = []

    def cancelled(number: int) -> bool:
        while connection.poll():
            waiting.append(connection.recv())
        # a new job means that nobody waits for the old one any more
        return any(not isinstance(m, Cancel) or m.number == number for m in waiting)

    worker = Worker(connection.send, cancelled)
    connection.send("ready")
    for job in _jobs(connection, waiting):
        worker.solve(job)


def _jobs(connection: Connection, waiting: list[Job | Cancel]) -> Iterator[Job]:
    while True:
        message = waiting.pop(0) if waiting else connection.recv()
        if isinstance(message, Job):
            yield message


def main() -> None:
    """Serve the connection whose file descriptor is the only argument."""
    connection = Connection(int(sys.argv[1]))
    try:
        serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        os._exit(0)  # the parent is gone or has no more use for this

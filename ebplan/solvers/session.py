"""The parent's side of the solver process: start, feed, listen with a watchdog, kill, replace.

A process is killed when it still works on a job that nobody waits for, longer than it may overstep
its limit (HiGHS needs 0.1-0.2 s to notice that it is cancelled, and has been seen a third beyond a
limit). A second process stands by, so that a kill or a crash costs a plan little, and the next
nothing.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, Pipe
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Literal

from ebplan.solvers.program import Program
from ebplan.solvers.worker import Cancel, Done, Job, Point

GRACE_S = 0.5
"""How long a process may go on with a cancelled job before it is killed."""
STARTS_WITHIN_S = 30.0
"""A process that has not reported ready by then does not come."""
DIES_WITHIN_S = 0.05
"""A process whose pipe has closed is gone in less."""
POLL_S = 0.005
"""How often a process that is waited for is looked at."""
SENT_WITHIN_S = 0.003
"""A process that is there takes a job in less."""
PROCESSES = 2
"""One at work, one standing by."""

_SERVE = "from ebplan.solvers.worker import main; main()"
"""Not ``-m``: what is unpickled must be the classes of this module's import."""


class SolverLost(Exception):
    """The solver process died under a job: it crashed, or somebody killed it."""


Message = Point | Done | Literal["ready"]


@dataclass
class _Process:
    """One solver process, and the two threads that write to it and read from it.

    A process that hangs reads nothing, and a job is larger than the pipe; one that is stopped in
    the middle of a message never ends it. Who waits for a plan must not wait for that.
    """

    process: subprocess.Popen[bytes]
    connection: Connection
    born_s: float = field(default_factory=monotonic)
    ready: bool = False
    job: int | None = None
    """The job it works on."""
    abandoned_s: float | None = None
    """Since when nobody waits for that job."""
    known: set[Hashable] = field(default_factory=set)
    """Structures and shapes it has been sent."""
    _outbox: SimpleQueue[tuple[Job | Cancel, threading.Event] | None] = field(
        default_factory=SimpleQueue
    )
    _inbox: SimpleQueue[Message | None] = field(default_factory=SimpleQueue)
    """None stands for the end of the connection."""

    def __post_init__(self) -> None:
        self._threads = [
            threading.Thread(target=work, daemon=True, name=f"ebplan-solver-{work.__name__}")
            for work in (self._write, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self) -> None:
        while (entry := self._outbox.get()) is not None:
            message, sent = entry
            try:
                self.connection.send(message)
            except (OSError, ValueError):
                return  # it died; who listens is told so
            sent.set()

    def _read(self) -> None:
        try:
            while True:
                self._inbox.put(self.connection.recv())
        except Exception:  # whatever cannot be read is its end
            self._inbox.put(None)

    def send(self, message: Job | Cancel) -> threading.Event:
        """Hand a message over; return what tells that it was sent."""
        sent = threading.Event()
        self._outbox.put((message, sent))
        return sent

    @classmethod
    def start(cls) -> _Process:
        ours, theirs = Pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(theirs.fileno())],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        return cls(process, ours)

    def alive(self) -> bool:
        return self.process.poll() is None

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message; None if none comes in time.

        Raises:
            SolverLost: the process has died.
        """
        try:
            message = self._inbox.get(timeout_s > 0.0, max(timeout_s, 0.0))
        except Empty:
            return None
        if message is None:
            self._inbox.put(None)  # for whoever asks next
            raise SolverLost(_obituary(self.process))
        if message == "ready":
            self.ready = True
        elif isinstance(message, Done) and message.job == self.job:
            self.job = self.abandoned_s = None
        return message

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join()  # writing to and reading from a process that is gone fails at once
        self.connection.close()


class Session:
    """Solver processes for one planner; several threads may ask, each listens to its own job."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._processes: list[_Process] = []
        self._jobs = 0
        self._closed = False
        self.kills = 0
        """Processes killed because they did not stop."""
        self.mend()

    def submit(self, job: Job) -> Listening | None:
        """Give a job to a process that is free; None where none is ready yet.

        Processes that were lost are not replaced now but by ``mend``: a start takes time that a
        plan with a deadline has better use for.
        """
        with self._lock:
            self._tidy()
            free = [p for p in self._processes if p.ready and p.job is None]
            if not free:
                return None
            process = max(free, key=lambda p: (job.shape in p.known) + (job.key in p.known))
            self._jobs += 1
            job = replace(job, number=self._jobs, program=_lean(job.program))
            sent = process.send(job)
            process.job, process.abandoned_s = job.number, None
            process.known |= {job.key, job.shape}
        # Else this thread, busy with a plan of its own, may keep the writer waiting for 5 ms: that
        # is how often Python lets another thread have its turn.
        sent.wait(SENT_WITHIN_S)
        return Listening(self, process, job.number)

    def wait_ready(self, timeout_s: float = STARTS_WITHIN_S, *, count: int = 1) -> bool:
        """Wait until so many processes are ready for a job; tell whether they are."""
        until = monotonic() + timeout_s
        while True:
            self.mend()
            if sum(p.ready and p.job is None for p in self._processes) >= count:
                return True
            if monotonic() >= until:
                return False
            sleep(POLL_S)

    def pids(self) -> list[int]:
        """Return the process ids, those at work first."""
        ordered = sorted(self._processes, key=lambda p: p.job is None)
        return [p.process.pid for p in ordered]

    def close(self) -> None:
        """Stop all processes."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
            self._processes.clear()

    def _tidy(self) -> None:
        """Hear what processes have to say, bury the dead, kill who does not stop."""
        for process in list(self._processes):
            try:
                while process.job is None or process.abandoned_s is not None:
                    if process.receive(0.0) is None:
                        break
            except SolverLost:
                self._drop(process)
                continue
            if not process.alive():
                self._drop(process)
                continue
            since_s = process.abandoned_s
            stuck = since_s is not None and monotonic() - since_s > GRACE_S
            late = not process.ready and monotonic() - process.born_s > STARTS_WITHIN_S
            if stuck or late:
                self.kills += 1
                self._drop(process)

    @property
    def closed(self) -> bool:
        """Whether all processes were stopped on purpose."""
        return self._closed

    def mend(self) -> None:
        """Bury the dead, kill who does not stop, and start others in their place."""
        with self._lock:
            self._tidy()
            while len(self._processes) < PROCESSES and not self._closed:
                self._processes.append(_Process.start())

    def mend_aside(self) -> None:
        """Replace lost processes in a thread of its own: a start takes some milliseconds."""
        if len(self._processes) < PROCESSES and not self._closed:
            threading.Thread(target=self.mend, name="ebplan-mend").start()

    def _drop(self, process: _Process) -> None:
        process.kill()
        self._processes.remove(process)

    def lose(self, process: _Process) -> None:
        """Forget a process that died."""
        with self._lock:
            if process in self._processes:
                self._drop(process)


class Listening:
    """Listens to one job."""

    def __init__(self, session: Session, process: _Process, number: int) -> None:
        self._session, self._process, self._number = session, process, number
        self._over = False

    def next(self, timeout_s: float) -> Point | Done | None:
        """Return the next message of the job, or None if none comes in time.

        Raises:
            SolverLost: the process died.
        """
        try:
            message = self._process.receive(timeout_s)
        except SolverLost:
            self._over = True
            self._session.lose(self._process)
            raise
        if isinstance(message, str) or message is None or message.job != self._number:
            return None
        self._over = isinstance(message, Done)
        return message

    def cancel(self) -> None:
        """Say that nobody waits any more; the process stops, or is killed after a while."""
        if self._over or self._process.job != self._number:
            return
        self._process.abandoned_s = monotonic()
        self._process.send(Cancel(self._number))


def _lean(program: Program) -> Program:
    """Return a program whose costs are not told apart by cause: the solver asks for their sum."""
    total, constant = program.cost, program.constant
    return replace(program, cost_of={"total": total}, constant_of={"total": constant})


def _obituary(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=DIES_WITHIN_S)
    except subprocess.TimeoutExpired:
        return "the solver process closed its pipe"
    return (
        f"the solver process was ended by signal {-code}"
        if code < 0
        else f"the solver process exited with {code}"
    )

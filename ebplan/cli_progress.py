"""How far long work is, for whoever watches, and how it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SHOWN = 6
"""Bars shown at once: earlier ones of long work make room."""
WORDS = 46
"""Characters of a bar's words at most: a bar has to fit beside them."""
INTERRUPTED = 130
"""Exit code of what somebody interrupted, as shells count signals."""


class Bars:
    """A bar for each thing that is done, one under the other.

    Args:
        progress: draws them; nobody watches where absent.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def told(self, what: str, done: int, of: int, workers: int = 0) -> None:
        """Show how much of something is done, of how much, and how many work on it."""
        working = f"{workers} working" if workers and done < of else ""
        self._show(what, done, of, f"{done}/{of}", working)

    def rounds(self, what: str, rounds: int, gap: float) -> None:
        """Show rounds of which nobody knows how many there will be, and the gap they leave."""
        note = f"gap {max(gap, 0.0):.0e}" if isfinite(gap) else "no gap yet"
        self._show(what, rounds, None, f"round {rounds}", note)

    def _show(self, what: str, done: int, of: int | None, count: str, note: str) -> None:
        if self._progress is None:
            return
        if what not in self._tasks:
            for task in list(self._tasks.values())[: max(len(self._tasks) + 1 - SHOWN, 0)]:
                self._progress.update(task, visible=False)
            self._tasks[what] = self._progress.add_task(what, total=of, count=count, note=note)
        self._progress.update(self._tasks[what], completed=done, total=of, count=count, note=note)


@contextmanager
def bars() -> Iterator[Bars]:
    """Draw bars on the terminal, beside what is printed; nothing where nobody watches."""
    if not sys.stderr.isatty():
        yield Bars(None)
        return
    from rich.console import Console

    with drawn_on(Console(stderr=True)) as progress:
        yield Bars(progress)


def drawn_on(console: Console) -> Progress:
    """Return what draws bars on a console."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining
    from rich.table import Column

    words = Column(max_width=WORDS, no_wrap=True, overflow="ellipsis")
    whole = Column(no_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False, table_column=words),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}", markup=False, table_column=whole),
        TextColumn("{task.fields[note]}", markup=False, table_column=whole),
        Remaining(elapsed_when_finished=True),
        TextColumn(" "),  # room for the ^C of an interruption: a line that wraps is drawn twice
    )
    return Progress(*columns, console=console)


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """End with one line where somebody interrupts.

    Args:
        kept: what is not lost, in words.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted; {kept}", err=True)
        sys.exit(INTERRUPTED)

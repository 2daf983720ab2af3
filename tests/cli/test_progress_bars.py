"""Bars of long work fit 80 columns, say what is done, and let go when somebody interrupts."""

from __future__ import annotations

import re
from concurrent.futures import Executor, ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ebplan.cli_progress import SHOWN, Bars, bars, drawn_on, interruptible
from ebplan.study.frontier import Frontier
from ebplan.sweep import run
from ebplan.sweep.store import Store


def last_lines(tell: Any, count: int) -> list[str]:
    """Return the lines that are drawn last on a terminal of 80 columns."""
    file = StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None, _environ={})
    with drawn_on(console) as progress:
        tell(Bars(progress))
    lines = [line.rpartition("\x1b[2K")[2] for line in file.getvalue().splitlines()]
    plain = [re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "", line) for line in lines]
    return [line for line in plain if line.strip()][-count:]


def test_what_is_done_is_worked_on_by_nobody() -> None:
    def tell(shown: Bars) -> None:
        shown.told("reading scenarios", 12, 12, 1)
        shown.told("working out scenarios", 3, 12, 2)

    first, second = last_lines(tell, 2)
    assert "12/12" in first
    assert "working " not in first
    assert "3/12" in second
    assert "2 working" in second
    assert max(len(first), len(second)) <= 80


def test_words_that_are_long_leave_room_for_a_bar() -> None:
    long = "receding, services.0.values.technical.energy.sustain_s:high and more of it"
    (line,) = last_lines(lambda shown: shown.told(long, 100_000, 200_000, 32), 1)
    assert len(line) <= 80
    assert "…" in line
    assert "━" in line
    assert "100000/200000" in line


def test_rounds_have_no_end_that_is_known() -> None:
    def tell(shown: Bars) -> None:
        shown.rounds("sharing among 300 groups", 6, float("inf"))
        shown.rounds("sharing among 300 groups", 7, 3.1e-4)

    (line,) = last_lines(tell, 1)
    assert "round 7" in line
    assert "gap 3e-04" in line


@pytest.mark.parametrize("count", [1, SHOWN - 2, SHOWN - 1, SHOWN, SHOWN + 1, 3 * SHOWN])
def test_the_last_bars_are_shown(count: int) -> None:
    def tell(shown: Bars) -> None:
        for i in range(count):
            shown.told(f"corner {i}", 7, 7)

    shown = min(count, SHOWN)
    lines = last_lines(tell, shown)
    assert [line.split("  ")[0].split("━")[0].strip() for line in lines] == [
        f"corner {i}" for i in range(count - shown, count)
    ]


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    with bars() as shown:
        shown.told("working", 1, 2)
        shown.rounds("sharing", 1, 0.5)
    assert capsys.readouterr() == ("", "")


def test_an_interruption_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, interruptible("answers are kept in results"):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted; answers are kept in results\n"


def test_a_sweep_says_when_all_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Threads:
        def __init__(self) -> None:
            self.pool = ThreadPoolExecutor(1)

        def executor(self) -> Executor:
            return self.pool

        def workers(self) -> int:
            return 1

        def close(self) -> None:
            self.pool.shutdown()

    questions: Any = {name: SimpleNamespace(id=name) for name in ("a", "b", "c")}
    monkeypatch.setattr(run, "ask", lambda _: Frontier(1.0, (), {}))
    heard: list[tuple[int, int]] = []
    where = Threads()
    run._asked(
        where,
        questions,
        Store(tmp_path),
        lambda _what, done, of, _workers: heard.append((done, of)),
    )
    where.close()
    assert heard[0] == (0, 3)
    assert heard[-1] == (3, 3)

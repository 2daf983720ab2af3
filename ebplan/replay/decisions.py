"""The decisions of a run of ebplan, made again from what each was made from.

The planner is given the states, calls and refusals of the log in their order. Each plan that was
carried out is held against the one that is made now:

    same             the same plan, every number of it
    another_plan     of the same problem: a search that was ended by a deadline found another point
    another_problem  what was planned from differs: models, version, or what the log does not say
    not_made         the plan there was kept now
    also_made        now another plan was made, where then the one there was kept

After each decision the planner goes on from the plan that was carried out, where its problem is the
same: one plan that differs does not make those after it differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from ebplan.controller.baselines import Baselines
from ebplan.controller.calls import Calls
from ebplan.errors import EbplanError
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.planner import Planner
from ebplan.planner.replay import differences
from ebplan.replay.own import Arms, Entry, Made, Seen, Starts, entries
from ebplan.replay.results import Decisions

Verdict = Literal["same", "another_plan", "another_problem", "not_made", "also_made"]


@dataclass(frozen=True)
class Decision:
    """One decision, then and now."""

    at: datetime
    """When the state was read that it was made from."""
    event: str
    verdict: Verdict
    why: str
    """Why it was made then; where it was not, why now."""
    recorded: Plan | None
    again: Plan | None
    apart: tuple[str, ...] = ()
    """In which fields the two differ."""

    def row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        then, now = self.recorded, self.again
        return {
            "time": self.at.isoformat(),
            "event": self.event,
            "verdict": self.verdict,
            "why": self.why,
            "apart": "; ".join(self.apart),
            "recorded_objective": None if then is None else then.objective,
            "again_objective": None if now is None else now.objective,
            "recorded_rung": None if then is None or then.answer is None else then.answer.rung,
            "recorded_clock": None if then is None or then.answer is None else then.answer.clock,
            "recorded_problem": None if then is None else then.problem_hash,
            "again_problem": None if now is None else now.problem_hash,
        }


def decide_again(folder: Path, told: Callable[[int], None] = lambda done: None) -> list[Decision]:
    """Make the decisions of a log again.

    Args:
        folder: the log's.
        told: told how many states were gone through.

    Raises:
        InputError: the log cannot be read.
    """
    made: list[Decision] = []
    run: _Again | None = None
    count = 0
    try:
        for entry, recorded in _with_decisions(entries(folder)):
            if isinstance(entry, Starts):
                if run is not None:
                    run.planner.close()
                run = _Again(entry)
            elif run is not None and isinstance(entry, Arms):
                run.arms(entry)
            elif run is not None and isinstance(entry, Seen):
                made += run.see(entry, recorded)
                count += 1
                told(count)
    finally:
        if run is not None:
            run.planner.close()
    return made


def counted(rows: Sequence[Mapping[str, Any]]) -> Decisions:
    """Return how many decisions came out how, from their rows."""

    def of(*verdicts: Verdict) -> int:
        return sum(row["verdict"] in verdicts for row in rows)

    clocks = _clocks(rows)
    differ = [row["verdict"] != "same" for row in rows]
    return Decisions(
        recorded=sum(row["recorded_problem"] is not None for row in rows),
        same=of("same"),
        another_plan=of("another_plan"),
        another_problem=of("another_problem"),
        not_made=of("not_made"),
        also_made=of("also_made"),
        differ_by_work=sum(
            apart and clock == "work" for apart, clock in zip(differ, clocks, strict=True)
        ),
    )


def _clocks(rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return how the search of each decision was counted then.

    A plan that was not made then has none of its own: its run's is that of the plan before, or of
    the one after where none came before.
    """
    found: list[str | None] = []
    known = next((row["recorded_clock"] for row in rows if row["recorded_clock"]), None)
    for row in rows:
        if row["recorded_problem"] is None:
            found.append(known)
            continue
        found.append(row["recorded_clock"])
        known = row["recorded_clock"] or known
    return found


def _with_decisions(found: Iterator[Entry]) -> Iterator[tuple[Entry, Made | None]]:
    """Yield each entry but decisions, a state with the decision that was made from it."""
    waiting: Entry | None = None
    for entry in chain(found, [None]):
        if isinstance(entry, Made):
            if waiting is not None:
                yield waiting, entry
                waiting = None
            continue
        if waiting is not None:
            yield waiting, None
        waiting = entry


class _Again:
    """The planner of one run, led through its states."""

    def __init__(self, starts: Starts) -> None:
        self.planner = Planner(starts.site, clock="work", restoration=starts.restoration).start()
        self._calls, self._baselines = Calls(), Baselines()
        self._current: Plan | None = None
        self._arms: tuple[Arms, Seen] | None = None
        self._last: Seen | None = None

    def arms(self, entry: Arms) -> None:
        if self._last is not None:
            self._arms = (entry, self._last)

    def see(self, seen: Seen, recorded: Made | None) -> Iterator[Decision]:
        """Plan from a state as the controller does, and hold the plan against what was done."""
        self._last = seen
        before = self._current
        self.planner.finish()
        try:
            plan = self._plan(seen, recorded)
        except EbplanError:
            self._calls.put_back()
            plan = None
        again = plan if plan is not before else None
        if plan is not None:
            self._current = plan
        if recorded is not None:
            yield self._held(seen, recorded, again)
        elif again is not None and not seen.refused:
            why = "; ".join(self.planner.why)
            yield Decision(seen.state.at, again.event_id, "also_made", why, None, again)

    def _plan(self, seen: Seen, recorded: Made | None) -> Plan:
        turn = self._calls.turn(seen.standing, seen.state.at, seen.ranks)
        if turn.begins is not None:
            self._arm_as_then(turn.begins, recorded)
            begins = self._baselines.begun(turn.begins)
            plan = self.planner.activate(begins, seen.state)
            then = plan if recorded is None else recorded.plan
            self._baselines.keep(turn.begins, then.steps[0].baseline_kw, seen.state.at)
            return plan
        if turn.taken_back is not None:
            self.planner.take_back()
        return self.planner.replan(seen.state, refused=seen.refused)

    def _arm_as_then(self, event: Event, recorded: Made | None) -> None:
        """Make plans in advance, where then one of them answered."""
        answer = None if recorded is None else recorded.plan.answer
        if answer is None or answer.rung != "armed" or self._arms is None:
            return
        arms, seen = self._arms
        coming = [one for one in seen.standing if one.id in arms.coming]
        self.planner.arm(coming or None, seen.state).result()

    def _held(self, seen: Seen, recorded: Made, again: Plan | None) -> Decision:
        then = recorded.plan
        told = (seen.state.at, then.event_id)
        if again is None:
            return Decision(*told, "not_made", recorded.why, then, None)
        if again.problem_hash != then.problem_hash:
            return Decision(*told, "another_problem", recorded.why, then, again)
        if not (apart := differences(then, again)):
            return Decision(*told, "same", recorded.why, then, again)
        if self.planner.adopt(then):
            self._current = then
        return Decision(*told, "another_plan", recorded.why, then, again, apart)

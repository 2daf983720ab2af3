"""What the controller writes down. A journal that fails must not end the loop, and is named."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from ebplan.adapters.answers import Answer
from ebplan.adapters.commands import commands
from ebplan.adapters.roles import NodePowerReading
from ebplan.audit.journal import Journal, Window
from ebplan.audit.log import AuditHealth
from ebplan.controller.degradations import Degradation
from ebplan.controller.models_used import models_used
from ebplan.controller.sensing import Sensed
from ebplan.event import Event
from ebplan.models.tracking.known import SiteKnown
from ebplan.plan import Plan, Step
from ebplan.planner import Restoration
from ebplan.site import Site
from ebplan.state import State

log = logging.getLogger("ebplan.controller")

RESTORATION = "restoration"
"""Name of the model that says how the battery is made ready."""
ARMING = "plans are made in advance"
"""What the note says."""
UNSIGNED_S = 2.0
"""A record that has waited so long for its signature is behind: the log promises 1 s at most, and
the disk needs some."""


class Recording:
    """Writes to a journal, or nowhere.

    Args:
        journal: where to; nowhere if absent.
        states: whether what is planned from is written down as well.
    """

    def __init__(self, journal: Journal | None, *, states: bool = True) -> None:
        self._journal, self._states = journal, states
        self._calls = b""
        """The calls that stood when a state was written down last."""
        self._fault: str | None = None
        """Why something could not be written, last."""
        self._tracked = ""
        """Digest of what tracking knew when that was recorded last."""

    @property
    def health(self) -> AuditHealth | None:
        """How the log is; None without one."""
        return None if self._journal is None else self._journal.health

    @property
    def behind(self) -> str | None:
        """What is wrong with the record; None where nothing is."""
        health = self.health
        if health is None:
            return None
        if self._fault is not None:
            return f"not written: {self._fault}"
        if health.fault is not None:
            return health.fault
        if health.lost:
            return f"{health.lost} records were lost"
        if health.unsigned_s > UNSIGNED_S:
            return f"no signature for more than {UNSIGNED_S:g} s"
        return None

    def models(self, site: Site, restoration: Restoration) -> None:
        """Keep what is planned with from here on; the site comes after what is set for it."""

        def write(journal: Journal) -> None:
            content = restoration.model_dump_json().encode()
            journal.model(RESTORATION, content, why="the battery is made ready by it")
            for name, content in models_used(site).items():
                journal.model(name, content, why="the controller starts with it")

        self._try(write)

    def tracking(self, known: SiteKnown) -> None:
        """Keep what tracking found of the models, where that has changed."""
        if self._journal is None or (digest := known.digest()) == self._tracked:
            return
        self._tracked = digest
        content = known.to_json().encode()
        self._try(lambda j: j.model("tracking", content, why="plans are corrected by it"))

    def decision(self, plan: Plan, at: datetime, why: str, *, dry_run: bool) -> None:
        """Write down a plan that is followed, and its commands where they are told."""

        def write(journal: Journal) -> None:
            journal.decision(plan, at=at, why=why, dry_run=dry_run)
            for command in () if dry_run else commands(plan):
                journal.command(command)

        self._try(write)

    def state(
        self,
        state: State,
        standing: Iterable[Event],
        ranks: Mapping[str, int | None],
        refused: str,
    ) -> None:
        """Write down what is planned from: what was read, and the calls that stand."""
        if self._journal is None or not self._states:
            return
        calls = {
            "events": [event.model_dump(mode="json") for event in standing],
            "ranks": dict(ranks),
        }
        content = json.dumps(calls, sort_keys=True).encode()
        news = None if content == self._calls else content
        self._calls = content
        self._try(lambda j: j.state(state, refused=refused, calls=news))

    def arming(self, coming: Iterable[Event]) -> None:
        """Write down that plans are made in advance: for these calls, or for what is likely."""
        if self._states:
            self.note(ARMING, coming=[event.id for event in coming])

    def answer(self, answer: Answer) -> None:
        """Write down what a device answered."""
        self._try(lambda j: j.answer(answer))

    def note(self, what: str, **more: object) -> None:
        """Write down anything else."""
        self._try(lambda j: j.note(what, **more))

    def degradation(self, one: Degradation, state: str) -> None:
        """Write down that a degradation began or is over."""
        self._try(lambda j: j.alarm(one.name, of=one.of, why=one.why, state=state))

    def window(
        self,
        sensed: Sensed,
        step: Step | None,
        duration_s: float,
        nodes: Mapping[str, NodePowerReading],
    ) -> None:
        """Write down what was measured since the reading before.

        Args:
            sensed: what was read.
            step: of the plan, now.
            duration_s: since the reading before.
            nodes: what the meters of nodes said last.
        """
        state = sensed.state
        asked = step if step is not None and step.target_kw != 0.0 else None

        def write(journal: Journal) -> None:
            journal.window(
                Window(
                    start=state.at - timedelta(seconds=duration_s),
                    duration_s=duration_s,
                    samples=int(state.grid is not None),
                    grid_kw=None if state.grid is None else state.grid.kw,
                    target_kw=None if asked is None else asked.target_kw,
                    baseline_kw=None if asked is None else asked.baseline_kw,
                    battery_kw=sensed.battery_kw,
                    soc=state.soc,
                    frequency_hz=sensed.frequency_hz,
                    pool_kw={
                        n: p.power_kw for n, p in state.pools.items() if p.power_kw is not None
                    },
                    node_kw={n: r.power_kw for n, r in nodes.items() if r.covers == "node"},
                )
            )

        self._try(write)

    def _try(self, write: Callable[[Journal], None]) -> None:
        if self._journal is None:
            return
        try:
            write(self._journal)
        except Exception as error:  # the site goes on; what is missing is named
            if self._fault is None:
                log.exception("a record could not be written")
            self._fault = f"{type(error).__name__}: {error}"

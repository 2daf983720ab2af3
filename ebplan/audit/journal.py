"""What a control loop writes in the log: what was asked, decided, told, answered and measured.

One method for each kind of record, so that the bodies are the same whoever writes them. Long
documents (plans, problems, models, events as they came) are kept beside the log, named by hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from ebplan.audit.line import Kind, canonical
from ebplan.audit.log import LONGEST_DOCUMENT_BYTES, AuditHealth, AuditLog
from ebplan.document import Document, Part, Positive, Timestamp

if TYPE_CHECKING:
    from ebplan.adapters.answers import Answer
    from ebplan.adapters.commands import Command
    from ebplan.adapters.events.inbox import Taken
    from ebplan.plan import Plan
    from ebplan.problem import Problem
    from ebplan.state import State


class Window(Part):
    """Measurements over a stretch of time; powers are means."""

    start: Timestamp
    """When it starts."""
    duration_s: Positive
    """How long it is."""
    samples: int
    """Readings of the meter at the connection point in it; 0 where it was silent."""
    grid_kw: float | None
    """Draw at the connection point."""
    grid_min_kw: float | None = None
    """Its lowest reading."""
    grid_max_kw: float | None = None
    """Its highest reading."""
    target_kw: float | None = None
    """Change that was asked; none outside events."""
    baseline_kw: float | None = None
    """What the change counts from."""
    battery_kw: float | None = None
    """Battery power; > 0 discharges."""
    soc: float | None = None
    """State of charge at the end."""
    frequency_hz: float | None = None
    """Grid frequency at the end."""
    pool_kw: dict[str, float] = Field(default_factory=dict)
    """Draw of each pool at the connection point."""
    node_kw: dict[str, float] = Field(default_factory=dict)
    """Draw of each node, as its own meter said last."""
    served_req_per_s: dict[str, float] = Field(default_factory=dict)
    """Requests served, by pool and class (``pool/class``)."""


class Journal:
    """The records of one control loop.

    A body that is too long for a line, or holds what JSON has no word for, is kept beside the log
    and named by the record.

    Args:
        log: where they are written.
        who: who acts, e.g. ``controller`` or a person's name.
    """

    def __init__(self, log: AuditLog, who: str = "controller") -> None:
        self._log, self._who = log, who

    @property
    def health(self) -> AuditHealth:
        """How the log is now."""
        return self._log.health

    def event(self, taken: Taken) -> None:
        """Record what became of a call of the grid."""
        call = taken.message
        self._write(
            "event",
            source=call.source,
            uid=call.uid,
            revision=call.revision,
            outcome=taken.outcome,
            documents={"call": _document(call)},
        )

    def state(self, state: State, *, refused: str = "", calls: bytes | None = None) -> None:
        """Record what is planned from, before it is: with it decisions can be found again.

        Args:
            state: what was read.
            refused: why the plan there is cannot be carried out, where that is so.
            calls: every call that stands and how its sender ranks it, as JSON; None where they
                are those of the state before.
        """
        self._write(
            "state",
            state=state.model_dump(mode="json", exclude_defaults=True),
            refused=refused or None,
            documents=None if calls is None else {"calls": calls},
        )

    def decision(
        self,
        plan: Plan,
        *,
        at: datetime,
        why: str,
        problem: Problem | None = None,
        dry_run: bool = False,
    ) -> None:
        """Record a plan that is followed from ``at`` on, and why it was made.

        In a dry run it is followed in nothing but name, and the record says so.
        """
        documents = {"plan": _document(plan)}
        if problem is not None:
            documents["problem"] = _document(problem)
        self._write(
            "decision",
            at=at.isoformat(),
            why=why,
            dry_run=True if dry_run else None,
            event=plan.event_id,
            status=plan.status,
            objective=plan.objective,
            bound=plan.bound,
            gap=plan.gap,
            check=plan.check.ok,
            shortfall_kwh=plan.shortfall_kwh,
            problem_hash=plan.problem_hash,
            documents=documents,
        )

    def command(self, command: Command) -> None:
        """Record what the site is told."""
        self._write("command", **command.model_dump(mode="json"))

    def answer(self, answer: Answer) -> None:
        """Record what a device answered: asked, confirmed, measured."""
        self._write("answer", answer=type(answer).__name__, **_plain(answer))

    def window(self, window: Window) -> None:
        """Record a stretch of measurements."""
        self._write("window", **window.model_dump(mode="json", exclude_defaults=True))

    def model(self, name: str, content: bytes, *, why: str) -> None:
        """Record the version of a model that is used from here on."""
        self._write("model", name=name, why=why, documents={"model": content})

    def alarm(self, what: str, **more: Any) -> None:
        """Record a degradation, by its name."""
        self._write("alarm", what=what, **more)

    def note(self, what: str, **more: Any) -> None:
        """Record anything else."""
        self._write("note", what=what, **more)

    def _write(
        self, kind: Kind, *, documents: Mapping[str, bytes] | None = None, **body: Any
    ) -> None:
        """Record; what is too long for a record becomes a document of it.

        A control loop does not end over what cannot be written: what was refused is written.
        """
        told = {"by": self._who, **_without_none(body)}
        try:
            self._log.record(kind, told, documents or {})
        except ValueError as error:
            why = str(error)[:1000].encode("ascii", "backslashreplace").decode()
            self._log.record(kind, {"by": self._who, "kept_beside": why}, {"body": _words(told)})


def _document(document: Document) -> bytes:
    return document.to_json().encode()


def _words(body: Mapping[str, Any]) -> bytes:
    """Return a body as JSON, or in Python's words where JSON has none for it."""
    try:
        content = canonical(body)
    except ValueError:
        content = repr(body).encode(errors="backslashreplace")
    return content[:LONGEST_DOCUMENT_BYTES]


def _without_none(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _finite(value) for name, value in body.items() if value is not None}


def _finite(value: Any) -> Any:
    """Say infinite numbers in words, wherever they are: JSON has none, and a limit may be open."""
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value


def _plain(value: Any) -> Any:
    """Return a dataclass as what JSON can say."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return _finite(value)

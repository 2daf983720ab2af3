"""What ``ebplan run`` runs: which site, on which devices, hearing whom, recorded where."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ebplan.document import Document, Part, Positive
from ebplan.planner import Restoration


class AuditSpec(Part):
    """The audit log."""

    folder: str
    """Where it lies."""
    key: str
    """File of the signing key (`ebplan audit keygen`)."""
    states: bool = True
    """Whether what each plan was made from is recorded: with it `ebplan replay` finds decisions
    again. About 0.5 kB for each pool and cycle."""
    copy_checkpoints_to: str | None = None
    """A file, best on another machine, that gets each checkpoint too."""


class MetricsSpec(Part):
    """The page for Prometheus. It says what the site draws: keep it on a network of your own."""

    host: str = "127.0.0.1"
    """Address that is listened on."""
    port: int = Field(default=9464, ge=0, le=65535)
    """Port; 0 for a free one."""


class RunSpec(Document):
    """A site in operation. Paths count from this file."""

    kind: Literal["run"] = "run"
    site: str
    """Site file, or the name of a built-in site."""
    devices: str
    """Devices file."""
    sources: str | None = None
    """File of event sources; without, no call is heard and the site is only kept ready."""
    audit: AuditSpec | None = None
    """The audit log; without, nothing is recorded."""
    metrics: MetricsSpec | None = None
    """The page for Prometheus."""
    restoration: Restoration = Restoration()
    """How the battery is made ready again between calls."""
    report_every_s: Positive = 60.0
    """How often a sender that takes reports is told what was delivered of its call."""
    cycle_s: Positive = 1.0
    """Length of a cycle."""
    deadline_s: Positive = 0.2
    """Time for a plan."""

"""What a replay found, as a document: numbers side by side, and why they differ."""

from __future__ import annotations

from typing import Literal

from ebplan.document import Document, Part, Timestamp
from ebplan.replay.cost import EventCost
from ebplan.replay.measures import EventNumbers


class Money(Part):
    """Money of one side, in the site's currency, > 0 paid by the site.

    None is not recorded, or not priced.
    """

    energy: float
    """Energy drawn, at the site's price, over what was metered."""
    payment: float
    """Paid to the site for what was delivered; < 0."""
    penalty: float
    """Charged for what was missing."""
    compute: float | None
    """Compute that was lost or delayed, and switching."""
    battery: float | None
    """Wear, and stored energy that is not back."""


class EventResult(Part):
    """One event, as it went and as it would have gone."""

    event: str
    """The event."""
    start: Timestamp
    """When it began."""
    duration_s: float
    """How long it lasted."""
    direction: Literal["release", "absorb", "both"]
    """What was asked."""
    size_kw: float
    """How much at most."""
    recorded: EventNumbers
    """As it went."""
    ebplan: EventNumbers
    """As it would have gone."""
    cost: EventCost | None
    """What ebplan's answer would have cost; None where the recording ends before its recovery."""
    why: dict[str, str]
    """Why the two differ, by number."""


class Decisions(Part):
    """Decisions of a run of ebplan, made again from what each was made from."""

    recorded: int
    """Plans that were carried out."""
    same: int
    """Made again, every number of them."""
    another_plan: int
    """Of the same problem: a search under a deadline had found another point."""
    another_problem: int
    """What was planned from differs."""
    not_made: int
    """Now the plan there was kept."""
    also_made: int
    """Now another was made, then none."""
    differ_by_work: int
    """Of those that are not the same, also made now ones among them, the ones of a run whose
    searches counted work: there none may be."""


class ReplaySummary(Document):
    """What a replay found."""

    kind: Literal["replay_summary"] = "replay_summary"
    name: str
    """The replay."""
    ebplan: str
    """Version that replayed."""
    inputs: str
    """Digest of everything it depends on."""
    simulated: Literal[True] = True
    """The side of ebplan is: the fluid plant stands for the site."""
    site: str
    """The site."""
    currency: str
    """Of all money."""
    recording_file: str
    """What was recorded."""
    recording_sha256: str
    """Digest of its file."""
    metered_at: str
    """Where its meter sits."""
    start: Timestamp
    """Where it begins."""
    duration_s: float
    """How long it is."""
    interval_s: float
    """Its interval."""
    metered_s: float
    """How much of it was metered."""
    baseline: str
    """Rule of the baseline."""
    load: str
    """How the load was found."""
    twin_off_kw: float | None
    """Root mean square by which the twin's draw, the battery left out, lies off the recorded one
    where nothing was asked; None where nothing was quiet."""
    recorded: Money
    """Over what was metered."""
    ebplan_money: Money
    """The same of ebplan."""
    events: tuple[EventResult, ...]
    """Event by event."""
    plans: int
    """Plans that ebplan followed."""
    unchecked: int
    """Those of them that no check passed."""
    decisions: Decisions | None = None
    """Of a run of ebplan itself; None for other recordings."""
    cannot_tell: tuple[str, ...]
    """What the recording cannot tell."""
    notes: tuple[str, ...]
    """What was left out, carried over or assumed."""

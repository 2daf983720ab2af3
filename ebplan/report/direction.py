"""Which way an event asks, and the words that depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ebplan.problem import Problem


@dataclass(frozen=True)
class Direction:
    """The way an event asks. A change of the draw times ``sign`` counts as an answer where > 0."""

    sign: int
    """1 to absorb (draw more), -1 to release (draw less)."""
    verb: str
    """What is asked of the site."""
    moved: str
    """What has been moved, as the name of an axis."""
    brings: str
    """What a mechanism does with its share."""
    starts: str
    """What the battery does where it joins late."""
    against: str
    """What an opposing mechanism does to the draw."""
    battery_against: str
    """What the battery does outside the event, where it moves back."""
    helping: str
    """Which sign of a change of the draw helps."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What mechanisms are called that do the reverse of what they are named after."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The same at the head of a column."""

    def name(self, mechanism: str) -> str:
        """Return what a mechanism is called, in words."""
        return self.names.get(mechanism, mechanism.replace("_", " "))

    def header(self, mechanism: str) -> str:
        """Return what a mechanism is called at the head of a column."""
        return self.headers.get(mechanism, mechanism.replace("_", " "))


RELEASE = Direction(
    sign=-1,
    verb="release",
    moved="Released",
    brings="brings",
    starts="discharges",
    against="raises the draw",
    battery_against="recharge",
    helping="minus lowers the draw",
    headers={
        "consolidation": "consol.",
        "power_cap": "cap",
        "clock_lock": "clock",
        "deferral": "defer",
        "precision": "tier",
        "prewarm": "warm",
        "pull_forward": "ahead",
    },
)
ABSORB = Direction(
    sign=1,
    verb="absorb",
    moved="Absorbed",
    brings="takes up",
    starts="charges",
    against="lowers the draw",
    battery_against="discharge",
    helping="plus raises the draw",
    names={
        "battery": "battery charge",
        "consolidation": "put to work",
        "deferral": "worked off",
        "pull_forward": "served ahead",
    },
    headers={
        "consolidation": "at work",
        "deferral": "worked off",
        "pull_forward": "ahead",
        "clock_lock": "clock",
        "power_cap": "cap",
        "precision": "tier",
        "prewarm": "warm",
    },
)


EITHER_WAY = Direction(
    sign=1,
    verb="follow",
    moved="Change of the draw",
    brings="moves",
    starts="works",
    against="lowers the draw",
    battery_against="discharge",
    helping="minus lowers the draw",
    names={"battery": "battery charge"},
)
"""A target followed both ways, or none: changes stand with their own sign."""


def direction_of(problem: Problem) -> Direction:
    """Return which way the event of a problem asks."""
    if problem.asks != "one_way":
        return EITHER_WAY
    return ABSORB if problem.direction > 0 else RELEASE

"""The registry: subjects by name, each a case that is built when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ebplan.case import Case

CaseBuilder = Callable[[], Case]


@dataclass(frozen=True)
class Subject:
    """A case to measure."""

    name: str
    build: CaseBuilder
    heavy: bool = False
    """Takes seconds per solve: measured at most ``HEAVY_REPEATS`` times, and not under every
    option setting."""


SUBJECTS: dict[str, Subject] = {}
"""Every registered subject, in the order of registration."""

HEAVY_REPEATS = 2
"""Repeats of a heavy subject; its p90 is then nearly its maximum."""


def register(name: str, *, heavy: bool = False) -> Callable[[CaseBuilder], CaseBuilder]:
    """Register a case builder as a subject.

    Args:
        name: what the tables call it.
        heavy: see ``Subject.heavy``.
    """

    def add(build: CaseBuilder) -> CaseBuilder:
        if name in SUBJECTS:
            raise ValueError(f"{name} is registered twice")
        SUBJECTS[name] = Subject(name=name, build=build, heavy=heavy)
        return build

    return add

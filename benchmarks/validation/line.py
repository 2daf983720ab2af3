"""One line of the validation page: what was held out, what came out, what was to be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One result."""

    what: str
    """What is predicted from what, in words."""
    value: str
    """What came out, with its unit."""
    goal: str = ""
    """What was to be reached; empty where none was set."""
    reached: bool | None = None
    """Whether it was; None where no goal was set."""


@dataclass(frozen=True)
class Section:
    """One subject of the page."""

    title: str
    """Title of the section."""
    files: tuple[str, ...]
    """Files below the data folder that it needs; where one is missing the section is skipped."""
    run: Callable[[Path], Iterator[Line | str]]
    """Yields lines of the table, and paragraphs of text to stand below it."""

"""The navigation: that of ``mkdocs.yml``, with its folders filled and nothing forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FILLED = ("decisions", "models")
"""Folders that an entry ``NAME/`` of the navigation stands for, page by page."""


def filled(entries: list[Any], source: Path) -> list[Any]:
    """Return the navigation with each ``folder/`` replaced by its pages."""
    done: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and entry.endswith("/"):
            done += folder_entries(source, entry.rstrip("/"), named(entries))
        elif isinstance(entry, dict):
            done += [
                {title: filled(below, source) if isinstance(below, list) else below}
                for title, below in entry.items()
            ]
        else:
            done.append(entry)
    return done


def named(entries: Any) -> set[str]:
    """Return every page that a navigation names."""
    if isinstance(entries, str):
        return {entries}
    if isinstance(entries, dict):
        return set().union(*(named(below) for below in entries.values()))
    return set().union(*(named(entry) for entry in entries)) if entries else set()


def folder_entries(source: Path, folder: str, already: set[str]) -> list[str]:
    """Return the pages of a folder that are not named beside it."""
    pages = (f"{folder}/{page.name}" for page in sorted((source / folder).glob("*.md")))
    return [page for page in pages if page not in already]


def forgotten(entries: list[Any], source: Path) -> list[str]:
    """Return the pages of ``docs/`` that the navigation does not lead to."""
    known = named(entries)
    pages = (page.relative_to(source).as_posix() for page in sorted(source.rglob("*.md")))
    return [page for page in pages if page not in known and not page.startswith("source/")]

"""What somebody meant who wrote a name that there is not."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def meant(name: object, known: Collection[str], *, most: int = 3) -> str:
    """Return the known names nearest to one that is not known: ``did you mean 'a' or 'b'?``.

    Args:
        name: what was written.
        known: the names there are.
        most: how many are named at most.

    Returns:
        The question; empty where none is near.
    """
    near = get_close_matches(str(name), known, most)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""


def listed(known: Collection[str], *, most: int = 8) -> str:
    """Return the known names, or the first ones of many and how many there are."""
    names = list(known)
    left_out = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + left_out

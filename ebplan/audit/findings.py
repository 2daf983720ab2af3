"""What is wrong with a log, and at which line.

A record whose content was edited no longer has the hash that the next one names; one whose ``prev``
was edited breaks the link on both of its sides. So the link after tells which of the two it was.
"""

from __future__ import annotations

from typing import NamedTuple

from ebplan.audit.walk import Line
from ebplan.document import Part

MOST = 20
"""Faults that are listed; after one cut many things no longer fit."""


class Fault(Part):
    """One thing that is wrong."""

    file: str
    """In which file."""
    line: int
    """At which line, from 1."""
    seq: int | None
    """At which record, where it is one."""
    what: str
    """What is wrong."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class _Place(NamedTuple):
    file: str
    line: int
    seq: int


class Findings:
    """Faults as they are found.

    Args:
        first: number of the first record.
    """

    def __init__(self, first: int = 0) -> None:
        self._faults: list[Fault] = []
        self._more = 0
        self._next = first
        """Number that the next record should have."""
        self._last: _Place | None = None
        """The line before."""
        self._last_is_bad = False
        """Whether it was found to be at fault, so that the link after it is broken by that."""
        self._broken: tuple[_Place, _Place] | None = None
        """Two lines that are not linked: one of them was edited, and the next link tells which."""

    def add(self, file: str, line: int, seq: int | None, what: str) -> None:
        """Add a fault."""
        if len(self._faults) >= MOST:
            self._more += 1
        else:
            self._faults.append(Fault(file=file, line=line, seq=seq, what=what))

    def line(self, file: str, line: Line, prev: str | None) -> None:
        """Look at the next line.

        Args:
            file: its file.
            line: the line.
            prev: hash of the line before, hex; None where that is not known.
        """
        place = _Place(file, line.number, self._next)
        record = line.record
        linked = record is not None and (prev is None or record.prev == prev)
        self._tell_broken(linked)
        bad = True
        if record is None:
            self.add(*place, "not a record: these are not the bytes that it was written with")
        elif record.seq != self._next:
            self._out_of_order(place, record.seq)
            place = _Place(file, line.number, record.seq)
            bad = False
        elif linked or self._last_is_bad or self._last is None:
            bad = False
            if not linked and self._last is None:
                self.add(*place, "the first record follows something that is not there")
        else:
            self._broken, bad = (self._last, place), False
        self._last, self._last_is_bad, self._next = place, bad, place.seq + 1

    def root(self, file: str, line: int, low: int, high: int) -> None:
        """Add a checkpoint whose root is another: the first one, below which all was as signed."""
        one = f"record {low}" if high - low == 1 else f"at least one of records {low} to {high - 1}"
        self.add(file, line, low, f"its root is another: {one} is not what was signed")

    def end(self) -> None:
        """No more lines come."""
        if self._broken is not None:
            one, other = self._broken
            self.add(*one, f"record {one.seq} or {other.seq} was edited")
            self._broken = None

    def listed(self) -> tuple[tuple[Fault, ...], int]:
        """Return the first faults, and how many there are besides."""
        return tuple(self._faults), self._more

    def _tell_broken(self, linked: bool) -> None:
        if self._broken is not None:
            one, other = self._broken
            edited = one if linked else other
            self.add(*edited, f"record {edited.seq} was edited")
            self._broken = None
            self._last_is_bad = self._last_is_bad or edited is other

    def _out_of_order(self, place: _Place, seq: int) -> None:
        if seq > self._next:
            one = seq == self._next + 1
            gone = f"record {self._next} is" if one else f"records {self._next} to {seq - 1} are"
            self.add(*place, f"{gone} missing before record {seq}")
        else:
            self.add(*place, f"record {seq} stands after record {self._next - 1}")

"""Whatever way messages come, each call ends where its highest revision says."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from inbox_rigs import Heard, asking, call

from ebplan.adapters.events.grid_event import GridEvent, Key
from ebplan.adapters.events.inbox import CHANGES, InboxFile
from ebplan.document import read_json
from ebplan.errors import InputError

KEYS: list[Key] = [("s", "a"), ("s", "b"), ("t", "a")]
keys, revisions, variants = st.sampled_from(KEYS), st.integers(0, 5), st.sampled_from([0, 1])


def asked_kw(key: Key, revision: int, variant: int) -> float | None:
    """What a revision asks, each another thing; none where it takes the call back.

    The other variant is what a sender that contradicts itself might say.
    """
    if revision % 3 == 2 - variant:
        return None
    return -1.0 - KEYS.index(key) - 10.0 * revision - 100.0 * variant


def message(key: Key, revision: int, variant: int) -> GridEvent:
    source, uid = key
    kw = asked_kw(key, revision, variant)
    if kw is None:
        return call(uid, revision, source=source, cancelled=True)
    return asking(uid, revision, kw, source=source)


class AnyWay(RuleBasedStateMachine):
    """Several calls of two sources: late, twice, contradicting, unlisted, cut off, restarted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.heard = Heard(Path(self.folder.name) / "inbox.json")
        self.first: dict[Key, dict[int, int]] = {}
        """Which variant of each revision came first."""
        self.unlisted: set[Key] = set()
        self.takes = 0
        self.shown: dict[Key, str] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def standing(self, key: Key) -> float | str | None:
        """What the law says of a call."""
        if key not in self.first:
            return "unknown"
        if key in self.unlisted:
            return "unlisted"
        highest = max(self.first[key])
        return asked_kw(key, highest, self.first[key][highest])

    def learn(self, key: Key, revision: int, variant: int) -> None:
        known = self.first.setdefault(key, {})
        if key in self.unlisted and revision >= max(known):
            self.unlisted.remove(key)
            known[revision] = variant  # listed anew: what it says now counts
        known.setdefault(revision, variant)

    @rule(key=keys, revision=revisions, variant=variants)
    def comes(self, key: Key, revision: int, variant: int) -> None:
        before = self.standing(key)
        outcome = self.heard.take(message(key, revision, variant))
        self.takes += 1
        self.learn(key, revision, variant)
        assert (outcome in CHANGES) == (self.standing(key) != before)
        if before == "unknown":
            assert outcome in {"new", "cancelled"}

    @rule(key=keys, revision=revisions)
    def comes_while_the_disk_is_full(self, key: Key, revision: int) -> None:
        before = self.standing(key)
        kept = self.raw()
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        outcome, refused = None, ""
        with patch("ebplan.document.os.fsync", side_effect=full):
            try:
                outcome = self.heard.take(message(key, revision, 0))
            except InputError as error:
                refused = str(error)
        if outcome is None:
            assert "No space left" in refused
        else:
            self.takes += 1
            self.learn(key, revision, 0)
            assert outcome not in CHANGES
            assert self.standing(key) == before
        assert self.raw() == kept

    @rule(source=st.sampled_from(["s", "t"]), present=st.sets(st.sampled_from(["a", "b"])))
    def is_listed(self, source: str, present: set[str]) -> None:
        gone = {
            key
            for key in self.first
            if key[0] == source and key[1] not in present and isinstance(self.standing(key), float)
        }
        taken = self.heard.inbox.take_back_absent(source, present)
        self.takes += len(taken)
        self.unlisted |= gone
        assert {one.message.key for one in taken} == gone
        assert {one.outcome for one in taken} <= {"cancelled"}

    @precondition(lambda self: self.first)
    @rule()
    def is_restarted(self) -> None:
        before = self.heard.inbox.events()
        self.heard.restart()
        assert self.heard.inbox.events() == before

    def raw(self) -> bytes | None:
        path = self.heard.path
        assert path is not None
        assert {p.name for p in path.parent.iterdir()} <= {path.name}
        return path.read_bytes() if path.exists() else None

    @invariant()
    def it_stands_as_the_highest_revision_says(self) -> None:
        said = [self.standing(key) for key in KEYS]
        assert sorted(self.heard.asked_kw) == sorted(kw for kw in said if isinstance(kw, float))

    @invariant()
    def the_listener_was_told_each_outcome_once(self) -> None:
        assert len(self.heard.told) == self.takes

    @invariant()
    def the_file_is_whole(self) -> None:
        if self.raw() is not None:
            kept = InboxFile.parse(read_json(self.heard.path))
            assert kept.calls == tuple(self.heard.inbox.calls.values())

    @invariant()
    def ids_are_apart_sorted_and_stay(self) -> None:
        events = self.heard.inbox.events()
        assert list(events) == sorted(events, key=lambda e: (e.start, e.id))
        assert len({e.id for e in events}) == len(events)
        of_kw = {e.target.delta_kw: e.id for e in events}
        for key in KEYS:
            if (kw := self.standing(key)) in of_kw:
                assert self.shown.setdefault(key, of_kw[kw]) == of_kw[kw]


TestAnyWay = AnyWay.TestCase
TestAnyWay.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)

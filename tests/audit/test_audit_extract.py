"""A part of a log proves itself from each key, and no change of it goes unseen."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_logs import FIRST, MADE, SECOND, THIRD, copy, fill, new_keys, opened

from ebplan.audit import SigningKey
from ebplan.audit.extract import Extract, extract
from ebplan.audit.folder import segments
from ebplan.audit.line import Record, read_line
from ebplan.errors import InputError

STRANGER = SigningKey("other.example.com", bytes([9]) * 32)


def everything(record: Record) -> bool:
    return True


def of_kind(*kinds: str) -> Callable[[Record], bool]:
    return lambda record: record.kind in kinds


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("logs")
    for name, (make, _) in MADE.items():
        make(root / name)
    return {name: root / name for name in MADE}


@pytest.fixture(scope="module")
def taken(logs: dict[str, Path]) -> Extract:
    """Extract of a log whose key changed twice, with a document."""
    return extract(logs["new keys"], of_kind("decision", "note"))


@pytest.mark.parametrize("name", MADE)
def test_each_record_of_each_log_proves_itself(name: str, logs: dict[str, Path]) -> None:
    whole = extract(logs[name], everything)
    assert whole.fault(MADE[name][1].verify_key) is None
    lines = [line for s in segments(logs[name]) for line in s.path.read_text("utf-8").split("\n")]
    assert [proven.line for proven in whole.records] == [line for line in lines if line]


@pytest.mark.parametrize("key", [FIRST, SECOND, THIRD])
def test_every_key_of_the_log_proves_it(key: SigningKey, taken: Extract) -> None:
    assert len(taken.handovers) == 2
    assert taken.fault(key.verify_key) is None
    again = Extract.parse(taken.to_json().encode())
    assert again == taken


@pytest.mark.parametrize("key", [SECOND, THIRD])
def test_it_needs_no_segment_of_before(key: SigningKey, logs: dict[str, Path]) -> None:
    part = extract(logs["moved away"], of_kind("decision"))
    assert part.fault(key.verify_key) is None
    assert part.fault(FIRST.verify_key) is not None


def test_a_key_of_nobody_proves_nothing(taken: Extract, logs: dict[str, Path]) -> None:
    assert taken.fault(STRANGER.verify_key) is not None
    plain = extract(logs["plain"], everything)
    assert plain.handovers == ()
    for key in (SECOND, STRANGER):
        assert "not signed by" in str(plain.fault(key.verify_key))


def test_a_key_that_came_back_proves_it(tmp_path: Path) -> None:
    with opened(tmp_path, FIRST) as log:
        for key in (SECOND, FIRST):
            log.change_key(key)
        fill(log, 3)
    part = extract(tmp_path, everything)
    for key in (FIRST, SECOND):
        assert part.fault(key.verify_key) is None


def test_it_brings_the_documents_of_its_records_alone(logs: dict[str, Path]) -> None:
    def second(record: Record) -> bool:
        return record.body.get("name") == "m1"

    part = extract(logs["with documents"], second)
    assert [base64.b64decode(text) for text in part.documents.values()] == [b"document 1"]
    assert part.fault(FIRST.verify_key) is None
    others = extract(logs["with documents"], everything).documents
    foreign = part.model_copy(update={"documents": others})
    assert "no record names it" in str(foreign.fault(FIRST.verify_key))


def test_what_nobody_signed_for_is_not_taken_out(logs: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(logs["plain"], tmp_path / "log")
    last = segments(folder)[-1]
    notes = last.checkpoints.read_text().split("\n\n")
    last.checkpoints.write_text("\n\n".join(notes[:2]) + "\n")
    part = extract(folder, everything)
    assert [read_line(p.line.encode()).seq for p in part.records] == [0]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="at least one signed record"):
        extract(folder, of_kind("window"))
    last.checkpoints.unlink()
    with pytest.raises(InputError, match="no checkpoint"):
        extract(folder, everything)


def test_a_log_whose_end_was_cut_off_gives_what_is_left(
    logs: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy(logs["reopened"], tmp_path / "log")
    last = segments(folder)[-1]
    kept = last.path.read_bytes().splitlines(keepends=True)[:-3]
    last.path.write_bytes(b"".join(kept))
    assert extract(folder, everything).fault(FIRST.verify_key) is None


def test_an_edited_first_line_of_what_is_left_is_one_line(
    logs: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy(logs["moved away"], tmp_path / "log")
    first = segments(folder)[0].path
    first.write_bytes(first.read_bytes().replace(b'"peaks":["', b'"peaks":["0', 1))
    with pytest.raises(InputError, match="begins no segment"):
        extract(folder, of_kind("decision"))


def test_what_was_edited_in_the_log_does_not_prove_itself(
    logs: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy(logs["plain"], tmp_path / "log")
    file = segments(folder)[0].path
    file.write_bytes(file.read_bytes().replace(b'"n":3,', b'"n":4,', 1))
    assert extract(folder, everything).fault(FIRST.verify_key) is not None


def texts(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of each text of a document: values, and names of documents."""
    if isinstance(data, dict):
        return [place for name, inner in data.items() for place in texts(inner, (*at, name))]
    if isinstance(data, list):
        return [place for n, inner in enumerate(data) for place in texts(inner, (*at, n))]
    return [at] if isinstance(data, str) else []


def with_another(data: Any, place: tuple[Any, ...], change: Callable[[str], str]) -> Any:
    """Return a copy in which one text is another."""
    again = json.loads(json.dumps(data))
    inner = again
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = change(inner[place[-1]])
    return again


def is_proven(data: Any, key: SigningKey) -> bool:
    try:
        return Extract.parse(data).fault(key.verify_key) is None
    except InputError:
        return False


@settings(derandomize=True, deadline=None, max_examples=600)
@given(data=st.data(), key=st.sampled_from([FIRST, SECOND, THIRD]))
def test_no_change_of_a_single_character_goes_unseen(
    data: st.DataObject, key: SigningKey, taken: Extract
) -> None:
    whole = taken.model_dump(mode="json")
    place = data.draw(st.sampled_from(texts(whole)))
    kind = data.draw(st.sampled_from(["change", "delete", "insert"]))
    character = data.draw(st.characters(codec="utf-8"))

    def change(text: str) -> str:
        at = data.draw(st.integers(0, len(text) - 1))
        rest = text[at:] if kind == "insert" else text[at + 1 :]
        return text[:at] + ("" if kind == "delete" else character) + rest

    other = with_another(whole, place, change)
    assert is_proven(other, key) == (other == whole)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(data=st.data())
def test_no_bit_of_base64_is_free(data: st.DataObject, taken: Extract) -> None:
    """The last character of base64 has bits that decode to nothing."""
    whole = taken.model_dump(mode="json")
    digest = data.draw(st.sampled_from(sorted(whole["documents"])))
    text = whole["documents"][digest]
    at = len(text.rstrip("=")) - 1
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123"))
    other = text[:at] + letter + text[at + 1 :]
    changed = with_another(whole, ("documents", digest), lambda _: other)
    assert is_proven(changed, FIRST) == (other == text)


def other_lists(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return extracts in which something is left out, doubled or elsewhere."""
    made = []
    for name in ("records", "handovers"):
        items = whole[name]
        made += [{**whole, name: items[::-1]}, {**whole, name: [*items, items[-1]]}]
        made += [{**whole, name: [items[0], *items]}]
    made += [{**whole, "handovers": items} for items in ([], whole["handovers"][:1])]
    (digest,) = whole["documents"]
    made += [{**whole, "documents": {"0" * 64: whole["documents"][digest]}}]
    return made


def test_nothing_is_doubled_or_exchanged(taken: Extract) -> None:
    whole = taken.model_dump(mode="json")
    assert is_proven(whole, FIRST)
    for other in other_lists(whole):
        assert not is_proven(other, FIRST)


def test_a_new_key_that_the_old_one_did_not_sign_for_is_refused(tmp_path: Path) -> None:
    """Somebody with a key of their own appends a change to it."""
    new_keys(tmp_path / "site")
    true = extract(tmp_path / "site", everything)
    with opened(tmp_path / "own", THIRD) as log:
        log.change_key(STRANGER)
        fill(log, 3)
    false = extract(tmp_path / "own", everything)
    assert false.fault(STRANGER.verify_key) is None
    joined = false.model_copy(update={"handovers": (*true.handovers, *false.handovers)})
    # whoever holds the third key may hand it over: that is what handing over means
    assert joined.fault(FIRST.verify_key) is None
    bent = true.model_copy(update={"handovers": (true.handovers[0], *false.handovers)})
    assert "not from the key of the one before" in str(bent.fault(FIRST.verify_key))

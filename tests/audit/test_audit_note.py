"""Signed notes and keys: as others write them, and not one byte otherwise."""

from __future__ import annotations

import pytest
from audit_logs import KEY, NEW_KEY
from hypothesis import given
from hypothesis import strategies as st

from ebplan.audit import SigningKey, VerifyKey, note
from ebplan.errors import InputError

# the key and the note of the documentation of golang.org/x/mod/sumdb/note
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    b"If you think cryptography is the answer to your problem,\n"
    b"then you don't know what your problem is.\n"
)
GO_SIGNATURE = (
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
)


def test_key_and_signature_of_the_note_package_fit() -> None:
    key = VerifyKey.parse(GO_KEY)
    raw = note.decode(GO_SIGNATURE)
    assert raw is not None
    assert raw[:4] == key.id
    assert key.signed(raw[4:], GO_TEXT)
    assert not key.signed(raw[4:], GO_TEXT + b"\n")
    assert str(key) == GO_KEY


@given(st.integers(0, 2**40), st.binary(min_size=32, max_size=32), st.booleans())
def test_a_checkpoint_reads_back(size: int, root: bytes, both: bool) -> None:
    keys = [KEY, NEW_KEY] if both else [KEY]
    checkpoint = note.sign("site-1", size, root, keys)
    assert note.parse(checkpoint.to_text()) == checkpoint
    assert all(checkpoint.signed_by(key.verify_key) for key in keys)
    assert checkpoint.signed_by(NEW_KEY.verify_key) == both


@given(st.data())
def test_no_single_edit_of_a_note_goes_unseen(data: st.DataObject) -> None:
    good = note.sign("site-1", 17, bytes(range(32)), [KEY])
    raw = good.to_text().encode()
    at = data.draw(st.integers(0, len(raw) - 1))
    new = data.draw(st.binary(max_size=2).filter(lambda b: b != raw[at : at + 1]))
    edited = raw[:at] + new + raw[at + 1 :]
    checkpoint = note.parse(edited.decode("utf-8", errors="replace"))
    assert checkpoint is None or not checkpoint.signed_by(KEY.verify_key)


@given(st.lists(st.integers(0, 10**6), max_size=5))
def test_a_file_of_notes_splits_into_what_was_joined(sizes: list[int]) -> None:
    notes = [note.sign("site-1", size, bytes(32), [KEY]).to_text() for size in sizes]
    text = note.join(notes)
    found = list(note.split(text))
    assert [n for _, n in found] == notes
    assert all(text.split("\n")[line - 1] == "site-1" for line, _ in found)


@pytest.mark.parametrize(
    "text",
    ["", "site-1", GO_KEY[:-1], GO_KEY.replace("c74f", "c74e"), GO_KEY + "\n\nx", "a b" + GO_KEY],
)
def test_what_is_no_key_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match="key: got") as refused:
        VerifyKey.parse(text)
    assert "\n" not in str(refused.value)


def test_a_key_file_is_its_owners_alone(tmp_path) -> None:
    path = tmp_path / "site.key"
    KEY.write(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.read(path).verify_key == KEY.verify_key
    with pytest.raises(InputError, match="never overwritten"):
        KEY.write(path)
    path.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        SigningKey.read(path)
    path.chmod(0o600)
    path.write_text(path.read_text().replace("+A", "+B", 1))
    with pytest.raises(InputError) as refused:
        SigningKey.read(path)
    assert "not shown" in str(refused.value)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "x" * 101])
def test_a_name_that_would_break_a_note_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        SigningKey.make(name)


def test_secret_keys_do_not_show() -> None:
    assert "ARIDBA" not in repr(KEY)
    with pytest.raises(TypeError):
        __import__("pickle").dumps(KEY)

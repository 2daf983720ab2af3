"""Checkpoints: size and root of the tree, signed, as C2SP's tlog-checkpoint in a signed note.

    <origin>            which log: the name of its first key
    <size>              how many records
    <base64 root>
                        (a blank line)
    — <name> <base64 of key id || signature>      one for each key that signs

The signature covers the text up to the blank line, its last line break included. Sources:
https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ebplan.audit.keys import SigningKey, VerifyKey, decode, encode
from ebplan.audit.tree import HASH_BYTES

DASH = "— "
LINE = re.compile(r"[^\n]*\n|[^\n]+")
KEY_ID_BYTES, SIGNATURE_BYTES = 4, 64


@dataclass(frozen=True)
class Signature:
    """One line under a note."""

    name: str
    """Who says that they signed."""
    key_id: bytes
    """With which key, 4 bytes."""
    signature: bytes
    """The signature."""


@dataclass(frozen=True)
class Checkpoint:
    """What was signed."""

    origin: str
    """Which log."""
    size: int
    """Records that it covers."""
    root: bytes
    """Root of their tree."""
    signatures: tuple[Signature, ...] = field(default=())
    """Who signed."""

    @property
    def body(self) -> bytes:
        """What the signatures cover."""
        return f"{self.origin}\n{self.size}\n{encode(self.root)}\n".encode()

    def signed_by(self, key: VerifyKey) -> bool:
        """Whether a key that can be trusted signed it."""
        return any(
            s.name == key.name and s.key_id == key.id and key.signed(s.signature, self.body)
            for s in self.signatures
        )

    def to_text(self) -> str:
        """Return the note."""
        lines = (f"{DASH}{s.name} {encode(s.key_id + s.signature)}\n" for s in self.signatures)
        return f"{self.body.decode()}\n{''.join(lines)}"


def sign(origin: str, size: int, root: bytes, keys: Sequence[SigningKey]) -> Checkpoint:
    """Return a checkpoint that all these keys signed."""
    bare = Checkpoint(origin, size, root)
    signatures = tuple(
        Signature(k.verify_key.name, k.verify_key.id, k.sign(bare.body)) for k in keys
    )
    return Checkpoint(origin, size, root, signatures)


def parse(text: str) -> Checkpoint | None:
    """Read one note; None where a single byte is not as ``to_text`` would write it."""
    body, blank, signed = text.partition("\n\n")
    lines = body.split("\n")
    if not blank or len(lines) != 3 or not lines[1].isdecimal():
        return None
    root = decode(lines[2])
    if root is None or len(root) != HASH_BYTES or len(lines[1]) > 16:
        return None
    signatures: list[Signature] = []
    for line in signed.removesuffix("\n").split("\n"):
        name, _, encoded = line.removeprefix(DASH).partition(" ")
        raw = decode(encoded)
        if raw is None or len(raw) != KEY_ID_BYTES + SIGNATURE_BYTES:
            return None
        signatures.append(Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:]))
    found = Checkpoint(lines[0], int(lines[1]), root, tuple(signatures))
    return found if found.to_text() == text else None


def split(text: str) -> Iterator[tuple[int, str]]:
    """Return the notes of a file of notes, each with the number of its first line.

    A blank line stands between two notes. What is no note comes as it is, and ``parse`` refuses it.
    """
    begin, found, signed = 1, "", False
    for number, line in enumerate(LINE.findall(text), 1):
        if signed and line == "\n":
            yield begin, found
            begin, found, signed = number + 1, "", False
        else:
            found += line
            signed = signed or line.startswith(DASH)
    if found or begin > 1:
        yield begin, found


def join(notes: Iterable[str]) -> str:
    """Return a file of notes."""
    return "\n".join(notes)

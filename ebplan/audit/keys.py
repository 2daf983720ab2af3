"""Keys of the log, in the text form of C2SP's signed notes.

    verify key    <name>+<key id, 8 hex digits>+<base64 of 0x01 || public key>
    signing key   PRIVATE+KEY+<name>+<key id>+<base64 of 0x01 || seed>

The key id is the first 4 bytes of SHA-256(name || 0x0A || 0x01 || public key); 0x01 says Ed25519.
Source: https://c2sp.org/signed-note, and golang.org/x/mod/sumdb/note for the signing key.
"""

from __future__ import annotations

import os
import re
import stat
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ebplan.document import read_text
from ebplan.errors import InputError

ED25519 = b"\x01"
PRIVATE = "PRIVATE+KEY+"
NAME = re.compile(r"[^\s+]{1,100}")
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class VerifyKey:
    """Who may sign a log, and the name under which they do."""

    name: str
    """Name of the signer: of the site, e.g. ``ebplan.example.com/site-1``."""
    public: bytes
    """Ed25519 public key, 32 bytes."""

    @property
    def id(self) -> bytes:
        """The 4 bytes by which signatures name the key."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode(ED25519 + self.public)}"

    def signed(self, signature: bytes, content: bytes) -> bool:
        """Whether this key made the signature over the content."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, content)
        except InvalidSignature:
            return False
        return True

    @classmethod
    def parse(cls, text: str, *, file: str | None = None) -> Self:
        """Read the text form.

        Raises:
            InputError: it is none, or its id belongs to another key.
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = decode(encoded)
        if not NAME.fullmatch(name) or raw is None or len(raw) != 33 or raw[:1] != ED25519:
            raise _no_key(text, file)
        key = cls(name, raw[1:])
        if key.id.hex() != key_id:
            raise _no_key(text, file)
        return key

    @classmethod
    def read(cls, given: str) -> Self:
        """Read a key that is given as text, or as the path of a file that holds it.

        Raises:
            InputError: it is neither.
        """
        if given.count("+") >= 2 and not os.path.exists(given):
            return cls.parse(given)
        return cls.parse(read_text(Path(given)), file=given)


class SigningKey:
    """The secret half.

    Args:
        name: name of the signer.
        seed: 32 secret bytes.
    """

    __slots__ = ("_key", "verify_key")

    def __init__(self, name: str, seed: bytes) -> None:
        if not NAME.fullmatch(name):
            raise InputError(
                field="name",
                value=name,
                allowed="1 to 100 characters without blanks and without '+'",
                remedy="name the site, e.g. ebplan.example.com/site-1",
            )
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verify_key = VerifyKey(name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({self.verify_key.name!r}, ...)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a signing key is not written anywhere")

    def sign(self, content: bytes) -> bytes:
        """Return the signature over the content, 64 bytes."""
        return self._key.sign(content)

    @classmethod
    def make(cls, name: str) -> Self:
        """Return a new key.

        Raises:
            InputError: the name cannot be one.
        """
        return cls(name, os.urandom(32))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a key from its file.

        Raises:
            InputError: there is none, others may read it, or it holds something else.
        """
        if not path.exists():
            raise InputError(
                field="(file)",
                value="No such file or directory",
                allowed="the secret key that signs the log",
                remedy=f"make one: ebplan audit keygen NAME -o {path}",
                file=str(path),
            )
        text = read_text(path).strip()
        mode = path.stat().st_mode
        if mode & OTHERS:
            raise InputError(
                field="(file)",
                value=f"mode {stat.S_IMODE(mode):04o}",
                allowed="a key that only its owner may read",
                remedy=f"chmod 600 {path}",
                file=str(path),
            )
        name, _, rest = text.removeprefix(PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = decode(encoded)
        if not text.startswith(PRIVATE) or raw is None or len(raw) != 33 or raw[:1] != ED25519:
            raise _no_key(PRIVATE, str(path))
        key = cls(name, raw[1:])
        if key.verify_key.id.hex() != key_id:
            raise _no_key(PRIVATE, str(path))
        return key

    def write(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read.

        Raises:
            InputError: the file is there already, or cannot be written.
        """
        seed = self._key.private_bytes_raw()
        key = self.verify_key
        text = f"{PRIVATE}{key.name}+{key.id.hex()}+{encode(ED25519 + seed)}\n"
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise InputError(
                field="(output)",
                value=error.strerror,
                allowed="a new file in a folder that may be written",
                remedy="choose another name: a key is never overwritten",
                file=str(path),
            ) from None
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())


def encode(raw: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(raw).decode()


def decode(text: str) -> bytes | None:
    """Return the bytes of base64; None where it is not the one text that encodes them."""
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    return raw if encode(raw) == text else None


def _no_key(value: str, file: str | None) -> InputError:
    return InputError(
        field="key",
        value="(not shown)" if PRIVATE in value else value,
        allowed="a key as `ebplan audit keygen` writes it: name+id+base64",
        remedy="give the file or the line that the site published",
        file=file,
    )

"""What happened, so that it can be proven: a log that shows every later change to it.

Each record is one line of JSON in the bytes of RFC 8785 and names the hash of the one before. All
lines are the leaves of one Merkle tree (RFC 6962), whose root is signed at least once a second
(Ed25519, the notes of C2SP). Who keeps one such checkpoint elsewhere can show that nothing it
covers was edited, removed, moved or cut off; who has only the log and the public key can show all
of that but the cutting off of its end.

``log`` writes, ``verification`` proves, ``extract`` takes a part out that proves itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.audit.keys import SigningKey, VerifyKey
    from ebplan.audit.log import AuditLog
    from ebplan.audit.verification import verify

_HOME = {
    "AuditLog": "log",
    "SigningKey": "keys",
    "VerifyKey": "keys",
    "verify": "verification",
}

__all__ = ["AuditLog", "SigningKey", "VerifyKey", "verify"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebplan.audit' has no attribute {name!r}")
    return getattr(import_module(f"ebplan.audit.{_HOME[name]}"), name)

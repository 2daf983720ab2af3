"""Reads what the server says of our registration, and its response codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebplan.adapters.events.openadr2b.read_events import text
from ebplan.adapters.events.openadr2b.times import duration_s
from ebplan.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

NOT_REGISTERED = 463
"""Not registered, or not authorised."""
LOST = frozenset({452, NOT_REGISTERED})
"""An invalid id, too, may be ours."""
SLOWEST_S = 86400.0
"""A longer wait between polls is no way to be called."""


class RegistrationLost(Exception):
    """The server does not know us, or no longer; the text says how that showed.

    Args:
        why: how.
        code: the response code that said so, where one did.
    """

    def __init__(self, why: str, code: int | None = None) -> None:
        self.why, self.code = why, code
        super().__init__(why)


@dataclass(frozen=True)
class Registration:
    """What we are registered as."""

    ven_id: str
    """Our id."""
    registration_id: str
    """Of the registration."""
    vtn_id: str | None
    """The server's id."""
    poll_s: float | None
    """How often it wants to be asked at most; None where it does not say."""


def response(message: _Element) -> tuple[int, str]:
    """Return response code and description of a message; 200 where it has none."""
    code = text(message, "ei:eiResponse/ei:responseCode")
    said = text(message, "ei:eiResponse/ei:responseDescription") or ""
    shown = "".join(c for c in said if c.isprintable())[:200]
    return (200 if code is None else int(code)), shown


def require_ok(message: _Element) -> None:
    """Refuse a message that says something went wrong.

    Raises:
        RegistrationLost: it says so; everything that is wrong is healed by a new registration.
    """
    code, said = response(message)
    if code >= 300:
        what = "it does not know us" if code in LOST else "it refuses"
        raise RegistrationLost(f"{what}: {code} {said}".rstrip(), code)


def read_registration(message: _Element) -> Registration:
    """Return the registration in an ``oadrCreatedPartyRegistration``.

    Raises:
        RegistrationLost: the server does not register us.
    """
    require_ok(message)
    registration_id, ven_id = text(message, "ei:registrationID"), text(message, "ei:venID")
    if not registration_id or not ven_id:
        raise RegistrationLost("it does not register us")
    return Registration(ven_id, registration_id, text(message, "ei:vtnID"), _poll_s(message))


def _poll_s(message: _Element) -> float | None:
    asked = text(message, "oadr:oadrRequestedOadrPollFreq/xcal:duration")
    try:
        wanted_s = 0.0 if asked is None else duration_s(asked, at="oadrRequestedOadrPollFreq")
    except InputError:
        wanted_s = 0.0
    return min(wanted_s, SLOWEST_S) or None

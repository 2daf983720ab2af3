"""The kinds of documents, and what reads each: for somebody who gives a command another one."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any, Final

from ebplan.errors import InputError

READ_BY: Final[dict[str, str]] = {
    "event": "solve",
    "problem": "solve",
    "plan": "check",
    "offer_request": "offer",
    "study": "study",
    "sweep": "sweep",
    "hosting": "hosting",
    "portfolio": "portfolio",
    "replay": "replay",
    "run": "run",
    "devices": "doctor",
    "event_sources": "listen",
    "twin": "twin up",
    "protocol": "twin experiment",
    "fit": "fit",
    "prequalification": "settle prequalify",
    "audit_extract": "audit verify",
}
"""The command that reads each kind of document."""
NAMED_BY: Final[dict[str, str]] = {
    "site": "an event, a study or a run names it (site = ...)",
    "state": "an event or an offer request names it (state = ...)",
    "service": "--service names it, or the services of a study do",
    "tariff": "a study names it (market.day_ahead = ...)",
    "commissioning": "a devices file names it",
    "register_map": "a devices file names it",
    "router": "a devices file names it",
    "offer": "`ebplan settle report --available` reads it",
    "grid_event": "it is laid into a folder that `ebplan listen` watches",
}
"""Of kinds that no command reads by themselves: how they are used."""
MARKS: Final[dict[str, frozenset[str]]] = {
    "event": frozenset({"event"}),
    "plan": frozenset({"steps", "problem_hash"}),
    "offer_request": frozenset({"confidences"}),
    "study": frozenset({"portfolio", "period"}),
    "sweep": frozenset({"study", "axes"}),
    "portfolio": frozenset({"regions", "awards"}),
    "hosting": frozenset({"connection_kw", "contract"}),
    "replay": frozenset({"recording"}),
    "run": frozenset({"site", "devices"}),
    "devices": frozenset({"nodes", "engines"}),
    "event_sources": frozenset({"sources"}),
    "protocol": frozenset({"shapes", "concurrencies"}),
    "twin": frozenset({"load_req_per_s"}),
    "site": frozenset({"connection_point", "pools"}),
    "fit": frozenset({"fit"}),
}
"""Fields by which a document is known that does not say its kind."""


def another_kind(
    data: Mapping[str, Any], *wanted: str, fields: Collection[str], file: str | None
) -> InputError | None:
    """Return what to say of a document of another kind than is wanted; None where it is none.

    Args:
        data: the document.
        wanted: the kinds that are read here.
        fields: the fields that such a document may have.
        file: where it comes from.
    """
    said = data.get("kind")
    kind = said if said is not None else _looks_like(data, fields)
    if not isinstance(kind, str) or kind in wanted or kind not in {*READ_BY, *NAMED_BY}:
        return None
    here = shlex.quote(file) if file else "FILE"
    command = READ_BY.get(kind)
    use = f"use this one with: ebplan {command} {here}" if command else NAMED_BY[kind]
    marks = ", ".join(sorted(MARKS.get(kind, ())))
    return InputError(
        field="kind",
        value=kind if said is not None else f"nothing, but what makes a {kind}: {marks}",
        allowed=" or ".join(map(repr, wanted)),
        remedy=f"give a file of that kind; {use}",
        file=file,
    )


def _looks_like(data: Mapping[str, Any], fields: Collection[str]) -> str | None:
    """Return the kind whose marks a document has, one of which has no place in what is wanted."""
    for kind, marks in MARKS.items():
        if marks <= data.keys() and not marks <= set(fields):
            return kind
    return None

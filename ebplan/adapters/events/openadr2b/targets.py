"""Whom an event is for."""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.adapters.events.openadr2b.spec import OpenAdr2bSpec


def elsewhere(
    targets: Sequence[tuple[str, str]], spec: OpenAdr2bSpec, ven_id: str | None
) -> str | None:
    """Return why an event is not for this site; None where it is.

    Of each kind of target that an event names, one must be ours. An event that names none is for
    whoever it is sent to. A kind that cannot be ours by any declaration, such as a service area, is
    never ours.

    Args:
        targets: as (kind, id).
        spec: who we are.
        ven_id: the id we are registered under.
    """
    ours: dict[str, set[str]] = {
        "venID": {ven_id} if ven_id else set(),
        "resourceID": set(spec.resources),
        "groupID": set(spec.groups),
        "groupName": set(spec.groups),
        "partyID": set(spec.parties),
    }
    for kind in dict.fromkeys(kind for kind, _ in targets):
        named = [name for k, name in targets if k == kind]
        if not ours.get(kind, set()).intersection(named):
            return f"it is for {kind} {', '.join(filter(None, named))}".rstrip()
    return None

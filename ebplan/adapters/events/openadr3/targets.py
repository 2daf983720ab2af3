"""Whether an event is meant for this site.

Without targets it is meant for all. 3.0.1 writes targets as types with values (VEN_NAME,
RESOURCE_NAME, GROUP, ...), 3.1 as plain texts. One that is ours suffices (assumed: the standard
says that a server filters by any match, and nothing of several types together).
"""

from __future__ import annotations

from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec
from ebplan.adapters.events.openadr3.wire import ValuesMap, WireEvent


def is_for(event: WireEvent, spec: OpenAdr3Spec, program_name: str | None) -> bool:
    """Whether an event is meant for this site, as a part of a program."""
    if not event.targets:
        return True
    ours = typed(spec)
    if program_name is not None:
        ours["PROGRAM_NAME"] = {program_name}
    plain = set(plain_targets(spec))
    return any(
        not ours.get(target.type, set()).isdisjoint(map(str, target.values))
        if isinstance(target, ValuesMap)
        else target in plain
        for target in event.targets
    )


def typed(spec: OpenAdr3Spec) -> dict[str, set[str]]:
    """Return what we are targeted by, by type."""
    ours = {kind: set(values) for kind, values in spec.targets.items()}
    ours.setdefault("VEN_NAME", set()).add(spec.ven_name)
    ours.setdefault("RESOURCE_NAME", set()).add(spec.resource)
    return ours


def plain_targets(spec: OpenAdr3Spec) -> list[str]:
    """Return what we are targeted by without types, as 3.1 writes it."""
    return sorted({value for values in typed(spec).values() for value in values})

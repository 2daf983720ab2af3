"""What a server must know before it serves us: our name, our subscription; and its programs' ids.

All of it is looked up before anything is made, so that a restart on either side makes nothing twice
and brings back what was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ebplan.adapters.events.openadr3.line import Line, NoAnswer
from ebplan.adapters.events.openadr3.mapping import Program, told
from ebplan.adapters.events.openadr3.spec import OpenAdr3Spec, ProgramSpec
from ebplan.adapters.events.openadr3.targets import plain_targets
from ebplan.adapters.events.openadr3.webhook import Webhook
from ebplan.adapters.events.openadr3.wire import WireProgram
from ebplan.errors import InputError

SUBSCRIBED = ("CREATE", "UPDATE", "DELETE")
"""As both versions write it in a subscription; toadr3 writes POST, PUT and DELETE there."""


async def find_programs(line: Line, spec: OpenAdr3Spec) -> tuple[dict[str, Program], list[str]]:
    """Return the programs of the site by id, and a line for each that is not there.

    Raises:
        NoAnswer: the server gave no list of programs.
    """
    listed, _ = await line.list_all("/programs", query=privacy(spec))
    programs = [found for one in listed if (found := _program(one)) is not None]
    known: dict[str, Program] = {}
    missing = []
    for wanted in spec.programs:
        named = [p for p in programs if p.id == wanted.id or p.programName == wanted.name]
        if len(named) == 1:
            known[named[0].id] = _joined(named[0], wanted, spec)
        elif wanted.id is not None:
            known[wanted.id] = Program(
                wanted.id, wanted.terms or spec.terms, assumed=wanted.assumed
            )
        else:
            missing.append(f"program {wanted.name!r}: {len(named)} of that name are listed")
    return known, missing


async def register_ven(line: Line, spec: OpenAdr3Spec) -> None:
    """Make ourselves known where we are not.

    Raises:
        NoAnswer: the server did not take it.
    """
    listed, _ = await line.list_all("/vens", query=(("venName", spec.ven_name),))
    if any(isinstance(one, dict) and one.get("venName") == spec.ven_name for one in listed):
        return
    body: dict[str, Any] = {"venName": spec.ven_name}
    if spec.version == "3.1":
        body["objectType"] = "VEN_VEN_REQUEST"  # OpenAPI 3.1, venRequest
    got = await line.ask("POST", "/vens", body=body)
    if not got.ok and got.status != 409:  # somebody was faster
        raise NoAnswer(f"our name is not taken: {got.shown}", told=True)


async def subscribe(
    line: Line, spec: OpenAdr3Spec, webhook: Webhook, programs: Mapping[str, Program]
) -> None:
    """See to it that each program's events are posted to the webhook.

    Raises:
        NoAnswer: the server did not take it.
    """
    listed, _ = await line.list_all("/subscriptions", query=(("clientName", spec.ven_name),))
    for program in programs:
        wanted = subscription(spec, webhook, program)
        ours = [one for one in listed if _is_ours(one, program, spec)]
        if any(_covers(one, wanted) for one in ours):
            continue
        if ours:
            got = await line.ask("PUT", f"/subscriptions/{ours[0]['id']}", body=wanted)
        else:
            got = await line.ask("POST", "/subscriptions", body=wanted)
        if not got.ok:
            raise NoAnswer(f"no subscription: {got.shown}", told=True)


def subscription(spec: OpenAdr3Spec, webhook: Webhook, program: str) -> dict[str, Any]:
    """Return the subscription to one program's events."""
    body: dict[str, Any] = {
        "clientName": spec.ven_name,
        "programID": program,
        "objectOperations": [
            {
                "objects": ["EVENT"],
                "operations": list(SUBSCRIBED),
                "callbackUrl": webhook.url,
                "bearerToken": webhook.token.reveal(),
            }
        ],
    }
    if spec.version == "3.1":
        body["targets"] = plain_targets(spec)
    return body


def privacy(spec: OpenAdr3Spec) -> tuple[tuple[str, str], ...]:
    """Return what a 3.1 server must be told to show us what is targeted at us."""
    if spec.version == "3.0.1":
        return ()
    return tuple(("targets", target) for target in plain_targets(spec))


def _program(data: object) -> WireProgram | None:
    try:
        return WireProgram.parse(data)
    except InputError:  # another's, perhaps: if it is ours, it will be missing
        return None


def _joined(found: WireProgram, wanted: ProgramSpec, spec: OpenAdr3Spec) -> Program:
    return Program(
        found.id,
        wanted.terms or spec.terms,
        name=found.programName,
        told=told(found.payloadDescriptors),
        assumed=wanted.assumed,
    )


def _is_ours(one: object, program: str, spec: OpenAdr3Spec) -> bool:
    """Whether a listed subscription is the one that we made for a program, here or before."""
    return (
        isinstance(one, dict)
        and isinstance(one.get("id"), str)
        and one.get("clientName") == spec.ven_name
        and one.get("programID") == program
        and isinstance(one.get("objectOperations"), list)
    )


def _covers(listed: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a listed subscription does what is wanted; a hidden token is taken for ours."""
    want = wanted["objectOperations"][0]
    return any(
        _holds(one.get("objects"), want["objects"])
        and _holds(one.get("operations"), want["operations"])
        and (one.get("bearerToken") or want["bearerToken"]) == want["bearerToken"]
        for one in listed["objectOperations"]
        if isinstance(one, dict) and one.get("callbackUrl") == want["callbackUrl"]
    )


def _holds(listed: object, wanted: Sequence[str]) -> bool:
    return isinstance(listed, list) and all(one in listed for one in wanted)

"""What the GPU library's error codes mean, and what to do about them."""

from __future__ import annotations

from ebplan.adapters.answers import Range, Refused, Setting, Unreachable

REFUSING = {
    2: "the value is outside what the GPU takes",
    3: "the GPU does not support it (virtual GPU, MIG or a laptop's)",
    4: "no permission: caps and clocks need root or CAP_SYS_ADMIN; let ebplan-capd own them",
    13: "the driver is too old for it",
}
"""Nothing was changed."""
AWAY = {
    1: "the library was not started",
    6: "there is no GPU with this identity",
    9: "the driver is not loaded",
    12: "libnvidia-ml.so.1 is not there: no driver is installed",
    15: "the GPU has fallen off the bus: reset it or restart the node",
    16: "the GPU has to be reset",
}
"""The GPU cannot be asked at all; nothing was changed."""
START_AGAIN = frozenset({1, 9, 12})
"""After these the library is started anew with the next call."""


def words(code: int) -> str:
    """Return what a code means."""
    return REFUSING.get(code) or AWAY.get(code) or f"the GPU library says {code}"


def answer_of(
    code: int, *, device: str, command: str, asked: Setting, feasible: Range | None
) -> Refused | Unreachable:
    """Return a code as the answer to a command; an unknown one may have come after execution."""
    if code in REFUSING:
        return Refused(
            device=device, command=command, asked=asked, why=words(code), feasible=feasible
        )
    return Unreachable(
        device=device, command=command, asked=asked, why=words(code), executed=code not in AWAY
    )

"""Signed requests whose revision we made, while their signature counts.

A single event and a DELETE bring no revision: we number them as they come (``numbering``). Of two
that were signed in the same second, the earlier one, sent again by somebody who saw it, would get a
higher number. So the same signature always means the message that it meant first, and the inbox
finds that outdated.
"""

from __future__ import annotations

from ebplan.adapters.events.grid_event import GridEvent
from ebplan.adapters.events.webhook.proof import LetIn

MOST = 10_000
"""Signatures remembered; of more the first is forgotten."""


class SignedBefore:
    """What signatures meant when they came first; a restart forgets it."""

    def __init__(self) -> None:
        self._meant: dict[str, tuple[float, GridEvent]] = {}

    def get(self, proof: LetIn) -> GridEvent | None:
        """Return what a signature meant when it came first; None where it is new or a token."""
        if proof.mark is None or proof.mark not in self._meant:
            return None
        return self._meant[proof.mark][1]

    def keep(self, proof: LetIn, message: GridEvent, now_s: float) -> None:
        """Remember what a signature means, and forget those that no longer count."""
        if proof.mark is None:
            return
        for mark, (until_s, _) in list(self._meant.items()):
            if until_s < now_s:
                del self._meant[mark]
        if len(self._meant) >= MOST:
            del self._meant[next(iter(self._meant))]
        self._meant[proof.mark] = proof.until_s, message

"""What the devices answered, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ebplan.adapters.answers import Answer

KEPT = 10_000
"""So many answers are kept; whoever wants them all listens."""


@dataclass(frozen=True)
class Note:
    """One answer."""

    at_s: float
    """When it came, in seconds of the dispatcher's clock."""
    answer: Answer


class Notes:
    """The last answers, and whoever listens to each.

    Args:
        now_s: the dispatcher's clock.
        listen: called with each note, e.g. to write the audit log.
    """

    def __init__(
        self, now_s: Callable[[], float], listen: Callable[[Note], None] | None = None
    ) -> None:
        self._now_s, self._listen = now_s, listen
        self.last: deque[Note] = deque(maxlen=KEPT)

    def __call__(self, answer: Answer) -> Answer:
        """Note an answer and return it."""
        note = Note(self._now_s(), answer)
        self.last.append(note)
        if self._listen is not None:
            self._listen(note)
        return answer

"""What the devices answered, in order; what a device says again and again is noted once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ebplan.adapters.answers import Answer, Applied

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

    An answer that failed and is the same as the one before to the same command is not news.

    Args:
        now_s: the dispatcher's clock.
        listen: called with each note, e.g. to write the audit log.
    """

    def __init__(
        self, now_s: Callable[[], float], listen: Callable[[Note], None] | None = None
    ) -> None:
        self._now_s, self._listen = now_s, listen
        self.last: deque[Note] = deque(maxlen=KEPT)
        self._said: dict[tuple[str, str], tuple[type, str]] = {}

    def __call__(self, answer: Answer) -> Answer:
        """Note an answer and return it."""
        key, said = (answer.device, answer.command), (type(answer), _why(answer))
        again = self._said.get(key) == said
        self._said[key] = said
        if isinstance(answer, Applied) or not again:
            note = Note(self._now_s(), answer)
            self.last.append(note)
            if self._listen is not None:
                self._listen(note)
        return answer


def _why(answer: Answer) -> str:
    """Return the reason without what counts down in it."""
    return "".join(c for c in getattr(answer, "why", "") if not c.isdigit())

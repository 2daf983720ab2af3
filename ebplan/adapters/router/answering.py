"""What the router's answers are made of, and how long it is left alone after a failure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
)
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import (
    BackOff,
    Health,
    after_failure,
    after_success,
    may_try,
    retry_at_s,
)
from ebplan.adapters.router.runtime_socket import NoAnswer, NotTaken
from ebplan.adapters.router.standing import Foreign

Asked = Mapping[str, float] | Mapping[str, float | None]
Failure = NoAnswer | NotTaken | Foreign


class Answering:
    """The answers of one router.

    Args:
        name: what it is called.
        policy: how often one tries again where it does not answer.
        clock: what time it is.
    """

    def __init__(self, name: str, policy: BackOff, clock: Clock) -> None:
        self.name = name
        self._policy = policy
        self._clock = clock
        self.health = Health()

    def answered(self) -> None:
        """Count an answer."""
        self.health = after_success(self.health, self._clock.now_s(), self._policy)

    def guard(self) -> None:
        """Leave a router that does not answer alone for a while.

        Raises:
            NoAnswer: the wait is not over.
        """
        now_s = self._clock.now_s()
        if not may_try(self.health, now_s, self._policy) and self.health.failures:
            left_s = retry_at_s(self.health, self._policy) - now_s
            raise NoAnswer(f"left alone for {left_s:.1f} s: {self.health.why}", sent=False)

    def failed(self, error: NoAnswer) -> None:
        """Count a failure; being left alone is none."""
        if not error.why.startswith("left alone"):
            self.health = after_failure(self.health, self._clock.now_s(), error.why)

    def lost_all(
        self,
        command: str,
        asked: Asked,
        names: Mapping[str, int] | list[str],
        error: Failure,
        executed: bool | None = None,
    ) -> dict[str, Answer]:
        """Return an answer for each name to one failure, which counts once."""
        if isinstance(error, NoAnswer) and executed is not None:
            error = NoAnswer(error.why, sent=executed)
        return {
            name: self.lost(command, name, asked[name], error, counts=i == 0)
            for i, name in enumerate(names)
        }

    def lost(
        self, command: str, part: str, asked: float | None, error: Failure, counts: bool = True
    ) -> Refused | Unreachable:
        """Return the answer to a failure, which counts against the router unless told otherwise."""
        if not isinstance(error, NoAnswer):
            return self.refused(command, part, asked, str(error))
        if counts:
            self.failed(error)
        return Unreachable(
            device=self._who(part), command=command, asked=asked, why=error.why, executed=error.sent
        )

    def refused(self, command: str, part: str, asked: float | None, why: str) -> Refused:
        """Return that nothing was changed."""
        return Refused(device=self._who(part), command=command, asked=asked, why=why)

    def _who(self, part: str) -> str:
        return f"{self.name}/{part}" if part else self.name

    def confirm(
        self,
        command: str,
        part: str,
        asked: float | None,
        feasible: Range,
        wanted: int,
        seen: int | None,
        decode: Callable[[int], float | None],
        kept: dict[str, int],
    ) -> Answer:
        """Compare what is read back, and remember what is confirmed."""
        who = self._who(part)
        confirmed = None if seen is None else decode(seen)
        if seen != wanted:
            why = f"told {decode(wanted)}, {confirmed} is read back"
            return Unverified(
                device=who, command=command, asked=asked, why=why, read_back=confirmed
            )
        kept[part] = wanted
        if asked is not None and asked not in feasible:
            return AppliedInPart(
                device=who,
                command=command,
                asked=asked,
                confirmed=confirmed,
                feasible=feasible,
                why="outside its range",
            )
        return Applied(device=who, command=command, asked=asked, confirmed=confirmed)

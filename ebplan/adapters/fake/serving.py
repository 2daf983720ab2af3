"""A serving engine in memory; without a lease it is woken, as a local agent would do."""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.adapters.answers import Answer, Applied, Refused, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.fake.faults import FakeDevice
from ebplan.adapters.roles import ServingReading


class FakeServing(FakeDevice):
    """Safe state: awake.

    Args:
        name: what it is called.
        clock: what time it is.
        timeout_s: how long a silent one keeps one waiting.
    """

    def __init__(
        self, *, name: str = "engine", clock: Clock | None = None, timeout_s: float = 0.2
    ) -> None:
        super().__init__(name, clock, timeout_s)
        self.running = 0
        self.waiting = 0
        self.warm_prompts: set[str] = set()
        self._asleep = False

    @property
    def awake(self) -> bool:
        """Whether it answers requests now."""
        return not (self._asleep and self.leased)

    async def read(self) -> ServingReading | Unreachable:
        """Return what it is doing."""
        return await self._unreadable() or ServingReading(
            awake=self.awake,
            running=self.running,
            waiting=self.waiting,
            kv_cache_used=0.0,
            prompt_tokens=0.0,
            generated_tokens=0.0,
            finished=0.0,
            cache_hits=0.0,
            preempted=0.0,
        )

    async def sleep(self) -> Answer:
        """Put it to sleep; refused while anything is in flight."""
        if self.running or self.waiting:
            return Refused(
                device=self.name,
                command="sleep",
                asked=None,
                why=f"{self.running} running, {self.waiting} waiting: drain it first",
            )
        if not self.leased:
            return Refused(device=self.name, command="sleep", asked=None, why="no lease")
        return await self._turn("sleep", asleep=True)

    async def wake(self) -> Answer:
        """Wake it."""
        return await self._turn("wake", asleep=False)

    async def warm(self, prompts: Sequence[str]) -> Answer:
        """Load the working memory of these prompts."""
        if not self.awake:
            return Refused(device=self.name, command="warm", asked=None, why="it is asleep")
        count = float(len(prompts))
        broken = await self._broken("warm", count)
        if self.fault in (None, "silent"):
            self.warm_prompts.update(prompts)
        return broken or Applied(device=self.name, command="warm", asked=count, confirmed=count)

    async def _turn(self, command: str, *, asleep: bool) -> Answer:
        broken = await self._broken(command, None)
        if self.fault in (None, "silent"):
            self._asleep = asleep
            if asleep:
                self.warm_prompts.clear()  # the cache is lost
        return broken or Applied(device=self.name, command=command, asked=None, confirmed=None)

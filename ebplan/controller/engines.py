"""What each engine of a pool does, by its name: what was told, held against what it says.

A plan speaks of counts; ``disaggregate`` names the engines that change. This keeps the names over
plans: a transition that was told is believed until the engine says that it has arrived, or until it
should have; everything else is what the engine and the router say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ebplan.adapters.roles import RouterReading, ServingReading
from ebplan.adapters.site_devices import Place
from ebplan.disaggregate import Instance, Mode, Switch, Timing
from ebplan.plan import PoolEpoch
from ebplan.site import Pool
from ebplan.state import InTransit

GRACE_S = 5.0
"""So long after it should have arrived an engine is still believed to be on its way."""
ON_THE_WAY: dict[Mode, str] = {"to_asleep": "asleep", "to_awake": "awake"}


@dataclass(frozen=True)
class Known:
    """One engine; times are seconds of the controller's clock."""

    mode: Mode
    """What it does."""
    since_s: float
    """Since when."""
    awake_since_s: float
    """When it was woken last."""
    until_s: float = 0.0
    """When it arrives, where it is on its way."""


class Engines:
    """The engines of one pool.

    Args:
        pool: the pool of the site.
        places: where each engine is.
    """

    def __init__(self, pool: Pool, places: Mapping[str, Place]) -> None:
        self._places = places
        self.timing = timing_of(pool)
        """How long transitions take."""
        self._known: dict[str, Known] = {}
        self._turns: list[tuple[float, Sequence[Switch]]] = []
        self.lost: frozenset[str] = frozenset()
        """Engines that do not answer."""

    def see(
        self,
        now_s: float,
        router: RouterReading | None,
        engines: Mapping[str, ServingReading | None],
    ) -> None:
        """Take what was told until now and what was read.

        Args:
            now_s: now.
            router: what the router says; None where it does not answer.
            engines: what each engine says; None for one that does not answer.
        """
        self._pass(now_s)
        self.lost = frozenset(name for name in self._places if engines.get(name) is None)
        for name in self._places:
            reading = engines.get(name)
            if reading is None:
                continue  # what it did last counts again once it answers
            before = self._known.get(name)
            mode = self._mode_of(name, reading, router, before, now_s)
            if before is None:
                self._known[name] = Known(mode, now_s, now_s)
            elif mode != before.mode:
                woken = before.mode in ("asleep", "to_awake") and mode != "asleep"
                awake_since_s = now_s if woken else before.awake_since_s
                self._known[name] = Known(mode, now_s, awake_since_s)

    def told(
        self, start_s: float, epochs: Sequence[PoolEpoch], turns: Sequence[Sequence[Switch]]
    ) -> None:
        """Remember what a plan tells from now on.

        Args:
            start_s: the plan's 0, in seconds of the controller's clock.
            epochs: its epochs.
            turns: who changes at each, as ``disaggregate`` says.
        """
        self._turns = [
            (start_s + epoch.t_s, switches)
            for epoch, switches in zip(epochs, turns, strict=True)
            if switches
        ]

    def instances(self, start_s: float) -> list[Instance]:
        """Return every engine that answers, for a plan that starts then."""
        return [
            Instance(
                name,
                known.mode,
                known.since_s - start_s,
                known.awake_since_s - start_s,
                max(known.until_s - start_s, 0.0),
            )
            for name, known in self._known.items()
            if name not in self.lost
        ]

    def counts(self, now_s: float) -> dict[str, object]:
        """Return the fields of ``PoolState`` that count instances."""
        there = {n: k for n, k in self._known.items() if n not in self.lost}
        modes = [known.mode for known in there.values()]
        transit = [
            InTransit(to=ON_THE_WAY[k.mode], count=1, remaining_s=max(k.until_s - now_s, 0.0))
            for k in there.values()
            if k.mode in ON_THE_WAY
        ]
        return {
            "active": modes.count("active") + modes.count("locked"),
            "drained": modes.count("drained"),
            "asleep": modes.count("asleep"),
            "in_transit": tuple(transit),
            "lost": len(self.lost),
        }

    def _pass(self, now_s: float) -> None:
        """Let what a plan told until now have happened."""
        while self._turns and self._turns[0][0] <= now_s:
            at_s, switches = self._turns.pop(0)
            for switch in switches:
                known = self._known.get(switch.id)
                if known is None:
                    continue
                lead_s = {"to_asleep": self.timing.sleep_s, "to_awake": self.timing.wake_s}
                until_s = at_s + lead_s.get(switch.to_mode, 0.0)
                self._known[switch.id] = replace(
                    known, mode=switch.to_mode, since_s=at_s, until_s=until_s
                )

    def _mode_of(
        self,
        name: str,
        reading: ServingReading,
        router: RouterReading | None,
        before: Known | None,
        now_s: float,
    ) -> Mode:
        """Return what an engine does, by what it says; on its way it is until it has arrived."""
        on_its_way = before is not None and now_s < before.until_s + GRACE_S
        if not reading.awake:
            coming = before is not None and before.mode == "to_awake" and on_its_way
            return "to_awake" if coming else "asleep"
        if before is not None and before.mode == "to_asleep" and on_its_way:
            return "to_asleep"
        if router is None or not router.leased:
            held = None if before is None else before.mode
            return held if held in ("active", "locked", "drained") else "active"
        server = router.servers.get(self._places[name].server)
        if server is None or server.weight == 0.0:
            return "drained"
        return "locked" if before is not None and before.mode == "locked" else "active"


def timing_of(pool: Pool) -> Timing:
    """Return how long the transitions of a pool take."""
    warm = pool.prewarm
    return Timing(
        sleep_s=pool.sleep.sleep_s,
        wake_s=pool.sleep.wake_s,
        warm_wake_s=warm.wake_s if warm else pool.sleep.wake_s,
        swap_s=pool.tier.swap_s if pool.tier else 0.0,
    )

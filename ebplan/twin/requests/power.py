"""The draw of a pool of engines: the fitted curves, one engine at a time.

An engine's utilisation is the share of its slots that decode; while it works on a prompt that holds
the others up it counts as saturated. The curve, the cap and the clock are those of ``pool_truth``,
so both plants draw alike at the same load. Speed under a cap follows the models' elasticity from
the draw that the cap cuts: a cap above the natural draw slows nothing.

How the draw follows:

- what active engines draw follows with ``cap_response`` downwards, ``rise_response`` upwards;
- an engine that was drained goes on drawing for the streams it still has; as they end its draw
  falls with the time constant of ``route_response``, whose dead time counts from the drain on;
- a lost engine draws nothing at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.twin.lag import Lag, LaggedPower
from ebplan.twin.pool_truth import PoolTruth, Way
from ebplan.twin.requests.engine import Engine, Pace

SHORTEST_S = 1e-6
"""No mean is taken over less."""


def pace_of(way: Way, limit_kw: float | None, *, slots: int, idle_kw: float, faster: float) -> Pace:
    """Return speed and draw of engines that run alike.

    Args:
        way: curves of an instance.
        limit_kw: what a cap or clock leaves it; None without.
        slots: requests in service at once.
        idle_kw: draw without load.
        faster: what an uncapped engine serves, over one of the pool's own precision.
    """
    speed, busy_kw = [faster], [0.0]
    for count in range(1, slots + 1):
        utilisation = count / slots
        drawn_kw = way.power_kw(utilisation, limit_kw)
        natural_kw = min(way.power_kw(utilisation, None), way.limit.full_kw)
        share = 1.0
        if limit_kw is not None and limit_kw < natural_kw:
            # elasticity from the draw that the cap cuts, not from the one of a full engine
            share = way.capacity(limit_kw * way.limit.full_kw / natural_kw)
        speed.append(faster * share)
        busy_kw.append(drawn_kw - idle_kw)
    return Pace(tuple(speed), tuple(busy_kw))


class EnginesPower:
    """Settled and present draw of a pool.

    Args:
        truth: idle power and responses.
        engines: the engines.
        base_kw: idle power of all engines awake, and all that is no engine's load.
    """

    def __init__(self, truth: PoolTruth, engines: Sequence[Engine], base_kw: float) -> None:
        self._truth, self._engines, self._base_kw = truth, engines, base_kw
        self._busy_kw = [engine.busy_kw for engine in engines]
        self._seen_kws = [engine.busy_kws for engine in engines]
        self._seen_s = 0.0
        self._drained_s: dict[int, float] = {}
        self.lag = LaggedPower(base_kw + sum(self._busy_kw))

    def drain(self, engine: int, now_s: float) -> None:
        """Hear that an engine takes no more requests."""
        self._drained_s[engine] = now_s

    def undrain(self, engine: int) -> None:
        """Hear that an engine takes requests again."""
        self._drained_s.pop(engine, None)

    def lose(self, engine: int, each_kw: float) -> None:
        """Lose an engine: what it drew is gone at once; ``settle`` must follow."""
        self._busy_kw[engine] = 0.0
        self._base_kw -= each_kw
        self.undrain(engine)

    def jump(self, base_kw: float, now_s: float) -> None:
        """Settle anew at once; what is on its way goes on."""
        self._look(now_s, mean=False)
        self._base_kw = base_kw
        self.lag.settle_to(base_kw + sum(self._busy_kw), now_s)

    def settle(
        self, base_kw: float, now_s: float, *, mean: bool, joined: int = 0, idle: int = 0
    ) -> None:
        """Settle anew, and let the difference follow at its speeds.

        Args:
            base_kw: as when the pool began.
            now_s: seconds of the plant.
            mean: take each engine's mean draw since it was settled last, not the one now.
            joined: engines put to work that may still be falling.
            idle: engines left without load that may be, too.
        """
        truth = self._truth
        before = self._busy_kw[:]
        self._look(now_s, mean=mean)
        others_kw, falls = 0.0, list[tuple[float, Lag]]()
        for i, (old_kw, new_kw) in enumerate(zip(before, self._busy_kw, strict=True)):
            drained_s = self._drained_s.get(i)
            if drained_s is not None and new_kw < old_kw:
                delay_s = max(drained_s + truth.drain.delay_s - now_s, 0.0)
                falls.append((new_kw - old_kw, Lag(delay_s, truth.drain.time_constant_s)))
            else:
                others_kw += new_kw - old_kw
        changes = [base_kw - self._base_kw, others_kw]
        if joined:
            # one put to work while it falls goes on from where it is
            still_kw = self.lag.take(truth.drain.time_constant_s, joined / (idle + joined))
            falls.append((-still_kw, truth.rise))
        self._base_kw = base_kw
        self.lag.settle_to(
            base_kw + sum(self._busy_kw),
            now_s,
            (
                *((kw, truth.fall) for kw in changes if kw < 0.0),
                *((kw, truth.rise) for kw in changes if kw > 0.0),
                *falls,
            ),
        )

    def _look(self, now_s: float, *, mean: bool) -> None:
        seconds = now_s - self._seen_s
        for i, engine in enumerate(self._engines):
            engine.sync(now_s)
            if not mean:
                self._busy_kw[i] = engine.busy_kw
            elif seconds > SHORTEST_S:
                self._busy_kw[i] = (engine.busy_kws - self._seen_kws[i]) / seconds
            self._seen_kws[i] = engine.busy_kws
        self._seen_s = now_s

"""A site that moves with the wall clock, told over the wire.

Everything but the pools' ears is ``SitePlant``: converter and cells, droop, frequency, lags and
meters. ``run`` steps it to the wall clock's now, some fifty times a second, and counts how far it
falls behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from ebplan.adapters.commands import ArmDroop
from ebplan.frequency import ResponseCurve
from ebplan.site import Site
from ebplan.state import PoolState, State
from ebplan.twin.converter import HoldBattery
from ebplan.twin.droop import DroopSignal
from ebplan.twin.live.named_pool import NamedPool
from ebplan.twin.plant import Measurements
from ebplan.twin.pool_truth import PoolTruth
from ebplan.twin.requests.beginning import parts_of
from ebplan.twin.requests.settings import EngineModel, Traffic
from ebplan.twin.settings import BatteryHeat, Bias, Droop, FrequencyModel, MeterModel
from ebplan.twin.site_plant import SitePlant

BEHIND_S = 0.2
"""A step longer than this is one that came late: the plant had fallen behind by as much."""


class LivePlant(SitePlant):
    """A site in real time.

    Args:
        site: the site.
        state: how it begins, every instance awake and empty.
        traffic: what comes, for the sizes that say what a request is.
        engines: the engines of a pool, by pool.
        bias: how the truth differs from the planner's models.
        seed: of every chance.
        frequency: the grid's frequency.
        meter: the meter at the connection point.
        droop: curve of the converter, as long as nothing arms another.
        heat: how warm the battery gets; without, it stays cool.
    """

    def __init__(
        self,
        site: Site,
        state: State,
        *,
        traffic: Mapping[str, Mapping[str, Traffic]] | None = None,
        engines: Mapping[str, EngineModel] | None = None,
        bias: Bias | None = None,
        seed: int = 0,
        frequency: FrequencyModel | None = None,
        meter: MeterModel | None = None,
        droop: ResponseCurve | None = None,
        heat: BatteryHeat | None = None,
    ) -> None:
        self.named_pools: dict[str, NamedPool] = {}
        """The pools."""
        traffic, engines = traffic or {}, engines or {}

        def pool(name: str, index: int, truth: PoolTruth, begins: PoolState) -> NamedPool:
            parts = parts_of(
                name,
                index,
                site.pools[name],
                begins,
                engine=engines.get(name, EngineModel()),
                traffic=traffic.get(name, {}),
                seed=seed,
            )
            made = self.named_pools[name] = NamedPool(name, truth, begins, parts)
            return made

        super().__init__(
            site,
            state,
            pool,
            bias=bias,
            seed=seed,
            frequency=frequency,
            meter=meter,
            droop=None if droop is None else Droop(curve=droop),
            heat=heat,
        )
        self.last: Measurements = self._measure(0.0, self._registers(), ())
        """What was measured last."""
        self.late_s = 0.0
        """How far the plant was behind the clock at most."""
        self.late_steps = 0
        """Steps that came later than ``BEHIND_S``."""
        self.steps = 0

    # --- the converter ------------------------------------------------------------------------

    @property
    def battery_kw(self) -> float:
        """Power that the battery gave over the last step."""
        return self.last.battery_kw

    @property
    def soc(self) -> float:
        """State of charge; 0 without a battery."""
        return 0.0 if self._converter is None else self._converter.cells.soc

    @property
    def hz(self) -> float:
        """The grid's frequency."""
        return self.last.frequency_hz

    @property
    def meter_kw(self) -> float | None:
        """What the meter at the connection point shows; None while it is silent."""
        return self.last.grid_kw

    @property
    def grid_kw(self) -> float:
        """Draw at the connection point over the last step, in truth."""
        return self._last_grid_kw

    _last_grid_kw = 0.0

    def hold_battery(self, battery_kw: float) -> None:
        """Let the converter hold a power of the battery once its delay has passed; > 0 gives."""
        if self._converter is not None:
            self._converter.tell(HoldBattery(battery_kw), self._now_s)

    def arm(self, curve: ResponseCurve | None, reserve_kw: float) -> None:
        """Let the converter answer the frequency with a reserve by a curve; None disarms."""
        if self._converter is None:
            return
        if curve is not None:
            self._droop = DroopSignal(curve, self._frequency, self._converter.delay_s)
        told = ArmDroop(at_s=0.0, reserve_kw=0.0 if curve is None else reserve_kw)
        self._converter.tell(told, self._now_s)

    # --- time ---------------------------------------------------------------------------------

    async def run(self, every_s: float, after: Callable[[Measurements], None]) -> None:
        """Follow the wall clock until cancelled.

        Args:
            every_s: length of a step where nothing else is at work.
            after: hears what was measured, after each step.
        """
        began_s = time.monotonic() - self._now_s
        while True:
            await asyncio.sleep(every_s)
            behind_s = (time.monotonic() - began_s) - self._now_s
            if behind_s <= 0.0:
                continue
            before_kwh = self._registers().grid_kwh
            self.last = self.step((), behind_s)
            self._last_grid_kw = (self.last.registers.grid_kwh - before_kwh) * 3600.0 / behind_s
            self.steps += 1
            late_s = behind_s - every_s
            self.late_s = max(self.late_s, late_s)
            self.late_steps += late_s > BEHIND_S
            after(self.last)

"""A site around its pools: converter and cells, frequency, meters, what happens besides commands.

Between two instants at which something happens, the draw is a level and decaying residues, and is
carried over the whole stretch at once. What a pool does with its requests is the pool's: the fluid
plant and the one that follows single requests share everything here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ebplan.adapters.commands import ArmDroop, Command, HoldConnectionPoint, RestConverter
from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.state import PoolState, State
from ebplan.twin import disturbances as upset
from ebplan.twin.beginning import check_fit, other_load_kw, pool_truth
from ebplan.twin.converter import Converter, HoldBattery
from ebplan.twin.droop import DroopSignal
from ebplan.twin.frequency import SAME_TIME_S, GridFrequency
from ebplan.twin.heat import Heat
from ebplan.twin.lag import LaggedPower
from ebplan.twin.meter import Meter
from ebplan.twin.noise import LoadErrors, stream
from ebplan.twin.plant import Measurements, PoolReading, Refusal, Registers
from ebplan.twin.pool_truth import PoolTruth
from ebplan.twin.settings import BatteryHeat, Bias, Droop, FrequencyModel, LoadNoise, MeterModel


class SitePool(Protocol):
    """What a site asks of a pool, whatever it makes of its requests."""

    next_event_s: float
    """When it must next be told that time has passed, in seconds of the plant."""

    @property
    def lag(self) -> LaggedPower:
        """Its draw."""
        ...

    def tell(self, command: Command, now_s: float) -> Refusal | None:
        """Take a command; ``settle`` follows."""
        ...

    def settle(self, now_s: float) -> None:
        """Work the settled draw out anew."""
        ...

    def set_load(self, request_class: str, req_per_s: float, now_s: float) -> None:
        """Let another rate of a class come; ``settle`` follows."""
        ...

    def set_noise(self, factor: float, now_s: float) -> None:
        """Let this multiple of the forecast come; ``settle`` follows."""
        ...

    def lose(self, mode: str, count: int, now_s: float) -> None:
        """Lose instances; ``settle`` follows."""
        ...

    def bring_back(self, count: int, now_s: float) -> None:
        """Let lost instances return; ``settle`` follows."""
        ...

    def drift(self, number: str, factor: float, now_s: float) -> None:
        """Let a number be this many times what it was."""
        ...

    def advance(self, seconds: float) -> float:
        """Let time pass, up to the next event at most; return the energy in kW s."""
        ...

    def happen(self, now_s: float) -> None:
        """Let happen what is due."""
        ...

    def reading(self) -> PoolReading:
        """Return what it says of itself now."""
        ...


MakePool = Callable[[str, int, PoolTruth, PoolState], SitePool]
"""Makes a pool from its name, its place among the pools, what is true of it, and its state."""


class SitePlant:
    """A site from a state on, settled in it.

    Args:
        site: the site.
        state: how it begins; its meter reading, if any, says what the other load is.
        make_pool: makes each pool.
        bias: how the truth differs from the planner's models.
        load_noise: error of the load's forecast.
        seed: of every chance.
        disturbances: what happens besides commands, in any order.
        frequency: the grid's frequency.
        droop: what the converter does with an armed reserve; without, it only keeps it free.
        meter: the meter at the connection point.
        pool_meter: the meter of each pool.
        cells_meter: of the power that leaves the energy stored in the cells; without, it is not
            measured.
        heat: how warm the battery gets, and what that leaves of its power; without, it stays cool.

    Raises:
        InputError: site and state do not fit, or the models leave the range of their parameters.
    """

    def __init__(
        self,
        site: Site,
        state: State,
        make_pool: MakePool,
        *,
        bias: Bias | None = None,
        load_noise: LoadNoise | None = None,
        seed: int = 0,
        disturbances: Sequence[upset.Disturbance] = (),
        frequency: FrequencyModel | None = None,
        droop: Droop | None = None,
        meter: MeterModel | None = None,
        pool_meter: MeterModel | None = None,
        cells_meter: MeterModel | None = None,
        heat: BatteryHeat | None = None,
    ) -> None:
        bias = bias or Bias()
        check_fit(site, state)
        self._started, self._now_s = state.at, 0.0
        truths = {name: pool_truth(name, site, bias) for name in site.pools}
        self._pools: Mapping[str, SitePool] = {
            name: make_pool(name, i, truth, state.pools[name])
            for i, (name, truth) in enumerate(truths.items())
        }
        self._pool_kws = dict.fromkeys(self._pools, 0.0)
        drawn_kw = sum(pool.lag.kw for pool in self._pools.values())
        self._other_kw = other_load_kw(site, state, truths, drawn_kw)
        self._converter: Converter | None = None
        if site.battery is not None and state.soc is not None:
            delay_s = site.battery.converter_delay_s * bias.converter_delay
            self._converter = Converter(site.battery, state.soc, delay_s=delay_s)
        self._heat: Heat | None = None
        if heat is not None and self._converter is not None:
            self._heat = Heat(heat, self._converter.cells)
            self._converter.derate(self._heat.discharge_share, self._heat.charge_share)
        self._grid_kws = 0.0
        contingencies = [d for d in disturbances if isinstance(d, upset.FrequencyContingency)]
        self._frequency = GridFrequency(
            frequency or FrequencyModel(), contingencies, stream(seed, "frequency")
        )
        self._droop: DroopSignal | None = None
        if droop is not None and self._converter is not None:
            self._droop = DroopSignal(droop.curve, self._frequency, self._converter.delay_s)
        self._meter = Meter(meter or MeterModel(), seed)
        averaging_s = (meter or MeterModel()).averaging_s
        self._battery_meter = Meter(MeterModel(averaging_s=averaging_s), seed)
        self._pool_meters = {
            name: Meter(pool_meter or MeterModel(), seed, 1 + i)
            for i, name in enumerate(self._pools)
        }
        self._cells_meter = None
        if cells_meter is not None and self._converter is not None:
            self._cells_meter = Meter(cells_meter, seed, 1 + len(self._pools))
        self._upsets = sorted(
            (d for d in disturbances if not isinstance(d, upset.FrequencyContingency)),
            key=lambda d: -d.at_s,
        )
        self._errors = LoadErrors(load_noise or LoadNoise(), list(self._pools), seed)
        self._happen()

    @property
    def now_s(self) -> float:
        """Seconds since the plant began."""
        return self._now_s

    def state(self) -> State:
        """Return the state to plan from, as it is now, without a meter reading."""
        return self._measure(0.0, self._registers(), ()).state()

    def step(self, commands: Sequence[Command], dt_s: float) -> Measurements:
        """Carry commands out now, let time pass, and measure.

        Raises:
            InputError: the step is no time, or a command speaks of what the site does not have.
        """
        if not 0.0 < dt_s < math.inf:
            raise InputError(field="dt_s", value=dt_s, allowed="> 0 s", remedy="let some time pass")
        refused = self._tell(commands) if commands else ()
        before = self._registers()
        # rounded, so that a tenth of a second taken ten times is a second
        end_s = round(self._now_s + dt_s, 9)
        while self._now_s < end_s:
            self._advance(min(end_s, max(self._next_event_s(), self._now_s)))
            self._happen()
        return self._measure(dt_s, before, refused)

    def hold_power(self, battery_kw: float) -> None:
        """Let the converter hold this power, > 0 discharging, once its delay has passed.

        For who steers it from outside, as a controller on real devices does.
        """
        if self._converter is not None:
            self._converter.tell(HoldBattery(battery_kw), self._now_s)

    def happens(self, disturbance: upset.Disturbance) -> None:
        """Let something happen now, whatever its ``at_s`` says; no frequency contingency."""
        self._upset(disturbance)

    # --- commands and disturbances --------------------------------------------------------------

    def _tell(self, commands: Sequence[Command]) -> tuple[Refusal, ...]:
        refused, told = [], dict[str, SitePool]()
        for command in commands:
            if isinstance(command, HoldConnectionPoint | RestConverter | ArmDroop):
                self._tell_converter(command)
                continue
            pool = self._pool(command.pool)
            told[command.pool] = pool
            if (refusal := pool.tell(command, self._now_s)) is not None:
                refused.append(refusal)
        for pool in told.values():
            pool.settle(self._now_s)
        return tuple(refused)

    def _tell_converter(self, command: HoldConnectionPoint | RestConverter | ArmDroop) -> None:
        if self._converter is None:
            raise InputError(
                field="battery",
                value=command.command,
                allowed="commands to a converter only where the site has a battery",
                remedy="send the commands of a plan for this site",
            )
        self._converter.tell(command, self._now_s)

    def _pool(self, name: str) -> SitePool:
        if name not in self._pools:
            raise InputError(
                field="pool",
                value=name,
                allowed=", ".join(self._pools),
                remedy="name a pool of the site",
            )
        return self._pools[name]

    def _upset(self, d: upset.Disturbance) -> None:
        match d:
            case upset.OtherLoadStep():
                self._other_kw = d.kw
            case upset.ConverterTrip() | upset.ConverterReturn():
                if self._converter is not None:
                    self._converter.tripped = isinstance(d, upset.ConverterTrip)
            case upset.BatteryDrift():
                if self._converter is not None:
                    self._converter.cells.drift(d.number, d.factor)
            case upset.PoolDrift():
                self._pool(d.pool).drift(d.number, d.factor, self._now_s)
            case upset.LoadStep() | upset.InstanceLost() | upset.InstanceReturned():
                pool = self._pool(d.pool)
                if isinstance(d, upset.LoadStep):
                    pool.set_load(d.request_class, d.req_per_s, self._now_s)
                elif isinstance(d, upset.InstanceLost):
                    pool.lose(d.mode, d.count, self._now_s)
                else:
                    pool.bring_back(d.count, self._now_s)
                pool.settle(self._now_s)

    # --- time -----------------------------------------------------------------------------------

    def _next_event_s(self) -> float:
        first_s = self._errors.next_tick_s
        for pool in self._pools.values():
            first_s = min(first_s, pool.next_event_s)
        if self._upsets:
            first_s = min(first_s, self._upsets[-1].at_s)
        if self._heat is not None:
            first_s = min(first_s, self._heat.next_tick_s)
        if self._converter is not None:
            first_s = min(first_s, self._converter.next_event_s)
            if self._droop is not None and self._converter.reserve_kw > 0.0:
                first_s = min(first_s, self._droop.next_bend_s(self._now_s))
        return first_s

    def _advance(self, until_s: float) -> None:
        seconds = until_s - self._now_s
        level_kw, decays = self._other_kw, dict[float, float]()
        for pool in self._pools.values():
            level_kw += pool.lag.level_kw
            for constant_s, kw in pool.lag.decays.items():
                decays[constant_s] = decays.get(constant_s, 0.0) + kw
        if self._converter is not None and seconds > 0.0:
            share = (0.0, 0.0)
            if self._droop is not None and self._converter.reserve_kw > 0.0:
                share = self._droop.shares(self._now_s, seconds)
            self._grid_kws -= self._converter.advance(seconds, level_kw, decays, share)
        self._grid_kws += self._other_kw * seconds
        for name, pool in self._pools.items():
            energy_kws = pool.advance(seconds)
            self._pool_kws[name] += energy_kws
            self._grid_kws += energy_kws
        self._now_s = until_s

    def _happen(self) -> None:
        now_s = self._now_s
        while self._upsets and self._upsets[-1].at_s <= now_s + SAME_TIME_S:
            self._upset(self._upsets.pop())
        if self._errors.next_tick_s <= now_s + SAME_TIME_S:
            for name, factor in self._errors.tick().items():
                self._pools[name].set_noise(factor, now_s)
                self._pools[name].settle(now_s)
        if self._heat is not None and self._heat.next_tick_s <= now_s + SAME_TIME_S:
            assert self._converter is not None
            self._heat.tick()
            self._converter.derate(self._heat.discharge_share, self._heat.charge_share)
        for pool in self._pools.values():
            pool.happen(now_s)
        if self._converter is not None and self._converter.next_event_s <= now_s + SAME_TIME_S:
            self._converter.take_effect(now_s)

    def _registers(self) -> Registers:
        cells = None if self._converter is None else self._converter.cells
        return Registers(
            grid_kwh=self._grid_kws / 3600.0,
            pools_kwh={name: kws / 3600.0 for name, kws in self._pool_kws.items()},
            battery_out_kwh=0.0 if cells is None else cells.out_kws / 3600.0,
            battery_in_kwh=0.0 if cells is None else cells.in_kws / 3600.0,
        )

    def _measure(
        self, dt_s: float, before: Registers, refused: tuple[Refusal, ...]
    ) -> Measurements:
        now, converter = self._registers(), self._converter
        per_h = 3600.0 / dt_s if dt_s > 0.0 else 0.0
        net_kws = 3600.0 * (now.battery_out_kwh - now.battery_in_kwh)
        given_kwh = now.battery_out_kwh - before.battery_out_kwh
        taken_kwh = now.battery_in_kwh - before.battery_in_kwh
        return Measurements(
            at_s=self._now_s,
            dt_s=dt_s,
            started=self._started,
            grid_kw=self._meter.read(self._now_s, self._grid_kws) if dt_s > 0.0 else None,
            pool_kw={
                name: (kwh - before.pools_kwh[name]) * per_h for name, kwh in now.pools_kwh.items()
            },
            pool_meter_kw={
                name: meter.read(self._now_s, self._pool_kws[name]) if dt_s > 0.0 else None
                for name, meter in self._pool_meters.items()
            },
            battery_kw=(given_kwh - taken_kwh) * per_h,
            battery_meter_kw=self._battery_meter.read(self._now_s, net_kws) or 0.0
            if dt_s > 0.0
            else 0.0,
            cells_meter_kw=None
            if converter is None or self._cells_meter is None or dt_s == 0.0
            else self._cells_meter.read(self._now_s, converter.cells.left_kws),
            soc=None if converter is None else converter.cells.soc,
            battery_c=None if self._heat is None else self._heat.c,
            frequency_hz=self._frequency.at(self._now_s).hz,
            converter=None if converter is None else converter.standing,
            pools={name: pool.reading() for name, pool in self._pools.items()},
            registers=now,
            refused=refused,
        )

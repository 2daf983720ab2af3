"""The request-level plant: the fluid plant's site with pools that follow single requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ebplan.errors import InputError
from ebplan.site import Site
from ebplan.state import PoolState, State
from ebplan.twin.disturbances import Disturbance
from ebplan.twin.pool_truth import PoolTruth
from ebplan.twin.requests.beginning import parts_of
from ebplan.twin.requests.pool import RequestPool
from ebplan.twin.requests.service import Listener
from ebplan.twin.requests.settings import EngineModel, Traffic
from ebplan.twin.settings import BatteryHeat, Bias, Droop, FrequencyModel, LoadNoise, MeterModel
from ebplan.twin.site_plant import SitePlant


class RequestPlant(SitePlant):
    """A site from a state on, each request followed.

    Args:
        site: the site.
        state: how it begins; its meter reading, if any, says what the other load is.
        traffic: how request classes come, by pool and class; at random, at the state's rate, where
            one is left out.
        engines: the engines of a pool, by pool; the default where one is left out.
        listener: hears of each answer, in order of time within a pool.
        bias: how the truth differs from the planner's models.
        load_noise: error of the load's forecast, for classes that come at random.
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
        InputError: site, state and traffic do not fit, or the models leave the range of their
            parameters.
    """

    def __init__(
        self,
        site: Site,
        state: State,
        *,
        traffic: Mapping[str, Mapping[str, Traffic]] | None = None,
        engines: Mapping[str, EngineModel] | None = None,
        listener: Listener | None = None,
        bias: Bias | None = None,
        load_noise: LoadNoise | None = None,
        seed: int = 0,
        disturbances: Sequence[Disturbance] = (),
        frequency: FrequencyModel | None = None,
        droop: Droop | None = None,
        meter: MeterModel | None = None,
        pool_meter: MeterModel | None = None,
        cells_meter: MeterModel | None = None,
        heat: BatteryHeat | None = None,
    ) -> None:
        traffic, engines = traffic or {}, engines or {}
        for field, given in (("traffic", traffic), ("engines", engines)):
            if unknown := sorted(set(given) - set(site.pools)):
                raise InputError(
                    field=f"{field}.{unknown[0]}",
                    value="given",
                    allowed=", ".join(site.pools),
                    remedy="name a pool of the site",
                )
        self.request_pools: dict[str, RequestPool] = {}
        """The pools, to look into."""

        def pool(name: str, index: int, truth: PoolTruth, begins: PoolState) -> RequestPool:
            parts = parts_of(
                name,
                index,
                site.pools[name],
                begins,
                engine=engines.get(name, EngineModel()),
                traffic=traffic.get(name, {}),
                seed=seed,
            )
            made = RequestPool(name, truth, begins, parts, listener)
            self.request_pools[name] = made
            return made

        super().__init__(
            site,
            state,
            pool,
            bias=bias,
            load_noise=load_noise,
            seed=seed,
            disturbances=disturbances,
            frequency=frequency,
            droop=droop,
            meter=meter,
            pool_meter=pool_meter,
            cells_meter=cells_meter,
            heat=heat,
        )

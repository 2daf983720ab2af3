"""The fluid plant: a site in which requests flow and powers follow in closed form.

Between two instants at which something happens, an arrival, the end of a dead time, a backlog that
runs out, a bend of the frequency, everything is a level, a straight line or a decaying exponential,
and is carried over the whole stretch at once. So a step of ten seconds gives what a hundred of a
tenth give, and a step in which nothing happens costs next to nothing. The same seed gives the same
measurements, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.site import Site
from ebplan.state import PoolState, State
from ebplan.twin.disturbances import Disturbance
from ebplan.twin.noise import stream
from ebplan.twin.pool import PoolPlant
from ebplan.twin.pool_truth import PoolTruth
from ebplan.twin.settings import BatteryHeat, Bias, Droop, FrequencyModel, LoadNoise, MeterModel
from ebplan.twin.site_plant import SitePlant


class FluidPlant(SitePlant):
    """A site of fluid pools from a state on, settled in it; for arguments see ``SitePlant``."""

    def __init__(
        self,
        site: Site,
        state: State,
        *,
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
        def pool(name: str, index: int, truth: PoolTruth, begins: PoolState) -> PoolPlant:
            return PoolPlant(name, truth, begins, stream(seed, "wakes", index))

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

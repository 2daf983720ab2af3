"""What is true of a pool's instances: curves, powers, times, at the connection point.

The curves are those of the fitted models, the planner's end of each interval, times the bias. How
workloads blend follows the requests that come, not those that are served, as in the models' mix.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebplan.models import library
from ebplan.models.curves import CapCurve, LoadCurve
from ebplan.models.fleet import FleetModel
from ebplan.site import Pool, Response, Site
from ebplan.twin.lag import Lag
from ebplan.twin.settings import Bias


@dataclass(frozen=True)
class Way:
    """How instances run: in the pool's own precision, under a locked clock, in the lower one."""

    load: LoadCurve
    """Uncapped power against utilisation."""
    limit: CapCurve
    """Capacity against the power that a cap or a clock leaves."""
    delivers: float = 1.0
    """Share of what a cap or a clock is meant to take that it takes; capacity falls all the same.
    """

    def power_kw(self, utilisation: float, limit_kw: float | None) -> float:
        """Return the draw of one instance."""
        natural_kw = float(self.load.power_kw(utilisation))
        if limit_kw is None or limit_kw >= natural_kw:
            return natural_kw
        return (
            limit_kw
            if self.delivers == 1.0
            else (natural_kw - self.delivers * (natural_kw - limit_kw))
        )

    def capacity(self, limit_kw: float | None) -> float:
        """Return what one instance can serve, as a share of an uncapped one."""
        return 1.0 if limit_kw is None else max(float(self.limit.capacity(limit_kw)), 0.0)


@dataclass(frozen=True)
class Ways:
    """The ways to run at one mix of workloads."""

    own: Way
    locked: Way | None
    tier: Way | None


class PoolTruth:
    """What no command changes; ``drift`` does.

    Args:
        pool: the pool of the site.
        site: the site, for its losses.
        bias: errors of the models.
    """

    def __init__(self, pool: Pool, site: Site, bias: Bias) -> None:
        fleet = library.load_fleet(pool.fleet_model)
        factor, offset_kw = site.loss_to_connection_point(fleet.measurement_point)
        self._pool, self._fleet, self._bias, self._factor = pool, fleet, bias, factor
        self._cap = library.load_cap(pool.cap_model)
        self._clock = library.load_clock(pool.clock_lock.clock_model) if pool.clock_lock else None
        self._tier = library.load_tier(pool.tier.tier_model) if pool.tier else None
        self._known: dict[tuple[float, ...], Ways] = {}
        self._idle_factor = self._busy_factor = self._delivers = 1.0
        self.offset_kw = offset_kw
        self.measured_at = fleet.measurement_point
        self.tier_capacity = self._tier.capacity_factor if self._tier else 1.0
        """Instance-equivalents that a saturated instance of the lower precision serves."""
        gpus = fleet.gpus_per_instance
        self.kw_per_w_per_gpu = gpus * factor / 1000.0
        """Power of an instance per watt that each of its GPUs draws."""
        self.idle_kw = fleet.idle_kw * factor * bias.load_power
        self.asleep_kw = _asleep_kw_per_gpu(pool, fleet) * gpus * factor
        self.fall = _lag(pool.cap_response, bias)
        self.rise = _lag(pool.rise_response or pool.cap_response, bias)
        self.drain = _lag(pool.route_response, bias)
        lead = bias.lead_time
        self.sleep_s, self.wake_s = pool.sleep.sleep_s * lead, pool.sleep.wake_s * lead
        self.wake_failure_probability = pool.sleep.wake_failure_probability
        self.swap_s = pool.tier.swap_s * lead if pool.tier else 0.0
        warm = pool.prewarm
        self.warm_lead_s = warm.lead_s * lead if warm else 0.0
        self.warm_expires_s = warm.expires_s if warm else 0.0
        self.warm_wake_s = warm.wake_s * lead if warm else self.wake_s
        self.warm_kw = warm.kw_per_gpu * gpus * pool.instances * factor if warm else 0.0
        self.capacity_req_per_s = {
            name: fleet.capacity_req_per_s(requests.workload)
            for name, requests in pool.classes.items()
        }
        """What one saturated, uncapped instance serves of each class."""

    def drift(self, number: str, factor: float) -> None:
        """Let a number be this many times what it was (``disturbances.PoolDrift``)."""
        if number in ("idle_power", "power"):
            self._idle_factor *= factor
            self.idle_kw *= factor
        if number in ("busy_power", "power"):
            self._busy_factor *= factor
        if number == "cap_delivery":
            self._delivers *= factor
        self._known.clear()

    def clock_kw(self, ways: Ways, clock_mhz: float) -> float:
        """Return the power that a locked clock leaves an instance."""
        assert self._clock is not None, "a clock is locked only where the pool has a model of it"
        assert ways.locked is not None, "a pool with a clock model has instances under it"
        share = min(clock_mhz / self._clock.max_clock_mhz, 1.0)
        return float(ways.locked.limit.full_kw * share**self._clock.power_exponent)

    @property
    def may_lock(self) -> bool:
        """Whether clocks can be locked."""
        return self._clock is not None

    @property
    def has_tier(self) -> bool:
        """Whether there is a lower precision."""
        return self._tier is not None

    def ways(self, work: dict[str, float]) -> Ways:
        """Return the ways to run at a mix.

        Args:
            work: requests that come, by class, in instance-equivalents.
        """
        total = sum(work.values())
        even = 1.0 / len(work)
        # equal mixes give equal keys, whatever the noise of the load
        key = tuple(round(w / total, 9) if total > 0.0 else even for w in work.values())
        if key not in self._known:
            if len(self._known) > 256:
                self._known.clear()
            self._known[key] = self._make(key)
        return self._known[key]

    def _make(self, shares: tuple[float, ...]) -> Ways:
        mix: dict[str, float] = {}
        for requests, share in zip(self._pool.classes.values(), shares, strict=True):
            mix[requests.workload] = mix.get(requests.workload, 0.0) + share / sum(shares)
        at_model = self._fleet.load_curve(mix)
        factor = self._factor * self._bias.load_power
        curve = self._drifted(at_model.scaled(factor))
        locked = tier = None
        if self._clock is not None:
            locked = self._way(curve, self._clock.elasticity_high)
        if self._tier is not None:
            # as the plan has it (pose)
            lowered = self._tier.load_curve(at_model, allow_extrapolation=True)
            lowered = self._drifted(lowered.scaled(factor))
            tier = self._way(lowered, self._cap.elasticity_high)
        return Ways(own=self._way(curve, self._cap.elasticity_high), locked=locked, tier=tier)

    def _drifted(self, curve: LoadCurve) -> LoadCurve:
        if self._idle_factor == self._busy_factor == 1.0:
            return curve
        terms = tuple(
            term.model_copy(update={"amplitude_kw": term.amplitude_kw * self._busy_factor})
            for term in curve.terms
        )
        idle_kw = curve.idle_kw * self._idle_factor
        return curve.model_copy(update={"idle_kw": idle_kw, "terms": terms})

    def _way(self, curve: LoadCurve, elasticity: float) -> Way:
        full_kw = float(curve.power_kw(self._pool.max_utilisation))
        return Way(
            load=curve,
            limit=CapCurve(
                full_kw=full_kw,
                elasticity=elasticity * self._bias.cap_elasticity,
                floor_kw=full_kw,
            ),
            delivers=self._delivers,
        )


def _asleep_kw_per_gpu(pool: Pool, fleet: FleetModel) -> float:
    """Return the power asleep; that of idle where nobody measured less."""
    idle_kw = fleet.idle_kw / fleet.gpus_per_instance
    stated_kw = idle_kw if pool.asleep_kw_per_gpu is None else pool.asleep_kw_per_gpu
    return stated_kw if pool.asleep_measured else max(stated_kw, idle_kw)


def _lag(response: Response, bias: Bias) -> Lag:
    slower = bias.response_time
    return Lag(response.delay_s * slower, response.time_constant_s * slower)

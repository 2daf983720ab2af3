"""The bench of a case: site, state and traffic; the programmable grid beside it.

The grid is a simulator of its own, as in the whitepaper's bench: the converter answers set-points,
not the frequency, so the excursion may be injected whenever the baseline has settled.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.experiment.matrix import ExperimentCase
from ebplan.experiment.protocol import Excursion, GridEvent, Posture, Protocol
from ebplan.frequency import FrequencyResponse
from ebplan.models import library
from ebplan.models.fleet import FleetModel
from ebplan.site import Pool, Site
from ebplan.state import PoolState, State
from ebplan.twin.disturbances import FrequencyContingency
from ebplan.twin.frequency import GridFrequency
from ebplan.twin.noise import stream
from ebplan.twin.requests import ClosedLoop, Poisson, RequestPlant, Traffic
from ebplan.twin.requests.service import Listener
from ebplan.twin.settings import FrequencyModel

BEGAN = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
"""Wall time of second 0 of every case: simulated time, so that a run again gives the same bytes."""
NOMINAL_HZ = 50.0
"""Of eastern Japan, where the whitepaper's bench stands."""
HANDOFF_FRACTION = 0.05
"""Share of the target that the battery is planned to keep; a tenth is what counts as handed over,
so that chance has room."""
USUAL_EXCURSION = {"release": -0.5, "absorb": 0.5}


@dataclass(frozen=True)
class Bench:
    """What a case runs on."""

    site: Site
    """The site, its classes with the case's shape."""
    state: State
    """How it begins."""
    traffic: dict[str, dict[str, Traffic]]
    """How requests come, by pool and class."""

    @property
    def pool(self) -> str:
        """Name of its only pool."""
        return next(iter(self.site.pools))

    def plant(self, seed: int, listener: Listener) -> RequestPlant:
        """Return the plant."""
        return RequestPlant(
            self.site, self.state, traffic=self.traffic, seed=seed, listener=listener
        )


def bench_of(protocol: Protocol, case: ExperimentCase, site: Site) -> Bench:
    """Return the bench of a case.

    Raises:
        InputError: the fleet has no such shape, or the site does not fit the protocol.
    """
    ((name, pool),) = site.pools.items()
    fleet = library.load_fleet(pool.fleet_model)
    workload = workload_of(fleet, case.shape)
    posture: Posture = getattr(protocol.posture, case.event.direction)
    if not 0 <= posture.drained < pool.instances:
        raise InputError(
            field=f"posture.{case.event.direction}.drained",
            value=posture.drained,
            allowed=f"< {pool.instances}, the instances of the pool",
            remedy="leave an instance at work",
        )
    users = users_by_class(pool, case.users, protocol.interactive_share)
    active = pool.instances - posture.drained
    each = min(case.users / active, fleet.concurrency_limit_per_instance)
    rate = active * float(fleet.workload(workload).roof.req_per_s(np.array(each)))
    classes = {
        key: of.model_copy(update={"workload": workload}) for key, of in pool.classes.items()
    }
    state = State(
        at=BEGAN,
        soc=protocol.soc if site.battery is not None else None,
        pools={
            name: PoolState(
                active=active,
                drained=posture.drained,
                load_req_per_s={key: rate * n / case.users for key, n in users.items()},
                queued_requests=dict(posture.queued_requests),
            )
        },
    )
    planning = site.planning
    if len(case.mechanisms) == 1 and protocol.single_handoff_price_per_kwh is not None:
        price = protocol.single_handoff_price_per_kwh
        planning = planning.model_copy(update={"handoff_excess_per_kwh": price})
    pools = {name: pool.model_copy(update={"classes": classes})}
    return Bench(
        site=site.model_copy(update={"pools": pools, "planning": planning}),
        state=state,
        traffic={
            name: {
                key: ClosedLoop(users=n) if pool.classes[key].protected and n else Poisson()
                for key, n in users.items()
            }
        },
    )


def site_of(protocol: Protocol, folder: object = None) -> Site:
    """Return the protocol's site.

    Raises:
        InputError: there is none, it has several pools, or no battery to bridge with.
    """
    from pathlib import Path

    site = load_site(protocol.site, folder=folder if isinstance(folder, Path) else None)
    if len(site.pools) != 1 or site.battery is None:
        raise InputError(
            field="site",
            value=f"{len(site.pools)} pools, {'a' if site.battery else 'no'} battery",
            allowed="a site with one pool and a battery",
            remedy="choose such a site: the protocol bridges with the battery",
        )
    return site


def workload_of(fleet: FleetModel, shape: str) -> str:
    """Return the workload of a fleet that stands for a request shape.

    Raises:
        InputError: none does.
    """
    labels = {label: name for name, w in fleet.workloads.items() for label in w.labels}
    if shape not in labels:
        raise InputError(
            field="shapes",
            value=shape,
            allowed=", ".join(labels),
            remedy="name a shape that the fleet model was fitted to",
        )
    return labels[shape]


def users_by_class(pool: Pool, users: int, interactive_share: float) -> dict[str, int]:
    """Return users by class: the share for protected classes, each evenly among its own."""
    protected = [key for key, of in pool.classes.items() if of.protected]
    others = [key for key in pool.classes if key not in protected]
    share = interactive_share if protected and others else float(bool(protected))
    counts = {True: round(users * share)}
    counts[False] = users - counts[True]
    found: dict[str, int] = {}
    for is_protected, keys in ((True, protected), (False, others)):
        for i, key in enumerate(keys):
            found[key] = (counts[is_protected] + i) // len(keys)
    return {key: found[key] for key in pool.classes}


class GridSimulator:
    """The frequency of the grid: noise at rest, and what is injected."""

    def __init__(self, protocol: Protocol, event: GridEvent, seed: int) -> None:
        self._event, self._noise_hz = event, protocol.noise_hz
        response = event.target.frequency
        self.nominal_hz = NOMINAL_HZ if response is None else response.nominal_hz
        model = FrequencyModel(nominal_hz=self.nominal_hz, std_hz=protocol.noise_hz)
        self._rest = GridFrequency(model, [], stream(seed, "frequency"))
        self._injected: GridFrequency | None = None
        self._injected_s = 0.0

    def inject(self, now_s: float) -> None:
        """Begin the event's excursion, or its trace, now."""
        still = FrequencyModel(nominal_hz=self.nominal_hz, std_hz=0.0)
        response, rng = self._event.target.frequency, np.random.default_rng(0)
        self._injected_s = now_s
        if response is not None:
            trace = tuple((now_s + t_s, hz) for t_s, hz in response.trace)
            self._injected = GridFrequency(still.model_copy(update={"trace": trace}), [], rng)
            return
        excursion = excursion_of(self._event)
        contingency = FrequencyContingency(
            at_s=now_s,
            deviation_hz=excursion.deviation_hz,
            fall_s=excursion.fall_s,
            hold_s=self._event.duration_s,
            recovery_s=excursion.recovery_s,
        )
        self._injected = GridFrequency(still, [contingency], rng)

    def hz(self, t_s: float) -> float:
        """Return the frequency at a second of the plant; a trace replaces the noise."""
        rest_hz = self._rest.at(t_s).hz
        if self._injected is None or t_s < self._injected_s:
            return rest_hz
        injected_hz = self._injected.at(t_s).hz
        if self._event.target.frequency is not None:
            trace_end_s = self._injected_s + self._event.target.frequency.trace[-1][0]
            return injected_hz if t_s <= trace_end_s else rest_hz
        return injected_hz + rest_hz - self.nominal_hz


def excursion_of(event: GridEvent) -> Excursion:
    """Return how the frequency leaves in an event that follows no trace."""
    return event.excursion or Excursion(deviation_hz=USUAL_EXCURSION[event.direction])


class Asked:
    """What an event asks over time, in kW against the baseline, from its trigger on."""

    def __init__(self, event: GridEvent, baseline_kw: float) -> None:
        self._event, self._baseline_kw = event, baseline_kw
        target = event.target
        self.most_kw = 0.0
        """Largest change asked, signed; of a followed trace the larger of both ways."""
        if target.frequency is not None:
            self.most_kw = self._largest(target.frequency)
        elif target.delta_kw is not None:
            self.most_kw = target.delta_kw
        elif target.fraction_of_baseline is not None:
            self.most_kw = target.fraction_of_baseline * baseline_kw
        elif target.import_limit_kw is not None:
            self.most_kw = min(target.import_limit_kw - baseline_kw, 0.0)

    def kw(self, since_s: float) -> float:
        """Return the change asked at a time since the trigger; 0 outside the event."""
        event = self._event
        if not 0.0 <= since_s < event.duration_s:
            return 0.0
        response = event.target.frequency
        if response is not None:
            t_s, hz = np.array(response.trace).T
            deviation = np.interp(since_s, t_s, hz) - response.nominal_hz
            share = float(response.curve.share(np.array([deviation]))[0])
            kw = response.release_capacity_kw if share < 0.0 else response.absorb_capacity_kw
            return share * kw
        delay_s, full_s = event.response.initial_delay_s, event.response.full_activation_s
        if since_s < delay_s:
            return 0.0
        if since_s >= full_s:
            return self.most_kw
        return self.most_kw * (since_s - delay_s) / (full_s - delay_s)

    @staticmethod
    def _largest(response: FrequencyResponse) -> float:
        edges = np.linspace(0.0, response.trace[-1][0], 301)
        kw = response.target_kw(edges)
        return float(kw[np.abs(kw).argmax()])


def rest_of(
    event: GridEvent,
    name: str,
    start: datetime,
    gone_s: float,
    baseline_kw: float,
    handoff_by_s: float | None,
) -> Event:
    """Return what is left of an event once ``gone_s`` of it have passed, as it is planned.

    Args:
        event: the event.
        name: its identifier.
        start: when the rest begins.
        gone_s: seconds since the trigger.
        baseline_kw: what the site drew before.
        handoff_by_s: when the battery is to be free, from ``start``; None where it need not be.
    """
    response = event.response
    target, kept = event.target, response
    if target.frequency is not None:
        trace = target.frequency.trace
        t_s, hz = np.array(trace).T
        first = (0.0, float(np.interp(gone_s, t_s, hz)))
        later = tuple((t - gone_s, f) for t, f in trace if t > gone_s)
        target = target.model_copy(
            update={"frequency": target.frequency.model_copy(update={"trace": (first, *later)})}
        )
        handoff_by_s = None
    else:
        kept = response.model_copy(
            update={
                "initial_delay_s": max(response.initial_delay_s - gone_s, 0.0),
                "full_activation_s": max(response.full_activation_s - gone_s, 0.0),
            }
        )
    left_s = event.duration_s - gone_s
    data = {
        "id": name,
        "type": event.type,
        "start": start,
        "duration_s": left_s,
        "target": target,
        "response": kept,
        "baseline": {"rule": "fixed", "kw": baseline_kw},
        "payment_per_kwh": event.payment_per_kwh,
        "penalty_per_kwh": event.penalty_per_kwh,
    }
    if handoff_by_s is not None and handoff_by_s < left_s:
        fraction = HANDOFF_FRACTION if event.handoff is None else event.handoff.battery_fraction
        data["handoff"] = {"by_s": handoff_by_s, "battery_fraction": fraction}
    return Event.parse(data)

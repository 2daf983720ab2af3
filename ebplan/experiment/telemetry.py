"""What is measured of a case: a row for each sample, a row for each stretch of answers.

The recorder stands between whoever commands and the plant: it cuts time into samples, keeps one row
of each, and hands the last measurement on. Powers of a row are means over it, from the registers,
free of noise; what a controller sees is the meter's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ebplan.adapters.commands import Command
from ebplan.experiment.protocol import Sampling
from ebplan.models import library
from ebplan.realised import RecordedPlant
from ebplan.site import MeasurementPoint, Site
from ebplan.state import State
from ebplan.twin.plant import Measurements, Refusal
from ebplan.twin.requests import Answer

Row = dict[str, Any]
POINTS: dict[str, MeasurementPoint] = {
    "fleet_ac_kw": "ac",
    "server_kw": "node",
    "gpu_kw": "gpu",
}
"""Powers of the fleet further inside than the connection point, by column."""
LATENCY_WINDOW_S = 5.0
PERCENTILES = (50, 95, 99)
FINEST_S, FINEST_FOR_S = 0.02, 0.4
"""Samples just after the trigger: a converter answers within 100 ms."""


class Recorder:
    """A plant that keeps what it measures.

    Args:
        plant: keeps what the money laws need, on the request-level plant.
        site: whose losses carry powers between measurement points.
        pool: the pool.
        sampling: how often.
        hz: the frequency at a second of the plant.
    """

    def __init__(
        self,
        plant: RecordedPlant,
        site: Site,
        pool: str,
        sampling: Sampling,
        hz: Callable[[float], float],
    ) -> None:
        self._plant, self._pool, self._sampling, self._hz = plant, pool, sampling, hz
        self._inner = {name: site.loss_to_connection_point(point) for name, point in POINTS.items()}
        fleet = library.load_fleet(site.pools[pool].fleet_model)
        # what the losses draw whatever the pool does is no pool's own in the plant
        self._constant_kw = site.loss_to_connection_point(fleet.measurement_point)[1]
        self._fine_until_s = self._finest_until_s = 0.0
        self.rows: list[Row] = []
        """One for each sample."""
        self.commands: list[tuple[float, int, Command]] = []
        """What was told, with the second of the plant and the step of the protocol."""
        self.refused: list[tuple[float, Refusal]] = []
        """What of it could not be done."""
        self.step_number = 2
        """Step of the protocol that goes on."""
        self.target_kw: Callable[[float], float] = lambda _: 0.0
        """Change asked at a second of the plant."""
        self.planned: Callable[[float], Mapping[str, float]] = lambda _: {}
        """Change by mechanism that the plan being followed expects at a second of the plant."""
        self._before: Measurements | None = None

    @property
    def now_s(self) -> float:
        """Seconds since the plant began."""
        return self._plant.now_s

    def state(self) -> State:
        """Return the state to plan from, as it is now."""
        return self._plant.state()

    def look_closely(self, *, at_once: bool = False) -> None:
        """Sample finely from now on; ``at_once``: still more finely at first."""
        self._fine_until_s = self.now_s + self._sampling.fine_for_s
        if at_once:
            self._finest_until_s = self.now_s + FINEST_FOR_S

    def step(self, commands: Sequence[Command], dt_s: float) -> Measurements:
        """Carry commands out, let time pass, keep rows, and return the last measurement."""
        self.commands += [(self.now_s, self.step_number, command) for command in commands]
        end_s = round(self.now_s + dt_s, 9)
        refused: tuple[Refusal, ...] = ()
        while True:
            begin_s = self.now_s
            stop_s = min(end_s, self._next_sample_s(begin_s))
            if end_s - stop_s < 1e-6:
                stop_s = end_s
            measured = self._plant.step(commands, stop_s - begin_s)
            refused, commands = (*refused, *measured.refused), ()
            self._keep(begin_s, measured)
            if stop_s >= end_s:
                break
        self.refused += [(self.now_s, one) for one in refused]
        return replace(measured, refused=refused)

    def _next_sample_s(self, now_s: float) -> float:
        every_s = self._sampling.coarse_s
        if now_s < self._fine_until_s - 1e-9:
            every_s = self._sampling.fine_s
        if now_s < self._finest_until_s - 1e-9:
            every_s = FINEST_S
        return round((math.floor(now_s / every_s + 1e-6) + 1) * every_s, 9)

    def _keep(self, begin_s: float, m: Measurements) -> None:
        before, reading = self._before, m.pools[self._pool]
        kwh = 0.0 if before is None else before.registers.grid_kwh
        fleet_kw = m.pool_kw[self._pool] + self._constant_kw
        row: Row = {
            "t_s": begin_s,
            "duration_s": m.dt_s,
            "step": self.step_number,
            "frequency_hz": self._hz(begin_s),
            "target_kw": self.target_kw(begin_s),
            "grid_kw": (m.registers.grid_kwh - kwh) * 3600.0 / m.dt_s,
            "grid_meter_kw": m.grid_kw,
            "battery_kw": m.battery_kw,
            "soc": m.soc,
            "fleet_kw": fleet_kw,
        }
        for name, (factor, offset_kw) in self._inner.items():
            row[name] = (fleet_kw - offset_kw) / factor
        caps = self._plant.caps.get(self._pool)
        row |= {
            "active": reading.active,
            "drained": reading.drained,
            "asleep": reading.asleep,
            "in_transit": sum(t.instances for t in reading.transit),
            "lower_active": reading.tier_active,
            "cap_w_per_gpu": caps,
            "in_flight": sum(reading.in_flight_requests.values()),
            "waiting": sum(reading.waiting_requests.values()),
            "backlog": sum(reading.backlog_requests.values()),
            "queued": sum(reading.queued_requests.values()),
            "arrived_total": sum(reading.arrived_requests.values()),
            "served_total": sum(reading.served_requests.values()),
            "rejected_total": sum(reading.rejected_requests.values()),
            "lowered_req_per_s": sum(reading.lowered_req_per_s.values()),
        }
        row |= {f"planned_{name}_kw": kw for name, kw in self.planned(begin_s).items()}
        self.rows.append(row)
        self._before = m


def latency_table(answers: Sequence[Answer], until_s: float) -> list[Row]:
    """Return answers by stretches of 5 s: how many, and percentiles of their latency."""
    table = []
    at = np.array([a.answered_s for a in answers])
    edges = np.append(np.arange(0.0, until_s - 1e-6, LATENCY_WINDOW_S), until_s)
    places = np.searchsorted(at, edges)
    for k in range(len(edges) - 1):
        some = answers[places[k] : places[k + 1]]
        row: Row = {
            "t_s": float(edges[k]),
            "duration_s": edges[k + 1] - edges[k],
            "answers": len(some),
        }
        table.append(row | {k: v for k, v in latency(some).items() if not k.endswith("mean_s")})
    return table


def latency(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Return percentiles of the time to first token, between tokens, and to the last one, in s."""
    found: dict[str, float | None] = {}
    for name, values in (
        ("ttft", [a.ttft_s for a in answers]),
        ("itl", [a.itl_s for a in answers]),
        # one that was in service when the plant began came nobody knows when
        ("e2e", [a.answered_s - a.came_s for a in answers if a.first_token_s is not None]),
    ):
        known = [v for v in values if v is not None]
        for p in PERCENTILES:
            found[f"{name}_p{p}_s"] = float(np.percentile(known, p)) if known else None
        found[f"{name}_mean_s"] = float(np.mean(known)) if known else None
    return found

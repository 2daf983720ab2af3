"""The power and throughput of a fleet of identical serving instances, by workload.

A fleet model is fitted from a table of runs (``ebplan.models.fit``) and stored per instance: with
``N`` instances that share the load evenly, the fleet's numbers are ``N`` times an instance's at
``1/N`` of the requests in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import FieldFault, Fraction, Part, Positive
from ebplan.errors import InputError, RangeError
from ebplan.models.card import ModelCard, Provenance
from ebplan.models.curves import FloatArray, LoadCurve, LoadTerm
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import student_quantile
from ebplan.models.points import WithPoints
from ebplan.site import MeasurementPoint

_SHARE_TOLERANCE = 1e-9


def smooth_minimum(line: FloatArray, roof: float, sharpness: float) -> FloatArray:
    """Return ``(line^-q + roof^-q)^(-1/q)``, same shape as ``line``; also where ``line`` is 0."""
    return np.asarray(line / (1.0 + (line / roof) ** sharpness) ** (1.0 / sharpness))


class HardRoof(Part):
    """Requests queue at the concurrency limit: ``x = min(c, k) / tau`` per instance."""

    kind: Literal["hard"] = "hard"
    """Tag."""
    service_time_s: Positive
    """Time ``tau`` a request spends in service, in s."""

    def req_per_s(self, in_service: FloatArray) -> FloatArray:
        """Return the throughput of an instance in req/s for requests in service, same shape."""
        return np.asarray(in_service / self.service_time_s)


class SmoothRoof(Part):
    """Service slows down as requests share the GPU: ``x = ((c/tau)^-q + x_inf^-q)^(-1/q)``.

    A smooth minimum of the line ``c/tau`` and the roof ``x_inf``; ``q`` says how sharp the bend is.
    """

    kind: Literal["smooth"] = "smooth"
    """Tag."""
    service_time_s: Positive
    """Time ``tau`` a request alone spends in service, in s."""
    roof_req_per_s: Positive
    """Throughput ``x_inf`` of an instance with unlimited requests in service, in req/s."""
    sharpness: Positive
    """Exponent ``q``."""

    def req_per_s(self, in_service: FloatArray) -> FloatArray:
        """Return the throughput of an instance in req/s for requests in service, same shape."""
        return smooth_minimum(in_service / self.service_time_s, self.roof_req_per_s, self.sharpness)


Roof = Annotated[HardRoof | SmoothRoof, Field(discriminator="kind")]


class WorkloadModel(Part):
    """What one workload does on an instance."""

    labels: tuple[str, ...] = Field(min_length=1)
    """Request shapes of the source that this workload stands for."""
    tokens_out_per_request: Positive | None = None
    """Mean output tokens of a request; unknown where absent."""
    tokens_provenance: Provenance | None = None
    """Where the output tokens come from."""
    roof: Roof
    """Throughput against requests in service."""
    capacity_req_per_s: Positive
    """Throughput of one instance at its concurrency limit in req/s; utilisation 1."""
    saturated_kw: Positive
    """Power of one instance at utilisation 1 in kW."""
    exponent: float = Field(gt=0.0, le=1.0)
    """Exponent of utilisation in the power law."""
    covered_from_utilisation: Fraction
    """Lowest utilisation among the runs of this workload that were used."""
    power_spread: Positive | None = None
    """Standard deviation of the power of a new run, relative, from runs that were left out."""
    throughput_spread: Positive | None = None
    """The same of its throughput."""
    spread_degrees: int | None = Field(default=None, ge=1)
    """Degrees of freedom of both."""

    def interval(
        self, of: Literal["power", "throughput"], mean: FloatArray, share: float
    ) -> Estimate:
        """Return the interval of a new run about a mean.

        Raises:
            InputError: the model was fitted without spreads.
        """
        spread = self.power_spread if of == "power" else self.throughput_spread
        if spread is None or self.spread_degrees is None:
            raise InputError(
                field=f"{of}_spread",
                value=None,
                allowed="a fleet model that was fitted with its spreads",
                remedy="fit it again",
            )
        half = student_quantile(share, self.spread_degrees) * spread
        return Estimate(
            mean=mean, low=mean * np.exp(-half), high=mean * np.exp(half), confidence=share
        )


class FleetModel(WithPoints):
    """Fitted throughput and power of one model on one kind of hardware."""

    kind: Literal["fleet_model"] = "fleet_model"
    """Document kind."""
    name: str
    """Name in the library."""
    hardware: str
    """GPUs, in words."""
    model: str
    """Served model and precision, in words."""
    gpus_per_instance: int = Field(ge=1)
    """GPUs of one tensor-parallel instance."""
    instances_measured: int = Field(ge=1)
    """Instances in the measured fleet."""
    concurrency_limit_per_instance: Positive
    """Requests in service at saturation. A server setting, not a property of the GPU: another
    setting gives another capacity."""
    idle_kw: Positive
    """Power of an awake instance without load in kW; see the card for its provenance."""
    measurement_point: MeasurementPoint
    """Where every power of this model is metered."""
    workloads: dict[str, WorkloadModel] = Field(min_length=1)
    """Workloads by name."""
    card: ModelCard
    """What it was made from and how well it fits."""

    @model_validator(mode="after")
    def _idle_below_busy(self) -> FleetModel:
        for name, workload in self.workloads.items():
            if workload.saturated_kw <= self.idle_kw:
                raise FieldFault(
                    field=f"workloads.{name}.saturated_kw",
                    value=workload.saturated_kw,
                    allowed=f"> idle_kw = {self.idle_kw}",
                    remedy="an instance at saturation draws more than an idle one: correct either",
                )
        return self

    @property
    def covered_from_utilisation(self) -> float:
        """Lowest utilisation that any of the runs covers."""
        return min(w.covered_from_utilisation for w in self.workloads.values())

    def workload(self, name: str) -> WorkloadModel:
        """Return a workload by name.

        Raises:
            InputError: there is no such workload; the error names those there are.
        """
        if name not in self.workloads:
            raise InputError(
                field="workload",
                value=name,
                allowed=", ".join(self.workloads),
                remedy=f"choose a workload that {self.name} was fitted for",
            )
        return self.workloads[name]

    def capacity_req_per_s(self, workload: str) -> float:
        """Return the throughput of one uncapped instance at saturation in req/s."""
        return self.workload(workload).capacity_req_per_s

    def throughput_req_per_s(
        self, workload: str, in_flight_fleet: float | FloatArray
    ) -> FloatArray:
        """Return the throughput of the measured fleet, load shared evenly.

        Args:
            workload: name of the workload.
            in_flight_fleet: requests offered at once to the whole fleet; beyond the concurrency
                limit they queue.

        Returns:
            Throughput in req/s, same shape as ``in_flight_fleet``.
        """
        each = np.asarray(in_flight_fleet, dtype=float) / self.instances_measured
        in_service = np.minimum(each, self.concurrency_limit_per_instance)
        return self.instances_measured * self.workload(workload).roof.req_per_s(in_service)

    def fleet_power_kw(
        self, workload: str, in_flight_fleet: float | FloatArray, confidence: float = CONFIDENCE
    ) -> Estimate:
        """Return the power of the measured fleet in kW with its interval, load shared evenly.

        Args:
            workload: name of the workload.
            in_flight_fleet: requests offered at once to the whole fleet.
            confidence: share of new runs that the interval is made to hold.
        """
        model = self.workload(workload)
        rate = self.throughput_req_per_s(workload, in_flight_fleet) / self.instances_measured
        u = rate / model.capacity_req_per_s
        busy_kw = (model.saturated_kw - self.idle_kw) * u**model.exponent
        return model.interval(
            "power", self.instances_measured * (self.idle_kw + busy_kw), confidence
        )

    def fleet_req_per_s(
        self, workload: str, in_flight_fleet: float | FloatArray, confidence: float = CONFIDENCE
    ) -> Estimate:
        """Return the throughput of the measured fleet with its interval; see ``fleet_power_kw``."""
        mean = self.throughput_req_per_s(workload, in_flight_fleet)
        return self.workload(workload).interval("throughput", mean, confidence)

    def load_curve(self, mix: Mapping[str, float]) -> LoadCurve:
        """Return the uncapped power of one instance against utilisation, in kW.

            f(u) = idle + sum_j share_j (P_j - idle) u^gamma_j

        That workloads blend in proportion to their share of the utilisation is an assumption: no
        run mixes them.

        Args:
            mix: share of the utilisation by workload; shares are positive and sum to 1.

        Raises:
            InputError: an unknown workload, or shares that do not sum to 1.
        """
        for name, share in mix.items():
            self.workload(name)
            if not 0.0 <= share <= 1.0 + _SHARE_TOLERANCE:
                raise InputError(
                    field=f"mix.{name}",
                    value=share,
                    allowed="0..1",
                    remedy="give the workload's share of the utilisation",
                )
        total = sum(mix.values())
        if abs(total - 1.0) > _SHARE_TOLERANCE:
            raise InputError(
                field="mix",
                value=total,
                allowed="shares that sum to 1",
                remedy="rescale the shares",
            )
        return LoadCurve(
            idle_kw=self.idle_kw,
            terms=tuple(
                LoadTerm(
                    amplitude_kw=share * (self.workloads[name].saturated_kw - self.idle_kw),
                    exponent=self.workloads[name].exponent,
                )
                for name, share in mix.items()
                if share > 0.0
            ),
            one_request_utilisation=1.0 / self.concurrency_limit_per_instance,
            # A blend is covered only where each of its workloads is.
            valid_from_utilisation=max(
                self.workloads[name].covered_from_utilisation
                for name, share in mix.items()
                if share > 0.0
            ),
        )

    def check_utilisation(
        self, utilisation: float, *, allow_extrapolation: bool = False, workload: str | None = None
    ) -> None:
        """Refuse a utilisation that the runs do not cover.

        Args:
            utilisation: share of the saturated throughput.
            allow_extrapolation: accept utilisations below the runs; never above 1.
            workload: ask for the runs of this workload; without it, those of all workloads.

        Raises:
            RangeError: outside the covered range.
        """
        lowest = self.covered_from_utilisation
        if workload is not None:
            lowest = self.workload(workload).covered_from_utilisation
        floor = 0.0 if allow_extrapolation else lowest
        # Written so that NaN is refused too.
        if not floor <= utilisation <= 1.0:
            raise RangeError(
                field="utilisation",
                value=utilisation,
                allowed=f"{floor:.3f}..1",
                remedy="stay inside the measured range, or allow extrapolation below it",
            )

"""What sweeps of caps and of clocks have in common: the table's door, and what is held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ebplan.document import Part
from ebplan.errors import InputError
from ebplan.models.board import flattest, steepest
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.fit.board import (
    FittedBoard,
    Readings,
    Repeatability,
    WorkloadPrior,
    fit_board,
    not_binding,
)
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.plausible import check_gpu_power, check_of_cap
from ebplan.models.points import Points

Kind = Literal["inside", "end", "free"]
"""A reading held out lies between others, or is the lowest or highest; or its cap does nothing."""
NEAR_FULL = 0.995
"""Shares of the full power above this are not asked for an elasticity: 0 over 0 at 1."""
LEAST_ELASTICITY = 1e-3
"""Where a curve may be flat, the least elasticity that a model can carry."""
MOST_ELASTICITY = 4.0
"""Above this a model does not carry an elasticity: the readings do not determine one."""


class SweepOptions(Part):
    """What a sweep's table cannot say."""

    name: str
    """Name of the artefact."""
    title: str
    """Title of its card."""
    hardware: str
    """GPU, in words."""
    workload: str = ""
    """What was computed, in words; the labels of the table where empty."""
    gpus_per_row: int = Field(default=1, ge=1)
    """GPUs whose power a row sums up; a column ``gpus`` goes before. A cap is that of one GPU."""
    throughput_repeatability: float = Field(default=0.01, gt=0.0, le=0.2)
    """How well throughput repeats from run to run, as a share. Decides what counts as a change,
    and stands in for the spread of a short table (as much as 4 readings)."""
    power_repeatability: float = Field(default=0.02, gt=0.0, le=0.2)
    """The same of power."""
    prior: WorkloadPrior = WorkloadPrior()
    """How workloads lie before they are measured; wide unless pooled from fitted ones."""

    @property
    def repeatability(self) -> Repeatability:
        """Both repeatabilities."""
        return Repeatability(self.throughput_repeatability, self.power_repeatability)


@dataclass(frozen=True)
class Held:
    """A reading that was predicted from the others of its workload."""

    workload: str
    cap_kw: float
    clock_mhz: float | None
    kind: Kind
    rate: Estimate
    power: Estimate
    rate_measured: float
    power_measured: float

    @property
    def rate_error(self) -> float:
        """Predicted over measured throughput, less 1."""
        return float(self.rate.middle[0]) / self.rate_measured - 1.0

    @property
    def power_error(self) -> float:
        """Predicted over measured power, less 1."""
        return float(self.power.middle[0]) / self.power_measured - 1.0

    @property
    def rate_held(self) -> bool:
        """Whether the measured throughput lies in its interval."""
        return bool(self.rate.holds(np.array([self.rate_measured]))[0])

    @property
    def power_held(self) -> bool:
        """Whether the measured power lies in its interval."""
        return bool(self.power.holds(np.array([self.power_measured]))[0])


def sweep_readings(
    data: Measurements, options: SweepOptions
) -> dict[str, tuple[Readings, NDArray[np.intp]]]:
    """Return the readings of each workload, with the rows they stand in.

    Raises:
        InputError: a column is missing, or rows of one workload sum up different numbers of GPUs.
    """
    names = data.labels.get("workload", np.full(len(data), options.workload or "all"))
    per_row = data.values.get("gpus", np.full(len(data), float(options.gpus_per_row)))
    power, rate = data.quantity("power") / per_row, data.quantity("throughput")
    check_gpu_power(power, data.file)
    cap = data.values.get("cap", np.full(len(data), np.inf))
    clock = data.values.get("clock")
    if "cap" in data.values:
        check_of_cap(power, cap, data.file)
    found = {}
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        if np.ptp(per_row[rows]) > 0.0:
            raise InputError(
                field=f"workload {name}.gpus",
                value=", ".join(f"{n:g}" for n in np.unique(per_row[rows])),
                allowed="one number of GPUs in a workload: throughput is compared",
                remedy="give workloads of different size labels of their own",
                file=data.file,
            )
        mhz = None if clock is None or np.ptp(clock[rows]) == 0.0 else clock[rows]
        found[name] = Readings(cap[rows], mhz, power[rows], rate[rows]), rows
    return found


def elasticity_span(fitted: FittedBoard, lowest_kw: float) -> tuple[float, float]:
    """Return the least and the greatest elasticity of the capacity curves in the interval.

    Between ``lowest_kw`` and the highest power measured, the planner's curve with the greater one
    lies nowhere above the lower end of the fitted law's interval, that with the lesser nowhere
    below the upper end.
    """
    law = fitted.law
    shares = np.linspace(lowest_kw / law.reference_kw_per_gpu, NEAR_FULL, 60)

    def end(of: Callable[[Estimate], FloatArray]) -> Callable[[FloatArray], FloatArray]:
        return lambda x: of(law.capacity(x * law.reference_kw_per_gpu, confidence=CONFIDENCE))

    least = max(flattest(end(lambda e: np.minimum(e.high, 1.0)), shares), LEAST_ELASTICITY)
    return least, max(steepest(end(lambda e: e.low), shares), least)


def leave_one_out(workload: str, readings: Readings, options: SweepOptions) -> Iterator[Held]:
    """Predict each reading of a workload from its others.

    A cap's place among the others is by its own clock: the lowest and the highest cap are ends.
    """
    free = not_binding(readings, options.repeatability)
    clocks = np.zeros(len(readings.cap)) if readings.clock is None else readings.clock
    for i in range(len(readings.cap)):
        same = readings.cap[clocks == clocks[i]]
        if readings.clock is not None and not np.isfinite(readings.cap[i]):
            same = readings.clock
            at_end = readings.clock[i] in (same.min(), same.max())
        else:
            at_end = readings.cap[i] in (same.min(), same.max())
        kind: Kind = "free" if free[i] and np.isfinite(readings.cap[i]) else "inside"
        if kind == "inside" and at_end:
            kind = "end"
        out = np.arange(len(readings.cap)) == i
        yield from _predicted(workload, readings, out, kind, options)


def leave_one_clock_out(workload: str, readings: Readings, options: SweepOptions) -> Iterator[Held]:
    """Predict all readings at each clock from those at the others."""
    if readings.clock is None:
        return
    for clock in np.unique(readings.clock):
        kind: Kind = "end" if clock in (readings.clock.min(), readings.clock.max()) else "inside"
        yield from _predicted(workload, readings, readings.clock == clock, kind, options)


def _predicted(
    workload: str, readings: Readings, out: NDArray[np.bool_], kind: Kind, options: SweepOptions
) -> Iterator[Held]:
    """Fit without some readings and predict them."""
    if out.all():
        return
    kept = readings.where(~out)
    law = fit_board(kept, prior=options.prior, repeatability=options.repeatability).law
    for i in np.flatnonzero(out):
        cap = None if not np.isfinite(readings.cap[i]) else float(readings.cap[i])
        clock = None if readings.clock is None else float(readings.clock[i])
        yield Held(
            workload=workload,
            cap_kw=float(readings.cap[i]),
            clock_mhz=clock,
            kind=kind,
            rate=law.throughput(cap, clock, allow_extrapolation=True),
            power=law.power(cap, clock, allow_extrapolation=True),
            rate_measured=float(readings.rate[i]),
            power_measured=float(readings.power[i]),
        )


def sweep_points(
    fits: Mapping[str, tuple[Readings, FittedBoard]],
) -> tuple[Points, ...]:
    """Return the readings of each workload, for the figure."""
    return tuple(
        Points.of(name, _columns(readings, fitted), fitted.off)
        for name, (readings, fitted) in fits.items()
    )


def _columns(readings: Readings, fitted: FittedBoard) -> dict[str, FloatArray]:
    """Return what was set and what came of it; a cap or a clock only where one was set."""
    columns = {
        "power_kw_per_gpu": readings.power,
        "throughput_per_s": readings.rate,
        "cap_does_nothing": fitted.free.astype(float),
    }
    if np.isfinite(readings.cap).all():
        columns["cap_kw_per_gpu"] = readings.cap
    if readings.clock is not None:
        columns["clock_mhz"] = readings.clock
    return columns


@names_the_table
def fit_workloads(
    data: Measurements, options: SweepOptions
) -> tuple[Measurements, Mapping[str, tuple[Readings, FittedBoard]]]:
    """Fit each workload; readings off their law are named on the data returned."""
    found, off = {}, np.zeros(len(data), dtype=bool)
    for name, (readings, rows) in sweep_readings(data, options).items():
        fitted = fit_board(
            readings,
            prior=options.prior,
            repeatability=options.repeatability,
            field=f"workload {name}",
        )
        found[name] = readings, fitted
        off[rows[fitted.off]] = True
    return (data.without(off, "off the law of its workload") if off.any() else data), found

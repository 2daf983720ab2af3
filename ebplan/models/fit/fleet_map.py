"""Fit throughput and power of a fleet from steady runs at several concurrencies.

Everything is fitted per instance (the load is shared evenly) and in relative terms, so that a
small run counts as much as a large one.

Throughput of workload g, with ``c`` requests offered per instance and ``k`` the server's
concurrency limit, shared by all workloads and found from those with a hard roof:

    hard     x = min(c, k) / tau_g
    smooth   x = ((min(c, k) / tau_g)^-q + x_inf^-q)^(-1/q)

Power against utilisation ``u = x / x(k)``, with the idle power given:

    p = p_idle + (p_g - p_idle) u^gamma_g

Where a workload has few distinct loads, its exponents are not determined by its own runs, and
certainly not when one of them is left out. They are therefore *partially pooled*: ``gamma_g`` is
drawn towards the mean over the workloads and ``q`` towards a typical value, each with a stated
spread (the posterior mode of a normal prior). Data that do determine an exponent overrule it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from ebplan.errors import InputError
from ebplan.models.curves import FloatArray
from ebplan.models.fit.fleet_runs import W_PER_KW, FleetSpec, Run
from ebplan.models.fleet import HardRoof, Roof, SmoothRoof, smooth_minimum

EXPONENT_SPREAD = 0.03
"""Standard deviation of gamma over workloads around their mean (prior)."""
SHARPNESS_MEDIAN = 2.0
"""Median of q (prior)."""
SHARPNESS_LOG_SPREAD = 0.5
"""Standard deviation of ln q (prior)."""
POWER_NOISE = 0.004
"""Relative noise of a steady power reading; weighs the prior of gamma against the runs."""
THROUGHPUT_NOISE = 0.02
"""Relative noise of a steady throughput; weighs the prior of q against the runs."""

OUTLIER_SPREADS = 6.0
"""A run is off its line when its deleted residual exceeds this many robust deviations..."""
THROUGHPUT_FLOOR = 0.15
"""...and this share of throughput,"""
POWER_FLOOR = 0.04
"""...or the same with this share of power."""
OUTLIER_SHARE = 0.2
"""More outliers than this share of the runs mean that the model is wrong, not the runs."""
MIN_RUNS = 3
"""Fewest runs of a workload."""

_TOLERANCE = 1e-13
_MAD_TO_SIGMA = 1.4826
_SATURATED = 0.99
"""A limit this near to the highest concurrency was not seen, only not refuted."""


class Throughput(NamedTuple):
    """Fitted throughput, per instance."""

    limit: float
    """Concurrency limit ``k``."""
    roofs: dict[str, Roof]
    """Roof by workload."""

    def req_per_s(self, workload: str, each: float | FloatArray) -> FloatArray:
        """Return req/s of an instance with ``each`` requests offered to it, same shape."""
        return self.roofs[workload].req_per_s(np.minimum(np.asarray(each, dtype=float), self.limit))

    def utilisation(self, workload: str, each: float | FloatArray) -> FloatArray:
        """Return throughput as a share of that at the limit, same shape."""
        return np.asarray(self.req_per_s(workload, each) / self.req_per_s(workload, self.limit))


class PowerLaw(NamedTuple):
    """Fitted power of a workload, per instance."""

    idle_kw: float
    """Power without load in kW."""
    saturated_kw: float
    """Power at utilisation 1 in kW."""
    exponent: float
    """Exponent of utilisation."""

    def power_kw(self, utilisation: FloatArray) -> FloatArray:
        """Return the power of an instance in kW, same shape as ``utilisation``."""
        return np.asarray(
            self.idle_kw + (self.saturated_kw - self.idle_kw) * utilisation**self.exponent
        )


@dataclass(frozen=True)
class FleetFit:
    """Throughput and power of a fleet."""

    spec: FleetSpec
    """What was given."""
    throughput: Throughput
    """Fitted throughput, per instance."""
    power: dict[str, PowerLaw]
    """Fitted power by workload, per instance."""

    def predict(self, shape: str, users: float) -> tuple[float, float]:
        """Return power in kW and throughput in req/s of the whole fleet."""
        workload, n = self.spec.workload_of(shape), self.spec.instances
        u = self.throughput.utilisation(workload, users / n)
        x = self.throughput.req_per_s(workload, users / n)
        return n * float(self.power[workload].power_kw(u)), n * float(x)

    def relative_errors(self, runs: Sequence[Run]) -> FloatArray:
        """Return prediction over measurement minus 1, shape (runs, 2): power, throughput."""
        return np.array([_relative_error(self, run) for run in runs])


class Outlier(NamedTuple):
    """A run that is off the line the others make."""

    run: Run
    """The run."""
    power_error: float
    """Relative error of its power predicted from the other runs."""
    throughput_error: float
    """Relative error of its throughput predicted from the other runs."""


class FittedMap(NamedTuple):
    """A fit, the runs it used and those it did not."""

    fit: FleetFit
    """The fit."""
    runs: tuple[Run, ...]
    """Runs that were used."""
    outliers: tuple[Outlier, ...]
    """Runs with weight zero."""
    deleted_errors: FloatArray
    """Leave-one-out relative errors of the runs, shape (runs, 2): power, throughput."""


def fit_fleet(runs: Sequence[Run], spec: FleetSpec) -> FleetFit:
    """Fit throughput, then power, to all the runs given.

    Raises:
        InputError: too few runs of a workload, or none of the runs is saturated.
    """
    throughput = _fit_throughput(runs, spec)
    return FleetFit(spec=spec, throughput=throughput, power=_fit_power(runs, spec, throughput))


def fit_map(runs: Sequence[Run], spec: FleetSpec) -> FittedMap:
    """Fit the runs, giving weight zero to those that are off the line of the others.

    A run is off when its deleted residual (its error when predicted from all the others) exceeds
    both a floor and a multiple of the spread that the others keep among themselves without it.
    One bad run spoils the residuals of its neighbours, so of several such runs only one is taken
    out, the one without which the others agree best, and everything is fitted again.

    Raises:
        InputError: too few runs, or runs that the model does not describe.
    """
    _check_counts(runs, spec)
    kept = list(runs)
    outliers: list[Outlier] = []
    floors = np.array([POWER_FLOOR, THROUGHPUT_FLOOR])
    while True:
        errors, spreads, disagreement = _delete_each(kept, spec)
        off = (np.abs(errors) > np.maximum(floors, OUTLIER_SPREADS * spreads)).any(axis=1)
        if not off.any():
            break
        worst = int(np.where(off, disagreement, np.inf).argmin())
        power_error, throughput_error = errors[worst]
        outliers.append(Outlier(kept.pop(worst), float(power_error), float(throughput_error)))
        _check_counts(kept, spec)
    mean = np.abs(errors).mean(axis=0)
    if (mean > floors).any() or len(outliers) > OUTLIER_SHARE * len(runs):
        raise InputError(
            field="(runs)",
            value=f"{len(outliers)} off the line, mean error of the others "
            f"{mean[0]:.0%} of power, {mean[1]:.0%} of throughput",
            allowed=f"{OUTLIER_SHARE:.0%} of the runs off, mean error {POWER_FLOOR:.0%} and "
            f"{THROUGHPUT_FLOOR:.0%}",
            remedy="check the grouping of shapes into workloads and their roofs",
        )
    return FittedMap(fit_fleet(kept, spec), tuple(kept), tuple(outliers), errors)


def leave_one_out(runs: Sequence[Run], spec: FleetSpec) -> FloatArray:
    """Return each run's relative error when it is predicted by a fit made without it.

    Args:
        runs: the runs.
        spec: what the table does not say.

    Returns:
        Errors, shape (runs, 2): power, throughput.
    """
    return _delete_each(runs, spec)[0]


def little_in_flight(runs: Iterable[Run], spec: FleetSpec, limit: float) -> list[float]:
    """Return the requests in flight of the saturated hard-roof runs, by Little's law.

    Throughput times the service time seen in the unsaturated runs of the same workload; the fitted
    limit only decides which runs are which, so the result tests it.

    Args:
        runs: runs.
        spec: grouping into workloads.
        limit: concurrency limit of the whole fleet.
    """
    runs, result = list(runs), []
    for name in spec.workloads.keys() - spec.smooth:
        mine = [run for run in runs if spec.workload_of(run.shape) == name]
        below = [run.users / run.req_per_s for run in mine if run.users < limit]
        if below:
            service_time_s = float(np.mean(below))
            result += [run.req_per_s * service_time_s for run in mine if run.users >= limit]
    return sorted(result)


def _delete_each(runs: Sequence[Run], spec: FleetSpec) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit without each run in turn.

    Returns:
        The deleted run's relative error, shape (runs, 2): power, throughput; the robust standard
        deviation of the residuals of the others in that fit, same shape; and their sum of squares,
        power and throughput in units of their noise, shape (runs,).
    """
    errors, spreads, disagreement = [], [], []
    for i, run in enumerate(runs):
        others = [*runs[:i], *runs[i + 1 :]]
        fit = fit_fleet(others, spec)
        residuals = fit.relative_errors(others)
        errors.append(_relative_error(fit, run))
        spreads.append(_MAD_TO_SIGMA * np.median(np.abs(residuals), axis=0))
        disagreement.append(np.sum((residuals / (POWER_NOISE, THROUGHPUT_NOISE)) ** 2))
    return np.array(errors), np.array(spreads), np.array(disagreement)


def _relative_error(fit: FleetFit, run: Run) -> tuple[float, float]:
    """Return the relative errors of power and throughput."""
    power_kw, req_per_s = fit.predict(run.shape, run.users)
    return power_kw / run.power_kw - 1.0, req_per_s / run.req_per_s - 1.0


def _check_counts(runs: Sequence[Run], spec: FleetSpec) -> None:
    """Refuse workloads with too few runs to fit and to leave one out."""
    counts = dict.fromkeys(spec.workloads, 0)
    for run in runs:
        counts[spec.workload_of(run.shape)] += 1
        if run.power_kw <= spec.instances * spec.idle_kw:
            raise InputError(
                field=f"{run.name}.fleet_power_w",
                value=run.power_kw * W_PER_KW,
                allowed=f"above the idle power {spec.instances * spec.idle_kw * W_PER_KW:g} W",
                remedy="check the unit, or lower the assumed idle power",
            )
    for name, count in counts.items():
        if count < MIN_RUNS:
            raise InputError(
                field=name, value=count, allowed=f">= {MIN_RUNS} usable runs", remedy="add runs"
            )


def _columns(
    runs: Sequence[Run], spec: FleetSpec, names: Sequence[str]
) -> tuple[NDArray[np.intp], FloatArray, FloatArray, FloatArray]:
    """Return workload index, and users, power in kW and req/s per instance, each shape (runs,)."""
    index = {name: i for i, name in enumerate(names)}
    mine = [run for run in runs if spec.workload_of(run.shape) in index]
    which = np.array([index[spec.workload_of(run.shape)] for run in mine], dtype=np.intp)
    values = np.array([(run.users, run.power_kw, run.req_per_s) for run in mine]).reshape(-1, 3)
    users, power_kw, req_per_s = values.T / spec.instances
    return which, users, power_kw, req_per_s


def _fit_throughput(runs: Sequence[Run], spec: FleetSpec) -> Throughput:
    """Fit the shared limit and the hard roofs, then each smooth roof at that limit."""
    hard = [name for name in spec.workloads if name not in spec.smooth]
    limit, times = _fit_hard(*_columns(runs, spec, hard), names=hard)
    roofs: dict[str, Roof] = {
        name: HardRoof(service_time_s=time) for name, time in zip(hard, times, strict=True)
    }
    for name in spec.workloads:
        if name in spec.smooth:
            _, users, _, req_per_s = _columns(runs, spec, [name])
            roofs[name] = _fit_smooth(np.minimum(users, limit), req_per_s)
    return Throughput(limit=limit, roofs=roofs)


def _fit_hard(
    which: NDArray[np.intp],
    users: FloatArray,
    power_kw: FloatArray,
    req_per_s: FloatArray,
    *,
    names: Sequence[str],
) -> tuple[float, list[float]]:
    """Return the limit per instance and the service times in s.

    The residual has a kink in ``k`` at every measured concurrency, so the fit starts once between
    each two neighbouring ones and the best is taken.
    """
    levels = np.unique(users)
    if levels.size < 2:
        raise InputError(
            field="concurrent_users",
            value=levels.size,
            allowed="several levels, in a workload with a hard roof",
            remedy="add runs below and above saturation",
        )

    def residuals(theta: FloatArray) -> FloatArray:
        return np.asarray(
            np.log(np.minimum(users, np.exp(theta[0]))) - theta[1 + which] - np.log(req_per_s)
        )

    start_times = [np.log(np.mean((users / req_per_s)[which == i])) for i in range(len(names))]
    fits = [
        _solve(residuals, np.array([0.5 * np.log(low * high), *start_times]))
        for low, high in pairwise(levels)
    ]
    theta = min(fits, key=lambda theta: float(np.sum(residuals(theta) ** 2)))
    limit = float(np.exp(theta[0]))
    if limit > _SATURATED * levels[-1]:
        raise InputError(
            field="concurrent_users",
            value=f"{levels[0]:g}..{levels[-1]:g} per instance",
            allowed="levels below and above the server's concurrency limit",
            remedy="add runs at higher concurrency until throughput stops growing",
        )
    return limit, [float(time) for time in np.exp(theta[1:])]


def _fit_smooth(in_service: FloatArray, req_per_s: FloatArray) -> SmoothRoof:
    """Return a smooth roof; ``ln q`` has a normal prior."""

    def residuals(theta: FloatArray) -> FloatArray:
        time, top, sharpness = np.exp(theta)
        misfit = np.log(smooth_minimum(in_service / time, top, sharpness) / req_per_s)
        prior = (theta[2] - np.log(SHARPNESS_MEDIAN)) / SHARPNESS_LOG_SPREAD
        return np.append(misfit / THROUGHPUT_NOISE, prior)

    time = float(np.min(in_service / req_per_s))
    start = np.log([time, 1.1 * float(np.max(req_per_s)), SHARPNESS_MEDIAN])
    time, top, sharpness = (float(value) for value in np.exp(_solve(residuals, start)))
    return SmoothRoof(service_time_s=time, roof_req_per_s=top, sharpness=sharpness)


def _fit_power(runs: Sequence[Run], spec: FleetSpec, throughput: Throughput) -> dict[str, PowerLaw]:
    """Return the power laws; the exponents have a normal prior around their common mean."""
    names = list(spec.workloads)
    which, users, power_kw, _ = _columns(runs, spec, names)
    u = np.array(
        [float(throughput.utilisation(names[i], c)) for i, c in zip(which, users, strict=True)]
    )
    n, idle_kw = len(names), spec.idle_kw

    def residuals(theta: FloatArray) -> FloatArray:
        amplitude, exponent, mean = np.exp(theta[:n]), theta[n : 2 * n], theta[2 * n]
        misfit = np.log((idle_kw + amplitude[which] * u ** exponent[which]) / power_kw)
        return np.append(misfit / POWER_NOISE, (exponent - mean) / EXPONENT_SPREAD)

    peaks = [np.max(power_kw[which == i]) - idle_kw for i in range(n)]
    # Concave and increasing: exponents stay inside (0, 1].
    bounds = ([-np.inf] * n + [1e-6] * (n + 1), [np.inf] * n + [1.0] * (n + 1))
    theta = _solve(residuals, np.array([*np.log(peaks), *[0.1] * (n + 1)]), bounds)
    return {
        name: PowerLaw(idle_kw, idle_kw + float(np.exp(theta[i])), float(theta[n + i]))
        for i, name in enumerate(names)
    }


def _solve(
    residuals: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    bounds: tuple[list[float], list[float]] = ([-np.inf], [np.inf]),
) -> FloatArray:
    """Minimise the sum of squared residuals; tolerances so tight that platforms agree."""
    solution = least_squares(
        residuals,
        start,
        jac="3-point",
        bounds=(np.resize(bounds[0], start.size), np.resize(bounds[1], start.size)),
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
    )
    return np.asarray(solution.x, dtype=float)

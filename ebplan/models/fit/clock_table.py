"""A clock model from a sweep: workloads at locked SM clocks, with their throughput and power."""

from __future__ import annotations

import numpy as np

from ebplan.document import Positive
from ebplan.errors import InputError
from ebplan.models.board import BoardLaw, log_power
from ebplan.models.card import Finding, ModelCard, ValidRange
from ebplan.models.clock import ClockModel
from ebplan.models.estimate import CONFIDENCE
from ebplan.models.fit.measurements import Measurements, names_the_table
from ebplan.models.fit.sweep import (
    MOST_ELASTICITY,
    SweepOptions,
    elasticity_span,
    fit_workloads,
    leave_one_clock_out,
    sweep_points,
)
from ebplan.models.fit.sweep_card import (
    Fits,
    free_caps_finding,
    held_statistics,
    prior_assumptions,
    residual_statistics,
)

LAW = (
    "natural draw = N1 (a + (1 - a)(f/f1)^m), rounded towards a cap where one was set; time per "
    "work = 1 - b + b (P1 - P0)/(P - P0), relative to that at the highest power P1. Both by robust "
    "least squares of logarithms (ebplan.models.board, ebplan.models.fit.board)."
)


class ClockTableOptions(SweepOptions):
    """What a table of clocks cannot say."""

    lowest_clock_mhz: Positive | None = None
    """Lowest clock that the planner may use; the lowest measured where absent."""


@names_the_table
def fit_clock_table(data: Measurements, options: ClockTableOptions) -> ClockModel:
    """Fit a clock model to a sweep.

    Args:
        data: ``clock`` (locked), ``power``, ``throughput``; where given ``cap`` (in force beside
            the clock), the label ``workload`` and ``gpus`` (whose power a row sums up).
        options: what the table cannot say.

    Raises:
        InputError: a column is missing, a workload has one clock only, or the readings do not
            determine elasticity or exponent.
    """
    data.quantity("clock")
    data, fits = fit_workloads(data, options)
    for name, (readings, _) in fits.items():
        if readings.clock is None:
            raise InputError(
                field=f"workload {name}.clock",
                value="one clock in every row",
                allowed="at least two clocks",
                remedy="measure the workload at another clock, or leave it out",
                file=data.file,
            )
    top = min(f.law.clocks_mhz[-1] for _, f in fits.values())
    lowest = options.lowest_clock_mhz or max(f.law.clocks_mhz[0] for _, f in fits.values())
    if not lowest < top:
        raise InputError(
            field="options.lowest_clock_mhz",
            value=lowest,
            allowed=f"< {top:g}, the highest clock of every workload",
            remedy="lower it",
        )
    spans = {
        name: elasticity_span(
            f, float(f.law.power(None, lowest, allow_extrapolation=True).middle[0])
        )
        for name, (_, f) in fits.items()
    }
    exponents = {name: _exponent(f.law, lowest) for name, (_, f) in fits.items()}
    for name in fits:
        _check_told(name, spans[name][1], exponents[name])
    return ClockModel(
        name=options.name,
        hardware=options.hardware,
        workload=options.workload or ", ".join(fits),
        elasticity_low=min(low for low, _ in spans.values()),
        elasticity_high=max(high for _, high in spans.values()),
        power_exponent=min(exponents.values()),
        max_clock_mhz=top,
        valid_from_clock_mhz=lowest,
        measurement_point=data.measurement_point,
        laws={name: fitted.law for name, (_, fitted) in fits.items()},
        points=sweep_points(fits),
        card=_card(data, options, fits, spans, (lowest, top)),
    )


def _check_told(workload: str, elasticity: float, exponent: float) -> None:
    """Refuse a workload whose clocks do not tell how throughput and power go with them."""
    if elasticity > MOST_ELASTICITY or exponent <= 0.0:
        raise InputError(
            field=f"workload {workload}.elasticity",
            value=f"up to {elasticity:.1f}; exponent of power from {exponent:.1f}",
            allowed=f"<= {MOST_ELASTICITY:g}; > 0",
            remedy="the clocks lie too close to tell: measure lower ones",
        )


def _exponent(law: BoardLaw, lowest_mhz: float) -> float:
    """Return the cautious exponent of power to clock: the lower, which reaches less deep.

    Over the range from the lowest clock up, ``(f/f1)^exponent`` lies nowhere below the draw.
    """
    top = law.reference_clock_mhz or lowest_mhz
    shares = np.linspace(lowest_mhz / top, 0.98, 30)
    free = np.full(len(shares), np.inf)

    def exponent(theta: np.ndarray) -> np.ndarray:
        full = log_power(theta, free[:1], np.ones(1))
        return np.asarray((log_power(theta, free, shares) - full) / np.log(shares))

    posterior = law.power_law
    half = posterior.quantile(CONFIDENCE) * np.sqrt(posterior.variance(exponent))
    return float((exponent(np.array(posterior.theta)) - half).min())


def _card(
    data: Measurements,
    options: ClockTableOptions,
    fits: Fits,
    spans: dict[str, tuple[float, float]],
    clocks_mhz: tuple[float, float],
) -> ModelCard:
    """Return the card of a clock model."""
    held = [h for name, (r, _) in fits.items() for h in leave_one_clock_out(name, r, options)]
    told = "; ".join(f"{name} {low:.2f} to {high:.2f}" for name, (low, high) in spans.items())
    capped = any(np.isfinite(readings.cap).any() for readings, _ in fits.values())
    return ModelCard(
        title=options.title,
        summary="Throughput and power at locked SM clocks, by workload; the planner is given the "
        "power law that lies nowhere above any of the workloads' curves.",
        data=(data.dataset(),),
        method=LAW,
        residuals=residual_statistics(fits),
        leave_one_out=tuple(held_statistics(held, "clock held out")),
        excluded=data.excluded,
        validity=(ValidRange(name="SM clock", low=clocks_mhz[0], high=clocks_mhz[1], unit="MHz"),),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note,
        assumptions=prior_assumptions(options),
        findings=(
            *((free_caps_finding(fits),) if capped else ()),
            Finding(
                title="Elasticities of the planner's curve",
                text=f"From {clocks_mhz[0]:.0f} MHz up: {told}.",
            ),
        ),
        not_for=(
            "clocks below the lowest measured",
            f"other boards than {options.hardware}, other workloads, without a sweep of their own",
        ),
    )

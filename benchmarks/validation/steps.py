"""Steps: how fast power follows a cap, down and up, and how long a trigger takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from benchmarks.validation.line import Line, Section
from benchmarks.validation.unpacked import published_rows, read_published
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.ramp import RampOptions, Series, Step, find_steps
from ebplan.models.fit.ramp_table import alternate_errors, error_of, fit_ramp, unbroken_s
from ebplan.models.fit.series import DIP_EDGE_READINGS, DIP_RECOVERY_S, DIP_SHARE
from ebplan.models.ramp import RampModel, RampSide

STEP = "gpu_power/gridpilot_v100_cap_step_response_50hz.csv.gz"
LATENCY = "gpu_power/gridpilot_v100_ffr_latency.csv"
GOAL = 0.07
"""Root mean square error of the step up, as a share of the step."""
OPTIONS = RampOptions(name="v100-cap", title="Power cap on a V100", hardware="one NVIDIA V100")
PUBLISHED_UP_S = (0.35, 0.5)
"""What is said of the step up elsewhere (design notes), from the same record."""
RAMP_S = PUBLISHED_UP_S[1]
"""The ramp: by then the step is made. Readings on the level after it are predicted well by any
ramp, and would hide how badly this one does."""
RESTS_S = (0.15, 0.28)
"""After the command, when the rise rests."""


def read_step(folder: Path) -> Measurements:
    """Return the record of a cap going from 280 to 200 W and back."""
    return read_published(
        folder / STEP,
        {
            "time": lambda row: row["t_s"],
            "power": lambda row: row["power_w"],
            "command": lambda row: row["cap_w"],
            "clock": lambda row: row["sm_clock_mhz"],
        },
        {"power": "W", "command": "W"},
        source="gridpilot (github denisa-c/gridpilot, CC-BY-4.0), experiment E2",
    )


def fitted(folder: Path) -> tuple[Measurements, Series, RampModel]:
    """Return the record, its steps and its ramp model."""
    data = read_step(folder)
    return data, find_steps(data, OPTIONS), fit_ramp(data, OPTIONS)


def one(series: Series, direction: str) -> Step:
    """Return the first step in a direction."""
    return next(step for step in series.steps if step.direction == direction)


def run_step(folder: Path) -> Iterator[Line | str]:
    """Yield the results of the step record."""
    data, series, model = fitted(folder)
    up, down = one(series, "up"), one(series, "down")
    ramp_up, ramp_down = model.up, model.down
    assert ramp_up is not None  # the record has a step each way
    assert ramp_down is not None
    yield from _held_out(up)
    # The level after the step from what the board drew under the same cap before the step down.
    yield from _blind(ramp_up, replace(up, after_kw=down.before_kw))
    told_kw = model.step(up.before_kw, down.before_kw, up.since_s, allow_extrapolation=True)
    inside = told_kw.holds(up.power_kw).astype(bool)
    ramp = (up.since_s > 0.0) & (up.since_s <= unbroken_s(up))
    yield Line(
        what="... readings in the 90 % interval until the first dip",
        value=f"{inside[ramp].mean():.0%}",
    )
    yield Line(
        what="step up: delay and time constant",
        value=f"{ramp_up.response.delay_s * 1e3:.0f} ms ({ramp_up.delay_low_s * 1e3:.0f} to "
        f"{ramp_up.delay_high_s * 1e3:.0f}), {ramp_up.response.time_constant_s * 1e3:.0f} ms "
        f"({ramp_up.time_constant_low_s * 1e3:.0f} to {ramp_up.time_constant_high_s * 1e3:.0f}); "
        f"90 % after {ramp_up.settle_s:.2f} s, read off the record {up.made_s:.2f} s; said "
        f"elsewhere {PUBLISHED_UP_S[0]:g} to {PUBLISHED_UP_S[1]:g} s",
    )
    yield Line(
        what="step down 280 -> 200 W",
        value=f"within {ramp_down.response.delay_s * 1e3:.0f} ms of the last reading under the old "
        f"cap (upper bound); overshoot {ramp_down.overshoot:.0%} of the step",
        goal="an upper bound, no constant",
        reached=ramp_down.upper_bound,
    )
    yield _about_the_rise(data, up)
    yield (
        f"Dips: {series.in_dips.mean():.0%} of {len(data):,} readings are left out by the rule for "
        f"every series (below {DIP_SHARE:.0%} of the busy level, {DIP_EDGE_READINGS} "
        f"readings on either side, {DIP_RECOVERY_S:g} s after). The command column is written with "
        "the readings: the SM clock falls one reading before the column does, so the bound of the "
        "step down counts from when the cap was in force, not from the trigger."
    )


def _held_out(up: Step) -> Iterator[Line]:
    """Yield how well every second reading is predicted from the others."""
    clean_s = unbroken_s(up)
    for within_s, told in (
        (RAMP_S, f"over the ramp alone ({RAMP_S:g} s)"),
        (clean_s, f"to the first dip ({clean_s:.2f} s, most of it after the ramp)"),
    ):
        first, second = alternate_errors(up, OPTIONS.sensor_window_s, within_s=within_s)
        yield Line(
            what="step up 200 -> 280 W: every second reading from a ramp fitted to the others, "
            f"from the command {told}, root mean square",
            value=f"{first:.1%} and {second:.1%} of the step",
            goal=f"<= {GOAL:.0%}",
            reached=max(first, second) <= GOAL,
        )


def _blind(side: RampSide, step: Step) -> Iterator[Line]:
    """Yield how well a step is predicted whose level after it comes from elsewhere."""
    clean_s = unbroken_s(step)
    for within_s, told in (
        (RAMP_S, f"first {RAMP_S:g} s, the ramp alone"),
        (clean_s, f"until the first dip, {clean_s:.2f} s"),
        (float(step.since_s[-1]), "all readings outside dips until the record ends"),
    ):
        error = error_of(side, step, OPTIONS.sensor_window_s, within_s=within_s)
        yield Line(
            what="... the same, ramp fitted to all readings, level after the step taken from 10 s "
            f"before under the same cap: {told}",
            value=f"{error:.1%}",
        )


def _about_the_rise(data: Measurements, up: Step) -> str:
    from_s, to_s = RESTS_S
    since_s = data.quantity("time") - up.command_s
    rests = (since_s > from_s) & (since_s < to_s)
    rests_kw, clock_mhz = (np.median(data.quantity(name)[rests]) for name in ("power", "clock"))
    return (
        "There is one step each way. Delay and time constant of the step up are fitted to this "
        "very step; what is held out is every second reading, whose neighbours are alike, and the "
        "levels. That another step looks the same is not shown. The rise is not first order: it "
        f"rests at about {rests_kw * 1e3:.0f} W from {from_s:g} to {to_s:g} s, while the SM clock "
        f"rests at {clock_mhz:,.0f} MHz. That rest is what a ramp of two constants misses over the "
        "ramp alone; one record does not show whether it belongs to the board or to this step, so "
        "it is not modelled."
    )


def run_latency(folder: Path) -> Iterator[Line | str]:
    """Yield the distribution from trigger to settled power, and one workload from the others."""
    rows = published_rows(folder / LATENCY)
    workload = np.array([row["workload"] for row in rows])
    latency_ms = np.array([float(row["e2e_latency_ms"]) for row in rows])
    for share in (0.5, 0.9, 0.95):
        low, middle, high = quantile_interval(latency_ms, share)
        yield Line(
            what=f"trigger to settled power, {share:.0%} of {len(rows)} trials within",
            value=f"{middle:.1f} ms ({low:.1f} to {high:.1f})",
        )
    yield Line(what="... longest", value=f"{latency_ms.max():.1f} ms")
    for name in np.unique(workload):
        here: NDArray[np.bool_] = workload == name
        limit = float(np.quantile(latency_ms[~here], 0.95))
        yield Line(
            what=f"{name}: trials within the 95 % quantile of the other workloads ({limit:.1f} ms)",
            value=f"{(latency_ms[here] <= limit).mean():.0%} of {int(here.sum())}",
        )
    call_ms = [max(float(row[f"gpu{k}_us"]) for k in range(3)) / 1e3 for row in rows]
    yield (
        "A step down is bounded by its series, from when the cap is in force; a trigger takes this "
        f"long, of which {np.median(call_ms):.0f} ms are the call that sets the cap. Intervals of "
        "quantiles are between order statistics and assume nothing of the distribution."
    )


def quantile_interval(values: NDArray[np.float64], share: float) -> tuple[float, float, float]:
    """Return a quantile between the ends of its 90 % interval (order statistics).

    Args:
        values: shape (N,).
        share: of the values below the quantile.
    """
    ordered = np.sort(values)
    low = int(binom.ppf(0.05, len(ordered), share))
    high = min(int(binom.ppf(0.95, len(ordered), share)), len(ordered) - 1)
    return float(ordered[max(low - 1, 0)]), float(np.quantile(values, share)), float(ordered[high])


def plot(folder: Path, target: Path) -> None:
    """Draw the record with the fitted response and the dips left out.

    Args:
        folder: folder of the published data.
        target: where the PNG is written.
    """
    from benchmarks.validation.steps_figure import draw

    draw(*fitted(folder), target)


SECTIONS: tuple[Section, ...] = (
    Section("How fast power follows a cap: a V100 at 50 readings a second", (STEP,), run_step),
    Section("How long a trigger takes: 90 trials on three V100", (LATENCY,), run_latency),
)

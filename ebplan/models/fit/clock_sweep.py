"""The clock model of the library: a sweep of locked clocks and caps on one board."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import log
from pathlib import Path

from ebplan.models.card import Finding, ModelCard, Statistic, ValidRange
from ebplan.models.clock import ClockModel
from ebplan.models.fit.build import dataset, rounded
from ebplan.models.fit.table import Table, read_table

CLOCK_NAME = "v100-sm-clock"
CLOCK_TABLE = "gridpilot_v100_powercap_sweep.csv"
SOURCE = "gridpilot (github denisa-c/gridpilot, CC-BY-4.0), experiment E1 on one V100 board"
HIGH_MHZ, LOW_MHZ = 1380, 945
"""Highest clock of the sweep, and the next one below; at the lowest, 405 MHz, throughput falls
faster than any power law between the other two says, and no serving is planned there."""
FREE_CAPS_W, DEEP_CAP_W = (250, 300), 150
"""Caps of the sweep that bind nowhere, and the deepest."""


@dataclass(frozen=True)
class Reading:
    """One run: what was computed each second, at which power."""

    rate: float
    power_w: float


def read_sweep(path: Path) -> tuple[dict[tuple[str, int, int], Reading], Table]:
    """Return the runs by (workload, cap in W, clock in MHz), and their table."""
    columns = ("workload", "pcap_w", "sm_target_mhz", "iters_per_s", "power_mean_w")
    table = read_table(path, columns)
    runs = {
        (row.text("workload"), round(row.positive("pcap_w")), round(row.positive("sm_target_mhz"))):
        Reading(row.positive("iters_per_s"), row.positive("power_mean_w"))
        for row in table.rows
    }  # fmt: skip
    return runs, table


@dataclass(frozen=True)
class Sensitivities:
    """What the sweep shows, by workload and by the cap beside the clock."""

    elasticity: dict[str, float]
    """Of throughput to power under a locked clock, by run."""
    exponent: dict[str, float]
    """Of power to clock, by run."""
    of_cap: dict[str, float]
    """Of throughput to power under a cap, by workload."""
    left_by_clock: tuple[float, ...]
    """Power that the lower clock leaves, as a share, by run."""
    left_by_cap: tuple[float, ...]
    """Power that the deepest cap leaves, as a share, by workload."""


def build_clock(path: Path) -> ClockModel:
    """Return the clock model with its card; ``path`` is the table of the sweep."""
    runs, table = read_sweep(path)
    found = _read_off(runs)
    elasticity, exponent = found.elasticity.values(), found.exponent.values()
    return ClockModel(
        name=CLOCK_NAME,
        hardware="one NVIDIA V100",
        workload="matrix products and bursts",
        elasticity_low=rounded(min(elasticity)),
        elasticity_high=rounded(max(elasticity)),
        # the lower exponent gives the higher floor: a clock then reaches less deep
        power_exponent=rounded(min(exponent)),
        max_clock_mhz=float(HIGH_MHZ),
        valid_from_clock_mhz=float(LOW_MHZ),
        measurement_point="gpu",
        card=_card(table, found),
    )


def _read_off(runs: dict[tuple[str, int, int], Reading]) -> Sensitivities:
    """Compare the clocks where no cap binds, and the deepest cap with none."""
    workloads = sorted({workload for workload, _, _ in runs})
    elasticity, exponent, of_cap = {}, {}, {}
    by_clock, by_cap = [], []
    for workload in workloads:
        for cap_w in FREE_CAPS_W:
            free, slow = runs[workload, cap_w, HIGH_MHZ], runs[workload, cap_w, LOW_MHZ]
            at = f"{workload} at {cap_w} W"
            elasticity[at] = _elasticity(slow, free)
            exponent[at] = log(slow.power_w / free.power_w) / log(LOW_MHZ / HIGH_MHZ)
            by_clock.append(slow.power_w / free.power_w)
        deep = runs[workload, DEEP_CAP_W, HIGH_MHZ]
        of_cap[workload] = _elasticity(deep, free)
        by_cap.append(deep.power_w / free.power_w)
    return Sensitivities(elasticity, exponent, of_cap, tuple(by_clock), tuple(by_cap))


def _card(table: Table, found: Sensitivities) -> ModelCard:
    """Return the card of the clock model."""
    readings = (
        ("elasticity of throughput to power, clock", found.elasticity),
        ("exponent of power to clock", found.exponent),
        ("elasticity of throughput to power, cap", found.of_cap),
    )
    return ModelCard(
        title="Locked SM clocks on a V100",
        summary=(
            "Throughput and power under a locked SM clock, as an interval over two workloads; "
            "the planner is given the end that loses more."
        ),
        data=(dataset(table, SOURCE),),
        method=(
            f"Between {LOW_MHZ} and {HIGH_MHZ} MHz at caps of {FREE_CAPS_W[0]} and "
            f"{FREE_CAPS_W[1]} W, which bind nowhere: elasticity = ln(throughput ratio) / "
            "ln(power ratio), exponent = ln(power ratio) / ln(clock ratio), each by workload "
            "and cap."
        ),
        residuals=tuple(
            Statistic(name=f"{what}, {run}", value=value, unit="1")
            for what, by_run in readings
            for run, value in by_run.items()
        ),
        validity=(ValidRange(name="SM clock", low=LOW_MHZ, high=HIGH_MHZ, unit="MHz"),),
        measurement_point="gpu",
        measurement_note="Board power by the driver, sampled through each run.",
        findings=(
            Finding(
                title="Cap and clock were not compared at one depth",
                text=f"On the same board a cap of {DEEP_CAP_W} W leaves "
                + _span(found.left_by_cap)
                + f" of the power at an elasticity of {_span(found.of_cap.values())}, the clock of "
                + f"{LOW_MHZ} MHz {_span(found.left_by_clock)} at "
                + f"{_span(found.elasticity.values())}: "
                + "one curve that steepens with depth would show the same. Which of the two loses "
                + "less at equal power is not known.",
            ),
            Finding(
                title="Published for decode on H200, not in the fit",
                text="arXiv 2605.11999 is quoted as saying that decode on H200 draws 137 to 300 W, "
                "where no power cap binds, and that locked clocks recover up to 32 % of its "
                "energy.",
            ),
        ),
        not_for=(
            "any statement about another GPU or about language models: nobody has measured "
            "them here",
            "clocks below the range: throughput then falls faster",
        ),
    )


def _span(values: Iterable[float]) -> str:
    """Return the lowest and the highest in words."""
    listed = list(values)
    return f"{min(listed):.2f} to {max(listed):.2f}"


def _elasticity(slower: Reading, free: Reading) -> float:
    return log(slower.rate / free.rate) / log(slower.power_w / free.power_w)

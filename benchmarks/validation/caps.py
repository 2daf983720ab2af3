"""Caps and clocks: each reading predicted from the others of its workload, and what binds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.validation.line import Line, Section
from benchmarks.validation.unpacked import Cell, read_published
from ebplan.models.fit.board import (
    FittedBoard,
    Readings,
    WorkloadPrior,
    fit_board,
    not_binding,
    pool_workloads,
)
from ebplan.models.fit.sweep import (
    Held,
    SweepOptions,
    leave_one_clock_out,
    leave_one_out,
    sweep_readings,
)

EMERALD = "gpu_power/emerald_powercap_sweep.csv"
GRID = "gpu_power/gridpilot_v100_powercap_sweep.csv"
ZEUS = "gpu_power/zeus_v100_powercap_training.csv.gz"
GOAL = 0.03
"""Median absolute error of throughput under a cap that was held out."""
OPTIONS = SweepOptions(name="held-out", title="held out", hardware="as published")
"""Everything at its default: nothing here is set to a table."""
W_PER_KW = 1000.0

Workloads = dict[str, Readings]


@cache
def emerald(folder: Path) -> Workloads:
    """Return the caps of the 256-GPU cluster: inference, fine-tuning, training."""
    cells = {
        "workload": lambda row: row["workload"],
        "cap": lambda row: row["gpu_power_cap_w"],
        "power": lambda row: row["power_per_gpu_w"],
        "throughput": lambda row: row["throughput"],
    }
    return _workloads(folder / EMERALD, cells)


@cache
def grid(folder: Path) -> Workloads:
    """Return caps x clocks on one V100: matrix products and bursts."""
    cells = {
        "workload": lambda row: row["workload"],
        "cap": lambda row: row["pcap_w"],
        "clock": lambda row: row["sm_target_mhz"],
        "power": lambda row: row["power_mean_w"],
        "throughput": lambda row: row["iters_per_s"],
    }
    return _workloads(folder / GRID, cells)


@cache
def zeus(folder: Path) -> Workloads:
    """Return the caps of 68 trainings on a V100; throughput is epochs per second."""
    keys = ("gpu", "dataset", "network", "batch_size", "optimizer")
    cells = {
        "workload": lambda row: "/".join(row[key] for key in keys),
        "cap": lambda row: row["power_limit"],
        "power": lambda row: row["average_power"],
        "throughput": lambda row: 1.0 / float(row["time_per_epoch"]),
    }
    return _workloads(folder / ZEUS, cells)


def _workloads(path: Path, cells: Mapping[str, Cell]) -> Workloads:
    """Return the readings of a table by workload."""
    units = {"cap": "W", "power": "W"}
    data = read_published(path, cells, units, source="as published")
    return {name: readings for name, (readings, _) in sweep_readings(data, OPTIONS).items()}


def fitted(readings: Readings, prior: WorkloadPrior | None = None) -> FittedBoard:
    """Return a workload's fit."""
    return fit_board(readings, prior=prior or OPTIONS.prior, repeatability=OPTIONS.repeatability)


def errors(held: Sequence[Held]) -> str:
    """Say how far off throughput and power are, and how often they lie in their intervals."""
    rate = np.array([abs(h.rate_error) for h in held])
    power = np.array([abs(h.power_error) for h in held])
    return (
        f"{100 * np.median(rate):.1f} % median, {100 * np.quantile(rate, 0.9):.1f} % ninth decile; "
        f"{np.mean([h.rate_held for h in held]):.0%} in the 90 % interval; "
        f"power {100 * np.median(power):.1f} %, {np.mean([h.power_held for h in held]):.0%}"
    )


def held_lines(workloads: Workloads, where: str, *, with_goal: bool) -> Iterator[Line]:
    """Predict each reading from the others of its workload, apart by where it lies."""
    held = [h for name, r in workloads.items() for h in leave_one_out(name, r, OPTIONS)]
    median = float(np.median([abs(h.rate_error) for h in held]))
    yield Line(
        what=f"{where}: throughput under each cap ({len(held)}) from the others of its workload",
        value=errors(held),
        goal=f"median <= {GOAL:.0%}" if with_goal else "",
        reached=median <= GOAL if with_goal else None,
    )
    for kind, told in (
        ("inside", "caps that lie between others"),
        ("end", "the lowest and the highest cap, extrapolated"),
        ("free", "caps that do nothing"),
    ):
        chosen = [h for h in held if h.kind == kind]
        if chosen:
            yield Line(what=f"... of these {told} ({len(chosen)})", value=errors(chosen))


def run_emerald(folder: Path) -> Iterator[Line | str]:
    """Yield the results of the cluster's sweep."""
    workloads = emerald(folder)
    yield from held_lines(workloads, "256 GPUs, 100 to 400 W", with_goal=True)
    yield _free(workloads)
    held = [h for name, r in workloads.items() for h in leave_one_out(name, r, OPTIONS)]
    low = [h for h in held if h.cap_kw == min(r.cap.min() for r in workloads.values())]
    yield (
        "Extrapolated down to 100 W from 200 W and above, throughput is off by "
        + ", ".join(f"{100 * h.rate_error:+.0f} %" for h in low)
        + ": 100 W lies next to the static power, which readings from 200 W on do not fix. The "
        "intervals say so, and the models refuse caps below the lowest measured."
    )


def run_grid(folder: Path) -> Iterator[Line | str]:
    """Yield the results of the grid of caps and clocks."""
    workloads = grid(folder)
    yield from held_lines(workloads, "V100, 150 to 300 W x 405 to 1,380 MHz", with_goal=True)
    clocks = [h for name, r in workloads.items() for h in leave_one_clock_out(name, r, OPTIONS)]
    for kind, told in (("inside", "945 MHz"), ("end", "405 and 1,380 MHz, extrapolated")):
        chosen = [h for h in clocks if h.kind == kind]
        yield Line(
            what=f"V100: all readings at {told} from the other two clocks ({len(chosen)})",
            value=errors(chosen),
        )
    yield _free(workloads)
    yield (
        "Most of the grid repeats itself: caps that do nothing are predicted from their like. The "
        "readings that test the law are the four under caps that bind, and the clock left out."
    )


def run_zeus(folder: Path) -> Iterator[Line | str]:
    """Yield the results of the trainings."""
    workloads = zeus(folder)
    yield from held_lines(workloads, "68 trainings on a V100, 100 to 250 W", with_goal=False)
    free = [not_binding(r, OPTIONS.repeatability) for r in workloads.values()]
    loose = sum(bool(f.all()) for f in free)
    some = sum(bool(f.any()) for f in free) - loose
    yield (
        f"In {loose} of the {len(workloads)} trainings no cap binds, in {some} more the highest "
        "ones do not: power lies below the cap, and throughput is that under higher caps within "
        "what the training's readings repeat to."
    )


def run_pooled(folder: Path) -> Iterator[Line | str]:
    """Yield what a prior pooled from other workloads is worth for a new one."""
    training = {
        name: readings
        for name, readings in zeus(folder).items()
        if not not_binding(readings, OPTIONS.repeatability).all()
    }
    networks = sorted({network(name) for name in training})
    for count, known in ((0, "its uncapped reading alone"), (1, "that and its lowest cap")):
        pooled, alone = [], []
        for out in networks:
            others = [fitted(r).law for n, r in training.items() if network(n) != out]
            prior = pool_workloads(others)
            for name in (n for n in training if network(n) == out):
                pooled += _few(training[name], count, prior)
                alone += _few(training[name], count, OPTIONS.prior)
        yield Line(
            what=f"a training of another network ({len(pooled)}) from {known}, with a prior pooled "
            f"from the other {len(networks) - 1} networks",
            value=_told(pooled),
        )
        yield Line(what="... with the wide prior", value=_told(alone))
    prior = pool_workloads([fitted(r).law for r in training.values()])
    for count, known in ((0, "their highest cap alone"), (1, "that and their lowest cap")):
        cluster = emerald(folder).values()
        other_board = [e for r in cluster for e in _few(r, count, prior)]
        yield Line(
            what=f"the cluster's workloads (another GPU, {len(other_board)}) from {known}, with "
            "the prior of the V100 trainings",
            value=_told(other_board),
        )
        wide = [e for r in cluster for e in _few(r, count, OPTIONS.prior)]
        yield Line(what="... with the wide prior", value=_told(wide))
    yield (
        "The pooled prior is mean and covariance over the fitted trainings in which a cap binds. "
        "Where the wide prior does as well, what other workloads did is not worth knowing."
    )


def network(name: str) -> str:
    """Return the network of a training."""
    return name.split("/")[2]


def _few(readings: Readings, count: int, prior: WorkloadPrior) -> list[tuple[float, bool]]:
    """Predict the other caps from the highest, and from the lowest where ``count`` is 1."""
    order = np.argsort(readings.cap)
    known = np.zeros(len(order), dtype=bool)
    known[[order[-1], *order[:count]]] = True
    law = fitted(readings.where(known), prior).law
    found = []
    for i in np.flatnonzero(~known):
        told = law.throughput(float(readings.cap[i]), allow_extrapolation=True)
        measured = readings.rate[i : i + 1]
        found.append((float(told.mean[0] / measured[0]) - 1.0, bool(told.holds(measured)[0])))
    return found


def _told(found: Sequence[tuple[float, bool]]) -> str:
    off = np.array([abs(error) for error, _ in found])
    inside = np.mean([held for _, held in found])
    return (
        f"{100 * np.median(off):.1f} % median, {100 * np.quantile(off, 0.9):.1f} % ninth decile; "
        f"{inside:.0%} in the 90 % interval"
    )


def _free(workloads: Workloads) -> str:
    """Name the caps that do nothing."""
    told = []
    for name, readings in workloads.items():
        free = not_binding(readings, OPTIONS.repeatability)
        clocks = np.zeros(len(free)) if readings.clock is None else readings.clock
        for clock in np.unique(clocks):
            caps = np.sort(readings.cap[free & (clocks == clock)]) * W_PER_KW
            listed = ", ".join(f"{cap:.0f}" for cap in caps)
            at = "" if readings.clock is None else f" at {clock:.0f} MHz"
            if len(caps):
                told.append(f"{name}{at}: {listed} W")
    return "Caps that do nothing: " + ("; ".join(told) if told else "none; every cap binds") + "."


def plot(folder: Path, target: Path) -> None:
    """Draw throughput against cap with the fitted laws and what binds.

    Args:
        folder: folder of the published data.
        target: where the PNG is written.
    """
    from benchmarks.validation.caps_figure import draw

    draw(emerald(folder), grid(folder), target)


SECTIONS: tuple[Section, ...] = (
    Section("Power caps: a cluster of 256 GPUs", (EMERALD,), run_emerald),
    Section("Power caps and locked clocks: a V100", (GRID,), run_grid),
    Section("Power caps: 68 trainings on a V100", (ZEUS,), run_zeus),
    Section("Power caps: a workload with few readings", (EMERALD, ZEUS), run_pooled),
)

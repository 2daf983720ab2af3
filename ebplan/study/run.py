"""Run a study: numbers, policy, books, tables in a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from ebplan import __version__
from ebplan.document import SCHEMA_VERSION, make_folder, read_data, write_atomically
from ebplan.solvers.program import FloatArray
from ebplan.study.asked import Frontiers, Told
from ebplan.study.build import Built, build
from ebplan.study.contracts import planned
from ebplan.study.corners import CENTRAL, assumptions, corners
from ebplan.study.decisions import Track
from ebplan.study.foresight import foresee
from ebplan.study.invariants import hold
from ebplan.study.kept import read_track, track_key, write_track
from ebplan.study.kpi import Kpi, kpis, life_and_worth
from ebplan.study.ledger import Ledger, settle
from ebplan.study.myopic import follow_rule
from ebplan.study.numbers import StudyNumbers
from ebplan.study.receding import Receding
from ebplan.study.spec import PolicyKind, StudySpec
from ebplan.study.tables import TABLES, kpi_table, tagged, write_parquet


@dataclass(frozen=True)
class Run:
    """One policy at one corner of the assumptions."""

    policy: str
    corner: str
    built: Built
    track: Track
    ledger: Ledger
    kpis: tuple[Kpi, ...]
    seconds: float


def load_study(path: Path) -> StudySpec:
    """Read a study.

    Raises:
        InputError: the file is missing or wrong.
    """
    return StudySpec.parse(read_data(path), file=str(path))


def run_study(
    spec: StudySpec,
    folder: Path,
    *,
    told: Told | None = None,
    ranges: bool = False,
    kept: Path | None = None,
) -> list[Run]:
    """Return the runs of a study: each policy, and its own at each corner of the assumptions.

    Args:
        spec: the study.
        folder: where it lies.
        told: called with progress.
        ranges: whether to run the corners.
        kept: folder in which what is finished is kept, and found again after an interruption.

    Raises:
        InputError: something it refers to is missing or wrong.
        NoPlanError: a window has no feasible plan.
        StudyBroken: the books do not balance.
    """
    frontiers = Frontiers(told, None if kept is None else kept / "frontiers")
    built = build(spec, folder, frontiers=frontiers)
    policies = dict.fromkeys((spec.policy.kind, *spec.policy.beside))
    known: dict[str, Track] = {}
    runs = [_run(built, policy, CENTRAL, told, kept, known) for policy in policies]
    if ranges:
        for corner, at in corners(built.spec):
            moved = build(at, folder, frontiers=frontiers)
            runs.append(_run(moved, spec.policy.kind, corner, told, kept, known))
    return runs


def _run(
    built: Built,
    policy: PolicyKind,
    corner: str,
    told: Told | None,
    kept: Path | None,
    known: dict[str, Track],
) -> Run:
    began = monotonic()
    numbers = built.numbers
    key = track_key(built, policy)
    track = known.get(key)
    if track is None and kept is not None:
        track = read_track(kept, key, numbers)
    if track is None:
        track = _track(built, policy, told, corner)
        if kept is not None:
            write_track(kept, key, track)
    known[key] = track
    ledger = settle(numbers, track)
    hold(numbers, track, ledger)
    found = kpis(numbers, track, ledger, built.spec.currency)
    found += life_and_worth(built, track, ledger)
    return Run(policy, corner, built, track, ledger, tuple(found), monotonic() - began)


def _track(built: Built, policy: PolicyKind, told: Told | None, corner: str) -> Track:
    """Return what a policy makes of a study."""
    numbers, spec = built.numbers, built.spec.policy
    taken = accepted(numbers, built.spec.seed)
    if policy == "myopic":
        return follow_rule(numbers, taken)

    steps = 0

    def stepped(done: int, of: int) -> None:
        nonlocal steps
        steps = of
        if told is not None:
            told(f"{policy}, {corner}", done, of)

    def plan(of: StudyNumbers) -> Track:
        if policy == "perfect_foresight":
            return foresee(of, taken, stepped)
        return Receding(of, taken, spec.clock, spec.planning).run(stepped)

    track = planned(numbers, plan)
    if steps:
        stepped(steps, steps)  # what is told before a step tells nothing after the last
    return track


def accepted(numbers: StudyNumbers, seed: int) -> FloatArray:
    """Return which bids the market takes, drawn by lot for each block: 1 or 0, shape (S, T)."""
    draw = np.random.default_rng(seed)
    rows = []
    for service in numbers.services:
        lots = draw.random(-(-numbers.steps // service.block)) < service.award_probability
        rows.append(np.repeat(lots, service.block)[: numbers.steps].astype(float))
    return np.array(rows).reshape(-1, numbers.steps)


def write_results(runs: list[Run], folder: Path) -> None:
    """Write the tables and the manifest of runs.

    Args:
        runs: of one study.
        folder: made where it does not exist.

    Raises:
        InputError: the folder cannot be written.
    """
    make_folder(folder)
    for name, make in TABLES.items():
        parts = [
            tagged(make(r.built, r.track, r.ledger), r.policy, r.corner)
            for r in runs
            if r.corner == CENTRAL or name == "ledger"
        ]
        write_parquet(folder / f"{name}.parquet", _joined(parts))
    parts = [tagged(kpi_table(run.kpis), run.policy, run.corner) for run in runs]
    write_parquet(folder / "kpi.parquet", _joined(parts))
    write_atomically(folder / "manifest.json", json.dumps(manifest(runs), indent=1))


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in parts[0]:
        values = [part[name] for part in parts]
        lists = isinstance(values[0], list)
        out[name] = list(chain(*values)) if lists else np.concatenate(values)
    return out


def manifest(runs: list[Run]) -> Mapping[str, Any]:
    """Return what the results were made from."""
    built = runs[0].built
    return {
        "kind": "study_result",
        "schema_version": SCHEMA_VERSION,
        "study": built.spec.name,
        "currency": built.spec.currency,
        "seed": built.spec.seed,
        "spec": built.spec.model_dump(mode="json"),
        "inputs": {
            "study": built.spec.digest(),
            **{f"site {s.name}": s.digest() for s in built.sites},
            **{f"service {s.id}": s.digest() for s in built.services},
        },
        "series": [report.model_dump(mode="json") for report in built.series],
        "versions": {
            "ebplan": __version__,
            "python": sys.version.split()[0],
            **{name: version(name) for name in ("highspy", "numpy", "pyarrow", "rainflow")},
        },
        "groups": [_group_facts(built, i) for i in range(len(built.numbers.groups))],
        "services": [
            {
                "id": s.id,
                "releases": s.releases,
                "absorbs": s.absorbs,
                "sustain_s": s.sustain_s,
                "room_s": s.room_s,
                "opposite": s.opposite,
                "rated": s.rated,
                "full_activation_s": s.activation_s,
                "min_bid_kw": s.min_bid_kw,
                "step_kw": s.step_kw,
                "fee_per_kw": float(s.fee_per_kw.mean()),
                "penalty_per_kwh": s.penalty_per_kwh,
                "award_probability": s.award_probability,
                "unavailable_times": s.unavailable_times,
                "block_steps": s.block,
                "contract_kw": s.contract_kw,
                "steps_held": int(s.held.sum()),
                "steps_cut_to_the_cap": s.clipped,
                "gate": None if s.gate is None else asdict(s.gate),
                "exclusive_with": [
                    other.id for other in built.numbers.services if other.id in s.exclusive_with
                ],
            }
            for s in built.numbers.services
        ],
        "assumptions": assumptions(built.spec),
        "steps_below_zero": int((built.numbers.market.spot_per_kwh < 0.0).sum()),
        "terminal_per_kwh": built.numbers.terminal_per_kwh,
        "intraday_spread_per_kwh": built.numbers.market.intraday_spread_per_kwh,
        "runs": [
            {"policy": run.policy, "corner": run.corner, "seconds": round(run.seconds, 3)}
            for run in runs
        ],
    }


def _group_facts(built: Built, at: int) -> dict[str, Any]:
    group = built.numbers.groups[at]
    battery = None
    if group.battery is not None:
        problem = group.battery.problem
        battery = {
            "energy_kwh": problem.energy_kwh,
            "min_kwh": problem.min_kwh,
            "max_kwh": problem.max_kwh,
            "start_kwh": problem.start_kwh,
            "charge_limit_kw": problem.charge_limit_kw,
            "discharge_limit_kw": problem.discharge_limit_kw,
            "charge_efficiency": group.battery.charge_efficiency,
            "discharge_efficiency": group.battery.discharge_efficiency,
            "wear_per_kwh": problem.wear_per_kwh,
            "depth_segments": [s.model_dump() for s in problem.depth_segments],
            "calendar": [line.model_dump() for line in problem.calendar],
        }
    return {
        "name": group.name,
        "site": built.sites[at].name,
        "sites": group.sites,
        "import_kw": group.import_kw,
        "export_kw": group.export_kw,
        "settled_s": group.settled_s,
        "bridge_s": group.bridge_s,
        "demand_per_kw_month": group.demand_per_kw_month.tolist(),
        "battery": battery,
    }


def run_built(built: Built, policy: PolicyKind) -> Run:
    """Return the run of one policy on a study in numbers.

    Raises:
        NoPlanError: a window has no feasible plan.
        StudyBroken: the books do not balance.
    """
    return _run(built, policy, CENTRAL, None, None, {})

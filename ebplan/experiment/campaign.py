"""Run the cases of a protocol that are not finished yet, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ebplan import __version__
from ebplan.errors import EbplanError
from ebplan.experiment.bench import bench_of, site_of
from ebplan.experiment.folder import ReportFolder, write_gz, write_json, write_table
from ebplan.experiment.matrix import ExperimentCase, cases_of
from ebplan.experiment.protocol import Protocol

if TYPE_CHECKING:
    from ebplan.audit.keys import SigningKey
    from ebplan.site import Site

VERSIONED = ("highspy", "numpy", "pydantic")
"""What else a result may depend on."""


@dataclass(frozen=True)
class Progress:
    """How far a campaign is."""

    number: int
    """Of the case, from 1 on."""
    cases: int
    name: str
    state: str
    """``kept``, ``running``, ``done`` or ``failed``."""
    took_s: float = 0.0
    why: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class Campaign:
    """What came of a protocol."""

    finished: list[str]
    """Names of the cases whose results are there."""
    failed: dict[str, str]
    """Why the others are not, by name: run again they are tried again."""


def inputs_of(protocol: Protocol, case: ExperimentCase, site: Site) -> str:
    """Return everything that a case depends on, as JSON."""
    from ebplan.models import library

    bench = bench_of(protocol, case, site)
    (pool,) = bench.site.pools.values()
    models = [pool.fleet_model, pool.cap_model]
    models += [pool.tier.tier_model] if pool.tier is not None else []
    settings = protocol.model_dump(
        mode="json",
        exclude={
            *("shapes", "concurrencies", "events", "mechanisms", "seeds", "exclude"),
            # these stand in the site
            *("folder", "site", "name", "single_handoff_price_per_kwh"),
        },
    )
    told: dict[str, Any] = {
        "kind": "experiment_case",
        "simulated": True,
        "protocol": protocol.name,
        "name": case.name,
        "shape": case.shape,
        "concurrency": case.users,
        "mechanisms": list(case.mechanisms),
        "seed": case.seed,
        "event": case.event.model_dump(mode="json"),
        "settings": settings,
        "site": bench.site.model_dump(mode="json"),
        "state": bench.state.model_dump(mode="json"),
        "models": {name: library.load(name).digest() for name in models},
        "versions": {"ebplan": __version__, **{name: version(name) for name in VERSIONED}},
    }
    return json.dumps(told, indent=1)


def run_campaign(
    protocol: Protocol,
    folder: ReportFolder,
    *,
    base: Path,
    key: SigningKey,
    again: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Campaign:
    """Run what is not finished; a case that fails does not end the others.

    Args:
        protocol: what to run.
        folder: where it is kept.
        base: folder that the protocol's paths count from.
        key: who signs the audit logs.
        again: run finished cases as well.
        progress: told before and after each case.

    Raises:
        InputError: the protocol does not fit the site.
    """
    site, cases = site_of(protocol, base), cases_of(protocol)
    inputs = {case.name: inputs_of(protocol, case, site) for case in cases}
    finished, failed = list[str](), dict[str, str]()
    for number, case in enumerate(cases, start=1):
        if not again and folder.is_finished(case.name, inputs[case.name]):
            finished.append(case.name)
            progress(Progress(number, len(cases), case.name, "kept"))
            continue
        progress(Progress(number, len(cases), case.name, "running"))
        try:
            took_s = _run_one(protocol, case, site, folder, inputs[case.name], key)
        except EbplanError as error:
            failed[case.name] = str(error)
            progress(Progress(number, len(cases), case.name, "failed", why=str(error)))
            continue
        finished.append(case.name)
        progress(Progress(number, len(cases), case.name, "done", took_s))
    folder.forget(finished)
    return Campaign(finished, failed)


def _run_one(
    protocol: Protocol,
    case: ExperimentCase,
    site: Site,
    folder: ReportFolder,
    inputs: str,
    key: SigningKey,
) -> float:
    from ebplan.experiment.measures import measured_variables
    from ebplan.experiment.record import write_audit
    from ebplan.experiment.steps import run_case
    from ebplan.experiment.telemetry import latency_table

    began = perf_counter()
    run = run_case(protocol, case, site)
    written = folder.begin(case.name)
    (written / "case.json").write_text(inputs + "\n", encoding="utf-8")
    write_json(written / "measured.json", plain(measured_variables(run)))
    write_table(written / "telemetry", plain(run.recorder.rows), protocol.telemetry)
    table = latency_table(run.answers, run.over_s)
    write_table(written / "latency", plain(table), protocol.telemetry)
    (written / "plans").mkdir()
    for number, made in enumerate(run.plans, start=1):
        write_gz(written / "plans" / f"{number:03d}.json.gz", made.plan.to_json().encode())
    write_audit(written / "audit", run, key, inputs)
    folder.keep(case.name, written, inputs, perf_counter() - began)
    return perf_counter() - began


def plain(value: Any) -> Any:
    """Return data with numpy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value

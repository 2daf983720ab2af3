"""Run the cases of a protocol that are not finished yet, some at a time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ebplan import __version__
from ebplan.errors import EbplanError
from ebplan.experiment.bench import bench_of, site_of
from ebplan.experiment.folder import ReportFolder, write_gz, write_json, write_table
from ebplan.experiment.matrix import ExperimentCase, cases_of
from ebplan.experiment.protocol import Protocol
from ebplan.twin.wire.processes import end_with

if TYPE_CHECKING:
    from ebplan.site import Site

VERSIONED = ("highspy", "numpy", "pydantic")
"""What else a result may depend on."""


@dataclass(frozen=True)
class Progress:
    """How far a campaign is."""

    number: int
    """Cases that have ended, this one included."""
    cases: int
    name: str
    state: str
    """``kept``, ``running`` (one at a time only), ``done`` or ``failed``."""
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
    key: Path,
    again: bool = False,
    jobs: int = 1,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Campaign:
    """Run what is not finished; a case that fails does not end the others.

    Args:
        protocol: what to run.
        folder: where it is kept.
        base: folder that the protocol's paths count from.
        key: file of the key that signs the audit logs.
        again: run finished cases as well.
        jobs: so many cases at a time, each in a process of its own; the results are the same.
        progress: told before and after each case.

    Raises:
        InputError: the protocol does not fit the site.
    """
    site, cases = site_of(protocol, base), cases_of(protocol)
    inputs = {case.name: inputs_of(protocol, case, site) for case in cases}
    order = [case.name for case in cases]
    finished, failed = list[str](), dict[str, str]()

    def tell(name: str, state: str, took_s: float = 0.0, why: str = "") -> None:
        ended = len(finished) + len(failed) + (state == "running")
        progress(Progress(ended, len(cases), name, state, took_s, why))

    left = list[ExperimentCase]()
    for case in cases:
        if not again and folder.is_finished(case.name, inputs[case.name]):
            finished.append(case.name)
            tell(case.name, "kept")
        else:
            left.append(case)
    asked = {
        case.name: partial(
            _run_one, protocol, case, site, folder.unfinished(case.name), inputs[case.name], key
        )
        for case in left
    }
    with _results(asked, jobs, partial(tell, state="running")) as results:
        for name, result in results:
            try:
                took_s = result()
            except EbplanError as error:
                failed[name] = str(error)
                tell(name, "failed", why=str(error))
                continue
            folder.keep(name, inputs[name], took_s)
            finished.append(name)
            tell(name, "done", took_s)
    finished.sort(key=order.index)
    folder.forget(finished)
    return Campaign(finished, failed)


Result = tuple[str, Callable[[], float]]
"""Name of a case, and what gives the seconds that it took or raises why it failed."""


@contextmanager
def _results(
    asked: Mapping[str, Callable[[], float]], jobs: int, begins: Callable[[str], None]
) -> Iterator[Iterator[Result]]:
    """Give the cases as they end; what still runs when the block is left is ended."""
    jobs = min(jobs, len(asked))
    if jobs <= 1:
        yield _in_turn(asked, begins)
        return
    # not forked: the solver has threads
    pool = ProcessPoolExecutor(
        jobs, mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
    )
    try:
        futures = {pool.submit(run): name for name, run in asked.items()}
        yield ((futures[future], future.result) for future in as_completed(futures))
    finally:
        pool.shutdown(cancel_futures=True)


def _in_turn(
    asked: Mapping[str, Callable[[], float]], begins: Callable[[str], None]
) -> Iterator[Result]:
    for name, run in asked.items():
        begins(name)
        yield name, run


def _run_one(
    protocol: Protocol, case: ExperimentCase, site: Site, written: Path, inputs: str, key: Path
) -> float:
    """Run a case and write its files into an empty folder; return the seconds that it took."""
    from ebplan.audit.keys import SigningKey
    from ebplan.experiment.measures import measured_variables
    from ebplan.experiment.record import write_audit
    from ebplan.experiment.steps import run_case
    from ebplan.experiment.telemetry import latency_table

    began = perf_counter()
    run = run_case(protocol, case, site)
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir()
    (written / "case.json").write_text(inputs + "\n", encoding="utf-8")
    write_json(written / "measured.json", plain(measured_variables(run)))
    write_table(written / "telemetry", plain(run.recorder.rows), protocol.telemetry)
    table = latency_table(run.answers, run.over_s)
    write_table(written / "latency", plain(table), protocol.telemetry)
    (written / "plans").mkdir()
    for number, made in enumerate(run.plans, start=1):
        write_gz(written / "plans" / f"{number:03d}.json.gz", made.plan.to_json().encode())
    write_audit(written / "audit", run, SigningKey.read(key), inputs)
    return perf_counter() - began


def plain(value: Any) -> Any:
    """Return data with numpy's numbers as Python's."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value

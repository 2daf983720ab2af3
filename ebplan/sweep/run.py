"""Run a sweep: scenarios, frontiers, chunks, one table."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ebplan import __version__
from ebplan.document import SCHEMA_VERSION, read_data, write_atomically
from ebplan.study.asked import Question, ask, read_answer, write_answer
from ebplan.study.build import build
from ebplan.study.frontier import Frontier
from ebplan.study.run import load_study
from ebplan.study.spec import StudySpec
from ebplan.sweep.cells import Cell, cell_of, work
from ebplan.sweep.farm import Farm, done_by, farm
from ebplan.sweep.frontiers import Answered, Wanted, kept_share
from ebplan.sweep.scenarios import Scenario, periods, scenarios
from ebplan.sweep.spec import SweepSpec
from ebplan.sweep.store import Store

Told = Callable[[str, int, int, int], None]
"""Called with what is being done, how much is done, of how much, and how many work on it."""


@dataclass(frozen=True)
class Swept:
    """What a sweep came to."""

    spec: SweepSpec
    currency: str
    scenarios: int
    chunks: int
    kept: int
    """Chunks that were finished before."""
    sha256: str
    """Hash of the rows of ``results.parquet``."""


def load_sweep(path: Path) -> SweepSpec:
    """Read a sweep.

    Raises:
        InputError: the file is missing or wrong.
    """
    return SweepSpec.parse(read_data(path), file=str(path))


def run_sweep(
    spec: SweepSpec,
    folder: Path,
    output: Path,
    *,
    scheduler: str | None = None,
    jobs: int | None = None,
    told: Told | None = None,
) -> Swept:
    """Work out what of a sweep is not finished yet, and join it.

    Args:
        spec: the sweep.
        folder: where it lies.
        output: folder of its results; what is finished there is kept.
        scheduler: address of a Dask scheduler; processes of this machine where absent.
        jobs: processes; as many as there are cores where absent.
        told: called with progress.

    Raises:
        InputError: something it refers to is missing or wrong.
        NoPlanError: a window of a scenario has no feasible plan.
        WorkersLost: workers die over the same work again and again.
    """
    told = told or _nobody
    path = folder / spec.study
    study = load_study(path)
    found = list(scenarios(spec, study, path.parent))
    questions = _questions(spec, found, path.parent, told)
    store = Store(output)
    with farm(scheduler, jobs) as where:
        answers = _asked(where, questions, store, told)
        order, kept = _work(where, spec, found, path.parent, answers, store, told)
    sha256 = store.join(order)
    manifest = _manifest(spec, study, found, order, sha256)
    write_atomically(output / "manifest.json", json.dumps(manifest, indent=1))
    return Swept(spec, study.currency, len(found), len(order), kept, sha256)


def _questions(
    spec: SweepSpec, found: list[Scenario], folder: Path, told: Told
) -> dict[str, Question]:
    """Return what is to be asked of the planner; a scenario that is wrong is refused here."""
    wanted = Wanted()
    for i, scenario in enumerate(found):
        kept_share(scenario.confidence, spec.response_std)
        for study in periods(spec, scenario.study):
            build(study, folder, frontiers=wanted)
        told("reading scenarios", i + 1, len(found), 1)
    return wanted.questions


def _asked(
    where: Farm, questions: dict[str, Question], store: Store, told: Told
) -> dict[str, Frontier]:
    answers: dict[str, Frontier] = {}
    missing = []
    for name, question in questions.items():
        known = read_answer(store.frontiers, name)
        if known is None:
            missing.append(question)
        else:
            answers[name] = known

    def look(workers: int, _out: int) -> None:
        told("asking what compute can give", len(answers), len(questions), workers)

    for question, answer in done_by(where, ask, missing, look):
        write_answer(store.frontiers, question.id, answer)
        answers[question.id] = answer
    look(where.workers(), 0)
    return answers


def _work(
    where: Farm,
    spec: SweepSpec,
    found: list[Scenario],
    folder: Path,
    answers: dict[str, Frontier],
    store: Store,
    told: Told,
) -> tuple[list[str], int]:
    """Return the chunks in their order, and how many were finished before."""
    order: list[str] = []
    kept = 0
    total = sum(1 for scenario in found for _ in periods(spec, scenario.study))

    def missing() -> Iterator[Cell]:
        nonlocal kept
        for scenario in found:
            share = kept_share(scenario.confidence, spec.response_std)
            for study in periods(spec, scenario.study):
                built = build(study, folder, frontiers=Answered(answers, share))
                cell = cell_of(scenario.id, scenario.labels, built)
                order.append(cell.id)
                if store.has(cell.id):
                    kept += 1
                else:
                    yield cell

    finished = 0

    def look(workers: int, _out: int) -> None:
        told("working out scenarios", kept + finished, total, workers)

    for cell, columns in done_by(where, work, missing(), look):
        store.write(cell.id, columns)
        finished += 1
    told("working out scenarios", kept + finished, total, where.workers())
    return order, kept


def _manifest(
    spec: SweepSpec, study: StudySpec, found: list[Scenario], order: list[str], sha256: str
) -> dict[str, Any]:
    return {
        "kind": "sweep_result",
        "schema_version": SCHEMA_VERSION,
        "sweep": spec.model_dump(mode="json"),
        "study": study.model_dump(mode="json"),
        "scenarios": {one.id: one.labels for one in found},
        "chunks": order,
        "result_sha256": sha256,
        "versions": {
            "ebplan": __version__,
            "python": sys.version.split()[0],
            **{name: version(name) for name in ("highspy", "numpy", "pyarrow")},
        },
    }


def _nobody(_what: str, _done: int, _of: int, _workers: int) -> None:
    """Tell nobody."""

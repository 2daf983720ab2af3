"""A prequalification as a folder: series, results and a figure of each run, and a summary.

Each file is written whole or not at all. A run whose inputs have not changed since it was written
is not made again, so that an interrupted prequalification goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ebplan.document import read_json, write_atomically
from ebplan.errors import InputError
from ebplan.report.delivery_figure import plot_delivery
from ebplan.report.pack_summary import run_words, summary
from ebplan.services import ServiceDefinition
from ebplan.settlement.pack import Job, Pack, PackRun, jobs_of, key_of, make_run, pack_of
from ebplan.settlement.pack_spec import PackSpec
from ebplan.site import Site

RESULT, SUMMARY = "pack.json", "README.md"
ENDINGS = (".json", ".csv", ".png")
"""Result, series and figure of a run."""


def write_pack(
    spec: PackSpec,
    target: Path,
    *,
    folder: Path,
    site: Site | None = None,
    site_name: str = "",
    progress: Callable[[str], None] = lambda line: None,
) -> Pack:
    """Make every run that is not there yet, write the folder, and return the results.

    Args:
        spec: the prequalification.
        target: the folder; made where it is not there.
        folder: where the paths of ``spec`` count from.
        site: the site to simulate; recordings where absent.
        site_name: what it is called.
        progress: told one line for each run.

    Raises:
        InputError: the folder holds other files, or a run cannot be made.
    """
    service = spec.product(folder)
    jobs = jobs_of(spec, simulated=site is not None)
    _check_folder(target, jobs)
    runs = []
    for i, job in enumerate(jobs, start=1):
        key = key_of(job, spec, service, folder, site)
        run = _there_already(target, job, key)
        again = run is not None
        if run is None:
            run = _make(job, key, spec, service, folder, site, target)
        runs.append(run)
        done = "as it was" if again else "made"
        told = run_words(run)
        progress(f"[{i}/{len(jobs)}] {job.stem}: {told} ({done})")
    made_of = "recordings of meters" if site is None else f"the fluid plant of {site_name}"
    pack = pack_of(spec, service, tuple(runs), made_of=made_of)
    write_atomically(target / RESULT, pack.to_json() + "\n")
    write_atomically(target / SUMMARY, summary(pack))
    return pack


def _check_folder(target: Path, jobs: tuple[Job, ...]) -> None:
    """Make the folder; refuse one that holds other files."""
    ours = {RESULT, SUMMARY, *(f"{job.stem}{ending}" for job in jobs for ending in ENDINGS)}
    try:
        target.mkdir(parents=True, exist_ok=True)
        others = sorted(
            path.name
            for path in target.iterdir()
            if path.name not in ours and not path.name.startswith(".ebplan-")
        )
    except OSError as error:
        raise InputError(
            field="-o",
            value=error.strerror,
            allowed="a folder that can be made and written",
            remedy="choose another one",
            file=str(target),
        ) from None
    if others:
        raise InputError(
            field="-o",
            value=others[0],
            allowed="a new folder, or one with this prequalification",
            remedy="choose another one: nothing is removed here",
            file=str(target),
        )


def _there_already(target: Path, job: Job, key: str) -> PackRun | None:
    """Return a run that was written before and would come out the same."""
    if not all((target / f"{job.stem}{ending}").is_file() for ending in ENDINGS):
        return None
    path = target / f"{job.stem}.json"
    try:
        run = PackRun.parse(read_json(path), file=str(path))
    except InputError:
        return None
    return run if run.key == key else None


def _make(
    job: Job,
    key: str,
    spec: PackSpec,
    service: ServiceDefinition,
    folder: Path,
    site: Site | None,
    target: Path,
) -> PackRun:
    """Make a run and write its files; its result last, for that says that it is there."""
    made = make_run(job, key, spec, service, folder, site)
    series = made.meter.with_columns(baseline_kw=made.baseline.kw)
    write_atomically(target / f"{job.stem}.csv", series.to_csv())
    figure = target / f"{job.stem}.png"
    plot_delivery(made.run.delivery, made.meter, made.event, made.baseline, figure, service=service)
    write_atomically(target / f"{job.stem}.json", made.run.to_json() + "\n")
    return made.run

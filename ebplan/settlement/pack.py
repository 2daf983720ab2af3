"""The results of a prequalification: each run of each test, what is missing, the verdict."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from ebplan import __version__
from ebplan.document import Document, Part, Timestamp, read_json
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.plan import Plan
from ebplan.services import ServiceDefinition
from ebplan.services.definition import Direction
from ebplan.settlement.by_rule import around, baseline_of
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.meter_file import read_map, read_meter
from ebplan.settlement.pack_spec import PackSpec, PackTest, TestKind, event_of_test
from ebplan.settlement.reference import Reference
from ebplan.settlement.series import MeterSeries
from ebplan.settlement.simulate import simulate
from ebplan.settlement.verdict import Verdict, overall, sure
from ebplan.site import Site
from ebplan.state import State
from ebplan.twin import LoadNoise


class PackRun(Document):
    """One run of a test."""

    kind: Literal["prequalification_run"] = "prequalification_run"
    key: str
    """Digest of everything it was made from: a run with the same key is not made again."""
    test: str
    """Name of the test."""
    test_kind: TestKind
    """Ramp or endurance."""
    direction: Direction
    """Draw less, or more."""
    number: int
    """Which run of the test, from 1 on."""
    verdict: Verdict | None
    """Over the criteria of its kind; None where one cannot be told and none failed."""
    delivery: Delivery
    """What was measured."""

    @property
    def certain(self) -> bool:
        """Whether the verdict lies beyond the errors of measurement."""
        return sure(self.delivery.criteria)


class Coverage(Part):
    """What a product asks to be shown, and how often it was."""

    test_kind: TestKind
    """Ramp or endurance."""
    direction: Direction
    """Draw less, or more."""
    asked: int
    """How often."""
    runs: int
    """Runs there are."""


class Pack(Document):
    """A prequalification with its results."""

    kind: Literal["prequalification_pack"] = "prequalification_pack"
    resource: str
    """What was tested."""
    service: ServiceDefinition
    """The product, with the facts that were supplied."""
    simulated: bool
    """Whether the tests were run on the bench, and no real site."""
    made_of: str
    """Where the runs come from."""
    first: Timestamp
    """Start of the first run."""
    coverage: tuple[Coverage, ...]
    """What the product asks to be shown, both directions where it pays for both."""
    verdict: Verdict | None
    """Pass: every run passes and nothing is missing; fail: one fails."""
    runs: tuple[PackRun, ...]
    """The runs, in the order of the tests."""

    @property
    def certain(self) -> bool:
        """Whether the verdict lies beyond the errors of measurement: of a fail, that of one run."""
        if self.verdict == "fail":
            return any(run.certain for run in self.runs if run.verdict == "fail")
        return all(run.certain for run in self.runs)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the product asks and no run shows, in words."""
        return tuple(
            f"{c.test_kind}, {c.direction}: {c.runs} of {c.asked}"
            for c in self.coverage
            if c.runs < c.asked
        )


class Job(NamedTuple):
    """A run to make."""

    test: PackTest
    """Its test."""
    number: int
    """Which run of it, from 1 on."""

    @property
    def stem(self) -> str:
        """Name of its files, without what they end in."""
        return f"{self.test.name}-{self.number}"


class Made(NamedTuple):
    """A run with what its figure is drawn from."""

    run: PackRun
    meter: MeterSeries
    event: Event
    baseline: Reference


def jobs_of(spec: PackSpec, *, simulated: bool) -> tuple[Job, ...]:
    """Return the runs that a prequalification asks for.

    Raises:
        InputError: a test has no recording, or the tests are simulated and it is not said how.
    """
    if simulated and spec.simulate is None:
        raise InputError(
            field="simulate",
            value=None,
            allowed="how tests are run on the bench",
            remedy='add  [simulate]  with  state = "state.json"',
        )
    for i, test in enumerate(spec.tests):
        if not simulated and not test.runs:
            raise InputError(
                field=f"tests.{i}.runs",
                value="no recording",
                allowed="one recording or more, or --simulate SITE",
                remedy='add  [[tests.runs]]  with  meter = "..."  and  start = "..."',
            )
    return tuple(
        Job(test, number)
        for test in spec.tests
        for number in range(1, (spec.repeats if simulated else len(test.runs)) + 1)
    )


def key_of(
    job: Job, spec: PackSpec, service: ServiceDefinition, folder: Path, site: Site | None
) -> str:
    """Return the digest of everything that a run is made from.

    Raises:
        InputError: a recording cannot be read.
    """
    about = {
        "ebplan": __version__,
        "test": job.test.model_dump(mode="json"),
        "number": job.number,
        "service": service.digest(),
        "confidence": spec.confidence,
        "accuracy": spec.accuracy,
    }
    if site is not None and spec.simulate is not None:
        state = state_of(spec, folder)
        about |= {"site": site.digest(), "state": state.digest()}
        about["simulate"] = spec.simulate.model_dump(mode="json", exclude={"state"})
    else:
        run = job.test.runs[job.number - 1]
        named = [run.meter, run.map, run.plan, job.test.baseline]
        if job.test.baseline is not None:
            # a rule looks at other days, and those of other runs are left out
            named.append(spec.holidays)
            starts = [run.start.isoformat() for test in spec.tests for run in test.runs]
            about["days"] = [starts, sorted(map(str, spec.exclude_days)), spec.zone]
        for name in named:
            path = folder / (name or "")
            if name and path.is_file():
                about[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    plain = json.dumps(about, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def state_of(spec: PackSpec, folder: Path) -> State:
    """Return the state that simulated runs begin in.

    Raises:
        InputError: its file cannot be read.
    """
    assert spec.simulate is not None, "checked with the jobs"
    told = spec.simulate.state
    if isinstance(told, State):
        return told
    path = folder / told
    data = read_json(path)
    return State.parse(data.get("state", data), file=str(path))


def make_run(
    job: Job, key: str, spec: PackSpec, service: ServiceDefinition, folder: Path, site: Site | None
) -> Made:
    """Make a run: read its recording, or simulate it, and measure what was delivered.

    Args:
        job: the run.
        key: digest of everything it is made from.
        spec: the prequalification.
        service: the product.
        folder: where paths count from.
        site: the site to simulate; recordings where absent.

    Raises:
        InputError: a recording cannot be read, or does not fit its test.
    """
    if site is None:
        meter, event, plan = _recorded(job, service, folder)
    else:
        meter, event, plan = _simulated(job, spec, service, folder, site)
    part = around(meter, event, job.test.baseline, folder)
    base = baseline_of(
        meter,
        part,
        event,
        job.test.baseline,
        folder=folder,
        calendar=spec.calendar(event, folder),
        confidence=spec.confidence,
        accuracy=spec.accuracy,
    )
    found = measure_delivery(part, event, base, service=service, plan=plan)
    if job.test.kind == "ramp":
        # a ramp test shows that the response comes, not how long it stays
        criteria = tuple(c for c in found.criteria if c.name != "sustained")
        found = found.model_copy(update={"criteria": criteria, "verdict": overall(criteria)})
    run = PackRun(
        key=key,
        test=job.test.name,
        test_kind=job.test.kind,
        direction=job.test.direction,
        number=job.number,
        verdict=found.verdict,
        delivery=found,
    )
    return Made(run, part, event, base)


def _recorded(
    job: Job, service: ServiceDefinition, folder: Path
) -> tuple[MeterSeries, Event, Plan | None]:
    run = job.test.runs[job.number - 1]
    columns = None if run.map is None else read_map(folder / run.map)
    meter = read_meter(folder / run.meter, columns, start=run.start)
    plan = None
    if run.plan is not None:
        plan = Plan.parse(read_json(folder / run.plan), file=run.plan)
    return meter, event_of_test(job.test, service, run.start), plan


def _simulated(
    job: Job, spec: PackSpec, service: ServiceDefinition, folder: Path, site: Site
) -> tuple[MeterSeries, Event, Plan | None]:
    about = spec.simulate
    assert about is not None, "checked with the jobs"
    state = state_of(spec, folder)
    start = state.at + timedelta(seconds=about.quiet_s)
    event = event_of_test(job.test, service, start)
    noise = LoadNoise(std=about.load_noise) if about.load_noise > 0.0 else None
    meter, plan = simulate(
        site,
        state,
        event,
        quiet_s=about.quiet_s,
        seed=about.seed + job.number - 1,
        load_noise=noise,
        noise_kw=about.noise_kw,
    )
    return meter, event.model_copy(update={"start": plan.start}), plan


def pack_of(
    spec: PackSpec, service: ServiceDefinition, runs: tuple[PackRun, ...], *, made_of: str
) -> Pack:
    """Return the results: coverage and verdict over all runs."""
    kinds: tuple[TestKind, ...] = ("ramp", "endurance")
    coverage = tuple(
        Coverage(
            test_kind=kind,
            direction=direction,
            asked=spec.repeats,
            runs=sum(run.test_kind == kind and run.direction == direction for run in runs),
        )
        for direction in service.directions
        for kind in kinds
    )
    verdicts = {run.verdict for run in runs}
    whole = all(c.runs >= c.asked for c in coverage)
    verdict: Verdict | None = "fail" if "fail" in verdicts else None
    if verdicts == {"pass"} and whole:
        verdict = "pass"
    return Pack(
        resource=spec.resource,
        service=service,
        simulated=any(run.delivery.simulated for run in runs),
        made_of=made_of,
        first=min(run.delivery.start for run in runs),
        coverage=coverage,
        verdict=verdict,
        runs=runs,
    )

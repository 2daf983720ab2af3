"""A case of ``ebplan twin experiment``, from the folder that it wrote.

What was measured becomes a recording. The decisions are made again by running the case from its own
inputs (``case.json``): experiments plan in simulated time, and count work unless their protocol
says seconds.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.document import read_json
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.experiment.matrix import ExperimentCase
from ebplan.experiment.protocol import GridEvent, Protocol
from ebplan.experiment.steps import run_case
from ebplan.plan import Plan
from ebplan.planner import Restoration
from ebplan.planner.replay import differences
from ebplan.replay.decisions import Decision, Verdict
from ebplan.replay.own import OwnRun
from ebplan.replay.spec import LOAD, Beginning
from ebplan.settlement.series import BATTERY, GRID, FloatArray, MeterSeries
from ebplan.site import Site
from ebplan.state import State

RESPONDS = 4
"""Step of the protocol at which the response begins."""
NUMBERS = ("t_s", "duration_s", "step", "grid_kw", "battery_kw", "soc", "arrived_total")


def read_case(folder: Path, interval_s: float) -> OwnRun:
    """Read a case as a recording.

    Args:
        folder: the case's.
        interval_s: its samples, which are finer after each step, are averaged over this; the
            response begins with an interval.

    Raises:
        InputError: the folder holds no finished case.
    """
    told = _inputs(folder)
    site, state = Site.parse(told["site"]), State.parse(told["state"])
    rows = _telemetry(folder)
    responds_s = float(rows["t_s"][rows["step"] >= RESPONDS][0])
    meter = _series(folder, rows, state, responds_s % interval_s, interval_s)
    baseline_kw = read_json(folder / "measured.json")["baseline"]["grid_kw"]
    given = GridEvent.parse(told["event"])
    event = Event.parse(
        {
            **given.model_dump(mode="json", exclude={"name", "excursion"}),
            "id": str(told["name"])[:120],
            "start": state.at + timedelta(seconds=responds_s),
            "baseline": {"rule": "fixed", "kw": baseline_kw},
        }
    )
    return OwnRun(
        site=site,
        restoration=Restoration(soc=told["settings"]["soc"]),
        meter=meter,
        beginning=Beginning(soc=state.soc, pools=dict(state.pools)),
        events=(event,),
        cycles=1,
        notes=(
            "the recording is a simulated case: the request-level plant, where the twin is fluid; "
            f"it had {', '.join(told['mechanisms']) or 'the battery alone'}, and the battery alone "
            "for its first seconds; requests are told apart by the shares of their classes",
        ),
    )


def case_again(folder: Path) -> list[Decision]:
    """Run a case from its inputs, and hold its plans against those that it kept.

    Raises:
        InputError: the folder holds no finished case.
        NoPlanError: no plan passed the check.
    """
    told = _inputs(folder)
    protocol, case = _protocol(told)
    run = run_case(protocol, case, Site.parse(told["site"]))
    made: list[Decision] = []
    for recorded, again in zip_longest(_plans(folder), run.plans):
        now = None if again is None else again.plan
        why = "" if again is None else "; ".join(again.why)
        some = recorded or now
        assert some is not None, "one of both is there"
        verdict, apart = _verdict(recorded, now)
        made.append(Decision(some.start, some.event_id, verdict, why, recorded, now, apart))
    return made


def _verdict(then: Plan | None, now: Plan | None) -> tuple[Verdict, tuple[str, ...]]:
    if then is None:
        return "also_made", ()
    if now is None:
        return "not_made", ()
    if then.problem_hash != now.problem_hash:
        return "another_problem", ()
    apart = differences(then, now)
    return ("another_plan" if apart else "same"), apart


def _protocol(told: dict[str, Any]) -> tuple[Protocol, ExperimentCase]:
    """Return a protocol of the one case."""
    event = GridEvent.parse(told["event"])
    protocol = Protocol.parse(
        {
            **told["settings"],
            "name": told["protocol"],
            "shapes": [told["shape"]],
            "concurrencies": [told["concurrency"]],
            "events": [event],
            "mechanisms": [told["mechanisms"]],
            "seeds": [told["seed"]],
        }
    )
    case = ExperimentCase(
        told["shape"], told["concurrency"], event, tuple(told["mechanisms"]), told["seed"]
    )
    return protocol, case


def _inputs(folder: Path) -> dict[str, Any]:
    told = read_json(folder / "case.json")
    if told.get("kind") != "experiment_case":
        raise InputError(
            field="recording.case",
            value=told.get("kind"),
            allowed="the folder of a case of ebplan twin experiment",
            remedy="name REPORT/cases/CASE",
            file=str(folder),
        )
    return told


def _plans(folder: Path) -> Iterator[Plan]:
    for file in sorted((folder / "plans").glob("*.json.gz")):
        yield Plan.parse(gzip.decompress(file.read_bytes()), file=str(file))


def _telemetry(folder: Path) -> dict[str, FloatArray]:
    """Return the samples, each column of shape (n,)."""
    table = folder / "telemetry.parquet"
    if table.exists():
        try:
            from pyarrow import parquet
        except ImportError:
            raise InputError(
                field="recording.case",
                value="telemetry.parquet",
                allowed="where pyarrow is installed",
                remedy="pip install 'ebplan[study]'",
            ) from None
        found = parquet.read_table(table, columns=list(NUMBERS)).to_pydict()
        return {name: np.array(found[name], dtype=float) for name in NUMBERS}
    try:
        text = gzip.decompress((folder / "telemetry.csv.gz").read_bytes()).decode()
    except OSError as error:
        raise InputError(
            field="recording.case",
            value=error.strerror,
            allowed="a finished case, with its telemetry",
            remedy="run the protocol again: ebplan twin experiment goes on where it was",
            file=str(folder),
        ) from None
    rows = list(csv.DictReader(io.StringIO(text)))
    return {name: np.array([float(row[name]) for row in rows]) for name in NUMBERS}


def _series(
    folder: Path, rows: dict[str, FloatArray], state: State, first_s: float, interval_s: float
) -> MeterSeries:
    """Return means over intervals; samples end where they are counted."""
    ends_s = rows["t_s"] + rows["duration_s"]
    at_s = np.r_[0.0, ends_s]
    count = int((ends_s[-1] - first_s) / interval_s + 1e-6)
    edges_s = first_s + interval_s * np.arange(count + 1)

    def mean(name: str) -> FloatArray:
        energy = np.r_[0.0, np.cumsum(rows[name] * rows["duration_s"])]
        return np.asarray(np.diff(np.interp(edges_s, at_s, energy)) / interval_s)

    came = np.diff(np.interp(edges_s, at_s, np.r_[0.0, rows["arrived_total"]])) / interval_s
    usual = {
        f"{LOAD}{name}.{key}": rate
        for name, pool in state.pools.items()
        for key, rate in pool.load_req_per_s.items()
    }
    whole = sum(usual.values())
    values = {GRID: mean("grid_kw"), BATTERY: mean("battery_kw")}
    values |= {name: came * rate / whole for name, rate in usual.items()}
    return MeterSeries(
        start=state.at + timedelta(seconds=first_s),
        interval_s=interval_s,
        time_s=np.asarray(edges_s[:-1] - first_s, dtype=np.float64),
        values=values,
        file=folder.name,
        sha256=sha256((folder / "case.json").read_bytes()).hexdigest(),
        simulated=True,
    )

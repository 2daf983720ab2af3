"""The audit trail of a case: what was asked, decided, told and measured, in simulated time.

It is the log that a site keeps (``ebplan.audit``), written after the case by one pen: times are the
plant's, and checkpoints stand after each step of the protocol, so that a case run again with the
same key gives the same bytes. ``ebplan audit verify`` proves it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ebplan import __version__
from ebplan.audit.line import Kind, canonical, stamp
from ebplan.experiment.steps import CaseRun

if TYPE_CHECKING:
    from ebplan.audit.keys import SigningKey

STEP_WORDS = {
    1: "test case chosen",
    2: "baseline: steady traffic",
    3: "grid event injected",
    4: "response begins: the battery alone",
    5: "mechanisms started",
    6: "response ended: recovery",
}
WINDOW_S = 5.0
SEGMENT_BYTES = 64 * 2**20


class Entry(NamedTuple):
    """A record to be."""

    at_s: float
    kind: Kind
    body: Mapping[str, Any]
    documents: Mapping[str, bytes]


def write_audit(folder: Path, run: CaseRun, key: SigningKey, inputs: str) -> None:
    """Write the log of a case.

    Args:
        folder: where; made.
        run: what happened.
        key: who signs.
        inputs: the case's inputs, as JSON: kept beside the log.

    Raises:
        InputError: the folder cannot be written.
    """
    from ebplan.audit.pen import Pen

    began = run.bench.state.at
    folder.mkdir(parents=True)
    pen = Pen(folder, key, segment_bytes=SEGMENT_BYTES, copy_to=None)
    try:
        pen.open(stamp(began), ebplan=__version__)
        for entry in sorted(_entries(run, inputs), key=lambda e: e.at_s):  # stable
            _write(pen, entry, began)
            if entry.kind == "note":
                pen.seal()
        pen.write("log", canonical({"what": "closed"}), stamp(_at(began, run.over_s)))
        pen.seal()
    finally:
        pen.close()


def _write(pen: Any, entry: Entry, began: datetime) -> None:
    named = {name: sha256(content).hexdigest() for name, content in entry.documents.items()}
    for name, content in entry.documents.items():
        pen.keep(named[name], content)
    body = {"by": "experiment", "simulated": True, **entry.body}
    if named:
        body["documents"] = named
    pen.write(entry.kind, canonical(body), stamp(_at(began, entry.at_s)))


def _at(began: datetime, at_s: float) -> datetime:
    return began + timedelta(seconds=at_s)


def _entries(run: CaseRun, inputs: str) -> Iterator[Entry]:
    """Yield what is recorded, steps before what happens in them."""
    began = run.bench.state.at
    for step, at_s in _steps(run).items():
        documents = {"inputs": inputs.encode()} if step == 1 else {}
        body: dict[str, Any] = {"what": STEP_WORDS[step], "step": step}
        if step == 3:
            body["injected_at"] = _at(began, at_s).isoformat()
        yield Entry(at_s, "note", body, documents)
    yield Entry(
        run.triggered_s,
        "event",
        {
            "event": run.event.id,
            "type": run.event.type,
            "asked_kw": run.asked.most_kw,
            "baseline_kw": run.baseline.grid_kw,
            "duration_s": run.case.event.duration_s,
        },
        {"event": run.event.model_dump_json(indent=1).encode()},
    )
    for made in run.plans:
        plan = made.plan
        yield Entry(
            made.at_s,
            "decision",
            {
                "event": plan.event_id,
                "why": "; ".join(made.why),
                "status": plan.status,
                "objective": plan.objective,
                "bound": plan.bound,
                "check": plan.check.ok,
                "shortfall_kwh": plan.shortfall_kwh,
                "problem_hash": plan.problem_hash,
            },
            {"plan": plan.to_json().encode()},
        )
    for at_s, step, command in run.recorder.commands:
        yield Entry(at_s, "command", {"step": step, **command.model_dump(mode="json")}, {})
    for at_s, refusal in run.recorder.refused:
        yield Entry(at_s, "alarm", {"what": "refused", **refusal._asdict()}, {})
    yield from _windows(run)


def _steps(run: CaseRun) -> dict[int, float]:
    return {
        1: 0.0,
        2: 0.0,
        3: run.injected_s,
        4: run.triggered_s,
        5: run.compute_s,
        6: run.ended_s,
    }


def _windows(run: CaseRun) -> Iterator[Entry]:
    """Yield the measurements, as means over stretches of about 5 s."""
    begin, energy, seconds = 0.0, dict.fromkeys(("grid_kw", "battery_kw", "fleet_kw"), 0.0), 0.0
    served = 0.0
    for row in run.recorder.rows:
        for name in energy:
            energy[name] += row[name] * row["duration_s"]
        seconds += row["duration_s"]
        if seconds < WINDOW_S - 1e-6 and row is not run.recorder.rows[-1]:
            continue
        body = {
            "start": _at(run.bench.state.at, begin).isoformat(),
            "duration_s": seconds,
            **{name: float(kws / seconds) for name, kws in energy.items()},
            "target_kw": float(row["target_kw"]),
            "soc": float(row["soc"]),
            "frequency_hz": float(row["frequency_hz"]),
            "served_req_per_s": float((row["served_total"] - served) / seconds),
        }
        begin = row["t_s"] + row["duration_s"]
        yield Entry(begin, "window", body, {})
        served, seconds, energy = row["served_total"], 0.0, dict.fromkeys(energy, 0.0)

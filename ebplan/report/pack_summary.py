"""A prequalification in words: Markdown that a person reads, with a figure for each run."""

from __future__ import annotations

from collections.abc import Iterable

from ebplan.report.delivery_table import (
    allowed_words,
    criterion_words,
    headline,
    reasons,
    share_energies,
)
from ebplan.report.settled_words import interval_words, number_line
from ebplan.settlement.pack import Pack, PackRun
from ebplan.settlement.verdict import Criterion
from ebplan.words import percent_words, power_words, time_words

SIMULATED = (
    "**SIMULATED.** No real site was metered: the runs were made on {made_of}. This folder shows "
    "what a prequalification would look like; it is no proof of one."
)
VERDICTS = {"pass": "passed", "fail": "FAILED", None: "no verdict"}
UNSURE = "a verdict with ? lies within the errors of measurement"


def run_words(run: PackRun) -> str:
    """Return the verdict over a run, with a question mark where it is not certain."""
    return f"{run.verdict}{'' if run.certain else '?'}" if run.verdict else "no verdict"


def pack_words(told: Pack | PackRun) -> str:
    """Return the verdict over a prequalification, or a run of it, as a person says it."""
    unsure = told.verdict is not None and not told.certain
    return f"{VERDICTS[told.verdict]}{'?' if unsure else ''}"


def summary(pack: Pack) -> str:
    """Return the summary of a prequalification as Markdown."""
    parts = [f"# Prequalification of {pack.resource}: {pack.service.name}"]
    if pack.simulated:
        parts.append(SIMULATED.format(made_of=pack.made_of))
    parts.append(_verdict(pack))
    parts.append("\n".join(_overview(pack)))
    parts.append("## What the product asks\n\n" + "\n".join(_product(pack)))
    parts += [_run(run) for run in pack.runs]
    return "\n\n".join(parts) + "\n"


def _verdict(pack: Pack) -> str:
    made = f"made of {pack.made_of}, first run {pack.first.isoformat()}"
    unsure = any(run.verdict is not None and not run.certain for run in pack.runs)
    lines = [f"**{pack_words(pack)}**, {made}{f'; {UNSURE}' if unsure else ''}."]
    if pack.missing:
        lines.append(f"Missing: {'; '.join(pack.missing)}.")
    lines += reasons(_without_verdict(pack.runs))
    return "\n\n".join(lines)


def _without_verdict(runs: Iterable[PackRun]) -> list[Criterion]:
    return [c for run in runs for c in run.delivery.criteria if c.supply is not None]


def _overview(pack: Pack) -> list[str]:
    rows = [
        "| run | test | asked | depth | time to tolerance | of what was asked | verdict |",
        "| :-- | :-- | --: | --: | --: | --: | :-- |",
    ]
    for run in pack.runs:
        found = run.delivery
        depth = "-" if found.depth_kw is None else interval_words(found.depth_kw, "kW")[0]
        full = "-" if found.full_s is None else interval_words(found.full_s, "s")[0]
        rows.append(
            f"| [{run.test}-{run.number}]({run.test}-{run.number}.csv) "
            f"| {run.test_kind}, {run.direction} | {power_words(found.size_kw)} | {depth} | {full} "
            f"| {interval_words(found.share, 'share')[0]} | **{pack_words(run)}** |"
        )
    return rows


def _product(pack: Pack) -> list[str]:
    """Return the facts that were judged by, each with how sure it is."""
    judged = (
        "initial_delay_s",
        "full_activation_s",
        "sustain_s",
        "tolerance.under",
        "tolerance.over",
        "tolerance.averaging_s",
        "tolerance.share_outside",
        "meter_interval_s",
    )
    rows = ["| fact | value | confidence | source |", "| :-- | --: | :-- | :-- |"]
    facts = pack.service.facts()
    for name in judged:
        evidence = pack.service.evidence_of(name)
        value = "unknown" if facts[name] is None else f"{facts[name]:g}"
        sure = "" if evidence is None else evidence.confidence
        source = "" if evidence is None else "; ".join(evidence.sources) or (evidence.note or "")
        rows.append(f"| {name} | {value} | {sure} | {source} |")
    return rows


def _run(run: PackRun) -> str:
    found, stem = run.delivery, f"{run.test}-{run.number}"
    error_kw = f"{found.baseline_error_kw:.2g} kW"
    lines = [
        f"## {stem}",
        f"{headline(found)}; baseline {power_words(found.baseline_kw)} ({found.baseline}, its "
        f"level known to {error_kw}), readings of {time_words(found.interval_s)}. Intervals hold "
        f"{percent_words(found.confidence)}.",
        f"![{stem}]({stem}.png)",
    ]
    rows = ["| criterion | measured | allowed | verdict |", "| :-- | --: | --: | :-- |"]
    for c in found.criteria:
        measured, allowed = number_line(c.measured, c.unit), allowed_words(c)
        rows.append(f"| {c.name} | {measured} | {allowed} | {criterion_words(c)} |")
    lines.append("\n".join(rows))
    lines += reasons(c for c in found.criteria if c.supply is None)
    if any(c.verdict is not None and not c.certain for c in found.criteria):
        lines.append(f"{UNSURE[0].upper()}{UNSURE[1:]}.")
    if found.shares:
        shares = [
            f"{s.name} {energy} ({s.how})".replace("_", " ")
            for s, (energy, _) in zip(found.shares, share_energies(found), strict=True)
        ]
        lines.append(f"Delivered by: {', '.join(shares)}.")
    lines.append("\n".join(f"- {note}" for note in found.notes))
    return "\n\n".join(lines)

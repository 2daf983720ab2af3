"""The page of an experiment: one file, figures inside it, nothing fetched from anywhere."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebplan.document import write_atomically
from ebplan.experiment.folder import ReportFolder
from ebplan.experiment.protocol import Protocol
from ebplan.report.canvas import styled
from ebplan.report.experiment_overview import depth_and_speed, depth_map, sets_of
from ebplan.report.experiment_style import SCRIPT, STYLE
from ebplan.report.experiment_timeline import DPI, draw_case

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
MOST_EMBEDDED = 30
"""Timelines in the page; of more cases one for each event and set of mechanisms, the others lie in
their folders."""
TABLE: dict[str, tuple[str, str]] = {
    "shape": ("shape", "{}"),
    "concurrency": ("at once", "{}"),
    "event": ("event", "{}"),
    "mechanisms": ("mechanisms", "{}"),
    "target_kw": ("asked kW", "{:+.2f}"),
    "battery_to_90_s": ("battery 90 % s", "{:.2f}"),
    "depth_kw": ("compute kW", "{:+.2f}"),
    "depth_share": ("compute %", "{:+.1%}"),
    "delay_s": ("delay s", "{:.1f}"),
    "to_90_s": ("90 % s", "{:.1f}"),
    "handoff_after_trigger_s": ("battery free s", "{:.0f}"),
    "back_s": ("back s", "{:.1f}"),
    "rebound_kw": ("rebound kW", "{:.2f}"),
    "within_5_percent": ("delivered", "{:.0%}"),
    "req_per_s_before": ("req/s before", "{:.1f}"),
    "req_per_s_during": ("during", "{:.1f}"),
    "ttft_p95_during_s": ("TTFT p95 s", "{:.2f}"),
    "e2e_p95_during_s": ("answer p95 s", "{:.1f}"),
    "cost_compute": ("cost of compute", "{:.2f}"),
}
"""Columns of the page's table: heading and form."""


def write_page(
    protocol: Protocol, folder: ReportFolder, measured: Sequence[Mapping[str, Any]], rows: Rows
) -> Path:
    """Draw what is missing and write ``report.html``; return its path.

    Raises:
        InputError: matplotlib is not installed, or the folder cannot be written.
    """
    chosen = _chosen(rows)
    timelines = []
    for one in measured:
        name = one["case"]["name"]
        picture = folder.case(name) / "timeline.png"
        if not picture.exists():
            draw_case(folder.case(name), one, picture)
        if name in chosen:
            timelines.append((name, picture.read_bytes()))
    figures = [depth_and_speed(rows), *(depth_map(rows, name) for name in _mapped(rows))]
    drawn = [_png(figure) for figure in figures if figure is not None]
    path = folder.path / "report.html"
    write_atomically(path, _page(protocol, rows, drawn, timelines))
    return path


def _mapped(rows: Rows) -> list[str]:
    """Return the sets that are drawn on the map: those with the most cases, three at most."""
    count = {name: sum(r["mechanisms"] == name for r in rows) for name in sets_of(rows)}
    count.pop("battery_alone", None)
    return sorted(count, key=lambda name: -count[name])[:3]


def _chosen(rows: Rows) -> set[str]:
    if len(rows) <= MOST_EMBEDDED:
        return {row["case"] for row in rows}
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        first.setdefault((row["event"], row["mechanisms"]), row["case"])
    return set(list(first.values())[:MOST_EMBEDDED])


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    with styled():
        figure.savefig(content, format="png", dpi=DPI, metadata=None)
    return content.getvalue()


def _page(
    protocol: Protocol,
    rows: Rows,
    figures: Sequence[bytes],
    timelines: Sequence[tuple[str, bytes]],
) -> str:
    title = f"Experiment {escape(protocol.name)}, simulated"
    unsettled = sum(not row["settled"] for row in rows)
    unchecked = sum(not row["all_checked"] for row in rows)
    facts = (
        f"{len(rows)} cases: {len({r['shape'] for r in rows})} request shapes, "
        f"{len({r['concurrency'] for r in rows})} concurrencies, "
        f"{len({r['event'] for r in rows})} events, {len(sets_of(rows))} sets of mechanisms. "
        f"Baselines that had not settled: {unsettled}. Cases with an unchecked plan: {unchecked}."
    )
    embedded = (
        ""
        if len(timelines) == len(rows)
        else f" {len(timelines)} of {len(rows)} are shown: one for each event and set; the others "
        "lie in their folders as timeline.png."
    )
    parts = [
        f"<h1>{title}</h1>",
        '<p class="warn">Simulated: every number comes from the request-level plant of ebplan. '
        "Nothing here was measured on a bench.</p>",
        f"<p>{escape(facts)}</p>",
        _steps(protocol),
        "<h2>How deep, how fast</h2>",
        *(_image(content, "overview") for content in figures),
        "<h2>Measured variables</h2>",
        "<p>Click a heading to sort. Depth: mean change of the fleet's draw over the last third; "
        "times from the first command; free: from the trigger until the battery carries at most a "
        "tenth of the target. More in summary.csv and cases/*/measured.json.</p>",
        _table(rows),
        f"<h2>Timelines</h2><p>Second 0: the response begins.{embedded}</p>",
        *(
            f"<details{' open' if i == 0 else ''}><summary>{escape(name)}</summary>"
            f"{_image(content, name)}</details>"
            for i, (name, content) in enumerate(timelines)
        ),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _steps(protocol: Protocol) -> str:
    rule = protocol.settling
    steps = (
        "Test case: shape, requests at once, event, mechanisms.",
        f"Baseline: until the means of two windows of {rule.window_s:g} s differ by less than "
        f"{rule.power:.0%} in power, {rule.throughput:.0%} in throughput and {rule.latency:.0%} in "
        f"the median answer, {rule.most_s:g} s at most.",
        f"Event: the frequency leaves; the response begins at {protocol.trigger_hz:g} Hz off.",
        f"Bridge: the battery alone for {protocol.bridge_s:g} s.",
        f"Mechanisms: planned so that the battery is free {protocol.handoff_s:g} s later.",
        "Recovery: everything back; the audit log is signed.",
    )
    items = "".join(f"<li>{escape(step)}</li>" for step in steps)
    return f"<ol>{items}</ol>"


def _image(content: bytes, name: str) -> str:
    data = b64encode(content).decode()
    return f'<img alt="{escape(name)}, simulated" src="data:image/png;base64,{data}">'


def _table(rows: Rows) -> str:
    head = "".join(f"<th>{escape(words)}</th>" for words, _ in TABLE.values())
    lines = []
    for row in rows:
        cells = []
        for column, (_, form) in TABLE.items():
            value = row[column]
            text = "–" if value is None else _positive_zero(form.format(value))
            kind = "" if isinstance(value, str) else ' class="n"'
            key = "" if value is None else escape(str(value))
            cells.append(f'<td{kind} data-v="{key}">{escape(text.replace("_", " "))}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def _positive_zero(text: str) -> str:
    """Return a number without a sign where all its digits are zeros."""
    return text if any(c in "123456789" for c in text) else text.lstrip("+-")

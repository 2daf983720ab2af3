"""The experiment's results in docs/experiment.md, from a report's folder.

ebplan twin experiment examples/twin/protocol_mechanisms.toml -o REPORT
python -m benchmarks.experiment REPORT --write docs/experiment.md --figures docs/figures
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.sections import write_section
from benchmarks.tables import table
from ebplan.document import parse_json, read_text
from ebplan.experiment.folder import ReportFolder
from ebplan.experiment.summary import read_measured, summary_rows
from ebplan.mechanisms import MECHANISMS
from ebplan.report.canvas import save
from ebplan.report.experiment_overview import depth_and_speed
from ebplan.report.experiment_timeline import DPI, draw_case

Rows = Sequence[dict[str, Any]]
WORDS = {
    "short_in_short_out": "short",
    "medium_in_short_out": "medium",
    "long_in_short_out": "long",
}


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
@click.option("--figures", type=click.Path(path_type=Path), help="Draw two figures there.")
def main(folder: Path, write: Path | None, figures: Path | None) -> None:
    names = list(parse_json(read_text(folder / "manifest.json"))["cases"])
    measured = read_measured(ReportFolder(folder), names)
    rows = sorted(summary_rows(measured), key=_place)
    text = section(rows, measured, folder)
    click.echo(text)
    if write is not None:
        write_section(write, "experiment", text)
    if figures is not None:
        draw(rows, measured, folder, figures)


def draw(rows: Rows, measured: Sequence[dict[str, Any]], folder: Path, figures: Path) -> None:
    """Draw depth against speed, and the timeline of one case."""
    overview = depth_and_speed(rows)
    if overview is not None:
        save(overview, figures / "experiment_depth.png", dpi=DPI)
    for one in measured:
        case = one["case"]
        if (case["shape"], case["direction"], case["set"]) == DRAWN:
            draw_case(folder / "cases" / case["name"], one, figures / "experiment_case.png")


DRAWN = ("short_in_short_out", "release", "consolidation+power_cap+admission")


def section(rows: Rows, measured: Sequence[dict[str, Any]], folder: Path) -> str:
    """Return the section in Markdown."""
    name = measured[0]["case"]["name"]
    protocol = parse_json(read_text(folder / "cases" / name / "case.json"))["protocol"]
    users = sorted({r["concurrency"] for r in rows})
    return "\n".join(
        (
            "## Results, simulated",
            "",
            f"Written by `python -m benchmarks.experiment REPORT --write docs/experiment.md` from "
            f"the report of `examples/twin/protocol_{protocol}.toml`: {len(rows)} cases at "
            f"{', '.join(map(str, users))} requests at once. Every number is simulated; nothing "
            "here was measured on a bench.",
            "",
            *_times(folder, [m["case"]["name"] for m in measured]),
            "",
            "![Depth against speed, simulated](figures/experiment_depth.png)",
            "",
            "![One case over time, simulated](figures/experiment_case.png)",
            "",
            "### Release: loss of a large unit",
            "",
            *_mechanisms([r for r in rows if r["direction"] == "release"]),
            "",
            "### Absorb: over-frequency, one instance drained before",
            "",
            *_mechanisms([r for r in rows if r["direction"] == "absorb"]),
            "",
            "### Bridge and hand-off",
            "",
            *_bridge(rows),
            "",
            "### What users saw",
            "",
            *_users([r for r in rows if r["direction"] != "both"]),
            "",
            "### A frequency that is followed, made up for 50 Hz",
            "",
            *_followed([r for r in rows if r["direction"] == "both"]),
        )
    )


def _times(folder: Path, names: Sequence[str]) -> list[str]:
    with (folder / "timing.csv").open(encoding="utf-8") as stream:
        by_case = {row["case"]: float(row["wall_s"]) for row in csv.DictReader(stream)}
    took = [by_case[name] for name in names]
    machine = describe_machine()
    return [
        *machine,
        f"- wall time of a case: median {np.median(took):.1f} s, longest {max(took):.1f} s, "
        f"all {len(took)} together {sum(took) / 60.0:.1f} min; other work ran beside it",
    ]


def _mechanisms(rows: Rows) -> list[str]:
    head = (
        *("mechanisms", "input", "kW", "of the fleet", "delay, s", "to 90 %, s", "back, s"),
        *("rebound, kW", "JPY", "largest causes"),
    )
    lines = []
    for r in rows:
        if r["mechanisms"] == "battery_alone":
            continue
        costs = {c[len("cost_") :]: v for c, v in r.items() if c.startswith("cost_")}
        lines.append(
            (
                _set(r),
                WORDS[r["shape"]],
                f"{r['depth_kw']:+.2f}" if r["noticeable"] else "none",
                f"{r['depth_share']:+.1%}" if r["noticeable"] else "",
                *(_number(r[c], 1) for c in ("delay_s", "to_90_s", "back_s")),
                f"{r['fleet_rebound_kw']:.2f}",
                f"{r['cost_compute']:.2f}",
                _causes(costs),
            )
        )
    return [
        *table(head, lines),
        "",
        "kW: mean change of the fleet's draw over the last third of the response, at the "
        "connection point; none: not to be told from the fleet's own waver. Times from the first "
        "command that moves something; back from the end of the response. JPY: what the fleet's "
        "causes cost more than in the same minutes without an event, at the site's assumed prices; "
        "< 0 earns.",
    ]


COMPUTE = (
    *("delay", "rejected", "lowered", "pull_forward", "congestion", "late", "capping"),
    *("readiness", "draining", "waking", "swapping", "prewarming"),
)


def _causes(costs: dict[str, float]) -> str:
    known = {c: costs[c] for c in COMPUTE if abs(costs.get(c, 0.0)) >= 0.005}
    largest = sorted(known.items(), key=lambda item: -abs(item[1]))[:3]
    return ", ".join(f"{c.replace('_', ' ')} {v:.2f}" for c, v in largest)


def _bridge(rows: Rows) -> list[str]:
    head = (
        *("mechanisms", "event", "input", "battery 90 %, ms", "battery, Wh"),
        *("free after trigger, s", "after mechanisms, s", "battery left, kW", "delivered"),
    )
    lines = [
        (
            _set(r),
            r["event"].replace("_", " "),
            WORDS[r["shape"]],
            _number(None if r["battery_to_90_s"] is None else 1000.0 * r["battery_to_90_s"], 0),
            f"{1000.0 * r['battery_event_kwh']:.1f}",
            _number(r["handoff_after_trigger_s"], 0),
            _number(r["handoff_after_mechanisms_s"], 0),
            f"{r['battery_left_kw']:+.2f}",
            f"{r['within_5_percent']:.0%}",
        )
        for r in rows
        if r["direction"] != "both" and len(r["mechanisms"].split("+")) != 1
    ]
    single = [r for r in rows if r["mechanisms"] == "battery_alone" and r["direction"] != "both"]
    lines += [
        (
            "battery alone",
            r["event"].replace("_", " "),
            WORDS[r["shape"]],
            _number(None if r["battery_to_90_s"] is None else 1000.0 * r["battery_to_90_s"], 0),
            f"{1000.0 * r['battery_event_kwh']:.1f}",
            "",
            "",
            f"{r['battery_left_kw']:+.2f}",
            f"{r['within_5_percent']:.0%}",
        )
        for r in single
    ]
    return [
        *table(head, lines),
        "",
        "Free: from when on the battery carries at most a tenth of the target, to stay, in means "
        "over 5 s; empty where it never does. Delivered: share of the response in which the mean "
        "of 5 s misses the target by at most 5 %.",
    ]


def _users(rows: Rows) -> list[str]:
    head = (
        *("mechanisms", "event", "input", "req/s before", "during", "first token p95, s"),
        *("during", "between tokens p50, ms", "during", "answer p95, s", "during"),
        *("turned away", "lowered"),
    )
    lines = [
        (
            _set(r),
            r["event"].replace("_", " "),
            WORDS[r["shape"]],
            f"{r['req_per_s_before']:.1f}",
            f"{r['req_per_s_during']:.1f}",
            _number(r["ttft_p95_before_s"], 2),
            _number(r["ttft_p95_during_s"], 2),
            f"{1000.0 * r['itl_p50_before_s']:.0f}",
            f"{1000.0 * r['itl_p50_during_s']:.0f}",
            _number(r["e2e_p95_before_s"], 1),
            _number(r["e2e_p95_during_s"], 1),
            f"{r['rejected']:.0f}",
            f"{r['lowered']:.0f}",
        )
        for r in rows
    ]
    return table(head, lines)


def _followed(rows: Rows) -> list[str]:
    head = ("mechanisms", "input", "delivered", "worst miss, kW", "battery, Wh", "JPY")
    lines = [
        (
            _set(r),
            WORDS[r["shape"]],
            f"{r['within_5_percent']:.0%}",
            f"{r['worst_miss_kw']:.2f}",
            f"{1000.0 * r['battery_event_kwh']:.1f}",
            f"{r['cost_compute']:.2f}",
        )
        for r in rows
    ]
    return table(head, lines)


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return where a row stands: by input, then single mechanisms, least impact first."""
    names = row["mechanisms"].split("+")
    order = [mechanism.name for mechanism in MECHANISMS]
    first = -1 if names == ["battery_alone"] else order.index(names[0])
    return [*WORDS].index(row["shape"]), row["direction"], len(names), first, row["mechanisms"]


def _set(row: dict[str, Any]) -> str:
    names = row["mechanisms"].replace("_", " ").split("+")
    return "all eight" if len(names) == 8 else " + ".join(names)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


if __name__ == "__main__":
    main()

"""The day as a section of a page, and at a glance."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.day24.judge import FAULT_LINGERS_S, REFILL_SHARE, SETTLES_S, TOLERANCE_SHARE
from benchmarks.tables import table

READY = 0.03
"""Off the state of charge that the site is kept ready at by no more than this."""
WHEN = {
    "settled": "settled",
    "changing": f"within {SETTLES_S:g} s of a change",
    "fault": f"in a fault or within {FAULT_LINGERS_S:g} s of one",
}


def section(record: dict[str, Any]) -> str:
    """Return the Markdown of one day."""
    limit_kw = TOLERANCE_SHARE * record["draw_kw"]
    lines = [
        f"## {record['hours']:g} h on the {_plant(record)}, seed {record['seed']}",
        "",
        f"By `{_command(record)}`{_part(record)}.",
        "",
        _verdict(record),
        "",
        f"{record['calls']} calls, {record['faults']} faults, {record['cycles']:,} cycles in "
        f"{record['wall_s'] / 60.0:.0f} min of wall time "
        f"({3600.0 * record['hours'] / record['wall_s']:.0f} x real time, two cores shared with "
        "other work).",
        "",
        *table(
            (
                "seconds of a call",
                "judged",
                f"short by over {limit_kw:.2f} kW",
                "worst, kW",
                "short, kWh",
                "beyond what was asked, kWh",
            ),
            [
                (
                    WHEN[when],
                    f"{tally['samples']:,}",
                    f"{tally['missed']:,}",
                    f"{tally['worst_kw']:.2f}",
                    f"{tally['short_kwh']:.3f}",
                    f"{tally['over_kwh']:.3f}",
                )
                for when in WHEN
                if (tally := record["by_kind"].get(when)) is not None
            ],
        ),
        "",
        *_calls(record),
        *table(("of the day", ""), list(_rows(record))),
        "",
        *table(
            ("fault", "how many", "nothing wrong any more", "after its end, longest"),
            list(_faults(record)),
        ),
    ]
    return "\n".join(lines)


def _command(record: dict[str, Any]) -> str:
    planned = record["planned"]
    return (
        f"python -m benchmarks.day24 --plant {record['plant']} --hours {planned['hours']:g} "
        f"--events {planned['events']} --faults {planned['faults']} --seed {record['seed']}"
    )


def _part(record: dict[str, Any]) -> str:
    """Say so where a run was ended before its time."""
    hours = record["planned"]["hours"]
    whole = abs(record["hours"] - hours) < 1e-6
    return "" if whole else f", ended after {record['hours']:g} of {hours:g} h"


def _plant(record: dict[str, Any]) -> str:
    return {"fluid": "fluid plant", "requests": "request-level plant"}[record["plant"]]


def _verdict(record: dict[str, Any]) -> str:
    kinds = {when: t for when in WHEN if (t := record["by_kind"].get(when)) is not None}
    judged = sum(tally["samples"] for tally in kinds.values())
    held = judged - sum(tally["missed"] for tally in kinds.values())
    parts = ", ".join(
        f"{tally['samples'] - tally['missed']:,} of {tally['samples']:,} {WHEN[when]}"
        for when, tally in kinds.items()
    )
    between = record["between"]
    protected = sum(r["requests"] for r in record["rejected"].values() if r["protected"])
    other = sum(r["requests"] for r in record["rejected"].values() if not r["protected"])
    ended = f" The controller ended early: {record['ended']}." if record["ended"] else ""
    return (
        f"**Of {judged:,} seconds of calls {held:,} ({100.0 * held / max(judged, 1):.1f} %) held "
        f"what was asked less what the plan named as shortfall: {parts}. In {between['missed']:,} "
        f"of {between['samples']:,} seconds between calls the battery, refilling, raised the draw "
        f"by more than {100.0 * REFILL_SHARE:.0f} % of what the site draws. {protected:,.0f} "
        f"protected requests were turned away, and {other:,.0f} others.**{ended}"
    )


def _calls(record: dict[str, Any]) -> list[str]:
    answered = record["answered"].values()
    named = sum(call["named_kwh"] > 1e-3 for call in answered)
    missed = sum(call["missed"] > 0 for call in answered)
    return [
        f"{len(answered)} calls were judged (the others were passed over by a later one, taken "
        f"back before they began or asked nothing of the draw as it was); {named} of them could "
        f"not be met in full and had a shortfall named; {missed} missed a settled second.",
        "",
    ]


def _rows(record: dict[str, Any]) -> list[tuple[str, str]]:
    socs = [row[4] for row in record["trace"] if not math.isnan(row[4])]
    at_rest = [row[4] for row in record["trace"] if math.isnan(row[2]) and not math.isnan(row[4])]
    near = sum(abs(soc - record["soc_start"]) <= READY for soc in at_rest) / max(len(at_rest), 1)
    memory = record["memory_mb"]
    between = record["between"]
    rows = [
        (
            "seconds between calls in which the battery takes over "
            f"{REFILL_SHARE * record['draw_kw']:.2f} kW",
            f"{between['missed']:,} of {between['samples']:,}, {between['over_kwh']:.2f} kWh, "
            f"{between['worst_kw']:.2f} kW at most",
        ),
        ("state of charge", f"{min(socs):.2f} to {max(socs):.2f}"),
        ("time outside its limits", f"{record['soc_out_s']:.0f} s"),
        (f"time between calls within {READY:g} of its first value", f"{100.0 * near:.0f} %"),
        ("state of charge at the end", f"{socs[-1]:.3f}"),
        ("plans followed", ", ".join(f"{n:,} {r}" for r, n in sorted(record["plans"].items()))),
        ("plans that failed the check", f"{record['unchecked']}"),
        ("commands that the plant could not carry out in full", f"{record['refused']}"),
        *(
            (f"requests turned away, {name}", f"{one['requests']:.0f}")
            for name, one in record["rejected"].items()
        ),
        *(
            (f"`{name}` was on", f"{cycles:,} cycles x devices")
            for name, cycles in sorted(record["degraded_s"].items())
        ),
    ]
    if len(memory) > 3:
        rows.append(
            (
                "resident memory",
                f"{memory[0][1]:.0f} MB after an hour, {memory[-1][1]:.0f} MB at the end; "
                f"{slope(memory[len(memory) // 2 :]):+.2f} MB/h in the second half",
            )
        )
    return rows


def slope(points: list[list[float]]) -> float:
    """Return the least-squares slope of points."""
    n = len(points)
    x0, y0 = sum(p[0] for p in points) / n, sum(p[1] for p in points) / n
    return sum((p[0] - x0) * (p[1] - y0) for p in points) / sum((p[0] - x0) ** 2 for p in points)


def _faults(record: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    kinds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in record["back"]:
        kinds[one["what"]].append(one)
    return [
        (
            what,
            f"{len(ones)}",
            f"{sum(o['back'] for o in ones)}",
            f"{max(o['s'] for o in ones):.0f} s",
        )
        for what, ones in sorted(kinds.items())
    ]


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw the day at a glance."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from ebplan.report.palette import COLOURS

    hours, grid, asked, battery, soc, fault = zip(*record["trace"], strict=True)
    hours = tuple(t / 3600.0 for t in hours)
    figure, axes = plt.subplots(3, 1, figsize=(11, 7.5), sharex=True, layout="constrained")
    axes[0].plot(hours, grid, lw=0.5, color="#555555", label="draw at the connection point")
    axes[0].plot(hours, asked, lw=1.2, color=COLOURS["shortfall"], label="asked by a call")
    axes[0].set_ylabel("draw (kW)")
    axes[0].set_title(_title(record), loc="left", fontsize=11)
    axes[0].legend(loc="upper right", fontsize=8, ncols=2)
    axes[1].plot(hours, battery, lw=0.5, color=COLOURS["battery"])
    axes[1].set_ylabel("battery (kW)\n> 0 discharges")
    axes[2].plot(hours, soc, lw=1.0, color=COLOURS["consolidation"])
    axes[2].axhline(record["soc_start"], lw=0.8, ls=":", color="#555555")
    axes[2].set_ylabel("state of charge")
    axes[2].set_xlabel("hour of the day (faults shaded)")
    for axis in axes:
        low, high = axis.get_ylim()
        axis.fill_between(
            hours, low, high, where=[f > 0.0 for f in fault], color="#BBBBBB", alpha=0.6, lw=0
        )
        axis.set_ylim(low, high)
        axis.set_xlim(0.0, record["hours"])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _title(record: dict[str, Any]) -> str:
    tallies = record["by_kind"].values()
    judged = sum(t["samples"] for t in tallies)
    held = judged - sum(t["missed"] for t in tallies)
    return (
        f"{100.0 * held / max(judged, 1):.1f} % of the seconds of {record['calls']} calls held, "
        f"with {record['faults']} faults in {record['hours']:g} h ({_plant(record)}); "
        f"between calls {record['between']['missed']:,} s of refilling above a tenth of the draw"
    )

"""A demand response that a GPU cluster really gave: ``python -m benchmarks.measured_event``.

The series is the public one of Emerald AI's demonstration; it is read where the data folder holds
it (``EBPLAN_DATA``), and left out with the reason where it does not.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from benchmarks.tables import table
from ebplan.document import write_atomically
from ebplan.report.extract_figure import plot_extracted
from ebplan.report.extract_table import excursion_rows, headline, rows_of
from ebplan.settlement.extract import Extracted, extract
from ebplan.settlement.meter_file import MeterColumn, MeterMap, read_meter

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("EBPLAN_DATA", ROOT.parent / "shared" / "data"))
FILE = "gpu_power/emerald_srp_event_cluster_power_1min.csv"
SOURCE = (
    "github.com/ai-emerald/emerald-ai-demo-may-2025, data/SRP_total_power.csv @ 34403aef, "
    "Apache-2.0"
)
COLUMNS = MeterMap(
    time="timestamp",
    stamp="beginning",
    measurement_point="gpu",
    columns={"grid_kw": MeterColumn(column="total_power_w", unit="W")},
)
NOTES = (
    "The CSV dates the event to 4 May 2025, the workbook beside it to 3 May: the day is not sure, "
    "the course of the draw is the same.",
    "Whether a stamp names the beginning or the end of its minute is not said; the beginning is "
    "taken, which moves times of the clock by a minute at most, and no length.",
    "The source calls it the power of a cluster of 256 GPUs and names no meter: it is taken for "
    "the GPUs' own, and nothing is judged.",
)
HEAD = """\
# A measured event

Written by `python -m benchmarks.measured_event --write docs/measured_event.md --plot
docs/figures/measured_event.png`; do not edit.

What the meter of a GPU cluster tells of a demand response, without its event document: `ebplan
settle delivery METER.csv` does the same for any series. How each number is found:
`docs/delivery.md`."""


def measured(data: Path) -> Extracted | None:
    """Return what the series tells; None where the data folder does not hold it."""
    path = data / FILE
    return extract(read_meter(path, COLUMNS), notes=NOTES) if path.exists() else None


def report(found: Extracted) -> str:
    """Return the page."""
    numbers = table(("", "measured", f"interval ({found.confidence:.0%})"), rows_of(found))
    dips = table(("when", "what", "how long", "farthest", "energy"), excursion_rows(found))
    parts = [
        HEAD,
        f"{headline(found)}.",
        "![Draw of the cluster and the fit](figures/measured_event.png)",
        "\n".join(numbers),
        "## Dips and peaks",
        f"Readings more than five standard deviations of a reading ({found.spread_kw:.2f} kW) off "
        "the fit; what made them is not told.",
        "\n".join(dips),
        "## What to know",
        "\n".join(f"- {note}" for note in found.notes),
        f"- Source: {SOURCE}; sha256 of the table `{found.meter_sha256[:16]}`.",
    ]
    return "\n\n".join(parts) + "\n"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="The data folder.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the page here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the figure here.")
def main(data: Path, write: Path | None, plot: Path | None) -> None:
    """Print what the measured event was, as Markdown."""
    found = measured(data)
    if found is None:
        click.echo(f"left out: no {FILE} in the data folder; set EBPLAN_DATA to one that has it")
        return
    text = report(found)
    if plot:
        series = read_meter(data / FILE, COLUMNS)
        note = f"Source: {SOURCE}. The day is not sure: the CSV says 4 May, a workbook 3 May."
        plot_extracted(found, series, plot, note=note)
    if write:
        write_atomically(write, text)
    click.echo(text)


if __name__ == "__main__":
    main()

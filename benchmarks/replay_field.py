"""The measured event of a GPU cluster, replayed: ``python -m benchmarks.replay_field``.

The series is the public one of ``benchmarks.measured_event``; left out with the reason where the
data folder does not hold it. The cluster's fleet is not ours: the built-in site, scaled until it
draws as much, stands for it.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.measured_event import COLUMNS, DATA, FILE, SOURCE
from benchmarks.scaling import scaled
from benchmarks.sections import write_section
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.document import write_atomically
from ebplan.replay.compare import summary_of
from ebplan.replay.folder import intervals_table
from ebplan.replay.results import EventResult, ReplaySummary
from ebplan.replay.run import replay_recording
from ebplan.replay.spec import ReplaySpec
from ebplan.report.replay_figure import plot_replay
from ebplan.words import money_words, number_words, power_words, time_words

INSTANCES = 104
"""So many instances of the built-in site can draw, at its GPUs, what the cluster drew."""
CYCLE_S = 60.0
"""The planner is asked this often: readings come once a minute."""
COMMAND = (
    "python -m benchmarks.replay_field --write docs/replay.md --plot docs/figures/replay_field.png"
)


def spec_of(meter: Path) -> ReplaySpec:
    """Return the replay: the event is found in the series, the load in the power."""
    case = scaled(example("under_frequency"), instances=INSTANCES)
    return ReplaySpec.parse(
        {
            "kind": "replay",
            "name": "a cluster's demand response",
            "site": "site.json",
            "recording": {"meter": str(meter), "map": COLUMNS.model_dump(exclude_none=True)},
            "beginning": {
                "soc": 0.8,
                "pools": {
                    name: {"active": pool.active, "load_req_per_s": dict(pool.load_req_per_s)}
                    for name, pool in case.state.pools.items()
                },
            },
            "events": "found",
            "cycle_s": CYCLE_S,
        }
    )


def run(meter: Path, figure: Path | None = None) -> tuple[ReplaySummary, int]:
    """Replay it on the scaled site; return what was found, and who is active at the end."""
    case = scaled(example("under_frequency"), instances=INSTANCES)
    with TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "site.json", case.site.to_json())
        replayed = replay_recording(spec_of(meter), Path(folder))
    summary = summary_of(replayed)
    if figure is not None:
        plot_replay(summary, intervals_table(replayed), figure)
    return summary, int(replayed.stretches[-1].epochs[-1]["active"])


def section(found: ReplaySummary, active: int) -> str:
    """Return the numbers as Markdown."""
    (event,) = found.events
    sides = (event.recorded, event.ebplan)
    compute = found.ebplan_money.compute
    assert compute is not None, "the built-in site locks no clocks, so everything is priced"
    rows = [
        ("baseline", *(power_words(n.baseline_kw) for n in sides)),
        ("asked", *(f"{number_words(n.asked_kwh, 1)} kWh" for n in sides)),
        ("delivered", *(f"{number_words(n.delivered_kwh, 1)} kWh" for n in sides)),
        ("missing beyond the tolerance", *(f"{number_words(n.missing_kwh, 2)} kWh" for n in sides)),
        ("outside what was asked", *(time_words(n.outside_s) for n in sides)),
        ("farthest outside", *(power_words(n.worst_kw) for n in sides)),
        ("beyond the baseline after it", *(power_words(n.rebound_kw) for n in sides)),
        ("not served", "not recorded", _not_served(event)),
        (
            "compute lost, late, switched",
            "not recorded",
            money_words(compute, found.currency),
        ),
    ]
    return "\n".join(
        [
            "## The measured event of a cluster",
            "",
            f"Written by `{COMMAND}`.",
            "",
            "![The recorded draw and what ebplan would have drawn](figures/replay_field.png)",
            "",
            "The cluster of [a measured event](measured_event.md), carried from its GPUs to a "
            f"connection point. {INSTANCES} instances of the built-in site stand for it (assumed: "
            "another fleet, other models, a battery that the cluster did not have). What was asked "
            "is read off the answer, "
            f"{power_words(event.size_kw)} for {time_words(event.duration_s)}, and the load off "
            "the power: in the event it is that of the baseline, so that the dips of the recorded "
            "draw, whatever made them, are in the recorded answer only. The table compares how an "
            "answer is held; it tells no site's gain. At the end of the recording "
            f"{active} of ebplan's instances are active: it does not put back to work what the "
            "load does not need, so that it draws less than the cluster. Who carries ebplan's "
            f"answer, {event.why['delivered_kwh']}.",
            "",
            *table(("", "recorded", "ebplan"), rows),
            "",
            f"Simulated on ebplan's side, {found.plans} plans, {found.unchecked} of "
            f"them unchecked; asked every {CYCLE_S:g} s. The tolerance is "
            "5 % of the size asked; a minute in which the recorded draw dips below what was asked "
            "counts as outside.",
            f"Source: {SOURCE}.",
        ]
    )


def _not_served(event: EventResult) -> str:
    cost = event.cost
    if cost is None:
        return "not told"
    lost = max(cost.untouched_served - cost.served_requests, 0.0)
    return f"{number_words(lost, 0)} of {number_words(cost.offered_requests, 0)} requests"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=DATA, help="The data folder.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the numbers into this page.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the first run here.")
def main(data: Path, write: Path | None, plot: Path | None) -> None:
    """Replay the measured event on a site of its size."""
    meter = (data / FILE).resolve()
    if not meter.exists():
        click.echo(f"left out: no {FILE} in the data folder; set EBPLAN_DATA to one that has it")
        return
    text = section(*run(meter, plot))
    if write is None:
        click.echo(text)
    else:
        write_section(write, "replay of a measured event", text)


if __name__ == "__main__":
    main()

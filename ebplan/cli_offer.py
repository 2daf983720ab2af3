"""The verb of the trader: ``ebplan offer``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_types import duration

if TYPE_CHECKING:
    from ebplan.offers.offer_document import Offer

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=FILE)
@click.option(
    "--direction",
    "directions",
    type=click.Choice(["release", "absorb"]),
    multiple=True,
    help="Draw less, or more; may be given twice.",
)
@click.option(
    "--duration", "durations_s", type=duration, multiple=True, help="E.g. 10s, 30min, 4h."
)
@click.option(
    "--confidence",
    "confidences",
    type=click.FloatRange(0.5, 0.999),
    multiple=True,
    help="Probability with which each call is kept, e.g. 0.95.",
)
@click.option("--calls", type=click.IntRange(1, 48), help="Calls a day.")
@click.option("--rest", type=duration, help="Least time between two calls, e.g. 1h.")
@click.option("--delay", type=duration, help="Nothing is asked before this, e.g. 1s.")
@click.option("--activation", type=duration, help="The whole is asked from here on, e.g. 10s.")
@click.option("--notice", "notice_s", type=duration, help="Time between call and start.")
@click.option(
    "--service",
    "services",
    multiple=True,
    help="Size a bid for this grid product: a name or a file; may be given more than once.",
)
@click.option(
    "--set",
    "settings",
    metavar="FACT=VALUE",
    multiple=True,
    help="What a grid product does not say, e.g. step_kw=1; may be given more than once.",
)
@click.option(
    "--load-forecast-std",
    type=click.FloatRange(0.0, 1.0),
    help="Standard deviation of the load's forecast, as a share of the draw, e.g. 0.02.",
)
@click.option(
    "--response-std",
    type=click.FloatRange(0.0, 1.0),
    help="Standard deviation of what compute moves, as a share of it.",
)
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes; as many as there are cores.")
@click.option("--json", "as_json", is_flag=True, help="Print the offer as JSON.")
@click.option("-o", "--output", type=FILE, help="Write the offer here (.json).")
@click.option("--plot", type=FILE, help="Draw the offer (.png, .svg or .pdf).")
@one_line_errors
def offer(
    file: Path,
    directions: tuple[str, ...],
    durations_s: tuple[float, ...],
    confidences: tuple[float, ...],
    calls: int | None,
    rest: float | None,
    delay: float | None,
    activation: float | None,
    notice_s: float | None,
    services: tuple[str, ...],
    settings: tuple[str, ...],
    load_forecast_std: float | None,
    response_std: float | None,
    jobs: int | None,
    as_json: bool,
    output: Path | None,
    plot: Path | None,
) -> None:
    """Say what the site in FILE can promise.

    FILE is an offer's question; of an event file only the site and its state are taken.
    """
    from ebplan.document import check_writable, write_atomically
    from ebplan.offers.door import load_request
    from ebplan.offers.make import offer as make_offer
    from ebplan.services import parse_settings

    for path in (output, plot):
        if path is not None:
            check_writable(path)
    if plot is not None:
        from ebplan.report.canvas import check_suffix

        check_suffix(plot)
    if output is not None and output.suffix != ".json":
        raise click.UsageError("-o writes JSON: name a file that ends in .json.")
    if settings and not services:
        raise click.UsageError("--set tells what a --service does not say: name the service.")
    if rest is not None and calls is None:
        raise click.UsageError("--rest lies between several --calls: say how many.")
    asked = load_request(
        file,
        settings=parse_settings(settings),
        directions=list(directions) or None,
        durations_s=list(durations_s) or None,
        confidences=list(confidences) or None,
        curve_at=_curve_at(confidences),
        calls=_given(per_day=calls, rest_s=rest),
        speed=_given(initial_delay_s=delay, full_activation_s=activation),
        notice_s=notice_s,
        services=list(services) or None,
        load_forecast_std=load_forecast_std,
        response_std=response_std,
    )
    made = make_offer(
        asked.request,
        asked.site,
        asked.state,
        services=asked.services,
        jobs=jobs or os.cpu_count() or 1,
        told=_progress(),
    )
    _show(made, as_json=as_json)
    if output is not None:
        write_atomically(output, made.to_json().encode())
    if plot is not None:
        from ebplan.report.offer_figure import save_offer

        save_offer(made, plot)


def _given(**fields: float | None) -> dict[str, float] | None:
    """Return the fields that were given; None where none was."""
    return {name: value for name, value in fields.items() if value is not None} or None


def _curve_at(confidences: tuple[float, ...]) -> float | None:
    """Return the confidence that costs are worked out for: 0.9 where it is asked, or the first."""
    if not confidences:
        return None
    return 0.9 if 0.9 in confidences else confidences[0]


def _progress() -> Callable[[int, int], None] | None:
    """Return what tells a person how far it is; None where nobody watches."""
    if not sys.stderr.isatty():
        return None

    def told(done: int, of: int) -> None:
        click.echo(f"\r{done} of {of} promises", nl=done == of, err=True)

    return told


def _show(made: Offer, *, as_json: bool) -> None:
    if as_json:
        click.echo(made.to_json())
        return
    from rich.console import Console

    from ebplan.report.offer_table import print_offer

    print_offer(made, Console())

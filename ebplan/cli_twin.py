"""``ebplan twin``: the simulated bench."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_twin_experiment import experiment
from ebplan.errors import named
from ebplan.words import percent_words

FILE = click.Path(path_type=Path)
FOLDER = click.option(
    "--folder", type=FILE, help="Where its files and sockets lie; one of yours by default."
)


@click.group()
def twin() -> None:
    """Simulate the bench: whatever it says is simulated."""


twin.add_command(experiment)


@twin.command()
@click.argument("file", type=FILE, required=False)
@FOLDER
@click.option("--foreground", is_flag=True, help="Stay, and end it on Ctrl-C.")
@one_line_errors
def up(file: Path | None, folder: Path | None, foreground: bool) -> None:
    """Run a simulated site in real time behind real protocols, on this machine only.

    FILE says which (docs/twin.md); without, the built-in site with the load of its examples.
    """
    from ebplan.case import load_site
    from ebplan.errors import EbplanError
    from ebplan.twin.live import control, serve

    spec = control.load_spec(file)
    with named(file or Path("twin.toml")):
        site = load_site(spec.site, folder=None if file is None else file.parent)
        spec.state(site)  # whether the load of each class is known
    folder = (control.default_folder() if folder is None else folder).absolute()
    control.prepare(folder, site, spec)
    if foreground:
        click.echo(f"starting in {folder}; Ctrl-C ends it")
        try:
            serve.main(folder, click.echo)
        finally:
            _say_left(control.down(folder), folder)
        return
    try:
        state = control.start(folder)
    except RuntimeError as error:
        raise EbplanError(str(error)) from None
    _say(state, folder)


@twin.command()
@FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@one_line_errors
def status(folder: Path | None, as_json: bool) -> None:
    """Say whether a simulated site runs, and how it does. Exit code 1: none runs."""
    from ebplan.twin.live import control

    folder = (control.default_folder() if folder is None else folder).absolute()
    state = control.read_state(folder)
    if state is None or not control.is_running(folder):
        where = "none runs" if state is None else "its process is gone: `ebplan twin down`"
        click.echo(f"{folder}: {where}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(state, indent=1))
    else:
        _say(state, folder)


@twin.command()
@FOLDER
@click.option("--keep", is_flag=True, help="Leave audit log, key, inbox and calls.")
@one_line_errors
def down(folder: Path | None, keep: bool) -> None:
    """End a simulated site and take away what it left, also after it was killed."""
    from ebplan.twin.live import control

    folder = (control.default_folder() if folder is None else folder).absolute()
    there = control.has_something(folder)
    left = control.down(folder, keep=keep)
    if there:
        _say_left(left, folder)
    else:
        click.echo(f"nothing to end: no simulated site in {folder}")


def _say_left(left: list[str], folder: Path) -> None:
    click.echo(f"ended; {folder} {'keeps ' + ', '.join(left) if left else 'is gone'}")


def _say(state: Mapping[str, Any], folder: Path) -> None:
    from ebplan.twin.live import control

    at, plant = state["addresses"], state["plant"]
    click.echo(f"simulated: {state['site']}, process {state['pid']}")
    rows = [
        ("requests", at["router"]),
        ("Modbus", f"{at['modbus']}  converter and meter, SunSpec, unit 1"),
        *(("engine", f"{url}  {name}") for name, url in at["engines"].items()),
        *(("Redfish", f"{url}  {node}") for node, url in at["redfish"].items()),
        *(("IPMI", f"{address}  {node}") for node, address in at["ipmi"].items()),
        ("calls", f"{folder}/calls, or POST {at['webhook']}"),
        *(("left out", line) for line in state["left_out"]),
    ]
    for name, value in rows:
        click.echo(f"  {name:<9} {value}")
    meter = "silent" if plant["meter_kw"] is None else f"{plant['meter_kw']:.2f} kW"
    click.echo(
        f"  {'plant':<9} {plant['seconds']:.0f} s, meter {meter}, battery "
        f"{plant['battery_kw']:+.2f} kW, SoC {percent_words(plant['soc'], 1)}; "
        f"{plant['late_steps']} of {plant['steps']} steps late"
    )
    if control.users_arrive(folder):
        click.echo(
            f"  {'':<9} its users are only arriving: the draw rises until the first requests are "
            "answered,\n"
            f"  {'':<9} some seconds from now; `ebplan twin status` says when it has settled"
        )
    click.echo(f"ebplan run {folder}/run.toml")

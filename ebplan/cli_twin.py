"""``ebplan twin``: the simulated bench."""

from __future__ import annotations

import click

from ebplan.cli_twin_experiment import experiment


@click.group()
def twin() -> None:
    """Simulate the bench: whatever it says is simulated."""


twin.add_command(experiment)

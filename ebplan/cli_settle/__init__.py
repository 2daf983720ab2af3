"""The verbs of settlement: ``ebplan settle ...``, one file for each."""

from __future__ import annotations

import click

from ebplan.cli_settle.delivery import delivery


@click.group()
def settle() -> None:
    """Settle an event from meter series."""


settle.add_command(delivery)

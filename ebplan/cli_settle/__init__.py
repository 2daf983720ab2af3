"""The verbs of settlement: ``ebplan settle ...``, one file for each."""

from __future__ import annotations

import click

from ebplan.cli_settle.baseline import baseline
from ebplan.cli_settle.delivery import delivery
from ebplan.cli_settle.grid_report import report
from ebplan.cli_settle.prequalify import prequalify


@click.group()
def settle() -> None:
    """Settle an event from meter series."""


for command in (baseline, delivery, prequalify, report):
    settle.add_command(command)

"""``ebplan settle prequalify``: a folder that shows that a site can give a product."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ebplan.cli_errors import one_line_errors
from ebplan.cli_settle.inputs import FILE


@click.command()
@click.argument("pack_file", type=FILE, metavar="PACK")
@click.option(
    "-o", "--output", type=FILE, required=True, help="The folder; what is there is not made again."
)
@click.option(
    "--simulate",
    "site_name",
    metavar="SITE",
    help="Run the tests on the fluid plant of this site, and say so everywhere.",
)
@click.option("--json", "as_json", is_flag=True, help="Print pack.json.")
@one_line_errors
def prequalify(pack_file: Path, output: Path, site_name: str | None, as_json: bool) -> None:
    """Measure the tests that PACK (TOML) names, and write series, figures and a summary.

    Exit code 0 where every test passes and none is missing, 4 otherwise.
    """
    from ebplan.case import load_site
    from ebplan.errors import InputError
    from ebplan.report.pack_folder import write_pack
    from ebplan.report.pack_summary import pack_words
    from ebplan.settlement.pack_spec import read_spec

    spec = read_spec(pack_file)
    site = None if site_name is None else load_site(site_name)
    try:
        pack = write_pack(
            spec,
            output,
            folder=pack_file.parent,
            site=site,
            site_name=site_name or "",
            progress=lambda line: click.echo(line, err=True),
        )
    except InputError as error:
        raise error.in_file(str(pack_file)) from None
    if as_json:
        click.echo(pack.to_json())
    else:
        simulated = "SIMULATED: " if pack.simulated else ""
        click.echo(f"{simulated}{pack.resource}, {pack.service.id}: {pack_words(pack)}")
        for line in pack.missing:
            click.echo(f"missing: {line}")
        click.echo(f"written: {output}")
    sys.exit(0 if pack.verdict == "pass" else 4)

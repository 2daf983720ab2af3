"""Render the configuration of the router: ``python -m ebplan.adapters.router router.toml``.

``haproxy.cfg`` goes to the standard output, or with ``--to FOLDER`` it is written there together
with the maps, which HAProxy wants to find where the document says.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ebplan.adapters.router.config import RouterConfig, render, render_maps
from ebplan.document import read_toml, write_atomically
from ebplan.errors import EbplanError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--to", type=click.Path(path_type=Path), help="Write haproxy.cfg and the maps here.")
def main(file: Path, to: Path | None) -> None:
    """Render the configuration that FILE describes."""
    try:
        config = RouterConfig.parse(read_toml(file), file=str(file))
        if to is None:
            click.echo(render(config), nl=False)
            return
        write_atomically(to / "haproxy.cfg", render(config))
        for path, content in render_maps(config).items():
            write_atomically(to / Path(path).name, content)
    except EbplanError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()

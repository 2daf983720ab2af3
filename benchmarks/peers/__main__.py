"""Every tool on the same problems: ``make bench-peers``, ``python -m benchmarks.peers --help``."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.peers import problems
from benchmarks.peers.environments import FOLDER, install
from benchmarks.peers.figure import draw
from benchmarks.peers.formulation import STATEMENTS, section
from benchmarks.peers.page import sections
from benchmarks.peers.runs import run_all
from benchmarks.peers.tools_list import TOOLS
from benchmarks.sections import write_section

LIMIT_S = 25.0


@click.command()
@click.option("--tool", "tools", multiple=True, type=click.Choice(list(TOOLS)))
@click.option("--problem", "names", multiple=True, type=click.Choice(problems.NAMES))
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    default=FOLDER.parent / "runs.jsonl",
    show_default=True,
    help="Finished runs; what it holds is not run again.",
)
@click.option(
    "--install-limit",
    type=click.IntRange(min=1),
    default=900,
    show_default=True,
    help="Seconds; a tool that takes longer to install is left out.",
)
@click.option("--write", type=click.Path(path_type=Path), help="Write the page's sections here.")
@click.option("--plot", type=click.Path(path_type=Path), help="Write the figure here.")
def main(
    tools: tuple[str, ...],
    names: tuple[str, ...],
    rounds: int,
    keep: Path,
    install_limit: int,
    write: Path | None,
    plot: Path | None,
) -> None:
    """Install what is missing, run everything side by side, print or write the page."""
    chosen, asked = tools or tuple(TOOLS), names or problems.NAMES
    keep.parent.mkdir(parents=True, exist_ok=True)
    errors = {}
    for tool in chosen:
        click.echo(f"environment of {tool}", err=True)
        if error := install(tool, install_limit):
            errors[tool] = error
    data = {name: problems.write(name, keep.parent) for name in asked}
    there = [tool for tool in chosen if tool not in errors]
    pairs = [(tool, name) for name in asked for tool in there]
    if "plant" in asked:
        pairs += [pair for pair in STATEMENTS if pair[0] in there and pair not in pairs]
        data |= {name: data["plant"] for _, name in STATEMENTS}
    measured = run_all(
        pairs,
        data,
        rounds=rounds,
        limit_s=LIMIT_S,
        kept=keep,
        told=lambda line: click.echo(line, err=True),
    )
    texts = sections(measured, errors)
    if "plant" in asked:
        texts["peers: statements"] = section(measured)
    for name, text in texts.items():
        if write is None:
            click.echo(f"{text}\n")
        else:
            write_section(write, name, text)
    if plot is not None:
        draw(measured, plot)


if __name__ == "__main__":
    main()

"""The verbs of the fitted models: ``ebplan fit`` and ``ebplan models``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ebplan.models.card import Statistic
    from ebplan.models.library import Artefact

from ebplan.cli_errors import one_line_errors

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("spec", type=FILE)
@click.option("--data", type=FILE, help="Fit this table instead of the one SPEC names.")
@click.option(
    "-o",
    "--output",
    type=FILE,
    help="Write the artefact here (.json), its card beside it (.md); NAME.json beside SPEC "
    "if absent.",
)
@click.option("--force", is_flag=True, help="Replace an artefact that is there already.")
@one_line_errors
def fit(spec: Path, data: Path | None, output: Path | None, force: bool) -> None:
    """Fit a model to the measurements that SPEC (TOML) describes; write it and its card."""
    from ebplan.document import check_writable, write_atomically
    from ebplan.errors import InputError
    from ebplan.models.card import render_markdown

    try:
        from ebplan.models.fit.spec import run_spec
    except ImportError as error:
        raise InputError(
            field="ebplan fit",
            value=f"no {error.name}",
            allowed="fitting needs scipy",
            remedy="pip install 'ebplan[fit]'",
        ) from None
    model = run_spec(spec, data=data)
    if output and output.name != f"{model.name}.json":
        raise InputError(
            field="-o",
            value=output.name,
            allowed=f"{model.name}.json in any folder: a model is found by its name",
            remedy="use this name, or change options.name",
        )
    target = output or spec.with_name(f"{model.name}.json")
    card = target.with_suffix(".md")
    for path in (target, card):
        check_writable(path)
        if path.exists() and not force:
            raise InputError(
                field="-o",
                value=str(path),
                allowed="a file that is not there yet",
                remedy="choose another name, or --force",
            )
    write_atomically(target, model.to_json() + "\n")
    write_atomically(card, render_markdown(model.name, model.card))
    click.echo(summary_of(model))
    click.echo(f"written: {target}, {card}")


@click.command()
@click.argument("name", required=False)
@click.option(
    "--plot",
    type=FILE,
    help="Draw the fit against its data, with its interval (.png, .svg or .pdf).",
)
@one_line_errors
def models(name: str | None, plot: Path | None) -> None:
    """List the fitted models; with NAME (or the file of an artefact) show its card.

    A file in a folder of EBPLAN_MODELS that holds no artefact is named on standard error; the list
    of the others is complete, and the exit code is 0. It is 2 where the file is what was asked for.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from ebplan.models.card import render_markdown
    from ebplan.models.library import load, load_file

    if name is None:
        if plot:
            raise click.UsageError("--plot draws one model: give its NAME.")
        list_models()
        return
    model = load_file(Path(name)) if _is_file(name) else load(name)
    if plot:
        from ebplan.report.model_figures import plot_model

        plot_model(model, plot)
        click.echo(f"drawn: {plot}")
        return
    Console().print(Markdown(render_markdown(model.name, model.card)))


def _is_file(name: str) -> bool:
    """Whether a file is meant, no name: also one that is none of ours, so that it is said to be."""
    return name.endswith((".json", ".toml")) or Path(name).is_file()


def list_models() -> None:
    """Print a line for each model, and one for each file that holds none."""
    from ebplan.models.library import catalogue

    usable, faults = catalogue()
    for name, model in usable.items():
        click.echo(f"{name:40s} {model.kind.replace('_', ' '):24s} {model.card.title}")
    for fault in faults:
        click.secho(f"left out: {fault}", fg="yellow", err=True)


def summary_of(model: Artefact) -> str:
    """Return errors and exclusions of a model, one a line."""
    card = model.card
    lines = [f"{model.name} ({model.kind.replace('_', ' ')}): {card.summary}"]
    errors = (*card.residuals, *card.leave_one_out)
    lines += [f"  {s.name}: {_number(s)}" for s in errors]
    lines += [f"  weight zero: {e.run}: {e.reason}" for e in card.excluded]
    return "\n".join(lines)


def _number(statistic: Statistic) -> str:
    """Return a number with its unit, a share in percent."""
    value, unit = statistic.value, statistic.unit
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:.4g}" if unit == "1" else f"{value:.4g} {unit}"

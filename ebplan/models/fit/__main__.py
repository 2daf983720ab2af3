"""``python -m ebplan.models.fit``: fit the packaged tables and write the library and its cards."""

from __future__ import annotations

import argparse
from pathlib import Path

from ebplan.document import write_atomically
from ebplan.models import library
from ebplan.models.card import render_markdown
from ebplan.models.fit.artefacts import build_all
from ebplan.models.fit.fleet_prior import build_fleet_prior
from ebplan.models.fit.outside import build_outside
from ebplan.models.fit.serving_runs import SERVING_TABLE
from ebplan.models.fit.source import read_source
from ebplan.models.library import Artefact

LIBRARY = Path(library.__file__).parent
DOCS = LIBRARY.parents[2] / "docs" / "models"


def main(arguments: list[str] | None = None) -> None:
    """Fit, write artefacts and cards, print the statistics."""
    parser = argparse.ArgumentParser(prog="python -m ebplan.models.fit", description=__doc__)
    parser.add_argument("--library", type=Path, default=LIBRARY, help="folder for the artefacts")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder for the cards")
    parser.add_argument(
        "--outside",
        type=Path,
        help="folder with the published tables that are not part of this project; without it the "
        "models made from them stay as they are",
    )
    parser.add_argument(
        "--prior", type=Path, help="the same folder: learn the prior of serving anew (some minutes)"
    )
    options = parser.parse_args(arguments)
    outside: tuple[Artefact, ...] = ()
    if options.outside:
        outside = build_outside(options.outside)
    if options.prior:
        outside = (*outside, build_fleet_prior(options.prior / SERVING_TABLE))
    for model in (*build_all(read_source()), *outside):
        write_atomically(options.library / f"{model.name}.json", model.to_json() + "\n")
        if options.docs.is_dir():
            card = options.docs / f"{model.name}.md"
            write_atomically(card, render_markdown(model.name, model.card))
        print(statistics(model))


def statistics(model: Artefact) -> str:
    """Return the numbers on a card as lines of text."""
    lines = [model.name]
    for title, values in (
        ("residuals", model.card.residuals),
        ("leave one out", model.card.leave_one_out),
    ):
        lines += [f"  {title:<14} {s.name:<58} {s.value:>9.4g} {s.unit}" for s in values]
    lines += [f"  weight zero    {run.run}: {run.reason}" for run in model.card.excluded]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""Model cards: what a fitted model was made from, how well it fits, and what it is not for.

A card travels inside the artefact it describes, so that a number can never be had without its
origin. Every number on a card is computed by the fit that made the artefact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from ebplan.document import NonNegative, Part
from ebplan.site import MeasurementPoint

Provenance = Literal["measured", "published", "assumed"]
"""Where a number comes from: own measurement, a publication, or nobody's measurement."""


class Dataset(Part):
    """One table that a model was made from."""

    name: str
    """File name."""
    rows: int = Field(ge=1)
    """Number of data rows."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Digest of the canonical content (stripped cells, commas, line feeds)."""
    source: str
    """Who published it."""


class Statistic(Part):
    """A named number with its unit."""

    name: str
    """What is measured, in words."""
    value: float
    """The number."""
    unit: str
    """Its unit; ``share`` for a fraction of the quantity itself."""


class Excluded(Part):
    """A run that the fit does not use."""

    run: str
    """Request shape and concurrency, ``shape/users``."""
    weight: NonNegative
    """Weight in the fit; 0 is left out."""
    reason: str
    """Why, with the numbers that decided it."""


class ValidRange(Part):
    """A range outside of which the model is extrapolated."""

    name: str
    """The quantity."""
    low: float
    """Lowest value the data cover."""
    high: float
    """Highest value the data cover."""
    unit: str
    """Unit of both."""


class Assumption(Part):
    """A number that the data do not determine."""

    name: str
    """The quantity."""
    value: float
    """Its value."""
    unit: str
    """Its unit."""
    provenance: Provenance
    """Measured, published or assumed."""
    note: str
    """Why this value, and what it does."""


class Finding(Part):
    """Something a reader of the data must know, with the numbers that show it."""

    title: str
    """The finding in a few words."""
    text: str
    """The finding with its numbers."""


class ModelCard(Part):
    """The card of one model."""

    title: str
    """Hardware and model."""
    summary: str
    """What the model gives, in one or two sentences."""
    data: tuple[Dataset, ...] = Field(min_length=1)
    """Tables it was made from."""
    method: str
    """How it was made, with the formulas."""
    residuals: tuple[Statistic, ...] = ()
    """Fit quality on the runs that were used."""
    leave_one_out: tuple[Statistic, ...] = ()
    """Error for a run that was left out, by refitting without it."""
    excluded: tuple[Excluded, ...] = ()
    """Runs with weight zero."""
    validity: tuple[ValidRange, ...] = ()
    """Ranges the data cover."""
    measurement_point: MeasurementPoint
    """Where the powers are taken to be metered."""
    measurement_note: str
    """How sure that is."""
    assumptions: tuple[Assumption, ...] = ()
    """Numbers that the data do not determine."""
    findings: tuple[Finding, ...] = ()
    """How the data have to be read."""
    not_for: tuple[str, ...] = ()
    """Uses that the data do not support."""


def render_markdown(name: str, card: ModelCard) -> str:
    """Return a card as Markdown.

    Args:
        name: name of the artefact in the library.
        card: its card.
    """
    parts = [
        f"# {card.title}",
        f"`{name}`",
        card.summary,
        "## Data",
        _table(
            ("table", "rows", "source", "SHA-256"),
            ((f"`{d.name}`", str(d.rows), d.source, f"`{d.sha256[:16]}`") for d in card.data),
        ),
        "## Method",
        card.method,
        *_statistics("Residuals", card.residuals),
        *_statistics("Leave one out", card.leave_one_out),
    ]
    if card.excluded:
        parts.append("## Runs with weight zero")
        parts.append(
            _bullets(f"**{e.run}** (weight {e.weight:g}): {e.reason}" for e in card.excluded)
        )
    if card.validity:
        rows = ((v.name, f"{v.low:.4g}", f"{v.high:.4g}", v.unit) for v in card.validity)
        parts += ["## Valid range", _table(("quantity", "from", "to", "unit"), rows)]
    parts += [
        "## Measurement point",
        f"`{card.measurement_point}`. {card.measurement_note}",
    ]
    if card.assumptions:
        given = ((a.name, f"{a.value:.4g}", a.unit, a.provenance, a.note) for a in card.assumptions)
        parts.append("## Assumptions")
        parts.append(_table(("quantity", "value", "unit", "provenance", "note"), given))
    if card.findings:
        parts.append("## How to read the data")
        parts.append(
            "\n".join(f"{i}. **{f.title}.** {f.text}" for i, f in enumerate(card.findings, 1))
        )
    if card.not_for:
        parts += ["## Not for", _bullets(card.not_for)]
    return "\n\n".join(parts) + "\n"


def _statistics(title: str, values: Sequence[Statistic]) -> list[str]:
    """Return a section of named numbers; nothing where there are none."""
    if not values:
        return []
    rows = ((s.name, f"{s.value:.4g}", s.unit) for s in values)
    return [f"## {title}", _table(("what", "value", "unit"), rows)]


def _bullets(lines: Iterable[str]) -> str:
    """Return a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

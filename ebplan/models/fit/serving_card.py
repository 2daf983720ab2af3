"""The card of a serving model, with what each configuration rests on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ebplan.models.card import Finding, ModelCard, Statistic, ValidRange
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.serving_law import OFF, OFF_SHARE, WORDS, FittedLaw, over
from ebplan.models.fit.tokens import Rows, token_findings, token_ranges
from ebplan.models.fleet_prior import FleetPrior
from ebplan.models.laws import LawName
from ebplan.models.serving import Served

_EVIDENCE = {
    "prior": "No point was measured: only an interval is given, from what is known of other "
    "models. Two runs, at either end of the load, narrow it most.",
    "prior and points": "It was measured at no more loads than a law has parameters: the points "
    "move the prior, they do not replace it.",
    "measured": "It was measured at more loads than a law has parameters.",
}


def serving_card(
    title: str,
    data: Measurements,
    prior: FleetPrior,
    served: tuple[Served, ...],
    fitted: dict[LawName, dict[str, FittedLaw]],
    rows: Rows,
) -> ModelCard:
    """Return the card of a serving model.

    Args:
        title: its title.
        data: the table.
        prior: what every configuration began from.
        served: the configurations.
        fitted: each law of each configuration, by name.
        rows: which rows of the table belong to each.
    """
    return ModelCard(
        title=title,
        summary="Power, throughput and latency against requests in flight, with intervals: "
        + "; ".join(f"{s.configuration.name} ({s.evidence})" for s in served)
        + ".",
        data=(data.dataset(), *prior.card.data),
        method=f"{prior.card.method} Here each configuration begins from the prior "
        f"`{prior.name}` and what the other configurations of the table say; a point that the "
        f"others put {OFF:g} standard deviations and {OFF_SHARE:.0%} away gets weight zero.",
        leave_one_out=tuple(_left_out(fitted)),
        excluded=(
            *data.excluded,
            *(e for fits in fitted.values() for f in fits.values() for e in f.off),
        ),
        validity=(
            *(
                ValidRange(
                    name=f"requests in flight, {s.configuration.name}",
                    low=s.concurrency[0],
                    high=s.concurrency[1],
                    unit="requests",
                )
                for s in served
            ),
            *token_ranges(data, rows),
        ),
        measurement_point=data.measurement_point,
        measurement_note=data.measurement_note or "As stated by who measured.",
        findings=(
            *(finding for s in served for finding in _findings(s)),
            *token_findings(data, rows),
        ),
        not_for=(
            "power without load or asleep: fit those from readings of their own",
            "loads outside the valid range",
        ),
    )


def _findings(served: Served) -> Iterator[Finding]:
    name = served.configuration.name
    yield Finding(title=f"{name}: {served.evidence}", text=_EVIDENCE[served.evidence])
    if served.pace is not None and not served.pace.concurrency:
        yield Finding(
            title=f"{name}: the time between tokens is a mean",
            text="No median was measured (column `itl`). `itl_s` is the mean over a request by "
            "Little's law, not a percentile; of the median only the prior's interval is given.",
        )
    low, high = (float(kw) for kw in served.power.centre(np.array(served.concurrency)))
    if served.evidence != "prior" and high < low:
        yield Finding(
            title=f"{name}: power falls with load",
            text=f"{low:.3f} kW at the lowest load, {high:.3f} kW at the highest: no serving "
            "instance is known to do so. Check which column is which.",
        )


def _left_out(fitted: dict[LawName, dict[str, FittedLaw]]) -> Iterator[Statistic]:
    """Yield errors and coverage of points that were left out, by law and configuration."""
    for law, fits in fitted.items():
        for name, one in fits.items():
            if not len(one.left_out):
                continue
            share = np.abs([over(law, missed) for missed in one.left_out])
            for what, value in (
                ("median error", np.median(share)),
                ("largest error", share.max()),
                ("in the 90 % interval", one.held.mean()),
            ):
                yield Statistic(
                    name=f"{name}, {WORDS[law]}: {what}", value=float(value), unit="share"
                )

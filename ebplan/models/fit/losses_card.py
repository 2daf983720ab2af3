"""The card of a loss model: which readings made pairs, how the clocks stand, what was held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ebplan.models.card import Finding, ModelCard, Statistic, ValidRange
from ebplan.models.fit.lag import Lag
from ebplan.models.fit.measurements import Measurements
from ebplan.models.fit.pairs import Pairs

if TYPE_CHECKING:
    from ebplan.models.fit.losses import LossOptions


def losses_card(
    data: Measurements,
    options: LossOptions,
    *,
    pairs: Pairs,
    used: NDArray[np.bool_],
    spread: float,
    worth: float,
    factor: tuple[float, float],
    offset_kw: tuple[float, float],
    lag: Lag | None,
    stale: int,
    held: Sequence[tuple[float, bool]],
) -> ModelCard:
    """Return the card.

    Args:
        data: the table, readings off the line left out by name.
        options: what it does not say.
        pairs: pairs that were made.
        used: which of them have weight, shape (N,).
        spread: standard deviation of a reading off the line, as a share.
        worth: independent pairs.
        factor: value and half-width of its interval.
        offset_kw: the same of the offset.
        lag: what was found about the clocks; None without times.
        stale: readings of a meter that hung.
        held: relative error of each pair that was held out, and whether its interval held it.
    """
    inner = pairs.inner[used]
    low, high = float(inner.min()), float(inner.max())
    return ModelCard(
        title=options.title,
        summary=f"From {data.measurement_point} to {options.outer}: outer = {factor[0]:.4f} "
        f"(± {factor[1]:.2g}) × inner + {offset_kw[0]:.3g} kW (± {offset_kw[1]:.2g}), for the "
        "field `losses` of a site.",
        data=(data.dataset(),),
        method="Each reading of the slower meter with the faster one's value at its time; "
        "ln(outer) = ln(factor × inner + offset) by robust least squares, readings over six robust "
        "spreads off with weight zero; covariance for as many readings as they are worth, N over "
        "the integrated autocorrelation time of the errors. Intervals hold 90 %.",
        residuals=(
            Statistic(name="factor, half-width", value=factor[1], unit="1"),
            Statistic(name="offset, half-width", value=offset_kw[1], unit="kW"),
            Statistic(name="off the line, standard deviation", value=spread, unit="share"),
            Statistic(name="pairs", value=float(used.sum()), unit="1"),
            Statistic(name="independent pairs", value=worth, unit="1"),
        ),
        leave_one_out=tuple(_held(held)),
        excluded=data.excluded,
        validity=(ValidRange(name="inner power", low=low, high=high, unit="kW"),),
        measurement_point=data.measurement_point,
        measurement_note=f"The outer meter is at {options.outer}. {data.measurement_note}".strip(),
        findings=(*_clocks(lag), *_dropped(pairs, stale), *_bounds(factor, offset_kw)),
        not_for=(
            f"other equipment than {options.equipment}",
            "a site with more of it, unless the offset is multiplied: it is of what was metered "
            "(`stage(count)`)",
            "loads outside the range: losses of power supplies are no straight line there",
        ),
    )


def _held(held: Sequence[tuple[float, bool]]) -> Iterator[Statistic]:
    if held:
        error = float(np.median([abs(e) for e, _ in held]))
        inside = float(np.mean([inside for _, inside in held]))
        what = f"a fifth of the time held out ({len(held)} pairs)"
        yield Statistic(name=f"{what}, median error", value=error, unit="share")
        yield Statistic(name=f"{what}, in its 90 % interval", value=inside, unit="share")


def _clocks(lag: Lag | None) -> Iterator[Finding]:
    if lag is None:
        text = "The table has no times: that rows hold readings of one instant is taken on trust."
        yield Finding(title="Clocks were not compared", text=text)
    elif lag.lag_s is None:
        text = "The load hardly changes, so that no lag can be seen; it does no harm then either."
        yield Finding(title="A lag could not be told", text=text)
    elif lag.lag_s:
        later = "later" if lag.lag_s > 0.0 else "earlier"
        yield Finding(
            title="The meters do not show the same instant",
            text=f"The outer one shows it {abs(lag.lag_s):g} s {later} (to {lag.step_s:g} s), by "
            "its clock or by averaging; pairs are made with that, which takes away "
            f"{lag.gain:.0%} of the errors.",
        )


def _dropped(pairs: Pairs, stale: int) -> Iterator[Finding]:
    if stale or pairs.unpaired:
        yield Finding(
            title="Readings that make no pair",
            text=f"{stale} keep every digit for too long (a meter that hangs); {pairs.unpaired} of "
            "the slower meter have no reading of the other near them.",
        )


def _bounds(factor: tuple[float, float], offset_kw: tuple[float, float]) -> Iterator[Finding]:
    at = [
        name
        for name, (value, _), bound in (("factor", factor, 1.0), ("offset", offset_kw, 0.0))
        if value <= bound
    ]
    if at:
        yield Finding(
            title=f"The {' and the '.join(at)} is at its bound",
            text="The readings alone would put it beyond, by less than its interval; no loss is "
            "negative.",
        )

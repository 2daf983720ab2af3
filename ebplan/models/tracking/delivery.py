"""Whether a mechanism delivers what its model says: de-rated at once, restored on evidence only.

An observation is the share of the power meant to be moved that was moved. One that falls below
what is believed by more than its error de-rates the mechanism at once: the next plan reckons with
no more than what came. It is trusted again only after a number of uses in a row each of which
delivered more in all of its observations, and then with the least of them. However long one use
lasts it is one confirmation; the use in which a mechanism fell short is none. Time alone restores
nothing.
"""

from __future__ import annotations

from typing import Literal

from ebplan.document import Part, Positive

CERTAIN = 3.0
"""Standard deviations by which an observation has to fall short."""
CONFIRMATIONS = 3
"""Uses in a row that restore a mechanism."""
LEAST = 0.3
"""A mechanism that delivers less than this is reckoned with so much: what is left of it may be
noise, and a plan that must not use it at all leaves it out by its switch."""


class Delivery(Part):
    """What is believed of a mechanism."""

    share: Positive = 1.0
    """Share of what its model says that plans reckon with, at most 1."""
    confirming: tuple[float, ...] = ()
    """Least share delivered in each use since, all beyond what is believed."""


def observed(
    before: Delivery, share: float, sd: float, *, new_use: bool
) -> tuple[Delivery, Literal["de-rated", "restored"] | None]:
    """Take an observation in.

    Args:
        before: what was believed.
        share: moved over meant to be moved.
        sd: standard deviation of that.
        new_use: whether it is the first observation of a use.

    Returns:
        What is believed then, and what was changed, where something was.
    """
    if share < before.share - CERTAIN * sd:
        return Delivery(share=min(max(share, LEAST), before.share)), "de-rated"
    if before.share >= 1.0:
        return before, None
    better = min(CERTAIN * sd, 0.5 * (1.0 - before.share))
    if share <= before.share + better:
        return Delivery(share=before.share), None  # no better than believed: counting begins anew
    confirming = before.confirming
    if new_use:
        confirming = (*confirming, share)
    elif confirming:
        confirming = (*confirming[:-1], min(confirming[-1], share))
    if len(confirming) < CONFIRMATIONS:
        return Delivery(share=before.share, confirming=confirming), None
    least = min(confirming)
    return Delivery(share=1.0 if least >= 1.0 - CERTAIN * sd else least), "restored"

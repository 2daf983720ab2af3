"""The offer: what can be promised, how surely, at what cost, what limits and would raise it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ebplan.document import Document, Fraction, NonNegative, Part, Positive, Timestamp
from ebplan.offers.request import Direction, OfferRequest


class CostLevel(Part):
    """A promise of some size, called once, and what it costs."""

    kw: Positive
    """What is promised."""
    money: float
    """What a call costs over doing nothing: mechanisms, wear, energy, value of what is stored."""
    per_kw: float
    """Money for each kW more than the level before."""
    per_kwh: float
    """The same for each kWh more delivered."""
    mechanisms: dict[str, float]
    """Mean kW of each mechanism while the whole is asked, > 0 in the direction asked."""
    requests_lost: NonNegative = 0.0
    """Requests turned away in the call and its recovery."""
    gap: NonNegative | None
    """Proven distance of the money from the least, as a share; None without a proof."""


class Lever(Part):
    """One change of the site or its state, and what it adds to the promise."""

    words: str
    """What is changed."""
    kind: Literal["battery", "headroom", "pre-warm", "posture", "connection", "notice"]
    """What sort of change."""
    kw: float
    """What the promise grows by."""


class BidSize(Part):
    """The bid that a grid product takes from a promise."""

    service: str
    """Identifier of the product."""
    kw: NonNegative
    """The bid; 0 where the promise is too small."""
    sites: int | None = Field(default=None, ge=1)
    """How many sites like this one reach the product's least bid together; None where nothing can
    be promised."""
    why: str = ""
    """What keeps it at 0, or below the promise."""


class OfferPoint(Part):
    """One promise."""

    direction: Direction
    start: Timestamp
    """When it would begin."""
    duration_s: Positive
    confidence: float
    """Probability with which each call is kept, at least."""
    kw: NonNegative
    """What can be promised; 0 where nothing can."""
    bound_kw: NonNegative
    """No plan promises more at these margins."""
    probability: dict[str, Fraction]
    """Probability with which it is kept, by the law of the errors."""
    held_kw: NonNegative = 0.0
    """Converter power held back for the errors."""
    energy_kwh: NonNegative = 0.0
    """Energy that a call delivers."""
    bid: BidSize | None = None
    """What a product takes of it, where the promise is made at the product's speed and duration."""
    limits: tuple[str, ...] = ()
    """What binds, in words, the strongest first; or why nothing can be promised."""
    raised_by: tuple[Lever, ...] = ()
    """What would raise it, most first; where costs are worked out."""
    curve: tuple[CostLevel, ...] = ()
    """Cost of smaller promises, from small to the whole; where costs are worked out."""
    problem_hash: str = ""
    """Digest of the problem whose checked plan keeps it."""


class Errors(Part):
    """The errors that promises survive."""

    load_std: Fraction
    """Standard deviation of the draw, as a share of what the pools draw."""
    response_std: Fraction
    """Standard deviation of what compute moves, as a share of it."""
    sources: tuple[str, ...]
    """Where both come from."""


class Offer(Document):
    """All promises asked for."""

    kind: Literal["offer"] = "offer"
    site: str
    currency: str
    request: OfferRequest
    """What was asked."""
    errors: Errors
    points: tuple[OfferPoint, ...] = Field(min_length=1)
    """By direction and start; then durations and products, each by confidence."""
    notes: tuple[str, ...] = ()
    """What to know about all of them."""

"""The document of a grid product.

Signs: a load **releases** when it draws less and **absorbs** when it draws more. The "up" reserve
of a system operator (more generation) is ``release`` here, its "down" reserve is ``absorb``.

Every fact stands in exactly one entry of ``evidence``, which says where it comes from and how sure
it is. A fact that is none is either unknown or does not apply: its evidence says which, and why.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Fraction, NonNegative, Part, Positive
from ebplan.frequency import ResponseCurve

Direction = Literal["release", "absorb"]
Trigger = Literal["local_frequency", "operator_signal", "dispatch"]
Confidence = Literal["high", "medium", "low", "memory", "unknown", "not_applicable", "given"]
WITHOUT_VALUE = ("unknown", "not_applicable")
"""Confidences of facts that have no value."""
BaselineRule = Literal["fixed", "last_value", "high_4_of_5", "regression"]


class Tolerance(Part):
    """How far the delivered power may lie from what the product asks."""

    under: Fraction | None = None
    """Delivered too little, as a share of the bid."""
    over: NonNegative | None = None
    """Delivered too much, as a share of the bid."""
    averaging_s: Positive | None = None
    """The delivered power is averaged over this before it is judged."""
    share_outside: Fraction | None = None
    """Share of the time that may lie outside the tolerance."""


class Calls(Part):
    """How often the product may be called."""

    most_per_day: int | None = Field(default=None, ge=1)
    """Most calls in a day."""
    most_per_year: int | None = Field(default=None, ge=1)
    """Most calls in a year."""
    least_rest_s: NonNegative | None = None
    """Least time between the end of a call and the start of the next."""


class Evidence(Part):
    """Where facts come from, and how sure they are."""

    fields: tuple[str, ...] = Field(min_length=1)
    """Names of the facts, e.g. ``sustain_s`` or ``tolerance.under``."""
    confidence: Confidence
    """``high``: the rule was read, or a careful second source cites it; ``medium``: one second
    source; ``low``: inferred; ``memory``: general knowledge, unverified; ``unknown``: not found;
    ``not_applicable``: there is none; ``given``: by the user."""
    sources: tuple[str, ...] = ()
    """Titles of the sources."""
    as_of: str | None = None
    """Date of the fact, as the source gives it."""
    note: str | None = None
    """What one should know about it; for what has no value: why."""

    @model_validator(mode="after")
    def _says_where_or_why(self) -> Evidence:
        if self.confidence in WITHOUT_VALUE and not self.note:
            raise FieldFault(
                field="note",
                value=self.note,
                allowed=f"text: why it is {self.confidence.replace('_', ' ')}",
                remedy="say what was looked for and not found, or why there is none",
            )
        if self.confidence in ("high", "medium", "low") and not self.sources:
            raise FieldFault(
                field="sources",
                value=list(self.sources),
                allowed=f"at least one source with confidence {self.confidence!r}",
                remedy="name the source, or say 'memory'",
            )
        return self


class ServiceDefinition(Document):
    """A product that a grid operator buys."""

    kind: Literal["service"] = "service"
    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Short name, e.g. ``jp_fcr``."""
    name: str
    """Name in English."""
    local_name: str | None = None
    """Name in the language of the region."""
    region: str
    """Where it is bought."""
    status: str | None = None
    """Whether it is live, and since when."""

    directions: tuple[Direction, ...] = Field(min_length=1, max_length=2)
    """What is paid: ``release`` (draw less; the operator's "up"), ``absorb`` (draw more), both."""
    symmetric: bool | None = None
    """Whether one bid covers both directions."""
    trigger: Trigger
    """What starts a response: the frequency at the site, a signal that is followed, or a call."""
    nominal_hz: tuple[Positive, ...] = Field(min_length=1)
    """Nominal frequencies of the region in Hz."""
    notice_s: NonNegative | None = None
    """The call is known this long before its start; the times below count from the start."""
    initial_delay_s: NonNegative | None = None
    """The response must have begun by then."""
    full_activation_s: NonNegative | None = None
    """The whole response must be there by then."""
    sustain_s: Positive | None = None
    """The whole response must be held for this long."""
    curve: ResponseCurve | None = None
    """Share of the bid against the deviation of the frequency, where the product follows it."""

    block_s: Positive | None = None
    """Length of the time that one bid covers."""
    min_bid_kw: Positive | None = None
    """Least bid."""
    step_kw: Positive | None = None
    """A bid is a whole number of these."""
    max_bid_kw: Positive | None = None
    """Largest bid; none where no limit is known."""

    tolerance: Tolerance = Tolerance()
    """How far the delivered power may be off."""
    meter_interval_s: Positive | None = None
    """Interval of the readings that are judged."""
    calls: Calls = Calls()
    """How often it may be called."""
    recovery: str | None = None
    """The rule on getting ready again after a call."""
    recovery_s: Positive | None = None
    """Ready again within this after the end of a call."""
    baseline: BaselineRule | None = None
    """How the draw without the call is found at settlement."""

    evidence: tuple[Evidence, ...] = ()
    """Where each fact comes from; each stands in exactly one entry."""

    def facts(self) -> dict[str, Any]:
        """Return every fact by its dotted name."""
        found: dict[str, Any] = {}
        for name in FACTS:
            group, _, field = name.rpartition(".")
            found[name] = getattr(getattr(self, group) if group else self, field)
        return found

    def evidence_of(self, fact: str) -> Evidence | None:
        """Return where a fact comes from; none where nobody said."""
        return next((entry for entry in self.evidence if fact in entry.fields), None)

    @model_validator(mode="after")
    def _evidence_fits(self) -> ServiceDefinition:
        seen: set[str] = set()
        values = self.facts()
        for i, entry in enumerate(self.evidence):
            for name in entry.fields:
                if name not in values or name in seen:
                    raise FieldFault(
                        field=f"evidence.{i}.fields",
                        value=name,
                        allowed=f"each of {', '.join(FACTS)} once at most",
                        remedy="name the fact once" if name in seen else "correct the name",
                    )
                if entry.confidence in WITHOUT_VALUE and values[name] is not None:
                    raise FieldFault(
                        field=name,
                        value=values[name],
                        allowed=f"no value: its evidence calls it {entry.confidence}",
                        remedy="remove the value, or say where it comes from",
                    )
                seen.add(name)
        return self

    @model_validator(mode="after")
    def _ordered(self) -> ServiceDefinition:
        for low, high in (
            ("initial_delay_s", "full_activation_s"),
            ("min_bid_kw", "max_bid_kw"),
            ("step_kw", "max_bid_kw"),
        ):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first > last:
                raise FieldFault(
                    field=low,
                    value=first,
                    allowed=f"<= {high} = {last:g}",
                    remedy="correct one of the two",
                )
        if len(set(self.directions)) < len(self.directions):
            raise FieldFault(
                field="directions",
                value=list(self.directions),
                allowed="each direction once",
                remedy="remove the repeated one",
            )
        return self


_ABOUT = ("schema_version", "kind", "id", "name", "local_name", "region", "status", "evidence")
_GROUPS: dict[str, type[Part]] = {"tolerance": Tolerance, "calls": Calls}
FACTS: tuple[str, ...] = tuple(
    name
    for field in ServiceDefinition.model_fields
    if field not in _ABOUT
    for name in (
        [f"{field}.{inner}" for inner in _GROUPS[field].model_fields]
        if field in _GROUPS
        else [field]
    )
)
"""Dotted names of all facts, in the order of the document."""

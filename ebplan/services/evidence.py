"""What all definitions have: facts by dotted name, each with evidence, and ranges for unknown ones.

Every fact stands in exactly one entry of ``evidence``, which says where it comes from and how sure
it is. A fact that is none is either unknown or does not apply: its evidence says which, and why.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ebplan.document import Document, FieldFault, Part

Confidence = Literal["high", "medium", "low", "memory", "unknown", "not_applicable", "given"]
WITHOUT_VALUE = ("unknown", "not_applicable")
"""Confidences of facts that have no value."""
_ABOUT = (
    *("schema_version", "kind", "id", "name", "local_name", "region", "status"),
    *("evidence", "ranges"),
)


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


class Range(Part):
    """Between which numbers an unknown fact lies; a study shows the results of both ends."""

    fact: str
    """Dotted name of the fact, e.g. ``tolerance.under``."""
    value: float
    """The number to reckon with where one must be chosen."""
    low: float
    """Lower end."""
    high: float
    """Upper end."""
    why: str = Field(min_length=1)
    """Where the range comes from; begins with ``assumed`` where nobody said it."""

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low <= self.value <= self.high:
            raise FieldFault(
                field="value",
                value=self.value,
                allowed=f"between low = {self.low:g} and high = {self.high:g}",
                remedy="correct the range",
            )
        return self


class Defined(Document):
    """A definition: a name, a region, and facts with evidence."""

    GROUPS: ClassVar[tuple[tuple[str, type[Part]], ...]] = ()
    """Fields whose own fields are the facts."""

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
    evidence: tuple[Evidence, ...] = ()
    """Where each fact comes from; each stands in exactly one entry."""
    ranges: tuple[Range, ...] = ()
    """What is plausible for unknown numbers."""

    @classmethod
    @cache
    def fact_names(cls) -> tuple[str, ...]:
        """Return the dotted names of all facts, in the order of the document."""
        groups = dict(cls.GROUPS)
        return tuple(
            name
            for field in cls.model_fields
            if field not in _ABOUT
            for name in (
                [f"{field}.{inner}" for inner in groups[field].model_fields]
                if field in groups
                else [field]
            )
        )

    def facts(self) -> dict[str, Any]:
        """Return every fact by its dotted name."""
        found: dict[str, Any] = {}
        for name in self.fact_names():
            group, _, field = name.rpartition(".")
            found[name] = getattr(getattr(self, group) if group else self, field)
        return found

    def evidence_of(self, fact: str) -> Evidence | None:
        """Return where a fact comes from; none where nobody said."""
        return next((entry for entry in self.evidence if fact in entry.fields), None)

    def range_of(self, fact: str) -> Range | None:
        """Return what is plausible for an unknown fact; none where the definition does not say."""
        return next((entry for entry in self.ranges if entry.fact == fact), None)

    @model_validator(mode="after")
    def _evidence_fits(self) -> Defined:
        seen: set[str] = set()
        values = self.facts()
        for i, entry in enumerate(self.evidence):
            for name in entry.fields:
                if name not in values or name in seen:
                    raise FieldFault(
                        field=f"evidence.{i}.fields",
                        value=name,
                        allowed=f"each of {', '.join(self.fact_names())} once at most",
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
    def _ranges_of_unknown_facts(self) -> Defined:
        values = self.facts()
        for i, entry in enumerate(self.ranges):
            if entry.fact not in values or values[entry.fact] is not None:
                raise FieldFault(
                    field=f"ranges.{i}.fact",
                    value=entry.fact,
                    allowed="a fact without a value",
                    remedy="remove the range, or correct its name",
                )
        return self

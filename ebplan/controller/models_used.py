"""Which models a site plans with: what the audit log keeps of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ebplan.models import library
from ebplan.site import Site


def models_used(site: Site) -> dict[str, bytes]:
    """Return the site and every artefact that it names, as JSON by name."""
    named = sorted(
        {name for name in _named(site.model_dump(mode="json")) if name in library.names()}
    )
    artefacts = {name: library.load(name).to_json().encode() for name in named}
    return {"site": site.to_json().encode()} | artefacts


def _named(data: Any) -> Iterator[str]:
    """Return every text in a field whose name ends in ``_model``."""
    if isinstance(data, Mapping):
        for field, value in data.items():
            if field.endswith("_model") and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _named(value)

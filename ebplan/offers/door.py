"""Read an offer's question from a file, with the site and state it refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebplan.case import load_site
from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.kinds import another_kind
from ebplan.offers.request import OfferRequest
from ebplan.services import ServiceDefinition, load_service, needed, with_values
from ebplan.site import Site
from ebplan.state import State


@dataclass(frozen=True)
class Asked:
    """A question, whole."""

    request: OfferRequest
    site: Site
    state: State
    services: tuple[ServiceDefinition, ...]


def load_request(path: Path, *, settings: Mapping[str, Any] | None = None, **changed: Any) -> Asked:
    """Load a question (JSON or TOML) and resolve what it refers to.

    An event file asks the default question of its site and state.

    Args:
        path: the file.
        settings: facts that the products do not say, by name (``services.parse_settings``).
        changed: fields of the request that replace those of the file; None changes nothing.

    Raises:
        InputError: a file is missing or wrong; the message names file and field.
    """
    data = read_data(path)
    known = {"event", *OfferRequest.model_fields}
    if other := another_kind(data, "offer_request", "event", fields=known, file=str(path)):
        raise other
    if data.get("kind") == "event":
        data = {"site": data.get("site"), "state": data.get("state")}
    data |= {name: value for name, value in changed.items() if value is not None}
    folder, file = path.parent, str(path)
    site_in, state_in = (_part(data, name, file) for name in ("site", "state"))
    try:
        site = load_site(site_in, folder=folder) if isinstance(site_in, str) else None
        if isinstance(state_in, str):
            at = folder / state_in
            state = State.parse(read_data(at), file=file)
        else:
            state = State.parse(state_in, file=file, at="state")
    except InputError as error:
        raise error.in_file(file) from None
    if site is None:
        site = Site.parse(site_in, file=file, at="site")
    request = OfferRequest.parse(data, file=file)
    asked_for = bool(changed.get("services"))
    try:
        products = [_service(name, folder, asked_for) for name in request.services]
    except InputError as error:
        raise (error if asked_for else error.in_file(file)) from None
    services = tuple(with_values(product, settings or {}) for product in products)
    for service in services:
        for fact in ("full_activation_s", "sustain_s", "min_bid_kw", "step_kw"):
            needed(service, fact)
    return Asked(request, site, state, services)


def _part(data: dict[str, Any], name: str, file: str) -> Any:
    """Take a part out of a file's data.

    Raises:
        InputError: it is not there.
    """
    part = data.pop(name, None)
    if part is None:
        raise InputError(
            field=name,
            value=None,
            allowed=f"the {name}, or the path of its file",
            remedy="add the field, as in examples/offers/phase_a.json",
            file=file,
        )
    return part


def _service(name: str, folder: Path, asked_for: bool) -> ServiceDefinition:
    """Load a product by name, or a file relative to the question's (or, as an option, to here)."""
    beside = (folder / name).is_file()
    return load_service(
        name, folder=folder if beside else None, field="--service" if asked_for else "services"
    )

"""The definitions shipped with ebplan, and those in files of one's own."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from ebplan.document import Part, read_data
from ebplan.errors import InputError
from ebplan.nearest import listed, meant
from ebplan.services.definition import ServiceDefinition
from ebplan.services.evidence import Defined
from ebplan.services.tariff import TariffDefinition

_SERVICES = resources.files("ebplan") / "services" / "definitions"
_TARIFFS = resources.files("ebplan") / "services" / "tariffs"

_LISTED = "`python -m ebplan.services` prints what there is and what each asks"
_LEFT_OUT = resources.files("ebplan") / "services" / "left_out.toml"

AnyDefined = TypeVar("AnyDefined", bound=Defined)


class LeftOut(Part):
    """A product that has no definition."""

    id: str
    """Its short name."""
    name: str
    """Its name."""
    why: str
    """Why it has none."""


def left_out() -> list[LeftOut]:
    """Return the products that were looked at and have no definition."""
    data = tomllib.loads(_LEFT_OUT.read_text(encoding="utf-8"))
    return [LeftOut.parse(one, file=_LEFT_OUT.name) for one in data["left_out"]]


def built_in_services() -> list[str]:
    """Return the names of the products shipped with ebplan, sorted."""
    return _names(_SERVICES)


def built_in_tariffs() -> list[str]:
    """Return the names of the tariffs shipped with ebplan, sorted."""
    return _names(_TARIFFS)


def load_service(
    name_or_path: str | Path, *, folder: Path | None = None, field: str = "service"
) -> ServiceDefinition:
    """Load a built-in definition by name, or a file (TOML or JSON).

    Args:
        name_or_path: the name, or the path of the file.
        folder: where paths count from.
        field: what names the product, for the error.

    Raises:
        InputError: there is no such definition, or the file is wrong.
    """
    return _load(str(name_or_path), _SERVICES, ServiceDefinition, "service", folder, field)


def load_tariff(
    name_or_path: str | Path, *, folder: Path | None = None, field: str = "tariff"
) -> TariffDefinition:
    """Load a built-in tariff by name, or a file (TOML or JSON).

    Args:
        name_or_path: the name, or the path of the file.
        folder: where paths count from.
        field: what names the tariff, for the error.

    Raises:
        InputError: there is no such tariff, or the file is wrong.
    """
    return _load(str(name_or_path), _TARIFFS, TariffDefinition, "tariff", folder, field)


def _names(folder: Traversable) -> list[str]:
    files = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def _load(
    name: str,
    shipped: Traversable,
    form: type[AnyDefined],
    what: str,
    folder: Path | None,
    field: str,
) -> AnyDefined:
    if name in _names(shipped):
        text = (shipped / f"{name}.toml").read_text(encoding="utf-8")
        return form.parse(tomllib.loads(text), file=name)
    path = (folder or Path()) / name
    if not os.path.exists(path):  # unlike Path.exists, False for every name that cannot be one
        known = _names(shipped)
        raise InputError(
            field=field,
            value=name,
            allowed=f"a built-in {what} ({listed(known)}) or a file",
            remedy=f"{meant(name, known) or 'correct the name or the path;'} {_LISTED}",
        )
    return form.parse(read_data(path), file=str(path))

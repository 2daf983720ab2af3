"""The definitions shipped with ebplan, and those in files of one's own."""

from __future__ import annotations

import os
import tomllib
from importlib import resources
from pathlib import Path

from ebplan.document import read_data
from ebplan.errors import InputError
from ebplan.services.definition import ServiceDefinition

_BUILT_IN = resources.files("ebplan") / "services" / "definitions"


def built_in_services() -> list[str]:
    """Return the names of the definitions shipped with ebplan, sorted."""
    files = (entry.name for entry in _BUILT_IN.iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load_service(name_or_path: str | Path) -> ServiceDefinition:
    """Load a built-in definition by name, or a file (TOML or JSON).

    Raises:
        InputError: there is no such definition, or the file is wrong.
    """
    name = str(name_or_path)
    if name in built_in_services():
        text = (_BUILT_IN / f"{name}.toml").read_text(encoding="utf-8")
        return ServiceDefinition.parse(tomllib.loads(text), file=name)
    if not os.path.exists(name):  # unlike Path.exists, False for every name that cannot be one
        raise InputError(
            field="service",
            value=name,
            allowed=f"a built-in service ({', '.join(built_in_services())}) or a file",
            remedy="correct the name or the path",
        )
    path = Path(name)
    data = read_data(path)
    return ServiceDefinition.parse(data, file=name)

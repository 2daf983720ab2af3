"""Artefacts that a fit begins from: named in its options, by name or by file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ebplan.errors import InputError
from ebplan.models import library
from ebplan.models.library import Artefact

Kind = TypeVar("Kind", bound=Artefact)
FILE = ".json"
"""What ends so is a file; anything else a name."""


def load_named(named: str, kind: type[Kind], field: str) -> Kind:
    """Return an artefact by name, or from its file where ``named`` ends in .json.

    Args:
        named: name or file.
        kind: what it must be.
        field: which option names it, for errors.

    Raises:
        InputError: there is none, or it is of another kind.
    """
    wanted = kind.model_fields["kind"].default
    try:
        model = library.load_file(Path(named)) if named.endswith(FILE) else library.load(named)
    except InputError as error:
        if error.file is not None:  # the file itself is at fault
            raise
        raise InputError(
            field=field,
            value=named,
            allowed=f"the name of an artefact of kind {wanted}, or its file (.json)",
            remedy=f"fit it first, and name its folder in {library.FOLDERS} or give its file",
        ) from None
    if not isinstance(model, kind):
        raise InputError(
            field=field,
            value=f"{named}, which is of kind {model.kind}",
            allowed=f"an artefact of kind {wanted}",
            remedy="name another",
        )
    return model


def beside(options: Mapping[str, Any], names: Iterable[str], folder: Path) -> dict[str, Any]:
    """Return options in which files of artefacts are looked for from a folder.

    Args:
        options: as the spec has them.
        names: options that name an artefact.
        folder: where the spec stands.
    """
    found = {
        name: str(folder / options[name])
        for name in names
        if isinstance(options.get(name), str) and options[name].endswith(FILE)
    }
    return {**options, **found}

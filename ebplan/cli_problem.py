"""What the commands that take a problem read: one that was saved, or the event it is posed from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.problem import Problem


def load_problem(path: Path) -> Problem:
    """Read a saved problem, or pose the one that an event file describes.

    Raises:
        InputError: the file cannot be read, is neither of both, or is wrong.
    """
    from ebplan.case import CaseFile, resolve_case
    from ebplan.document import read_data
    from ebplan.errors import InputError
    from ebplan.kinds import another_kind
    from ebplan.pose import pose
    from ebplan.problem import Problem

    data = read_data(path)
    kind = data.get("kind")
    if kind == "problem":
        return Problem.parse(data, file=str(path))
    known = {*CaseFile.model_fields, *Problem.model_fields}
    if other := another_kind(data, "event", "problem", fields=known, file=str(path)):
        raise other
    if kind != "event":
        raise InputError(
            field="kind",
            value=kind,
            allowed="'event' or 'problem'",
            remedy='say {"kind": "event", ...}',
            file=str(path),
        )
    case = resolve_case(data, folder=path.parent, file=str(path))
    try:
        return pose(case.event, case.site, case.state)
    except InputError as error:
        raise error.in_file(str(path)) from None

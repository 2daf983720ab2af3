"""The limits that were requested before ebplan came, kept over its own death.

The driver keeps a cap after whoever set it has died. Whoever starts next must restore what was
before the first of them, not the cap that it finds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ebplan.document import read_json, write_atomically
from ebplan.errors import InputError


def load_baseline(path: Path) -> dict[str, float] | None:
    """Return limits in W by the GPU's identity; None where nobody left any.

    Raises:
        InputError: the file cannot be read or holds no limits.
    """
    if not path.exists():
        return None
    data = read_json(path)
    for uuid, limit_w in data.items():
        if isinstance(limit_w, bool) or not isinstance(limit_w, int | float) or not limit_w > 0.0:
            raise InputError(
                field=uuid,
                value=limit_w,
                allowed="a limit in W, > 0",
                remedy="remove the file and set the limits that you want by hand",
                file=str(path),
            )
    return {uuid: float(limit_w) for uuid, limit_w in data.items()}


def save_baseline(path: Path, limits_w: Mapping[str, float]) -> None:
    """Write limits in W by the GPU's identity.

    Raises:
        InputError: the path cannot be written.
    """
    write_atomically(path, json.dumps(dict(limits_w), indent=1) + "\n")

"""Who is told. Adapters stand on the ground: they see a plan, never a solver.

``commands`` turns a plan into device-free commands in time order. ``roles`` says what a device can
be asked, one protocol per role; ``answers`` what it may say; ``lease`` what happens when nobody
asks any more. Each driver has a folder of its own: ``gpu``, ``modbus``, ``node``, ``router``,
``serving``.
``fake`` is for tests of whatever stands on the roles.

Names are loaded when they are first used: a daemon that holds a lease starts without the planner's
dependencies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebplan.adapters.answers import (
        Answer,
        Applied,
        AppliedInPart,
        Range,
        Refused,
        Unreachable,
        Unverified,
    )
    from ebplan.adapters.commands import Command
    from ebplan.adapters.roles import Battery, GpuPower, GridMeter, NodePower, Router, Serving

_HOME = {
    "Answer": "answers",
    "Applied": "answers",
    "AppliedInPart": "answers",
    "Battery": "roles",
    "Command": "commands",
    "GpuPower": "roles",
    "GridMeter": "roles",
    "NodePower": "roles",
    "Range": "answers",
    "Refused": "answers",
    "Router": "roles",
    "Serving": "roles",
    "Unreachable": "answers",
    "Unverified": "answers",
}

__all__ = [
    "Answer",
    "Applied",
    "AppliedInPart",
    "Battery",
    "Command",
    "GpuPower",
    "GridMeter",
    "NodePower",
    "Range",
    "Refused",
    "Router",
    "Serving",
    "Unreachable",
    "Unverified",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebplan.adapters' has no attribute {name!r}")
    return getattr(import_module(f"ebplan.adapters.{_HOME[name]}"), name)

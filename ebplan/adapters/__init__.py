"""Who is told. Adapters stand on the ground: they see a plan, never a solver.

``commands`` turns a plan into device-free commands in time order. ``roles`` says what a device can
be asked, one protocol per role; ``answers`` what it may say; ``lease`` what happens when nobody
asks any more. Each driver has a folder of its own: ``gpu``, ``modbus``, ``router``, ``serving``.
``fake`` is for tests of whatever stands on the roles.
"""

from ebplan.adapters.answers import (
    Answer,
    Applied,
    AppliedInPart,
    Range,
    Refused,
    Unreachable,
    Unverified,
)
from ebplan.adapters.commands import Command, commands
from ebplan.adapters.roles import Battery, GpuPower, GridMeter, Router, Serving

__all__ = [
    "Answer",
    "Applied",
    "AppliedInPart",
    "Battery",
    "Command",
    "GpuPower",
    "GridMeter",
    "Range",
    "Refused",
    "Router",
    "Serving",
    "Unreachable",
    "Unverified",
    "commands",
]

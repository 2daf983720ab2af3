"""Where a power is metered: powers of different points are never mixed."""

from __future__ import annotations

from typing import Literal

MeasurementPoint = Literal["gpu", "node", "ac", "connection_point"]
"""``gpu``: the boards. ``node``: behind the power supplies. ``ac``: before them.
``connection_point``: the meter where the site meets the grid."""
MEASUREMENT_POINTS: tuple[MeasurementPoint, ...] = ("gpu", "node", "ac", "connection_point")
"""From the inside out; a loss stage leads from one to the next."""

"""The site's converter and meter as a SunSpec device shows them."""

from __future__ import annotations

from ebplan.frequency import ResponseCurve
from ebplan.twin.live.plant import LivePlant

FULL_HZ = 0.2
"""Deviation at which an armed droop gives all it keeps free. The model's registers hold a slope and
no end; assumed."""


class PlantConverter:
    """Implements ``sunspec_plant.Behind`` for a live plant; only what changes is told."""

    def __init__(self, plant: LivePlant, full_hz: float = FULL_HZ) -> None:
        self.plant, self._full_hz = plant, full_hz
        self._told_kw = 0.0
        self._told_droop: tuple[float, float] | None = None

    def take_over(self, other: PlantConverter) -> None:
        """Know what another one has told the plant."""
        self._told_kw, self._told_droop = other._told_kw, other._told_droop

    @property
    def told_kw(self) -> float:
        """Power that it was told to hold; an armed droop acts on top of it."""
        return self._told_kw

    @property
    def battery_kw(self) -> float:
        """Power that the battery gives."""
        return self.plant.battery_kw

    @property
    def soc(self) -> float:
        """State of charge."""
        return self.plant.soc

    @property
    def hz(self) -> float:
        """The grid's frequency."""
        return self.plant.hz

    @property
    def meter_kw(self) -> float | None:
        """What the meter shows; None while it is silent."""
        return self.plant.meter_kw

    def follow(self, battery_kw: float, droop: tuple[float, float] | None) -> None:
        """Hold a power, and answer the frequency by a droop where one is armed."""
        if battery_kw != self._told_kw:
            self._told_kw = battery_kw
            self.plant.hold_battery(battery_kw)
        if droop != self._told_droop:
            self._told_droop = droop
            if droop is None:
                self.plant.arm(None, 0.0)
            else:
                dead_band_hz, per_hz_kw = droop
                full_hz = max(self._full_hz, dead_band_hz + 0.01)
                curve = ResponseCurve(shape="droop", dead_band_hz=dead_band_hz, full_hz=full_hz)
                self.plant.arm(curve, per_hz_kw * (full_hz - dead_band_hz))

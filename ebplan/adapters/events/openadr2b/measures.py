"""What the server may ask for, and how it is called in OpenADR 2.0b."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ebplan.adapters.events.site_report import Measure

USAGE, STATUS = "TELEMETRY_USAGE", "TELEMETRY_STATUS"
Point = Measure | Literal["storage_kwh", "status"]
"""What one ``rID`` stands for; ids are these names."""


@dataclass(frozen=True)
class Described:
    """One thing that can be reported."""

    report_type: str
    """``reportType`` of the profile; ``x-`` where it has none for it."""
    reading: str
    """``readingType``."""
    energy: bool = False
    """Whether it is in kWh; otherwise in kW."""


POINTS: dict[Point, Described] = {
    "grid_kw": Described("demand", "Mean"),
    "baseline_kw": Described("baseline", "Estimated"),
    "delivered_kw": Described("deltaDemand", "Derived"),
    "available_release_kw": Described("upRegulationCapacityAvailable", "Projected"),
    "available_absorb_kw": Described("downRegulationCapacityAvailable", "Projected"),
    "available_release_kwh": Described("x-availableReleaseEnergy", "Projected", energy=True),
    "available_absorb_kwh": Described("x-availableAbsorbEnergy", "Projected", energy=True),
    "storage_kwh": Described("storedEnergy", "Direct Read", energy=True),
}
"""What TELEMETRY_USAGE offers. ``delivered_kw`` keeps its sign: < 0 was released."""


def descriptions(resource: str, shortest_s: float, longest_s: float) -> list[dict[str, Any]]:
    """Return what is offered in TELEMETRY_USAGE, as the templates take it."""
    return [
        {
            **_common(point, resource, shortest_s, longest_s),
            "report_type": described.report_type,
            "reading_type": described.reading,
            "measurement": _kwh() if described.energy else _kw(),
        }
        for point, described in POINTS.items()
    ]


def status_description(resource: str, shortest_s: float, longest_s: float) -> dict[str, Any]:
    """Return what is offered in TELEMETRY_STATUS."""
    return {
        **_common("status", resource, shortest_s, longest_s),
        "report_type": "x-resourceStatus",
        "reading_type": "x-notApplicable",
    }


def _common(point: Point, resource: str, shortest_s: float, longest_s: float) -> dict[str, Any]:
    return {
        "r_id": point,
        "report_subject": None,
        "report_data_source": {"resource_id": resource},
        "sampling_rate": {
            "min_period": f"PT{shortest_s:.0f}S",
            "max_period": f"PT{longest_s:.0f}S",
            "on_change": False,
        },
    }


def _kw() -> dict[str, Any]:
    return {
        "name": "powerReal", "ns": "power", "description": "RealPower", "unit": "W", "scale": "k",
        # the schema insists on them; nothing is measured by them (assumed 50 Hz, 200 V)
        "power_attributes": {"hertz": 50, "voltage": 200, "ac": True},
    }  # fmt: skip


def _kwh() -> dict[str, Any]:
    return {
        "name": "energyReal", "ns": "power", "description": "RealEnergy", "unit": "Wh",
        "scale": "k",
    }  # fmt: skip

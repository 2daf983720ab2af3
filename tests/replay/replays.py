"""Small recordings of the bench, and replays of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ebplan.replay.spec import ReplaySpec

START = datetime(2026, 6, 1, 3, 0, tzinfo=UTC)
POOL = "llama70b"
INTERVAL_S = 30.0
DRAW_KW = 4.95
"""What the bench draws at the usual load."""


def row(i: int, kw: float = DRAW_KW, load: float = 1.0) -> list[Any]:
    """Return a reading: time, watts, and arrivals per second of both classes."""
    at = START + timedelta(seconds=INTERVAL_S * i)
    return [at.isoformat(), f"{1000.0 * kw:.1f}", f"{28.0 * load:.3f}", f"{7.0 * load:.3f}"]


def rows(count: int = 40, *, lower: tuple[int, int] = (20, 30), kw: float = 0.5) -> list[list[Any]]:
    """Return readings that lie lower for a while."""
    return [row(i, DRAW_KW - (kw if lower[0] <= i < lower[1] else 0.0)) for i in range(count)]


def write_csv(path: Path, table: list[list[Any]], header: str = "time,grid_w,a,b") -> None:
    lines = [header, *(",".join(str(cell) for cell in one) for one in table)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def spec(*, events: Any = None, columns: dict[str, Any] | None = None, **more: Any) -> ReplaySpec:
    """Return a replay of ``recording.csv`` with one event of five minutes at reading 20."""
    begins = START + timedelta(seconds=20 * INTERVAL_S)
    asked = {
        "id": "less",
        "type": "demand_response",
        "start": begins.isoformat(),
        "duration_s": 300.0,
        "target": {"delta_kw": -0.5},
        "response": {"full_activation_s": 30.0, "recovery_s": 60.0},
        "payment_per_kwh": 50.0,
        "penalty_per_kwh": 100.0,
    }
    loads = {
        f"load.{POOL}.interactive": {"column": "a"},
        f"load.{POOL}.batch": {"column": "b"},
    }
    grid = {"grid_kw": {"column": "grid_w", "unit": "W"}}
    data: dict[str, Any] = {
        "kind": "replay",
        "name": "test",
        "site": "powerd-lab-phase-a",
        "recording": {
            "meter": "recording.csv",
            "map": {
                "time": "time",
                "stamp": "beginning",
                "columns": {**grid, **(loads if columns is None else columns)},
            },
        },
        "beginning": {
            "soc": 0.6,
            "pools": {POOL: {"active": 4, "load_req_per_s": {"interactive": 28.0, "batch": 7.0}}},
        },
        "events": [asked] if events is None else events,
        "baseline": "last_value:5",
        "cycle_s": 10.0,
        **more,
    }
    return ReplaySpec.parse(data)


def means(values: Any, begin: int, end: int) -> float:
    return float(np.mean(np.asarray(values)[begin:end]))

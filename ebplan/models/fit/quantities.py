"""What a column of measurements may hold, and in which units it may come.

One conversion at the door: inside, power is kW, energy kWh, time s, shares 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Quantity:
    """A measured quantity."""

    unit: str
    """Unit inside ebplan."""
    factors: dict[str, float]
    """What one of each accepted unit is in that unit."""
    low: float = 0.0
    """Lowest possible value."""
    high: float = float("inf")
    """Highest possible value."""
    low_is_possible: bool = False
    """Whether ``low`` itself is."""
    offsets: dict[str, float] = field(default_factory=dict)
    """What is added after the factor, for temperatures."""

    def allowed(self) -> str:
        """Say which values are possible."""
        lowest = f"{'>=' if self.low_is_possible else '>'} {self.low:g} {self.unit}"
        return lowest if self.high == float("inf") else f"{lowest} and <= {self.high:g} {self.unit}"

    def possible(self, value: float) -> bool:
        """Whether a value can be; NaN cannot."""
        above = value >= self.low if self.low_is_possible else value > self.low
        return above and value <= self.high


POWER = {"mW": 1e-6, "W": 1e-3, "kW": 1.0, "MW": 1e3}
TIME = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SHARE = {"share": 1.0, "%": 0.01}
COUNT = {"1": 1.0, "requests": 1.0, "tokens": 1.0}

QUANTITIES = {
    "power": Quantity("kW", POWER),
    "inner_power": Quantity("kW", POWER),
    "outer_power": Quantity("kW", POWER),
    "battery_power": Quantity("kW", POWER, low=float("-inf")),
    "cap": Quantity("kW", POWER, low=0.01, high=5.0),
    "clock": Quantity("MHz", {"MHz": 1.0, "GHz": 1e3, "Hz": 1e-6}, low=50.0, high=1e4),
    "throughput": Quantity("1/s", {"1/s": 1.0, "1/min": 1.0 / 60.0, "1/h": 1.0 / 3600.0}),
    "concurrency": Quantity("requests", COUNT),
    "tokens_out": Quantity("tokens", COUNT),
    "tokens_in": Quantity("tokens", COUNT),
    "itl": Quantity("s", TIME),
    "ttft": Quantity("s", TIME),
    "gpus": Quantity("1", COUNT),
    "active_parameters": Quantity("1e9", {"1e9": 1.0, "1e6": 1e-3, "1": 1e-9}),
    "parameters": Quantity("1e9", {"1e9": 1.0, "1e6": 1e-3, "1": 1e-9}),
    "time": Quantity("s", TIME, low=float("-inf")),
    "command": Quantity("kW", POWER, low_is_possible=True),
    "temperature": Quantity(
        "degC",
        {"degC": 1.0, "K": 1.0, "degF": 5.0 / 9.0},
        low=-60.0,
        high=120.0,
        offsets={"K": -273.15, "degF": -160.0 / 9.0},
    ),
    "soc": Quantity("share", SHARE, high=1.0, low_is_possible=True),
    "capacity": Quantity("share", SHARE, high=1.2),
    "elapsed": Quantity("s", TIME, low_is_possible=True),
    "energy_in": Quantity("kWh", {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}),
    "energy_out": Quantity("kWh", {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3}),
    "depth": Quantity("share", SHARE, high=1.0),
    "c_rate": Quantity("C", {"C": 1.0, "1/h": 1.0}),
    "full_cycles": Quantity("cycles", {"cycles": 1.0, "1": 1.0}, low_is_possible=True),
}
"""Quantities by name. ``power`` is what the table says, of all its GPUs or of one: the fit's
options say which. ``cap`` and ``clock`` are of one GPU, which bounds them. ``battery_power`` is
signed: > 0 is discharge."""

LABELS = ("configuration", "workload", "precision", "mode", "condition", "meter")
"""Text columns that a fit may ask for."""

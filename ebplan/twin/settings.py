"""How a plant differs from what the planner believes, and what else is assumed of it.

Every number here is an assumption of the bench; none of them is fitted to a site.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from ebplan.document import FieldFault, NonNegative, Part, Positive
from ebplan.frequency import ResponseCurve


class Bias(Part):
    """Errors of the planner's models: the truth is the model's number times the factor."""

    load_power: Positive = 1.0
    """Draw of awake instances against their load, idle included."""
    cap_elasticity: Positive = 1.0
    """Elasticity of capacity to power under caps and locked clocks."""
    response_time: Positive = 1.0
    """Dead times and time constants of compute."""
    lead_time: Positive = 1.0
    """Times to fall asleep, to wake, to load weights, to warm a cache."""
    converter_delay: NonNegative = 1.0
    """Delay of the converter."""


class LoadNoise(Part):
    """Forecast error of the load: a first-order autoregression, one for each pool.

    The load is the forecast times ``max(0, 1 + e)``, ``e`` constant over each tick.
    """

    std: NonNegative = 0.0
    """Standard deviation of ``e``, as a share of the load; 0: no noise."""
    correlation_s: Positive = 300.0
    """Time after which a share 1/e of an error is left."""
    every_s: Positive = 10.0
    """Length of a tick."""


class FrequencyModel(Part):
    """Frequency about its nominal value: an Ornstein-Uhlenbeck process, linear between ticks.

    Defaults resemble a large grid at rest (a standard deviation of about 20 mHz); they are assumed.
    """

    nominal_hz: Positive = 50.0
    """Nominal frequency."""
    std_hz: NonNegative = 0.02
    """Standard deviation; 0: the frequency rests at its nominal value."""
    correlation_s: Positive = 60.0
    """Time after which a share 1/e of a deviation is left."""
    tick_s: Positive = 1.0
    """Time between its points."""
    trace: tuple[tuple[float, float], ...] = ()
    """Points (seconds of the plant, Hz), times rising, that replace the process; ends hold."""


class Droop(Part):
    """The droop in the converter: which share of the armed reserve each deviation calls."""

    curve: ResponseCurve
    """Share against deviation, with dead band, knee or threshold."""


class BatteryHeat(Part):
    """Cells and converter as a body that losses warm; every number assumed, for 10 kWh of LFP."""

    air_c: float = 25.0
    """Temperature of the air around it, in degrees Celsius."""
    begins_c: float | None = None
    """Its own at the beginning; that of the air if absent."""
    capacity_kwh_per_k: Positive = 0.025
    """Heat that warms it by a degree: 90 kg at 1 kJ/(kg K)."""
    conductance_kw_per_k: Positive = 0.01
    """Heat that it gives to the air for each degree above it: half a kilowatt loss warms by 50."""
    derate_from_c: float = 45.0
    """Above, the power falls."""
    stop_c: float = 55.0
    """From here on there is none."""
    cold_c: float = 0.0
    """Below, nothing is charged."""

    @model_validator(mode="after")
    def _ordered(self) -> BatteryHeat:
        if not self.cold_c < self.derate_from_c < self.stop_c:
            raise FieldFault(
                field="derate_from_c",
                value=self.derate_from_c,
                allowed=f"between cold_c = {self.cold_c:g} and stop_c = {self.stop_c:g}",
                remedy="order the three temperatures",
            )
        return self


class MeterModel(Part):
    """A meter, at the connection point or of a pool; the default is a perfect one."""

    averaging_s: Positive = 1.0
    """It shows the mean over this long, or over the step where that is longer."""
    gain: Positive = 1.0
    """What it shows of a kW."""
    offset_kw: float = 0.0
    """What it shows at 0 kW."""
    noise_kw: NonNegative = 0.0
    """Standard deviation of a reading, in kW."""
    noise_share: NonNegative = 0.0
    """The same as a share of what is drawn, besides."""
    dropouts_per_h: NonNegative = 0.0
    """How often it falls silent, on average."""
    dropout_s: float = Field(default=5.0, gt=0.0)
    """How long it stays silent, on average."""

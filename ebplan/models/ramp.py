"""How power follows a command: delay and time constant, down and up apart, with intervals.

A ramp that a sensor could not resolve is not a constant but an upper bound: it is then given as a
dead time after which all of the step is there, the slowest ramp that the readings allow.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ebplan.document import NonNegative, Part, Positive, require_ordered
from ebplan.errors import InputError
from ebplan.models.card import ModelCard
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.intervals import student_quantile
from ebplan.models.points import WithPoints
from ebplan.models.ranges import check_ranges
from ebplan.site import MeasurementPoint, Response

TO_NINETY_PERCENT = float(np.log(10.0))
"""Time constants from the end of the delay until 90 % of a step is there."""

SHORTEST_WINDOW_S = 1e-6
"""No sensor averages over less; below it, a difference of integrals would be rounding alone."""


def reached(since_s: FloatArray, delay_s: float, time_constant_s: float) -> FloatArray:
    """Return the share of a step that is there, same shape; a time constant of 0 is a jump."""
    after = np.asarray(since_s, dtype=float) - delay_s
    if time_constant_s <= 0.0:
        return np.asarray(after >= 0.0, dtype=float)
    return np.asarray(-np.expm1(-np.maximum(after, 0.0) / time_constant_s))


def reached_on_average(
    since_s: FloatArray, delay_s: float, time_constant_s: float, window_s: float
) -> FloatArray:
    """Return what a sensor that averages over the window before each reading shows of it."""
    if window_s < SHORTEST_WINDOW_S:
        return reached(since_s, delay_s, time_constant_s)

    def integral(x: FloatArray) -> FloatArray:
        after = np.maximum(x - delay_s, 0.0)
        return np.asarray(after + time_constant_s * np.expm1(-after / time_constant_s))

    since = np.asarray(since_s, dtype=float)
    return np.asarray((integral(since) - integral(since - window_s)) / window_s)


class RampSide(Part):
    """A ramp in one direction."""

    response: Response
    """Delay and time constant; where ``upper_bound``, the slowest that the readings allow."""
    upper_bound: bool
    """Whether the step settles faster than the readings resolve."""
    delay_low_s: NonNegative
    """Lower end of the 90 % interval of the delay."""
    delay_high_s: NonNegative
    """Upper end."""
    time_constant_low_s: NonNegative
    """Lower end of the 90 % interval of the time constant; 0 where only a bound is known."""
    time_constant_high_s: Positive
    """Upper end."""
    resolution_s: Positive
    """Two sample intervals or the averaging window of the sensor, whichever is longer: nothing
    faster can be seen."""
    spread: NonNegative
    """Standard deviation of readings around the ramp, as a share of the step."""
    degrees: int = Field(ge=1)
    """Degrees of freedom of the spread, counted in independent readings."""
    overshoot: NonNegative
    """Farthest that power goes beyond the new level, as a share of the step."""
    steps: int = Field(ge=1)
    """Steps it was made from."""

    @model_validator(mode="after")
    def _ordered(self) -> RampSide:
        require_ordered(
            self,
            ("delay_low_s", "delay_high_s"),
            ("time_constant_low_s", "time_constant_high_s"),
        )
        return self

    @property
    def settle_s(self) -> float:
        """From the command until 90 % of the step is there; a bound where the ramp is one."""
        if self.upper_bound:
            return self.response.delay_s
        return self.response.delay_s + TO_NINETY_PERCENT * self.response.time_constant_s


class RampModel(WithPoints):
    """How the power of a mechanism follows its command."""

    kind: Literal["ramp_model"] = "ramp_model"
    """Document kind."""
    name: str
    """Name in the library."""
    hardware: str
    """What was commanded, in words."""
    mechanism: str
    """What the command was: a power cap, a locked clock, the load, in words."""
    down: RampSide | None = None
    """The ramp to less power; absent where no step went there."""
    up: RampSide | None = None
    """The ramp to more power; absent where no step went there."""
    step_kw: tuple[Positive, Positive] | None = None
    """Smallest and largest step measured, down or up; not enforced where absent, in artefacts that
    were made without it."""
    measurement_point: MeasurementPoint
    """Where power was metered."""
    card: ModelCard
    """What it was made from."""

    @property
    def response_down(self) -> Response:
        """For a pool's ``cap_response`` (or ``route_response``).

        Raises:
            InputError: no step down was measured.
        """
        return self._side("down").response

    @property
    def response_up(self) -> Response:
        """For a pool's ``rise_response``.

        Raises:
            InputError: no step up was measured.
        """
        return self._side("up").response

    def step(
        self,
        before_kw: float,
        after_kw: float,
        since_s: FloatArray,
        *,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the power after a command, readings' noise included.

        The interval lies between the fastest and the slowest ramp of the parameters' intervals and
        is widened on either side by the spread of readings.

        Args:
            before_kw: settled power before the command in kW.
            after_kw: settled power after it in kW.
            since_s: times since the command in s, shape (M,).
            allow_extrapolation: accept smaller and larger steps than were measured.

        Raises:
            InputError: no step in this direction was measured.
            RangeError: a smaller or larger step than was measured.
        """
        side = self._side("down" if after_kw < before_kw else "up")
        height = after_kw - before_kw
        if self.step_kw is not None and not allow_extrapolation:
            check_ranges([("after_kw - before_kw", abs(height), self.step_kw, "kW either way")])
        noise = student_quantile(CONFIDENCE, side.degrees) * side.spread * abs(height)
        middle, slow, fast = (
            before_kw + height * reached(since_s, delay, constant)
            for delay, constant in (
                (side.response.delay_s, side.response.time_constant_s),
                (side.delay_high_s, side.time_constant_high_s),
                (side.delay_low_s, side.time_constant_low_s),
            )
        )
        return Estimate(
            mean=middle,
            low=np.minimum(slow, fast) - noise,
            high=np.maximum(slow, fast) + noise,
            confidence=CONFIDENCE,
        )

    def _side(self, direction: Literal["down", "up"]) -> RampSide:
        side = self.down if direction == "down" else self.up
        if side is None:
            raise InputError(
                field=direction,
                value=None,
                allowed="a direction in which a step was measured",
                remedy=f"measure a step {direction}",
            )
        return side

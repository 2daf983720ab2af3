"""One workload on one board: power under a cap and a locked clock, throughput against power.

**Power.** A cap that lies below what the workload draws by itself is held, one above does nothing.
Real workloads draw now more, now less, so the corner between the two is round:

    P(c, f) = ( (k c)^-q + N(f)^-q )^(-1/q)

``k`` is how well the board tracks its cap, ``q`` how sharp the corner is (``q -> inf`` gives
``min(k c, N)``), and ``N(f) = N_1 (a + (1 - a) (f / f_1)^m)`` the natural draw at a locked clock:
a static part and one that grows with clock and voltage, ``f V(f)^2``.

**Throughput.** The time that a piece of work takes has a part that no power changes (memory, host,
communication) and one that needs a fixed dynamic energy, and so shrinks with the power above the
static one:

    1 / r(P) = (1 / r_1) ( 1 - b + b (P_1 - P_0) / (P - P_0) )

``P_1`` is the highest power measured, ``r_1`` the throughput there, ``P_0`` the static power, ``b``
the share of the time at ``P_1`` that power sets. The law is increasing and concave in ``P > P_0``.
The same throughput at the same power, whether a cap or a clock has set it: on the one board
where both were swept, one curve goes through both (docs/validation.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from pydantic import Field

from ebplan.document import Part, Positive
from ebplan.errors import InputError, RangeError
from ebplan.models.curves import FloatArray
from ebplan.models.estimate import CONFIDENCE, Estimate
from ebplan.models.points import WithPoints
from ebplan.models.posterior import Posterior

POWER_NAMES = ("ln tracking", "ln draw", "ln sharpness", "ln clock exponent", "log-odds static")
"""Parameters of the power law: ln k, ln N_1/P_1, ln q, and where clocks were locked ln m and the
log-odds of a."""
RATE_NAMES = ("ln throughput", "log-odds static", "log-odds limited")
"""Parameters of the throughput law: ln r_1, and the log-odds of P_0/P_1 and of b."""
LEAST_DYNAMIC = 1e-3
"""Power above the static one is taken to be at least this share of the highest."""


def log_power(theta: FloatArray, cap: FloatArray, clock: FloatArray) -> FloatArray:
    """Return ln of power over the highest measured, shape (M,).

    Args:
        theta: parameters in the order of ``POWER_NAMES``, shape (3,) without clocks, or (5,).
        cap: cap over the highest measured power; infinite where there is none, shape (M,).
        clock: clock over the highest measured, shape (M,).
    """
    draw = theta[1]
    if len(theta) > 3:
        static = _share(theta[4])
        draw = draw + np.log(static + (1.0 - static) * clock ** np.exp(theta[3]))
    sharp = np.exp(theta[2])
    held = theta[0] + np.log(cap)
    return np.asarray(-np.logaddexp(-sharp * held, -sharp * draw) / sharp)


def log_rate(theta: FloatArray, power: FloatArray) -> FloatArray:
    """Return ln of throughput in 1/s, shape (M,).

    Args:
        theta: parameters in the order of ``RATE_NAMES``, shape (3,).
        power: power over the highest measured, shape (M,).
    """
    static, limited = _share(theta[1]), _share(theta[2])
    dynamic = np.maximum(power - static, LEAST_DYNAMIC)
    return np.asarray(theta[0] - np.log1p(limited * ((1.0 - static) / dynamic - 1.0)))


def rate_elasticity(theta: FloatArray, power: FloatArray) -> FloatArray:
    """Return d ln(throughput) / d ln(power), shape (M,); arguments as ``log_rate``."""
    step = 1e-3
    up, down = log_rate(theta, power * (1.0 + step)), log_rate(theta, power * (1.0 - step))
    return np.asarray((up - down) / np.log((1.0 + step) / (1.0 - step)))


def _share(odds: float) -> float:
    """Return the share of given log-odds."""
    return float(1.0 / (1.0 + np.exp(-odds)))


class BoardLaw(Part):
    """What was fitted for one workload; powers and caps are kW per GPU."""

    reference_kw_per_gpu: Positive
    """Highest power measured."""
    reference_clock_mhz: Positive | None = None
    """Highest clock measured; absent where no clock was locked."""
    power_law: Posterior
    """Parameters in the order of ``POWER_NAMES``; a reading's unit is ln(power)."""
    rate_law: Posterior
    """Parameters in the order of ``RATE_NAMES``; a reading's unit is ln(throughput)."""
    caps_kw_per_gpu: tuple[Positive, ...] = ()
    """Caps measured, ascending; none where no cap was set."""
    not_binding_kw_per_gpu: tuple[Positive, ...] = ()
    """Those of them that do nothing at the highest clock."""
    clocks_mhz: tuple[Positive, ...] = ()
    """Clocks measured, ascending; none where none was locked."""
    lowest_kw_per_gpu: Positive
    """Lowest power measured."""

    @property
    def static_kw_per_gpu(self) -> float:
        """Static power of the throughput law."""
        return self.reference_kw_per_gpu * _share(self.rate_law.theta[1])

    @property
    def natural_kw_per_gpu(self) -> float:
        """Natural draw at the highest clock."""
        return self.reference_kw_per_gpu * float(np.exp(self.power_law.theta[1]))

    def power(
        self,
        cap_kw_per_gpu: float | FloatArray | None = None,
        clock_mhz: float | FloatArray | None = None,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the power of a GPU in kW that a new reading would show.

        Args:
            cap_kw_per_gpu: caps, shape (M,) or one; none where absent.
            clock_mhz: locked clocks, shape (M,) or one; the highest where absent.
            confidence: of the interval.
            allow_extrapolation: accept caps and clocks outside the measured ones.

        Raises:
            RangeError: a cap or a clock lies outside the measured ones.
        """
        cap, clock = self._inside(cap_kw_per_gpu, clock_mhz, allow_extrapolation)
        law = self.power_law
        variance = law.variance(lambda theta: log_power(theta, cap, clock)) + law.spread**2
        middle = log_power(np.array(law.theta), cap, clock) + np.log(self.reference_kw_per_gpu)
        return _estimate(middle, law.quantile(confidence) * np.sqrt(variance), confidence)

    def throughput(
        self,
        cap_kw_per_gpu: float | FloatArray | None = None,
        clock_mhz: float | FloatArray | None = None,
        *,
        confidence: float = CONFIDENCE,
        allow_extrapolation: bool = False,
    ) -> Estimate:
        """Return the throughput in 1/s that a new reading would show; arguments as ``power``.

        The interval holds what is not known of the throughput at a power, of the power under the
        cap, and the spread of readings.
        """
        cap, clock = self._inside(cap_kw_per_gpu, clock_mhz, allow_extrapolation)
        theta, power_law = np.array(self.rate_law.theta), self.power_law
        power = np.exp(log_power(np.array(power_law.theta), cap, clock))
        off = power_law.variance(lambda theta: log_power(theta, cap, clock)) + power_law.spread**2
        elasticity = rate_elasticity(theta, power)
        law = self.rate_law
        variance = law.variance(lambda theta: log_rate(theta, power)) + law.spread**2
        half = law.quantile(confidence) * np.sqrt(variance + elasticity**2 * off)
        return _estimate(log_rate(theta, power), half, confidence)

    def capacity(self, power_kw_per_gpu: FloatArray, *, confidence: float = CONFIDENCE) -> Estimate:
        """Return the share of the throughput at the highest power that is left at a power.

        The interval is the law's own: at the highest power itself nothing is lost for certain.

        Args:
            power_kw_per_gpu: powers in kW, shape (M,).
            confidence: of the interval.
        """
        share = np.asarray(power_kw_per_gpu, dtype=float) / self.reference_kw_per_gpu
        one = np.ones(1)

        def lost(theta: FloatArray) -> FloatArray:
            return np.asarray(log_rate(theta, share) - log_rate(theta, one))

        law = self.rate_law
        half = law.quantile(confidence) * np.sqrt(law.variance(lost))
        return _estimate(lost(np.array(law.theta)), half, confidence)

    def _inside(
        self,
        cap_kw_per_gpu: float | FloatArray | None,
        clock_mhz: float | FloatArray | None,
        allow_extrapolation: bool,
    ) -> tuple[FloatArray, FloatArray]:
        """Return caps and clocks as shares, shape (M,), or refuse those outside."""
        top_mhz = self.reference_clock_mhz or 1.0
        cap = np.atleast_1d(np.asarray(np.inf if cap_kw_per_gpu is None else cap_kw_per_gpu))
        clock = np.atleast_1d(np.asarray(top_mhz if clock_mhz is None else clock_mhz))
        if cap_kw_per_gpu is not None:
            _check("cap_kw_per_gpu", cap, self.caps_kw_per_gpu, allow_extrapolation)
        if clock_mhz is not None:
            _check("clock_mhz", clock, self.clocks_mhz, allow_extrapolation)
        cap, clock = np.broadcast_arrays(cap.astype(float), clock.astype(float))
        return cap / self.reference_kw_per_gpu, clock / top_mhz


class BoardLaws(WithPoints):
    """A model that may carry the fitted law of each of its workloads.

    A model read off a table too small for a law has none: it then gives the planner its interval,
    and answers nothing here.
    """

    MAY_BE_ABSENT: ClassVar[tuple[str, ...]] = ("laws", "points")

    laws: dict[str, BoardLaw] = Field(default_factory=dict)
    """Fitted law by workload; none where the table was too small for one."""

    def law(self, workload: str) -> BoardLaw:
        """Return the law of a workload.

        Raises:
            InputError: none was fitted for it.
        """
        if workload not in self.laws:
            raise InputError(
                field="workload",
                value=workload,
                allowed=", ".join(self.laws) or "none: this model carries no laws",
                remedy="choose a fitted workload, or fit a sweep of this one",
            )
        return self.laws[workload]


def _check(
    field: str, asked: FloatArray, measured: tuple[float, ...], allow_extrapolation: bool
) -> None:
    """Refuse what lies outside the measured, and what nobody measured at all."""
    for value in asked.tolist():
        # Written so that NaN is refused too.
        inside = bool(measured) and measured[0] <= value <= measured[-1]
        if not inside and not (allow_extrapolation and bool(measured) and value > 0.0):
            raise RangeError(
                field=field,
                value=value,
                allowed=f"{measured[0]:g}..{measured[-1]:g}" if measured else "none was measured",
                remedy="choose one inside the measured range, or allow extrapolation"
                if measured
                else "fit a table that varies it",
            )


def _estimate(middle: FloatArray, half: FloatArray, confidence: float) -> Estimate:
    """Return an estimate whose logarithm has this middle and this half-width."""
    return Estimate(
        mean=np.exp(middle),
        low=np.exp(middle - half),
        high=np.exp(middle + half),
        confidence=confidence,
    )


def steepest(law: Callable[[FloatArray], FloatArray], shares: FloatArray) -> float:
    """Return the least elasticity whose ``CapCurve`` lies nowhere above a curve.

    ``min(x^g, 1 + g (x - 1)) <= s(x)`` for all of the shares: below 1 the power law rules, above
    it the tangent.

    Args:
        law: capacity for shares of the full power, shape (M,).
        shares: where it has to hold, below 1, shape (M,).
    """
    left = law(shares)
    power, tangent = np.log(left) / np.log(shares), (1.0 - left) / (1.0 - shares)
    return float(np.where(power <= 1.0, power, tangent).max())


def flattest(law: Callable[[FloatArray], FloatArray], shares: FloatArray) -> float:
    """Return the greatest elasticity whose ``CapCurve`` lies nowhere below a curve."""
    left = law(shares)
    power, tangent = np.log(left) / np.log(shares), (1.0 - left) / (1.0 - shares)
    return float(np.where(power <= 1.0, power, tangent).min())

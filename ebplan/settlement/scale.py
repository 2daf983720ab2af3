"""Meters in another unit, or with the other sign, than their map says.

A row that is a thousand times off is left out when the file is read. Where the whole file is, only
what it is held against tells: the response that was asked, the baseline, the plan.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.models.fit.measurements import THOUSAND_BAND
from ebplan.plan import Plan
from ebplan.settlement.asked import Asked
from ebplan.settlement.reference import Reference
from ebplan.settlement.series import GRID, MeterSeries

REVERSED_BAND = (0.5, 2.0)
"""A draw whose size is that of the baseline within these factors, with the other sign, is reversed;
so is a response."""
FAR_MORE = 100.0
"""A response of so many times what was asked, or a release of so many times the draw, is none."""
OF_ONE_SIZE = (0.5, 2.0)
"""A response within these factors of what was asked tells that the unit is right."""


def check_scale(
    meter: MeterSeries, want: Asked, baseline: Reference, plan: Plan | None = None
) -> None:
    """Refuse a meter that is almost certainly in another unit, or counts the other way round.

    Args:
        meter: the series.
        want: what was asked.
        baseline: what it is measured against.
        plan: whose baseline gives the scale of the site.

    Raises:
        InputError: so it is.
    """
    share = _share(meter, want, baseline)
    if share is not None and OF_ONE_SIZE[0] < share < OF_ONE_SIZE[1]:
        return  # a response of the size that was asked is in its unit, however deep it went
    # a site that broke down in the event drew what it should before it
    usual = baseline.quiet if baseline.quiet.any() else np.ones(len(meter), dtype=bool)
    draw_kw = float(np.median(meter.grid_kw[usual]))
    check_draw(meter, draw_kw, float(np.median(baseline.kw[usual])), "the baseline")
    if plan is not None:
        planned_kw = float(np.median([step.baseline_kw for step in plan.steps]))
        check_draw(meter, draw_kw, planned_kw, "the plan's baseline")
    if share is None:
        return
    told = f"a change of {share * want.size_kw:.4g} kW, asked {want.size_kw:.4g} kW"
    if abs(share) > FAR_MORE:
        raise _other_unit(meter, told, small=False)
    if draw_kw < 0.0 and REVERSED_BAND[0] < -share < REVERSED_BAND[1]:
        raise _reversed(meter, f"a draw of {draw_kw:.4g} kW, {told}")


def _share(meter: MeterSeries, want: Asked, baseline: Reference) -> float | None:
    """Return the mean response as a share of its size; None where it follows the frequency."""
    if want.follows:
        return None
    moved_kw = (want.sense * (meter.grid_kw - baseline.kw))[want.sustained]
    return float(moved_kw.mean()) / want.size_kw


def check_history(meter: MeterSeries, event: Event) -> None:
    """Refuse a history that is almost certainly in another unit than what its event asks.

    An agreed baseline gives the scale of the site; without one, no site releases a hundred times
    what it draws.

    Args:
        meter: the history.
        event: the event.

    Raises:
        InputError: so it is.
    """
    draw_kw = float(np.median(meter.grid_kw))
    if event.baseline.kw is not None:
        check_draw(meter, draw_kw, event.baseline.kw, "the agreed baseline")
    released_kw = 0.0 if event.target is None else -(event.target.delta_kw or 0.0)
    if released_kw > FAR_MORE * abs(draw_kw) > 0.0:
        told = f"a draw of {draw_kw:.4g} kW, a release of {released_kw:.4g} kW"
        raise _other_unit(meter, told, small=True)


def check_draw(meter: MeterSeries, draw_kw: float, usual_kw: float, what: str) -> None:
    """Refuse a draw that is a thousand times off another one, or of the other sign.

    Args:
        meter: the series.
        draw_kw: its draw.
        usual_kw: what should be about the same.
        what: what that is.

    Raises:
        InputError: so it is.
    """
    if usual_kw == 0.0 or draw_kw == 0.0:
        return
    ratio, (low, high) = draw_kw / usual_kw, THOUSAND_BAND
    told = f"a draw of {draw_kw:.4g} kW, {what} {usual_kw:.4g} kW"
    if low < abs(ratio) < high or low < 1.0 / abs(ratio) < high:
        raise _other_unit(meter, told, small=abs(ratio) < 1.0)
    if REVERSED_BAND[0] < -ratio < REVERSED_BAND[1]:
        raise _reversed(meter, told)


def _other_unit(meter: MeterSeries, told: str, *, small: bool) -> InputError:
    unit = "MW" if small else "W"
    return InputError(
        field=GRID,
        value=told,
        allowed="powers of one size; a thousand times apart is a slip of the unit",
        remedy=f'say the unit in the map of METER (--map): unit = "{unit}"; if the meter is right, '
        "correct what it is held against",
        file=meter.file,
    )


def _reversed(meter: MeterSeries, told: str) -> InputError:
    return InputError(
        field=GRID,
        value=told,
        allowed="powers that count what is drawn as > 0",
        remedy="if the file counts feeding in, say so in the map of METER (--map): reversed = true",
        file=meter.file,
    )

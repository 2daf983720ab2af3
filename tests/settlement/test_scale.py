"""Meters in another unit or of the other sign are refused by what they are held against."""

from __future__ import annotations

import numpy as np
import pytest
from made_histories import days, on
from responses import BASE_KW, event, product, response

from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.settlement.delivery import Delivery, measure_delivery
from ebplan.settlement.reference import reference
from ebplan.settlement.scale import check_history
from ebplan.settlement.series import MeterSeries


def times(factor: float) -> MeterSeries:
    meter = response(noise_kw=0.1)
    return meter.with_columns(grid_kw=factor * meter.grid_kw)


def delivered(meter: MeterSeries, asked: Event, *, agreed: bool) -> Delivery:
    kw = np.full(len(meter), BASE_KW) if agreed else None
    base = reference(meter, meter.seconds(asked.start), baseline_kw=kw)
    return measure_delivery(meter, asked, base, service=product())


@pytest.mark.parametrize("agreed", [True, False])
def test_a_meter_wholly_in_watts_is_refused(agreed: bool) -> None:
    with pytest.raises(InputError, match='unit = "W"'):
        delivered(times(1000.0), event(), agreed=agreed)


def test_a_meter_in_megawatts_is_told_by_an_agreed_baseline() -> None:
    with pytest.raises(InputError, match='unit = "MW"'):
        delivered(times(0.001), event(), agreed=True)


@pytest.mark.parametrize("agreed", [True, False])
def test_a_meter_that_counts_the_other_way_is_refused(agreed: bool) -> None:
    with pytest.raises(InputError, match="reversed = true"):
        delivered(times(-1.0), event(), agreed=agreed)


def test_what_only_went_wrong_or_deep_is_measured() -> None:
    wrong = delivered(response(sign=1.0), event(), agreed=True)
    assert wrong.verdict == "fail"
    # nothing is left of the draw
    gone = delivered(response(kw=99.9, noise_kw=0.01), event(delta_kw=-99.9), agreed=True)
    assert gone.share.value == pytest.approx(1.0, abs=0.02)
    broken = delivered(response(kw=99.8, noise_kw=0.01), event(), agreed=True)
    assert broken.share.value == pytest.approx(5.0, abs=0.1)
    assert delivered(response(kw=0.0, noise_kw=0.1), event(), agreed=False).verdict == "fail"


def test_a_history_is_held_against_what_its_event_asks() -> None:
    history = days(3, lambda day, hour: 100.0 + hour)
    asked = {
        "id": "x",
        "type": "demand_response",
        "start": on(2).isoformat(),
        "duration_s": 7200.0,
        "target": {"delta_kw": -20.0},
    }
    check_history(history, Event.parse(asked))
    small = days(3, lambda day, hour: 0.1 + 0.001 * hour)
    with pytest.raises(InputError, match='unit = "MW"'):
        check_history(small, Event.parse(asked))
    agreed = Event.parse({**asked, "baseline": {"rule": "fixed", "kw": 110.0}})
    with pytest.raises(InputError, match='unit = "W"'):
        check_history(days(3, lambda day, hour: 1e5 + hour), agreed)
    with pytest.raises(InputError, match="reversed = true"):
        check_history(days(3, lambda day, hour: -100.0 - hour), agreed)

"""The picture of an offer: what stands on it."""

from __future__ import annotations

import pytest

from ebplan.offers import Offer, OfferRequest
from ebplan.offers import offer as make_offer
from ebplan.report.offer_figure import draw_offer
from tests.offers.asked_offers import SITE, STATE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made() -> Offer:
    request = OfferRequest(
        directions=("release", "absorb"),
        durations_s=(60.0, 3600.0),
        confidences=(0.9, 0.99),
        load_forecast_std=0.02,
        levels=3,
    )
    return make_offer(request, SITE, STATE)


def test_each_direction_has_a_row_with_units_and_a_message(made: Offer) -> None:
    axes = draw_offer(made).axes
    assert len(axes) == 4
    assert axes[0].get_title(loc="left").startswith("Release 4.95 kW for 1 min")
    assert axes[2].get_title(loc="left").startswith("Absorb ")
    assert {ax.get_ylabel() for ax in axes} == {"promised power, kW", "who carries it, kW"}
    assert "JPY/kWh" in axes[1].get_title(loc="left")


def test_a_line_for_each_confidence_and_a_bar_for_each_level(made: Offer) -> None:
    left, right = draw_offer(made).axes[:2]
    assert [line.get_label() for line in left.lines] == ["90 %", "99 %"]
    for line in left.lines:
        wanted = [p.kw for p in made.points if p.direction == "release"]
        assert set(line.get_ydata()) <= set(wanted)
    assert len(right.texts) == 2 * 3
    heights = [bar.get_y() + bar.get_height() for bar in right.patches]
    whole = max(p.kw for p in made.points if p.direction == "release")
    assert max(heights) == pytest.approx(whole, rel=0.1)
    assert right.get_ylim()[1] > 1.1 * max(heights)

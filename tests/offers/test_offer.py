"""The offer: what it says of each promise, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebplan.errors import InputError
from ebplan.offers import Asked, Offer, OfferPoint, OfferRequest, load_request
from ebplan.offers import errors as errors_module
from ebplan.offers import offer as make_offer
from ebplan.offers.errors import errors_of, fitted_spread
from ebplan.offers.firm import Firm
from ebplan.offers.levers import MOVES
from ebplan.offers.question import Question, questions
from ebplan.offers.request import Calls, StartForecast, state_at
from ebplan.services import load_service, with_values
from ebplan.site import Uncertainty
from tests.offers.asked_offers import EXAMPLES, NO_ERRORS, SITE, STATE, asked, with_battery

pytestmark = pytest.mark.slow

FILE = EXAMPLES / "offers" / "phase_a.json"


def make_questions(read: Asked) -> Iterator[Question]:
    errors = errors_of(read.request, read.site)
    return questions(read.request, read.site, read.state, errors, read.services)


def small(**request: Any) -> Offer:
    told = {"durations_s": (600.0,), "confidences": (0.9,), "load_forecast_std": 0.02, "levels": 3}
    return make_offer(OfferRequest(**{**told, **request}), SITE, STATE)


@pytest.fixture(scope="module")
def hour() -> OfferPoint:
    (point,) = small(durations_s=(3600.0,), levels=5).points
    return point


def test_the_curve_rises_to_the_whole_promise(hour: OfferPoint) -> None:
    sizes = [level.kw for level in hour.curve]
    assert sizes == sorted(sizes)
    assert sizes[-1] == pytest.approx(hour.kw)
    money = [level.money for level in hour.curve]
    assert money == sorted(money)
    added = sum(
        level.per_kw * (level.kw - before)
        for level, before in zip(hour.curve, [0.0, *sizes], strict=False)
    )
    assert added == pytest.approx(money[-1])


def test_mechanisms_carry_what_is_promised(hour: OfferPoint) -> None:
    for level in hour.curve:
        assert sum(level.mechanisms.values()) >= level.kw - 1e-3


def test_a_kwh_of_the_curve_is_its_kw_over_the_duration(hour: OfferPoint) -> None:
    for level in hour.curve:
        assert level.per_kw == pytest.approx(level.per_kwh * hour.energy_kwh / hour.kw, rel=1e-6)


def test_nothing_asked_costs_nothing() -> None:
    """The curve begins at the money of a site that rests."""
    (point,) = small(durations_s=(60.0,), levels=50).points
    assert abs(point.curve[0].money) < 0.05 * abs(point.curve[-1].money)


def test_a_short_release_is_limited_by_the_export_limit() -> None:
    (point,) = small(durations_s=(60.0,)).points
    assert point.limits == ("the export limit: the draw may fall no further",)
    assert point.raised_by[0].kind == "connection"


def test_a_long_release_is_limited_by_energy(hour: OfferPoint) -> None:
    assert "energy" in hour.limits[0]
    kinds = {lever.kind for lever in hour.raised_by}
    assert {"battery", "posture", "headroom"} <= kinds
    assert [lever.kw for lever in hour.raised_by] == sorted(
        (lever.kw for lever in hour.raised_by), reverse=True
    )


def test_an_absorb_is_raised_by_posture() -> None:
    (point,) = small(directions=("absorb",), durations_s=(10_800.0,)).points
    assert point.raised_by[0].words == "one more instance drained ahead of it"


def test_a_lever_adds_what_it_says(hour: OfferPoint) -> None:
    """The promise of the changed site, found for itself."""
    lever = next(one for one in hour.raised_by if one.words.startswith("no reserve"))
    site = with_battery(reserve_soc=0.1)
    request = OfferRequest(
        durations_s=(3600.0,), confidences=(0.9,), load_forecast_std=0.02, levels=2
    )
    (changed,) = make_offer(request, site, STATE).points
    assert changed.kw - hour.kw == pytest.approx(lever.kw, rel=0.03)


def test_every_lever_tells_its_kind() -> None:
    assert len({move.words for move in MOVES}) == len(MOVES)
    assert {move.kind for move in MOVES} == {
        *("battery", "headroom", "pre-warm", "posture", "connection", "notice")
    }


def test_where_nothing_can_be_promised_the_offer_says_why() -> None:
    request = OfferRequest(
        durations_s=(600.0,), confidences=(0.99,), curve_at=0.99, load_forecast_std=0.9
    )
    (point,) = make_offer(request, SITE, STATE).points
    assert point.kw == 0.0
    assert point.limits[0].startswith("the margins: ")
    assert not point.curve


def test_a_product_is_promised_at_its_own_speed() -> None:
    service = load_service("jp_rr")
    request = OfferRequest(
        durations_s=(60.0,),
        confidences=(0.9,),
        load_forecast_std=0.02,
        services=("jp_rr",),
        levels=2,
    )
    own, sized = make_offer(request, SITE, STATE, services=(service,)).points
    assert own.bid is None
    assert sized.duration_s == 900.0 + 1800.0
    assert sized.bid is not None
    assert sized.bid.kw == 0.0
    assert sized.bid.sites == -(-1000.0 // sized.kw)
    assert "least bid of 1000 kW" in sized.bid.why


def test_a_product_that_buys_no_absorb_is_left_out() -> None:
    request = OfferRequest(
        directions=("absorb",), durations_s=(60.0,), confidences=(0.9,), load_forecast_std=0.02,
        services=("jp_rr",), levels=2,
    )  # fmt: skip
    made = make_offer(request, SITE, STATE, services=(load_service("jp_rr"),))
    assert [point.bid for point in made.points] == [None]


def test_starts_are_promised_from_what_is_expected_then() -> None:
    later = StartForecast(at=STATE.at.replace(hour=18), load_factor=0.8, soc=0.9)
    now = StartForecast(at=STATE.at)
    first, second = small(starts=(now, later), durations_s=(3600.0,)).points
    assert second.start == later.at
    assert second.kw > first.kw  # the battery is fuller
    then = state_at(STATE, later, SITE)
    assert then.soc == 0.9
    assert then.pools["llama70b"].load_req_per_s["batch"] == pytest.approx(5.6)


def test_processes_side_by_side_find_the_same() -> None:
    request = OfferRequest(
        durations_s=(60.0, 600.0), confidences=(0.9,), load_forecast_std=0.02, levels=2
    )
    told: list[tuple[int, int]] = []
    alone = make_offer(request, SITE, STATE, told=lambda *done: told.append(done))
    assert told == [(1, 2), (2, 2)]
    assert make_offer(request, SITE, STATE, jobs=2) == alone


def test_an_offer_round_trips() -> None:
    made = small()
    assert Offer.parse(json.loads(made.to_json())) == made


# --- errors that promises survive -----------------------------------------------------------------


def test_the_fitted_spread_is_that_of_the_cards() -> None:
    """short_input: 0.577 % with 17 degrees of freedom, so 0.577 % sqrt(17 / 15)."""
    assert fitted_spread(SITE) == pytest.approx(0.005774485 * (17 / 15) ** 0.5)


def test_load_errs_by_forecast_and_fit_together() -> None:
    errors = errors_of(OfferRequest(load_forecast_std=0.02), SITE)
    spread = fitted_spread(SITE)
    assert spread is not None
    assert errors.load_std == pytest.approx((0.02**2 + spread**2) ** 0.5)
    assert errors.response_std == pytest.approx(spread)
    assert "forecast 2.00 % (the request)" in errors.sources[0]


def test_the_site_is_asked_before_the_fit() -> None:
    said = Uncertainty(confidence=0.9, load_std=0.03, response_std=0.07)
    planning = SITE.planning.model_copy(update={"uncertainty": said})
    errors = errors_of(OfferRequest(), SITE.model_copy(update={"planning": planning}))
    assert (errors.load_std, errors.response_std) == (0.03, 0.07)


def test_nobody_knows_the_forecast() -> None:
    with pytest.raises(InputError, match="load_forecast_std: got nothing"):
        errors_of(OfferRequest(), SITE)


# --- questions that cannot be asked ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"durations_s": (5.0,)}, "durations_s"),
        ({"durations_s": (600.0, 600.0)}, "durations_s"),
        ({"durations_s": (90_000.0,)}, "durations_s"),
        ({"confidences": (0.4, 0.9)}, "confidences"),
        ({"curve_at": 0.8}, "curve_at"),
        ({"speed": {"initial_delay_s": 9.0}}, "speed.full_activation_s"),
        ({"calls": {"per_day": 9}, "durations_s": (10_800.0,)}, "calls.per_day"),
        ({"calls": {"per_day": 3, "rest_s": 30_000.0}}, "calls.per_day"),
        ({"directions": ()}, "directions"),
        ({"direction": ("release",)}, "direction"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_field(wrong: dict[str, Any], field: str) -> None:
    data = json.loads(FILE.read_text()) | wrong
    del data["site"], data["state"]
    with pytest.raises(InputError) as refused:
        OfferRequest.parse(json.loads(json.dumps(data)), file="question.json")
    assert field in str(refused.value)
    assert "question.json" in str(refused.value)


def test_the_rest_is_spread_over_the_day() -> None:
    request = OfferRequest(durations_s=(3600.0,), calls=Calls(per_day=4))
    assert request.rest_s(3600.0) == 21_600.0 - 3600.0
    assert OfferRequest(durations_s=(3600.0,)).rest_s(3600.0) is None


def test_a_question_file_is_read_with_its_references(tmp_path: Path) -> None:
    data = json.loads(FILE.read_text())
    (tmp_path / "state.json").write_text(json.dumps(data["state"]))
    question = tmp_path / "question.json"
    question.write_text(json.dumps({**data, "state": "state.json"}))
    read = load_request(question, confidences=[0.9])
    assert read.state == STATE.model_copy(update={"at": read.state.at})
    assert read.request.confidences == (0.9,)
    assert read.site == SITE


@pytest.mark.parametrize("missing", ["site", "state"])
def test_a_question_without_its_site_or_state_is_refused(missing: str, tmp_path: Path) -> None:
    data = json.loads(FILE.read_text())
    del data[missing]
    file = tmp_path / "question.json"
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=rf"question.json: {missing}: got nothing"):
        load_request(file)


@pytest.mark.parametrize("file", sorted(FILE.parent.iterdir()), ids=lambda file: file.name)
def test_the_examples_are_questions(file: Path) -> None:
    read = load_request(file)
    assert read.request.load_forecast_std is not None
    assert list(make_questions(read))


def test_an_event_file_asks_the_default_question() -> None:
    read = load_request(EXAMPLES / "under_frequency.json", load_forecast_std=0.02)
    assert read.request.durations_s == OfferRequest().durations_s


def test_a_stated_program_is_kept_until_more_is_watched() -> None:
    firm = Firm(asked(600.0, errors=NO_ERRORS).problem(0.9))
    assert firm.stated() is firm.stated()


# --- what trials found --------------------------------------------------------------------------


def test_nothing_to_promise_has_its_limit_and_its_levers() -> None:
    """A battery that is full absorbs nothing: emptied, or with an instance ahead, it would."""
    state = STATE.model_copy(update={"soc": 0.95})
    request = OfferRequest(
        directions=("absorb",), durations_s=(3600.0,), confidences=(0.9,), load_forecast_std=0.02
    )
    (point,) = make_offer(request, SITE, state).points
    assert point.kw == 0.0
    assert "room in the battery, up to full" in point.limits
    assert {lever.words for lever in point.raised_by} >= {
        "the battery emptied to its reserve at its start",
        "one more instance drained ahead of it",
    }


def test_a_product_too_fast_for_the_site_says_so() -> None:
    service = with_values(load_service("jp_capacity_dr"), {"step_kw": 1.0})
    request = OfferRequest(
        durations_s=(60.0,), confidences=(0.9,), load_forecast_std=0.02, levels=2,
        services=("jp_capacity_dr",),
    )  # fmt: skip
    made = make_offer(request, SITE, STATE, services=(service,))
    sized = next(point for point in made.points if point.bid is not None)
    assert sized.kw == 0.0
    assert any(limit.startswith("its speed: asked from 0 s on") for limit in sized.limits)


@pytest.mark.parametrize("directions", [("release",), ("release", "absorb")])
def test_a_symmetric_product_takes_the_smaller_of_both(directions: tuple[str, ...]) -> None:
    service = with_values(
        load_service("ce_fcr"), {"min_bid_kw": 1.0, "step_kw": 0.1, "full_activation_s": 30.0}
    )
    request = OfferRequest(
        directions=directions, durations_s=(60.0,), confidences=(0.9,), load_forecast_std=0.02,
        levels=2, services=("ce_fcr",),
    )  # fmt: skip
    made = make_offer(request, SITE, STATE, services=(service,))
    sized = [point for point in made.points if point.bid is not None]
    bids = {point.bid.kw for point in sized if point.bid}
    if len(directions) == 1:
        assert bids == {0.0}
        return
    smaller = min(point.kw for point in sized)
    (kw,) = bids
    assert smaller - 0.1 <= kw <= smaller
    assert all(point.bid and "symmetric" in point.bid.why for point in sized)


def test_a_product_not_bought_in_a_direction_is_told() -> None:
    request = OfferRequest(
        durations_s=(60.0,), confidences=(0.9,), load_forecast_std=0.02, levels=2,
        services=("gb_dc_high",),
    )  # fmt: skip
    made = make_offer(request, SITE, STATE, services=(load_service("gb_dc_high"),))
    assert "gb_dc_high buys absorb only: nothing is bid to release." in made.notes


def test_requests_lost_are_those_of_the_plan(hour: OfferPoint) -> None:
    """The deepest level turns requests away, the shallow ones none."""
    assert hour.curve[0].requests_lost == 0.0
    deepest = hour.curve[-1]
    assert "admission" in deepest.mechanisms
    # batch requests alone may be turned away: 7 a second for an hour and the recovery
    assert 0.0 < deepest.requests_lost <= 7.0 * (3600.0 + 600.0)


@pytest.mark.parametrize(("per_day", "rest_s"), [(12, 1800.0), (3, 300.0), (3, 1200.0)])
def test_no_level_of_a_curve_is_missing(per_day: int, rest_s: float) -> None:
    calls = Calls(per_day=per_day, rest_s=rest_s)
    (point,) = small(durations_s=(1800.0,), calls=calls, levels=6).points
    assert len(point.curve) == 6


def test_a_freer_rest_makes_repeats_cheaper() -> None:
    costs = [
        small(
            durations_s=(1800.0,),
            calls=Calls(per_day=3, rest_s=3600.0),
            rebound_limit_kw=limit_kw,
        )
        .points[0]
        .curve[1]
        .money
        for limit_kw in (0.2, 3.0)
    ]
    assert costs[1] < costs[0]


def test_a_start_before_the_state_is_refused() -> None:
    early = StartForecast(at=STATE.at.replace(hour=3))
    with pytest.raises(InputError, match=r"starts\.at"):
        small(starts=(early,))


def test_too_few_degrees_of_freedom_are_no_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    model = errors_module.load_fleet("h200nvl-llama31-70b-bf16-tp2")
    workloads = {
        name: one.model_copy(update={"spread_degrees": 2}) for name, one in model.workloads.items()
    }
    few = model.model_copy(update={"workloads": workloads})
    monkeypatch.setattr(errors_module, "load_fleet", lambda _: few)
    assert fitted_spread(SITE) is None
    with pytest.raises(InputError, match="response_std"):
        errors_of(OfferRequest(load_forecast_std=0.02), SITE)

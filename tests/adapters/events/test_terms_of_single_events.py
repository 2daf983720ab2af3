"""What a sender wrote stands; what he left out is what the contract says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.events.terms import EventTerms, with_terms
from ebplan.event import Event

TERMS = EventTerms.parse(
    {
        "response": {"initial_delay_s": 5.0, "full_activation_s": 60.0, "recovery_s": 300.0},
        "handoff": {"by_s": 90.0},
        "baseline": {"rule": "fixed", "kw": 5.0},
        "payment_per_kwh": 40.0,
        "penalty_per_kwh": 80.0,
    }
)
OWN = {
    "response": {"recovery_s": 30.0},
    "handoff": {"by_s": 10.0},
    "baseline": {"rule": "last_value"},
    "payment_per_kwh": 1.0,
    "penalty_per_kwh": 0.0,
}


def event(**changes: object) -> Event:
    return Event.parse(
        {
            "id": "dr",
            "type": "demand_response",
            "start": "2027-01-18T17:00:00+09:00",
            "duration_s": 600.0,
            "target": {"delta_kw": -1.0},
        }
        | changes
    )


@given(st.sets(st.sampled_from(sorted(OWN))))
def test_each_field_is_the_senders_or_the_contracts(written: set[str]) -> None:
    sent = event(**{name: OWN[name] for name in written})
    got = with_terms(sent, TERMS)
    for name in OWN:
        assert getattr(got, name) == getattr(sent if name in written else TERMS, name)
    assert (got.id, got.start, got.target) == (sent.id, sent.start, sent.target)


@given(st.sets(st.sampled_from(sorted(OWN))))
def test_without_a_contract_nothing_is_added(written: set[str]) -> None:
    sent = event(**{name: OWN[name] for name in written})
    assert with_terms(sent, EventTerms()) == sent


def test_a_short_event_is_asked_in_full_at_once() -> None:
    got = with_terms(event(duration_s=30.0), TERMS)
    assert (got.response.full_activation_s, got.handoff) == (0.0, None)
    assert got.response.recovery_s == 300.0


@pytest.mark.parametrize(
    "changes",
    [
        {"type": "price_window", "target": None, "price_per_kwh": 30.0},
        {"type": "price_window", "target": None, "price_steps": [[0.0, 30.0], [60.0, 40.0]]},
    ],
)
def test_a_price_has_no_ramp_and_pays_nothing_besides(changes: dict[str, object]) -> None:
    got = with_terms(event(**changes), TERMS)
    assert got.prices == event(**changes).prices
    assert got.response.full_activation_s == 0.0
    assert got.baseline == TERMS.baseline
    assert (got.handoff, got.payment_per_kwh) == (None, 0.0)


def test_a_frequency_response_is_paid_for_and_has_the_shape_of_its_curve() -> None:
    frequency = {
        "release_capacity_kw": 1.0,
        "absorb_capacity_kw": 1.0,
        "curve": {"shape": "droop", "full_hz": 0.2},
        "nominal_hz": 50.0,
        "trace": [[0.0, 50.0], [600.0, 49.9]],
    }
    got = with_terms(event(type="frequency_response", target={"frequency": frequency}), TERMS)
    assert (got.response.full_activation_s, got.handoff) == (0.0, None)
    assert (got.payment_per_kwh, got.penalty_per_kwh) == (40.0, 80.0)

"""A product that is offered, in numbers: what its definition says, in steps and money."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ebplan.errors import InputError
from ebplan.services import ServiceDefinition, load_service
from ebplan.solvers.program import FloatArray
from ebplan.study.completed import wanted_fact
from ebplan.study.gates import gate_of
from ebplan.study.numbers import MarketNumbers, ServiceNumbers
from ebplan.study.paid import Resolved, fee_of, price_of
from ebplan.study.spec import Service
from ebplan.study.stated import central

ENDLESS_KW = 1e7
"""The largest bid where a product has none."""
SATURDAY = 5


def offered(
    stated: Service,
    definition: ServiceDefinition,
    prices: MarketNumbers,
    starts: Sequence[datetime],
    step_s: int,
    series: Resolved,
    *,
    by_clock: bool = False,
) -> ServiceNumbers:
    """Return a product in numbers.

    Args:
        stated: what the study says of it, completed.
        definition: what is known of it.
        prices: of energy.
        starts: beginning of each step.
        step_s: length of a step.
        series: resolves a series.
        by_clock: whether a policy goes by the market's clock, which must be known then.

    Raises:
        InputError: a fact is unknown and not given, or a price above the cap of its day.
    """
    at = f"services.{definition.id}"
    ways = definition.directions
    steps = len(starts)
    held = _held(definition, starts)
    contract = _contract_kw(stated, definition)
    activation, absorption = _called(stated, definition, series, at)
    if contract is not None:
        # calls of a contract are few: their energy is spread over the hours in which they may come
        activation, absorption = (
            held * float(called.sum()) / max(float(held.sum()), 1.0)
            for called in (activation, absorption)
        )
    price, clipped = price_of(stated, definition, starts, step_s, series)
    sustain_s, activation_s = _response(stated, definition)
    market = definition.market
    fee = fee_of(stated, definition, starts, step_s)
    if contract is not None:
        # both are for the whole period, and booked in the hours in which it is held
        price, fee = (money * steps / max(float(held.sum()), 1.0) for money in (price, fee))
    assert stated.unavailable_times is not None
    return ServiceNumbers(
        id=definition.id,
        releases="release" in ways,
        absorbs="absorb" in ways,
        sustain_s=_held_s("release" in ways, sustain_s, market.reservoir_release_h),
        room_s=_held_s("absorb" in ways, sustain_s, market.reservoir_absorb_h),
        opposite=market.opposite_share or 0.0,
        rated=max(market.power_ratio or 1.0, 1.0),
        activation_s=activation_s + (definition.notice_s or 0.0),
        min_bid_kw=float(wanted_fact(definition, "min_bid_kw")),
        step_kw=1e-3 if contract is not None else float(wanted_fact(definition, "step_kw")),
        max_bid_kw=definition.max_bid_kw or ENDLESS_KW,
        price_per_kw=price,
        fee_per_kw=fee,
        award_probability=1.0 if contract is not None else central(stated.award_probability),
        activation=activation,
        expected_activation=float(activation[held > 0.0].mean()) if held.any() else 0.0,
        absorption=absorption,
        expected_absorption=float(absorption[held > 0.0].mean()) if held.any() else 0.0,
        highest_absorption=float(absorption.max()),
        energy_per_kwh=_energy(stated, prices, series, f"{at}.energy_per_kwh", steps),
        penalty_per_kwh=central(stated.penalty_per_kwh),
        unavailable_times=central(stated.unavailable_times),
        gate=None if contract is not None else gate_of(definition, starts[0], step_s, by_clock),
        block=1 if contract is not None else _block(definition, step_s),
        held=held,
        contract_kw=contract,
        exclusive_with=market.exclusive_with or (),
        clipped=clipped,
    )


def _called(
    stated: Service, definition: ServiceDefinition, series: Resolved, at: str
) -> tuple[FloatArray, FloatArray]:
    """Return the shares of an award that are called for release and for absorbing, (T,) each."""
    both = len(definition.directions) > 1
    if stated.absorb_share is not None and not both:
        raise InputError(
            field=f"{at}.absorb_share",
            value="given",
            allowed="for a product whose award covers both directions",
            remedy="leave it out: activation_share says what is called",
        )
    share = _shares(series(stated.activation_share, f"{at}.activation_share"), at)
    none = np.zeros_like(share)
    if not both:
        return (share, none) if "release" in definition.directions else (none, share)
    other = stated.activation_share if stated.absorb_share is None else stated.absorb_share
    return share, _shares(series(other, f"{at}.absorb_share"), at, "absorb_share")


def _held_s(sold: bool, sustain_s: float, reservoir_h: float | None) -> float:
    """Return how long a full response must be possible: the longer of what the rules say."""
    return max(sustain_s, 3600.0 * (reservoir_h or 0.0)) if sold else 0.0


def _contract_kw(stated: Service, definition: ServiceDefinition) -> float | None:
    """Return what is contracted for the whole period; None for a product that is bid by the day."""
    yearly = "capacity_year" in (definition.market.pays or ())
    if yearly != (stated.contract_kw is not None):
        raise InputError(
            field=f"services.{definition.id}.contract_kw",
            value=stated.contract_kw,
            allowed="kW for the whole period: it is paid by the year"
            if yearly
            else "nothing: the product is bid by the day",
            remedy="say how much is contracted" if yearly else "leave it out",
        )
    return stated.contract_kw


def _response(stated: Service, definition: ServiceDefinition) -> tuple[float, float]:
    """Return how long it is held and how fast it is whole; a composite one is the hardest of all.

    An award of several products at once is as large as the largest of them: all of them stand for
    the same kW, of which the fastest asks for speed and the longest for energy.
    """
    named, allowed = stated.members, definition.market.members or ()
    if not allowed and not named:
        sustain_s = wanted_fact(definition, "sustain_s")
        return float(sustain_s), float(wanted_fact(definition, "full_activation_s"))
    if not 2 <= len(named) <= len(allowed) or not set(named) <= set(allowed):
        raise InputError(
            field=f"services.{definition.id}.members",
            value=list(named),
            allowed=f"2 to {len(allowed)} of {', '.join(allowed)}" if allowed else "none",
            remedy="name the products that the award is for",
        )
    members = [load_service(name) for name in named]
    return (
        max(float(wanted_fact(one, "sustain_s")) for one in members),
        min(float(wanted_fact(one, "full_activation_s")) for one in members),
    )


def _held(definition: ServiceDefinition, starts: Sequence[datetime]) -> FloatArray:
    """Return 1 in each step in which it may be called, 0 in others, shape (T,)."""
    hours = definition.market.call_hours
    if hours is None:
        return np.ones(len(starts))
    return np.array(
        [
            float(
                hours.begins <= at.hour < hours.ends
                and (hours.days == "all" or at.weekday() < SATURDAY)
            )
            for at in starts
        ]
    )


def _block(definition: ServiceDefinition, step_s: int) -> int:
    """Return over how many steps one bid reaches; blocks are counted from midnight."""
    block_s = float(wanted_fact(definition, "block_s"))
    steps = max(round(block_s / step_s), 1)
    day = 86_400 // step_s
    if block_s > step_s and (abs(steps * step_s - block_s) > 1e-6 or day % steps):
        raise InputError(
            field=f"services.{definition.id}.values.block_s",
            value=block_s,
            allowed=f"a block of whole steps of {step_s} s that divides a day",
            remedy="give another block",
        )
    return steps


def _shares(values: FloatArray, at: str, field: str = "activation_share") -> FloatArray:
    if (values < 0.0).any() or (values > 1.0).any():
        wrong = values[(values < 0.0) | (values > 1.0)][0]
        raise InputError(
            field=f"{at}.{field}",
            value=float(wrong),
            allowed="0 to 1, a share of the award",
            remedy="correct the series",
        )
    return values


def _energy(
    stated: Service, prices: MarketNumbers, series: Resolved, field: str, steps: int
) -> FloatArray:
    named = {
        "spot": prices.spot_per_kwh,
        "imbalance": prices.imbalance_per_kwh,
        "none": np.zeros(steps),
    }
    energy = stated.energy_per_kwh
    return named[energy] if isinstance(energy, str) else series(energy, field)

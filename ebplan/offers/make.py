"""Make an offer: each promise found, made sure, priced, explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context

from ebplan.errors import EbplanError
from ebplan.offers.errors import errors_of
from ebplan.offers.firm import Firm, Kept, levels
from ebplan.offers.kept import Sure, surest
from ebplan.offers.levers import MOVES, Move
from ebplan.offers.limits import limits
from ebplan.offers.offer_document import BidSize, CostLevel, Lever, Offer, OfferPoint
from ebplan.offers.question import LONGEST_REST_S, Question, questions
from ebplan.offers.request import DIRECTIONS, OfferRequest
from ebplan.problem import Problem
from ebplan.services import ServiceDefinition, bid, needed
from ebplan.site import Site
from ebplan.state import State

COMPUTE_ANSWERS_S = 1.0
"""Nothing but a battery answers within this."""
LEAST_RAISED_KW = 1e-3
"""A lever that adds less than a watt is not told."""


def offer(
    request: OfferRequest,
    site: Site,
    state: State,
    *,
    services: Sequence[ServiceDefinition] = (),
    jobs: int = 1,
    told: Callable[[int, int], None] | None = None,
) -> Offer:
    """Return all promises asked for.

    Args:
        request: what is asked.
        site: the site.
        state: its state; starts count from here, with what is expected then.
        services: the products of ``request.services``, loaded.
        jobs: processes that find promises side by side.
        told: called with how many promises are found, and of how many.

    Raises:
        InputError: site, state and request contradict each other, or nobody says how large errors
            are.
    """
    errors = errors_of(request, site)
    asked = list(questions(request, site, state, errors, services))
    points: list[OfferPoint] = []
    for i, found in enumerate(_answered(asked, jobs)):
        points += found
        if told is not None:
            told(i + 1, len(asked))
    return Offer(
        site=site.name,
        currency=site.currency,
        request=request,
        errors=errors,
        points=_with_symmetric_bids(points, services),
        notes=(*_notes(request), *_not_bought(request, services)),
    )


def _answered(asked: Sequence[Question], jobs: int) -> Iterator[list[OfferPoint]]:
    """Yield the answers in the order of the questions."""
    if min(jobs, len(asked)) <= 1:
        yield from map(answers, asked)
        return
    # not forked: the solver has threads
    with ProcessPoolExecutor(min(jobs, len(asked)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(answers, asked)


def answers(question: Question) -> list[OfferPoint]:
    """Return the promise at each confidence; costs and levers at the one asked for."""
    request = question.request
    return [
        _point(question, confidence, in_detail=request.in_detail and confidence == request.curve_at)
        for confidence in sorted(request.confidences)
    ]


def _point(question: Question, confidence: float, *, in_detail: bool) -> OfferPoint:
    request, problem = question.request, question.problem(confidence)
    sure = surest(problem, confidence, calls=request.calls.per_day)
    begins = question.state.at + timedelta(seconds=request.notice_s)
    if sure is None:
        firm = Firm(problem.model_copy(update={"margins": None}), request.calls.per_day)
        kept, bound_kw = firm.most()
        why = (
            "nothing at all can be promised here"
            if kept is None
            else f"the margins: {kept.kw:.3g} kW could be promised if nothing erred"
        )
        return OfferPoint(
            direction=question.direction,
            start=begins,
            duration_s=question.duration_s,
            confidence=confidence,
            kw=0.0,
            bound_kw=0.0 if kept is None else bound_kw,
            probability={},
            bid=_bid(question, 0.0),
            limits=(why, *_limits(firm), *_too_fast(question)),
            raised_by=_levers(question, confidence, problem, 0.0) if in_detail else (),
        )
    kept = sure.kept
    margin = kept.plan.margin
    return OfferPoint(
        direction=question.direction,
        start=begins,
        duration_s=question.duration_s,
        confidence=confidence,
        kw=kept.kw,
        bound_kw=max(sure.bound_kw, kept.kw),
        probability={name: min(p, 1.0) for name, p in sure.probability.items()},
        held_kw=0.0 if margin is None else margin.power_kw,
        energy_kwh=_delivered_kwh(kept),
        bid=_bid(question, kept.kw),
        limits=_limits(sure.firm),
        raised_by=_levers(question, confidence, kept.problem, sure.bound_kw) if in_detail else (),
        curve=_curve(sure, request.levels) if in_detail else (),
        problem_hash=kept.plan.problem_hash,
    )


def _limits(firm: Firm) -> tuple[str, ...]:
    return () if firm.found is None else limits(firm.stated(), firm.found)


def _bid(question: Question, kw: float) -> BidSize | None:
    """Return what the product takes of a promise; None where it is made for none."""
    service = question.service
    if service is None:
        return None
    sized = bid(service, kw)
    sites = None if kw <= 0.0 else max(math.ceil(needed(service, "min_bid_kw") / kw - 1e-9), 1)
    return BidSize(service=service.id, kw=sized.kw, sites=sites, why=sized.reason)


def _with_symmetric_bids(
    points: Sequence[OfferPoint], services: Sequence[ServiceDefinition]
) -> tuple[OfferPoint, ...]:
    """Return the points; where a product is symmetric its bid is that of the smaller direction."""
    symmetric = {service.id for service in services if service.symmetric}
    found = []
    for point in points:
        if point.bid is None or point.bid.service not in symmetric:
            found.append(point)
            continue
        like = [
            other.bid.kw
            for other in points
            if other.bid is not None
            and (other.bid.service, other.start, other.confidence)
            == (point.bid.service, point.start, point.confidence)
        ]
        kw, why = min(like), "symmetric: the smaller of both directions is bid"
        if len(like) < len(DIRECTIONS):
            kw, why = 0.0, "symmetric: the other direction has to be promised as well"
        why = "; ".join(part for part in (point.bid.why, why) if part)
        bid_size = point.bid.model_copy(update={"kw": kw, "why": why})
        found.append(point.model_copy(update={"bid": bid_size}))
    return tuple(found)


def _not_bought(request: OfferRequest, services: Sequence[ServiceDefinition]) -> Iterator[str]:
    """Say which products are not bid for in a direction that was asked for."""
    for service in services:
        bought = " and ".join(service.directions)
        for direction in request.directions:
            if direction not in service.directions:
                yield f"{service.id} buys {bought} only: nothing is bid to {direction}."


def _delivered_kwh(kept: Kept) -> float:
    return sum(abs(s.target_kw) * s.duration_s / 3600.0 for s in kept.plan.steps)


def _curve(sure: Sure, count: int) -> tuple[CostLevel, ...]:
    """Return the cost of promises up to the largest, called once, at the same margins."""
    found = [
        kept
        for kw in levels(sure.kept.kw, count)[:-1]
        if (kept := sure.firm.cheapest(kw)) is not None
    ]
    resting = _resting_money(sure.firm)
    before_kw, before_money, before_kwh, curve = 0.0, 0.0, 0.0, []
    for kept in (*found, sure.kept):
        money, kwh = kept.plan.money - resting, _delivered_kwh(kept)
        curve.append(
            CostLevel(
                kw=kept.kw,
                money=money,
                per_kw=(money - before_money) / (kept.kw - before_kw),
                per_kwh=(money - before_money) / (kwh - before_kwh),
                mechanisms=_mean_kw(kept),
                requests_lost=_lost(kept),
                gap=kept.plan.gap,
            )
        )
        before_kw, before_money, before_kwh = kept.kw, money, kwh
    return tuple(curve)


def _lost(kept: Kept) -> float:
    service = kept.plan.service
    return sum(one.rejected for classes in service.values() for one in classes.values())


def _resting_money(firm: Firm) -> float:
    """Return what the site costs over the same time where nothing is asked of it."""
    problem = firm.problem.model_copy(update={"margins": None})
    solution = Firm(problem).stated().cheapest(0.0)
    return float(solution.objective)


def _mean_kw(kept: Kept) -> dict[str, float]:
    """Return the mean of each mechanism while the whole is asked, > 0 in the direction asked."""
    sign = kept.problem.direction
    most = max(abs(step.target_kw) for step in kept.plan.steps)
    whole = [s for s in kept.plan.steps if abs(s.target_kw) >= most - 1e-9]
    seconds = sum(step.duration_s for step in whole)
    names = dict.fromkeys(name for step in whole for name in step.mechanisms)
    means = {
        name: sign * sum(s.mechanisms.get(name, 0.0) * s.duration_s for s in whole) / seconds
        for name in names
    }
    return {name: kw for name, kw in means.items() if abs(kw) > 1e-4}


def _too_fast(question: Question) -> tuple[str, ...]:
    """Say where a response is asked before anything of the site can answer."""
    battery, speed = question.site.battery, question.speed
    answers_s = COMPUTE_ANSWERS_S if battery is None else battery.converter_delay_s
    if speed.initial_delay_s >= answers_s and speed.full_activation_s > 0.0:
        return ()
    return (
        f"its speed: asked from {speed.initial_delay_s:g} s on and whole at "
        f"{speed.full_activation_s:g} s, where the site answers from {answers_s:g} s on",
    )


def _levers(
    question: Question, confidence: float, like: Problem, most_kw: float
) -> tuple[Lever, ...]:
    """Return what each change adds at the margins of a problem, most first; small ones left out."""
    found = []
    for move in MOVES:
        moved_kw = _moved_kw(question, confidence, move, like)
        if moved_kw is not None and moved_kw - most_kw > LEAST_RAISED_KW:
            words = move.words_to(question.direction)
            found.append(Lever(words=words, kind=move.kind, kw=moved_kw - most_kw))
    return tuple(sorted(found, key=lambda lever: -lever.kw))


def _moved_kw(question: Question, confidence: float, move: Move, like: Problem) -> float | None:
    """Return the largest promise after a change; None where it cannot be made."""
    changed = move.change(question.site, question.state, question.direction)
    if changed is None:
        return None
    site, state = changed
    try:
        other = replace(question, site=site, state=state)
        problem = other.problem(confidence, notice_s=move.notice_s)
        if problem.margins is not None and like.margins is not None:
            margins = problem.margins.model_copy(update={"z": like.margins.z})
            problem = problem.model_copy(update={"margins": margins})
        solution = Firm(problem, question.request.calls.per_day).stated().most()
    except EbplanError:
        return None  # the change asks for more than the site's models cover
    return -(solution.objective if solution.bound is None else solution.bound)


def _notes(request: OfferRequest) -> tuple[str, ...]:
    notes = [
        "A promise is what the site answers from the state expected at its start, the battery's "
        "reserve untouched; each call is kept with at least the confidence stated, under errors "
        "with normal and with heavy tails (Student's t, 4 degrees of freedom).",
        "Costs are those of one call over doing nothing; energy not drawn is counted as saved. The "
        "margin for errors is part of the plan, so a promise costs more than an event of its size.",
    ]
    if request.calls.per_day > 1:
        notes.append(
            f"{request.calls.per_day} calls a day: what the battery gives back in the rests, "
            f"{LONGEST_REST_S / 3600.0:g} h of each at most, is part of the plan; in a rest the "
            f"site draws at most {request.rebound_limit_kw:g} kW above the baseline "
            "(rebound_limit_kw), and what the battery cannot take back so, compute carries."
        )
    return tuple(notes)

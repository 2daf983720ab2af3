"""With which probability a promise is kept: against samples, and as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ebplan.offers.firm import Firm
from ebplan.offers.kept import probability_kept, surest
from ebplan.offers.offer_document import Errors
from ebplan.offers.request import Calls, Speed
from ebplan.offers.tails import LAWS, Law, nodes, quantile
from tests.offers.asked_offers import SITE, STATE, asked, battery_alone, with_battery

pytestmark = pytest.mark.slow

SAMPLES = 200_000
NORMAL, HEAVY = LAWS


def test_the_laws_are_those_of_the_books() -> None:
    x = np.linspace(-6.0, 6.0, 41)
    assert np.allclose(NORMAL.probability(x), stats.norm.cdf(x), atol=1e-12)
    assert np.allclose(HEAVY.probability(x), stats.t(4).cdf(np.sqrt(2.0) * x), atol=1e-12)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_values_stand_for_the_law(law: Law) -> None:
    found = nodes(law)
    assert found.weight.sum() == pytest.approx(1.0)
    assert found.weight @ found.value == pytest.approx(0.0, abs=1e-9)
    assert found.weight @ found.value**2 == pytest.approx(1.0, abs=0.01)
    shares = np.array([1e-4, 0.3, 0.999])
    assert np.allclose(law.probability(quantile(law, shares)), shares)
    drawn = law.draw(np.random.default_rng(1), SAMPLES)
    assert drawn.std() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize(
    ("direction", "duration_s", "errors"),
    [
        ("release", 1800.0, Errors(load_std=0.02, response_std=0.05, sources=())),
        ("release", 7200.0, Errors(load_std=0.0, response_std=0.1, sources=())),
        ("release", 7200.0, Errors(load_std=0.05, response_std=0.0, sources=())),
        ("absorb", 7200.0, Errors(load_std=0.03, response_std=0.05, sources=())),
    ],
)
def test_the_probability_is_that_of_samples(
    law: Law, direction: str, duration_s: float, errors: Errors
) -> None:
    """Draws and energies worked out again from the plan's steps, not from the program."""
    kept, _ = Firm(asked(duration_s, direction, errors=errors).problem(0.8)).most()
    assert kept is not None
    problem, battery = kept.problem, kept.problem.battery
    assert battery is not None
    count = 20_000
    rng = np.random.default_rng(3)
    u, v = law.draw(rng, count)[:, None], law.draw(rng, count)[:, None]
    sign = -problem.direction
    start_kw = sum(pool.power_at_start_kw() for pool in problem.pools)
    first_s = problem.event_start_s + battery.delay_s
    steps = [s for s in kept.plan.steps if s.target_kw and s.t_s >= first_s - 1e-9]
    compute_kw = np.array([s.compute_kw for s in steps])
    moved_kw = np.maximum(sign * (start_kw - compute_kw), 0.0)
    beyond_kw = errors.load_std * start_kw * u + errors.response_std * moved_kw * v
    promised_kw = np.array([s.baseline_kw + s.target_kw for s in steps])
    given_kw = np.maximum(sign * (problem.other_kw[0] + compute_kw - promised_kw) + beyond_kw, 0.0)
    loss_kw = battery.loss_linear * given_kw
    loss_kw += battery.loss_quadratic * given_kw**2 / battery.rated_kw
    hours = np.array([s.duration_s for s in steps]) / 3600.0
    eta = battery.cell_efficiency
    if sign > 0:
        moved_kwh = (given_kw + loss_kw) / eta @ hours
        room_kwh, limit_kw = battery.start_kwh - battery.kept_kwh, battery.discharge_limit_kw
    else:
        moved_kwh = (given_kw - loss_kw) * eta @ hours
        room_kwh, limit_kw = battery.max_kwh - battery.start_kwh, battery.charge_limit_kw
    held = (given_kw <= limit_kw).all(axis=1) & (moved_kwh <= room_kwh)
    # four standard errors of the samples, and what the mean of a step hides of its edges
    assert probability_kept(kept, law) == pytest.approx(held.mean(), abs=0.02)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("load", "response"), [(0.02, 0.05), (0.021, 0.006), (0.001, 0.1)])
def test_a_promise_is_as_sure_as_stated_and_hardly_surer(
    confidence: float, load: float, response: float
) -> None:
    errors = Errors(load_std=load, response_std=response, sources=())
    sure = surest(asked(3600.0, errors=errors).problem(confidence), confidence)
    assert sure is not None
    assert confidence <= sure.least <= confidence + 0.004
    assert set(sure.probability) == {"normal", "heavy"}


def test_calls_of_a_day_are_kept_to_the_last() -> None:
    """The last call, with what the rests did not restore, worked out again by samples."""
    calls = Calls(per_day=4, rest_s=600.0)
    question = asked(1800.0, calls=calls)
    sure = surest(question.problem(0.9), 0.9, calls=4)
    assert sure is not None
    assert 0.9 <= sure.least <= 0.904
    kept, battery = sure.kept, sure.kept.problem.battery
    assert battery is not None
    margins = kept.problem.margins
    assert margins is not None
    rng = np.random.default_rng(5)
    u, v = rng.standard_normal((2, 20_000, 1))
    start_kw = sum(pool.power_at_start_kw() for pool in kept.problem.pools)
    steps = [s for s in kept.plan.steps if s.target_kw and s.t_s >= battery.delay_s]
    compute_kw = np.array([s.compute_kw for s in steps])
    aim_kw = np.array([s.baseline_kw + s.target_kw for s in steps])
    beyond_kw = margins.load_kw * u + 0.05 * np.maximum(start_kw - compute_kw, 0.0) * v
    given_kw = np.maximum(kept.problem.other_kw[0] + compute_kw - aim_kw + beyond_kw, 0.0)
    loss_kw = battery.loss_linear * given_kw
    loss_kw += battery.loss_quadratic * given_kw**2 / battery.rated_kw
    hours = np.array([s.duration_s for s in steps]) / 3600.0
    each_kwh = (given_kw + loss_kw) / battery.cell_efficiency @ hours
    left_kwh = np.full(len(u), battery.start_kwh - battery.kept_kwh)
    held = np.ones(len(u), dtype=bool)
    for _ in range(4):
        left_kwh = left_kwh - each_kwh
        held &= left_kwh >= 0.0
        left_kwh += np.minimum(kept.restorable_kwh, battery.start_kwh - battery.kept_kwh - left_kwh)
    assert sure.probability["normal"] == pytest.approx(held.mean(), abs=0.015)


@pytest.mark.parametrize(("load", "response"), [(0.05, 0.02), (0.1, 0.1), (0.0, 0.1)])
def test_a_higher_confidence_promises_less_but_not_nothing(load: float, response: float) -> None:
    errors = Errors(load_std=load, response_std=response, sources=())
    sizes = []
    for confidence in (0.9, 0.95, 0.99):
        sure = surest(asked(3600.0, errors=errors).problem(confidence), confidence)
        assert sure is not None
        sizes.append(sure.kept.kw)
    assert sizes == sorted(sizes, reverse=True)


def test_compute_beyond_the_promise_is_credit_where_the_battery_is_at_its_reserve() -> None:
    """A battery with nothing to give promises no less than none."""
    state = STATE.model_copy(update={"soc": 0.5})
    slow = Speed(initial_delay_s=60.0, full_activation_s=120.0)
    question = replace(asked(1800.0, state=state), speed=slow)
    bare = replace(question, site=SITE.model_copy(update={"battery": None}))
    with_it, without = (surest(q.problem(0.9), 0.9) for q in (question, bare))
    assert with_it is not None
    assert without is not None
    assert with_it.kept.kw >= without.kept.kw * 0.998


def test_tuned_margins_promise_more_than_added_ones() -> None:
    """Two errors seldom come at their worst together: the margins of a plan add them up."""
    problem = asked(3600.0).problem(0.9)
    added, _ = Firm(problem).most()
    tuned = surest(problem, 0.9)
    assert added is not None
    assert tuned is not None
    assert tuned.kept.kw > added.kw
    assert min(probability_kept(added, law) for law in LAWS) > tuned.least


def test_without_errors_a_promise_is_certain() -> None:
    errors = Errors(load_std=0.0, response_std=0.0, sources=())
    sure = surest(asked(600.0, errors=errors).problem(0.99), 0.99)
    assert sure is not None
    assert sure.least == 1.0


def test_no_promise_where_the_margins_take_it_all() -> None:
    errors = Errors(load_std=0.9, response_std=0.0, sources=())
    site = with_battery(discharge_limit_kw=3.0)
    problem = battery_alone(asked(600.0, site=site, errors=errors), 0.99)
    assert surest(problem, 0.99) is None

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ebplan.models.card import render_markdown
from ebplan.models.fit.fleet_prior import PRIOR_NAME, family, name_of, read_configurations
from ebplan.models.fit.held_out import (
    HeldOut,
    calibration,
    leave_groups_out,
    leave_points_out,
    spread_evenly,
    without_groups,
)
from ebplan.models.fit.pooling import Learnt, Readings, law_prior, learn, unlikelihood
from ebplan.models.fit.serving_runs import SERVING_TABLE
from ebplan.models.fleet_prior import FleetPrior
from ebplan.models.laws import LawName
from ebplan.models.library import load_fleet_prior

pytestmark = pytest.mark.slow

TABLE = Path(__file__).parents[3] / "shared" / "data" / "gpu_power" / SERVING_TABLE
DOCS = Path(__file__).parents[2] / "docs" / "models"
PRIOR: FleetPrior = load_fleet_prior(PRIOR_NAME)
LAWS: tuple[LawName, ...] = ("power", "throughput", "pace")


def published(law: LawName) -> list[Readings]:
    if not TABLE.is_file():
        pytest.skip(f"published runs that are not here: {TABLE.name}")
    return read_configurations(TABLE)[0][law]


def test_card_is_the_rendered_one() -> None:
    assert (DOCS / f"{PRIOR_NAME}.md").read_text() == render_markdown(PRIOR_NAME, PRIOR.card)


@pytest.mark.parametrize("law", LAWS)
def test_what_is_known_is_what_the_runs_say_at_the_stored_spreads(law: LawName) -> None:
    readings, stored = published(law), getattr(PRIOR, law)
    first = learn(law, readings, rounds=0)
    again = learn(law, readings, start=Learnt(stored.pooling, first.theta), rounds=0)
    remade = law_prior(law, readings, again)
    for one, other in zip(remade.known, stored.known, strict=True):
        assert one.configuration == other.configuration
        np.testing.assert_allclose(one.information, other.information, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(one.score, other.score, rtol=1e-3, atol=1e-1)


@pytest.mark.parametrize("law", LAWS)
def test_spreads_are_the_likeliest(law: LawName) -> None:
    """Learning from nothing but the runs ends at the stored spreads: of every term, and about."""
    found, stored = learn(law, published(law)).pooling, getattr(PRIOR, law).pooling
    for term in ("descriptor_spread", "model_spread", "own_spread"):
        np.testing.assert_allclose(getattr(found, term), getattr(stored, term), rtol=0.03)
    for about in ("noise", "misfit", "misfit_length"):
        assert getattr(found.spreads, about) == pytest.approx(
            getattr(stored.spreads, about), rel=0.03
        )


@pytest.mark.parametrize("law", LAWS)
def test_what_is_left_out_says_nothing(law: LawName) -> None:
    """Whatever the runs in BF16 were, what the others teach is the same."""
    readings = published(law)
    changed = [
        replace(r, measured=r.measured ** (1.5 if precision(r) == "bf16" else 1.0))
        for r in readings
    ]
    one, other = (
        without_groups(law, found, precision, only=("bf16",))["bf16"]
        for found in (readings, changed)
    )
    assert one == other


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("left_out", ["bf16", "H100"])
def test_no_start_finds_likelier_spreads_than_learning_from_nothing(
    law: LawName, left_out: str
) -> None:
    """Few configurations are left, and spreads of all runs lead to other ones that are likely."""
    readings, stored = published(law), getattr(PRIOR, law)
    others = [r for r in readings if left_out not in (r.configuration.gpu, precision(r))]
    assert len(others) < 10
    cold = learn(law, others)
    theta = learn(law, others, start=Learnt(stored.pooling, cold.theta), rounds=0).theta
    warm = learn(law, others, start=Learnt(stored.pooling, theta))
    assert unlikelihood(law, others, cold) <= unlikelihood(law, others, warm) + 0.01


def precision(readings: Readings) -> str:
    return readings.configuration.precision


@pytest.mark.parametrize("law", LAWS)
def test_points_narrow_the_interval(law: LawName) -> None:
    prior = getattr(PRIOR, law)
    configuration = prior.known[0].configuration.model_copy(
        update={"model": "nobody-knows", "name": "new"}
    )
    at = np.array([40.0])
    widths = []
    for c in ((), (8.0, 128.0), (8.0, 16.0, 32.0, 64.0, 128.0)):
        measured = prior.curve(configuration).centre(np.array(c)) if c else ()
        found = prior.curve(configuration, c, tuple(measured)).estimate(at)
        assert (found.mean is None) == (not c)
        widths.append(float(found.high[0] / found.low[0]))
    assert widths[0] > widths[1] > widths[2]


def test_a_known_model_is_known_better_than_an_unknown_one() -> None:
    known = PRIOR.power.known[0].configuration
    new = known.model_copy(update={"model": "nobody-knows"})
    at = np.array([32.0])
    of_known, of_new = (PRIOR.power.curve(c).estimate(at) for c in (known, new))
    assert of_known.high[0] / of_known.low[0] < of_new.high[0] / of_new.low[0]


def test_two_points_of_a_model_held_out_do_what_the_card_says() -> None:
    """One model only, so that it takes seconds; the card has them all."""
    readings, chosen = published("power"), "Llama-3.1-8B-Instruct"
    priors = without_groups("power", readings, family, only=(chosen,))
    held = leave_groups_out(priors, readings, family, given=(2,))[2]
    assert set(held.group) == {chosen}
    assert np.median(held.share) < 0.05


def test_a_point_is_predicted_by_a_prior_without_its_configuration() -> None:
    readings = published("power")[:3]
    assert len({name_of(r) for r in readings}) == 3
    priors = without_groups("power", readings, name_of)
    for name, prior in priors.items():
        assert name not in {k.configuration.name for k in prior.known}
        assert len(prior.known) == 2
    held = leave_points_out(priors, readings)
    assert len(held.off) == sum(len(r.concurrency) for r in readings)


def test_evenly_spread_points_have_both_ends() -> None:
    assert spread_evenly(9, 2).tolist() == [0, 8]
    assert spread_evenly(9, 5).tolist() == [0, 2, 4, 6, 8]


def test_calibration_makes_normal_errors_hold_as_stated() -> None:
    off = np.random.default_rng(3).standard_normal(4000)
    assert calibration(np.abs(off)) == pytest.approx(1.0, abs=0.06)
    held = HeldOut(
        np.array(["a", "b"] * 2000), 2.0 * off, np.ones_like(off)
    )  # twice as wide as stated
    assert held.factor() == pytest.approx(2.0, abs=0.12)
    assert held.coverage() == pytest.approx(0.9, abs=0.02)

"""The shipped artefacts and cards are what the code produces, and load without fitting."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebplan.errors import InputError
from ebplan.models import library, sensitivity
from ebplan.models.card import render_markdown
from ebplan.models.consolidation import ConsolidationReference
from ebplan.models.fit.__main__ import DOCS, LIBRARY, main, statistics
from ebplan.models.fit.artefacts import CAP_NAME, CONSOLIDATION_NAME, FLEET_NAME
from ebplan.models.fit.clock_sweep import CLOCK_NAME
from ebplan.models.fit.fleet_prior import PRIOR_NAME
from ebplan.models.fit.precision_pair import TIER_NAME
from ebplan.models.fit.serving_runs import FLEET_NAME as SECOND_FLEET_NAME
from ebplan.models.fit.wear import WEAR_NAME
from ebplan.models.library import load, load_cap, load_fleet, names

OUTSIDE = Path(__file__).parents[3] / "shared" / "data" / "gpu_power"
"""Published tables that are not part of the project."""
OUTSIDE_NAMES = (CLOCK_NAME, SECOND_FLEET_NAME, TIER_NAME)
REMADE = tuple(name for name in names() if name != PRIOR_NAME)
"""All but the prior, which takes a minute to learn (``test_fleet_prior.py``)."""
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with artefacts and cards made just now."""
    folder = tmp_path_factory.mktemp("library")
    outside = ["--outside", str(OUTSIDE)] if OUTSIDE.is_dir() else []
    main(["--library", str(folder), "--docs", str(folder), *outside])
    return folder


def skip_where_not_remade(name: str) -> None:
    """Skip a model made from tables that are not here."""
    if name in OUTSIDE_NAMES and not OUTSIDE.is_dir():
        pytest.skip(f"made from published tables that are not here: {OUTSIDE.name}")


def assert_same(found: object, expected: object, at: str = "") -> None:
    """Compare plain data; floats to 1e-5, numbers in sentences to their last printed digit."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys(), at
        for key, value in expected.items():
            assert_same(found[key], value, f"{at}.{key}")
    elif isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected), at
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{at}.{i}")
    elif isinstance(expected, float):
        # a fit ends where it is good enough: processors differ in the sixth digit of a spread
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-9), at
    elif isinstance(expected, str) and " " in expected:
        assert isinstance(found, str)
        assert_same_text(found, expected)
    else:
        assert found == expected, at


def assert_same_text(found: str, expected: str) -> None:
    """Compare texts whose printed numbers may differ by one in the last digit."""
    assert NUMBER.sub("#", found) == NUMBER.sub("#", expected)
    for one, other in zip(NUMBER.findall(found), NUMBER.findall(expected), strict=True):
        if one == other:  # a digest may read like a number beyond all numbers
            continue
        digits = other.rstrip(",").partition("e")[0].partition(".")[2]
        unit = 10.0 ** -len(digits)
        assert abs(_value(one) - _value(other)) <= 1.01 * unit


def _value(text: str) -> float:
    return float(text.replace(",", "").rstrip("."))


def test_names_are_sorted_and_complete() -> None:
    own = (FLEET_NAME, CAP_NAME, CONSOLIDATION_NAME, WEAR_NAME)
    assert names() == tuple(sorted((*own, *OUTSIDE_NAMES, PRIOR_NAME)))


@pytest.mark.parametrize("name", REMADE)
def test_artefact_is_what_the_code_produces(name: str, remade: Path) -> None:
    skip_where_not_remade(name)
    found = json.loads((remade / f"{name}.json").read_text())
    assert_same(found, json.loads((LIBRARY / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", REMADE)
def test_card_is_what_the_code_produces(name: str, remade: Path) -> None:
    skip_where_not_remade(name)
    if not DOCS.is_dir():
        pytest.skip("the documentation is not part of this installation")
    expected = (DOCS / f"{name}.md").read_text()
    assert_same_text((remade / f"{name}.md").read_text(), expected)
    assert_same_text(render_markdown(name, load(name).card), expected)


def test_refitting_twice_gives_the_same_bytes(remade: Path, tmp_path: Path) -> None:
    main(["--library", str(tmp_path), "--docs", str(tmp_path)])
    for path in sorted(tmp_path.iterdir()):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", names())
def test_artefact_round_trips(name: str) -> None:
    model = load(name)
    assert type(model).parse(model.to_json().encode()) == model
    assert model.name == name


def test_statistics_name_the_outlier() -> None:
    shown = statistics(load_fleet(FLEET_NAME))
    assert "medium_in_short_out/32" in shown
    assert "leave one out" in shown


def test_card_says_what_must_be_known() -> None:
    """Every reading of the source is on a card, with the numbers that show it."""
    text = render_markdown(FLEET_NAME, load_fleet(FLEET_NAME).card)
    for said in (
        "server limit",
        "output length have no effect",
        "33.0 req/s against",
        "long_input ±4.7%",
        "4,508 W",
        "measurement point is ambiguous",
        "-9.2% power, -10.0% req/s",
        "281 to 307 W",
        "The text gives 5% to 15%. From 256 down to 32 users",
        "f(u) - f(0.85 u), saves 0.7% to 1.2%",
    ):
        assert said in text


def test_unknown_names_are_refused_and_the_known_listed() -> None:
    for ask in (load, load_fleet, load_cap):
        with pytest.raises(InputError, match=FLEET_NAME if ask is load_fleet else CAP_NAME):
            ask("h100")
    with pytest.raises(InputError, match=f"allowed: {CAP_NAME};"):
        load_cap(FLEET_NAME)
    with pytest.raises(InputError, match=f"allowed: {SECOND_FLEET_NAME}, {FLEET_NAME};"):
        load_fleet(CAP_NAME)


def test_loading_is_cached() -> None:
    assert load(FLEET_NAME) is load(FLEET_NAME)


def test_library_does_not_import_fitting_libraries() -> None:
    code = (
        "import sys; from ebplan.models import library; library.load(library.names()[0]);"
        "print([m for m in ('scipy', 'pandas', 'ebplan.models.fit') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(library.__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"


def test_consolidation_reference_is_kept_as_published() -> None:
    reference = load(CONSOLIDATION_NAME)
    assert isinstance(reference, ConsolidationReference)
    assert reference.released_low_kw_per_freed_gpu == pytest.approx(0.281)
    assert reference.released_high_kw_per_freed_gpu == pytest.approx(0.307)
    assert (reference.gpus_before, reference.gpus_after, reference.experiments) == (2, 1, 6)
    assert reference.load_range_ratio == 20.0
    for wrong in ({"gpus_after": 2}, {"released_low_kw_per_freed_gpu": 0.4}):
        with pytest.raises(InputError):
            ConsolidationReference.parse(reference.model_dump() | wrong)


def test_idle_power_moves_consolidation_but_not_the_fit() -> None:
    """The reason the assumption is tagged: the runs cannot tell, the released kW can."""
    low, high = sensitivity.bench(70.0), sensitivity.bench(180.0)
    errors = [abs(b.source.fitted.deleted_errors[:, 0]).mean() for b in (low, high)]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
    released = [b.consolidated_kw(0.55, b.idle_w_per_gpu) for b in (low, high)]
    # What is freed idles: 110 W more on each of two GPUs.
    assert released[0] - released[1] == pytest.approx(0.22, rel=0.05)
    capped = [b.capped_kw(0.55, sensitivity.CAP_W_PER_GPU) for b in (low, high)]
    assert capped[0] == pytest.approx(capped[1], rel=0.01)


def test_sensitivity_report_has_all_tables_and_promises_nothing() -> None:
    report = sensitivity.report()
    assert report.count("\n| ---:") == 3
    assert "None of this predicts" in report

"""What a protocol may say, which cases it has, and the one line that a wrong one gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from experiment_cases import ABSORB, RELEASE, SMALL, protocol
from hypothesis import given, settings
from hypothesis import strategies as st

from ebplan import InputError
from ebplan.case import load_site
from ebplan.experiment.bench import GridSimulator, bench_of, site_of, users_by_class
from ebplan.experiment.matrix import cases_of
from ebplan.experiment.protocol import COMPUTE, read_protocol, set_name

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_matrix_is_the_product_without_what_is_excluded() -> None:
    told = protocol(
        shapes=["short_in_short_out", "long_in_short_out"],
        concurrencies=[32, 64, 128],
        events=[RELEASE, ABSORB],
        mechanisms=[[], ["power_cap"], ["admission", "consolidation"]],
        seeds=[0, 1],
        exclude=[
            {"events": ["rise"], "mechanisms": [["power_cap"]]},
            {"shapes": ["long_in_short_out"], "concurrencies": [32, 64]},
        ],
    )
    names = [case.name for case in cases_of(told)]
    assert len(set(names)) == len(names)
    # 2 x 3 x 2 x 3 x 2 = 72; of the first exclusion 2 x 3 x 2, of the second 2 x 2 x 3 x 2, 2 x 2
    # of both
    assert len(names) == 72 - 12 - 24 + 4
    assert "short_in_short_out.32.drop.consolidation+admission.s1" in names


@given(st.permutations(COMPUTE), st.integers(0, len(COMPUTE)))
@settings(max_examples=30)
def test_a_set_has_one_name_in_whatever_order(names: list[str], count: int) -> None:
    some = tuple(names[:count])
    assert set_name(some) == set_name(tuple(reversed(some)))
    assert set_name(some).count("+") == max(count - 1, 0)


@given(users=st.integers(1, 300), share=st.floats(0.0, 1.0))
def test_users_are_all_placed(users: int, share: float) -> None:
    (pool,) = load_site("powerd-lab-phase-a").pools.values()
    assert sum(users_by_class(pool, users, share).values()) == users


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"mechanisms": [["battery"]]}, "mechanisms.0", "bridges in every case"),
    ({"mechanisms": [["sleeep"]]}, "mechanisms.0", "sleeep"),
    ({"mechanisms": [["sleep", "power_cap"], ["power_cap", "sleep"]]}, "mechanisms", "each once"),
    ({"bridge_s": 60.0}, "bridge_s", "drop lasts 60 s"),
    ({"bridge_s": float("nan")}, "bridge_s", "nan"),
    ({"shapes": []}, "shapes", "1"),
    ({"seeds": [-1]}, "seeds.0", "-1"),
    ({"exclude": [{}]}, "exclude.0", "at least one list"),
    ({"colour": "red"}, "colour", "red"),
    ({"events": [{**RELEASE, "excursion": {"deviation_hz": 0.4}}]}, "deviation_hz", "< 0"),
]


@pytest.mark.parametrize(("changes", "field", "told"), WRONG)
def test_a_wrong_protocol_gets_one_line(changes: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        protocol(**changes)
    text = str(error.value)
    assert "\n" not in text
    assert "protocol.toml" in text
    assert field in text
    assert told in text


WRONG_MATRIX: list[tuple[dict[str, Any], str]] = [
    ({"exclude": [{"seeds": [7]}]}, "exclude.0.seeds"),
    ({"exclude": [{"mechanisms": [["sleep"]]}]}, "exclude.0.mechanisms"),
    ({"exclude": [{"concurrencies": [32]}]}, "at least one case"),
]


@pytest.mark.parametrize(("changes", "told"), WRONG_MATRIX)
def test_what_is_excluded_must_be_there_and_not_all(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        cases_of(protocol(**changes))


def test_a_shape_must_be_one_that_the_fleet_knows() -> None:
    told = protocol(shapes=["endless_in"])
    (case,) = cases_of(told)
    with pytest.raises(InputError, match="short_in_very_long_out"):
        bench_of(told, case, site_of(told))


def test_a_site_of_two_pools_is_refused() -> None:
    with pytest.raises(InputError, match="one pool and a battery"):
        site_of(protocol(site="two-pools"))


def test_events_come_from_example_files(tmp_path: Path) -> None:
    plain = {**SMALL, "events": [{"name": "fcr", "file": str(EXAMPLES / "fcr_tracking.json")}]}
    path = tmp_path / "protocol.json"
    path.write_text(json.dumps(plain))
    (event,) = read_protocol(path).events
    assert event.direction == "both"
    assert event.duration_s == 300.0
    plain["events"] = [{"name": "x", "file": str(EXAMPLES / "twin" / "protocol.toml")}]
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match="a case with an event"):
        read_protocol(path)


@pytest.mark.parametrize("name", ["protocol.toml", "protocol_full.toml"])
def test_the_shipped_protocols_fit_their_site(name: str) -> None:
    told = read_protocol(EXAMPLES / "twin" / name)
    site = site_of(told)
    for case in cases_of(told):
        bench_of(told, case, site)


def test_the_frequency_leaves_when_it_is_told_to() -> None:
    told = protocol(noise_hz=0.0)
    (case,) = cases_of(told)
    grid = GridSimulator(told, case.event, 0)
    assert grid.hz(100.0) == 50.0
    grid.inject(100.0)
    assert grid.hz(99.0) == 50.0
    assert grid.hz(102.0) == pytest.approx(49.75)  # half of the 4 s to half a Hz
    assert grid.hz(164.0) == pytest.approx(49.5)
    assert grid.hz(300.0) == 50.0

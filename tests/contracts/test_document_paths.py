"""An error names the field of the document, never pydantic's words for its forms."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebplan.document import Part, read_data
from ebplan.errors import InputError
from ebplan.replay.spec import ReplaySpec
from ebplan.services import ServiceDefinition
from ebplan.study.spec import StudySpec

EXAMPLES = Path(__file__).parents[2] / "examples"
STUDY = read_data(EXAMPLES / "study_week.toml")
REPLAY = read_data(EXAMPLES / "replay" / "caps_by_hand.toml")
SERVICE = read_data(EXAMPLES / "settle" / "both_ways.toml")


def refused(model: type[Part], whole: dict[str, Any], edit: Callable[[Any], object]) -> InputError:
    data = copy.deepcopy(whole)
    edit(data)
    with pytest.raises(InputError) as caught:
        model.parse(data)
    return caught.value


def places(data: Any, path: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """Yield the path of each object and value within plain data; of long lists the first items."""
    inner = data.items() if isinstance(data, dict) else ()
    items = enumerate(data[:2]) if isinstance(data, list) else ()
    for key, value in [*inner, *items]:
        yield (*path, key)
        yield from places(value, (*path, key))


def holder(data: Any, path: tuple[int | str, ...]) -> Any:
    for key in path[:-1]:
        data = data[key]
    return data


@pytest.mark.parametrize(
    ("model", "whole"), [(StudySpec, STUDY), (ReplaySpec, REPLAY), (ServiceDefinition, SERVICE)]
)
def test_a_wrong_value_anywhere_is_named_by_its_own_path(
    model: type[Part], whole: dict[str, Any]
) -> None:
    refusals = 0
    for path in places(whole):
        here = ".".join(str(part) for part in path)
        for wrong in ({"no": ["such"]}, "\x01"):
            data = copy.deepcopy(whole)
            holder(data, path)[path[-1]] = wrong
            try:
                model.parse(data)
            except InputError as error:
                refusals += 1
                field = error.field
            else:
                continue
            around, _, _ = here.rpartition(".")
            # of an object its own missing field, of a contradiction the field beside it
            near = (f"{here}.", f"{around}.") if around else (f"{here}.", field)
            assert field in (here, around) or field.startswith(near), (here, field)
            assert "[" not in field
    assert refusals > 50


@pytest.mark.parametrize(
    ("model", "whole", "edit", "line"),
    [
        (
            ReplaySpec,
            REPLAY,
            lambda d: d["recording"]["map"].pop("time"),
            "recording.map.time: got nothing; allowed: a value",
        ),
        (
            ReplaySpec,
            REPLAY,
            lambda d: d["recording"].update(map=7),
            "recording.map: got 7; allowed: an object {...}, or text; remedy: correct the value",
        ),
        (
            ReplaySpec,
            REPLAY,
            lambda d: d["events"][0]["target"].update(delta_kw="much"),
            "events.0.target.delta_kw: got 'much'; allowed: a number",
        ),
        (
            StudySpec,
            STUDY,
            lambda d: d["services"][0].update(price_per_kw={"low": 1.0, "high": 2.0, "why": "so"}),
            "services.0.price_per_kw.value: got nothing; allowed: a value",
        ),
        (
            StudySpec,
            STUDY,
            lambda d: d["portfolio"][0]["load"]["share"]["by_hour"].__setitem__(3, "x"),
            "portfolio.0.load.share.by_hour.3: got 'x'; allowed: a number",
        ),
    ],
)
def test_a_form_of_several_is_no_part_of_the_path(
    model: type[Part], whole: dict[str, Any], edit: Callable[[Any], object], line: str
) -> None:
    error = refused(model, whole, edit)
    assert error.line().startswith(line)
    assert "more)" not in error.remedy, "what other forms would be is not wrong as well"


def test_an_item_of_a_list_is_named_as_its_author_knows_it() -> None:
    error = refused(StudySpec, STUDY, lambda d: d["services"][0].update(price_per_kw="x"))
    assert error.field == "services.0.price_per_kw"
    assert error.remedy.endswith("(services.0 is 'jp_fcr')")


def test_a_field_misspelt_in_one_form_of_several_is_named() -> None:
    def misspell(data: Any) -> None:
        share = data["portfolio"][0]["load"]["share"]
        share["by_hours"] = share.pop("by_hour")

    error = refused(StudySpec, STUDY, misspell)
    assert error.field == "portfolio.0.load.share.by_hours"
    assert error.remedy.startswith("did you mean 'by_hour'?")


def test_of_a_few_values_the_nearest_is_asked_about() -> None:
    error = refused(ReplaySpec, REPLAY, lambda d: d["events"][0].update(type="congestion"))
    assert error.field == "events.0.type"
    assert error.remedy.startswith("did you mean 'congestion_curtailment'?")

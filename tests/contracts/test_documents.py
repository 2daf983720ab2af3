"""Documents round-trip exactly, cannot be changed, and describe themselves."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ebplan.case import Case, CaseFile, built_in_sites, load_case, load_site
from ebplan.document import Document, check_writable, read_json, write_atomically
from ebplan.errors import InputError
from ebplan.models import library
from ebplan.plan import Plan, Step
from ebplan.planner import solve_problem
from ebplan.pose import pose
from ebplan.problem import Problem
from ebplan.site import Site
from ebplan.state import State

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.json"))
CASES = [load_case(file) for file in EXAMPLES]
PROBLEMS = [pose(case.event, case.site, case.state) for case in CASES]
DOCUMENTS: list[Document] = [
    *CASES,
    *(load_site(name) for name in built_in_sites()),
    *(case.state for case in CASES),
    *PROBLEMS,
    *(solve_problem(problem, method="merit_order") for problem in PROBLEMS),
    *(model for name in library.names() if isinstance(model := library.load(name), Document)),
]
KINDS = {type(document) for document in DOCUMENTS}


def name_of(document: Document) -> str:
    return type(document).__name__


def test_every_kind_of_document_is_among_them() -> None:
    assert {Case, Site, State, Problem, Plan} < KINDS


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_round_trips_exactly(document: Document, tmp_path: Path) -> None:
    file = tmp_path / "document.json"
    write_atomically(file, document.to_json())
    for again in (
        type(document).parse(document.to_json().encode()),
        type(document).parse(read_json(file), file=str(file)),
        type(document).parse(document.model_dump()),
    ):
        assert again == document
        assert again.to_json() == document.to_json()
        assert again.digest() == document.digest()


def moments() -> st.SearchStrategy[datetime]:
    minutes = st.integers(-14 * 60, 14 * 60)
    zones = minutes.map(lambda offset: timezone(timedelta(minutes=offset)))
    return st.datetimes(
        datetime(1900, 1, 2), datetime(9000, 1, 1), timezones=st.one_of(zones, st.just(UTC))
    )


@settings(derandomize=True, deadline=None, max_examples=100)
@given(at=moments(), soc=st.floats(0.0, 1.0), kw=st.floats(allow_nan=False, allow_infinity=False))
def test_times_and_numbers_keep_every_digit(at: datetime, soc: float, kw: float) -> None:
    grid = {"kw": kw, "measurement_point": "connection_point"}
    pool = {"active": 1, "load_req_per_s": {"all": abs(kw)}}
    state = State.model_validate({"at": at, "soc": soc, "grid": grid, "pools": {"a": pool}})
    again = State.parse(state.to_json().encode())
    assert again == state
    assert again.to_json() == state.to_json()
    assert again.at == at
    assert again.grid is not None
    assert (again.soc, again.grid.kw) == (soc, kw)


def test_a_digest_tells_documents_apart() -> None:
    problem = PROBLEMS[0]
    near = problem.model_copy(update={"handoff_kw": problem.handoff_kw + 1e-15})
    assert near.digest() != problem.digest()
    assert len({p.digest() for p in PROBLEMS}) == len(PROBLEMS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_cannot_be_changed(document: Document) -> None:
    for field in type(document).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(document, field, None)
    assert not list(lists_in(document.model_dump())), "a list could be changed: use a tuple"


def lists_in(value: object) -> Any:
    """Yield the lists within plain data."""
    if isinstance(value, list):
        yield value
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, tuple):
        for inner in value:
            yield from lists_in(inner)


def test_a_part_cannot_be_changed() -> None:
    step = Step.model_validate(
        {
            **dict.fromkeys(("t_s", "target_kw", "baseline_kw", "grid_kw", "compute_kw"), 0.0),
            **dict.fromkeys(("battery_kw", "soc", "shortfall_kw"), 0.0),
            "duration_s": 1.0,
            "mechanisms": {},
        }
    )
    with pytest.raises(ValidationError, match="frozen"):
        step.grid_kw = 1.0  # type: ignore[misc]


def objects_of(document: type[Document]) -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of a document and of its parts, by name."""
    schema = document.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    return {document.__name__: schema, **schema.get("$defs", {})}


@pytest.mark.parametrize("document", [CaseFile, Site, State, Plan, Problem])
def test_a_schema_is_closed_and_described(document: type[Document]) -> None:
    for name, schema in objects_of(document).items():
        assert schema["additionalProperties"] is False, name
        assert schema["description"], name
    assert {"kind", "schema_version"} <= objects_of(document)[document.__name__][
        "properties"
    ].keys()


@pytest.mark.parametrize("document", [CaseFile, Site, State])
def test_every_field_that_a_person_writes_is_described(document: type[Document]) -> None:
    for name, schema in objects_of(document).items():
        for field, about in schema["properties"].items():
            assert field == "kind" or about.get("description"), f"{name}.{field}"


# --- writing --------------------------------------------------------------------------------


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    write_atomically(file, "old")
    write_atomically(file, b"new")
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("stage", ["os.fdopen", "os.chmod", "os.replace"])
@pytest.mark.parametrize("broken_by", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_breaks_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, broken_by: BaseException
) -> None:
    file = tmp_path / "plan.json"
    file.write_text("old")

    def breaks(*_: object) -> None:
        raise broken_by

    monkeypatch.setattr(stage, breaks)
    expected = InputError if isinstance(broken_by, OSError) else type(broken_by)
    with pytest.raises(expected):
        write_atomically(file, "new")
    monkeypatch.undo()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("path", ["nowhere/plan.json", "folder", "folder/file/plan.json"])
def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    for refuse in (check_writable, lambda path: write_atomically(path, "{}")):
        with pytest.raises(InputError, match=r"\(output\): got .*remedy: "):
            refuse(tmp_path / path)
    assert [entry.name for entry in tmp_path.rglob("*")] == ["folder", "file"]


def test_a_path_that_can_be_written_is_let_through(tmp_path: Path) -> None:
    check_writable(tmp_path / "plan.json")
    assert not list(tmp_path.iterdir())

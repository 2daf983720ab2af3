"""Every name that docs/formulation.md gives to a thing is the name of that thing in the code.

``tests/benchmarks/test_formulation_doc.py`` holds the other way: what the code builds stands there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from ebplan.models.latency_bounds import LatencyBounds
from ebplan.problem import Problem

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "formulation.md").read_text("utf-8")
SPANS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PLACEHOLDERS = {"POOL", "TIER", "CLASS", "H", "I", "J", "x"}
BLOCKS = ROOT / "ebplan" / "solvers"


def table(title: str) -> list[list[str]]:
    """The rows of the table below the first words of a paragraph."""
    _, _, rest = PAGE.partition(title)
    lines = [line for line in rest.splitlines() if line.startswith("|")]
    body = rest[: rest.index("\n\n", rest.index("|"))]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in lines[2:]
        if line in body
    ]


VARIABLES = sorted(
    {name for row in table("Variables. A name") for name in re.findall(r"`([^`]+)`", row[1])}
)
DATA = sorted(
    {
        name
        for row in table("Data. Fields of")
        for name in re.findall(r"`([^`]+)`", row[1])
        if name != "LatencyBounds"
    }
)


def models(annotation: object) -> Iterator[type[BaseModel]]:
    """The documents inside a type: ``tuple[PoolProblem, ...] | None`` -> PoolProblem."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models(inner)


def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model and every one that its fields hold."""
    waiting, seen = [model], set()
    while waiting:
        now = waiting.pop()
        if now not in seen:
            seen.add(now)
            yield now
            for field in now.model_fields.values():
                waiting += models(field.annotation)


def named(model: type[BaseModel], name: str) -> list[object]:
    """What a field, or a property, of a model holds; empty where it has none of that name."""
    if name in model.model_fields:
        return [model.model_fields[name].annotation]
    return [getattr(model, name)] if hasattr(model, name) else []


def holds(model: type[BaseModel], path: list[str]) -> bool:
    first, *rest = path
    found = named(model, first)
    if not rest:
        return bool(found)
    inside = [inner for annotation in found for inner in models(annotation)]
    # a curve is a class of its own
    plain = [one for one in found if isinstance(one, type) and not issubclass(one, BaseModel)]
    return any(holds(inner, rest) for inner in inside) or any(hasattr(p, rest[0]) for p in plain)


def literals() -> set[str]:
    """Every piece between dots of every text in the code of the solvers."""
    found: set[str] = set()
    for source in BLOCKS.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(re.findall(r"\w+", node.value)) if len(node.value) < 60 else set()
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
    return found


@pytest.fixture(scope="module")
def words() -> set[str]:
    text = " ".join(path.read_text("utf-8") for path in (ROOT / "ebplan").rglob("*.py"))
    return set(re.findall(r"\w+", text))


def test_the_tables_are_read() -> None:
    assert len(VARIABLES) > 45
    assert len(DATA) > 40


@pytest.mark.parametrize("name", DATA)
def test_data_is_a_field_of_the_problem(name: str) -> None:
    path = re.sub(r"\[\w\]", "", name).split(".")
    of_latency = {field.name for field in fields(LatencyBounds)}
    assert name in of_latency or any(holds(model, path) for model in below(Problem)), name


def test_a_variable_bears_its_name_in_a_block() -> None:
    texts = literals()
    parts = {part for name in VARIABLES for part in name.split(".")} - PLACEHOLDERS
    assert parts - texts == set()


def test_a_label_bears_its_name_in_a_block() -> None:
    texts = literals()
    paragraphs = re.findall(r"Labels?: (.*?)(?:\n\n|\. [A-Z$])", PAGE, re.DOTALL)
    labels = {name for text in paragraphs for name in re.findall(r"`([\w.]+)`", text)}
    assert len(labels) > 60
    parts = {part for label in labels for part in label.split(".")} - PLACEHOLDERS
    # "compute_edge" and so on, whose rows are named after the variables: f"{name}_power"
    assert "_power" in texts
    assert {part for part in parts if part.removesuffix("_power") not in texts} - texts == set()


def test_every_file_that_is_named_is_there() -> None:
    files = [span for span in SPANS if re.fullmatch(r"[\w/]+\.py|ebplan/[\w/]+", span)]
    places = (ROOT, ROOT / "ebplan", ROOT / "ebplan" / "solvers" / "blocks")
    assert len(files) > 25
    assert [name for name in files if not any((place / name).exists() for place in places)] == []


def test_every_other_name_is_one_of_the_code(words: set[str]) -> None:
    names = [span for span in SPANS if re.fullmatch(r"[A-Za-z_][\w.\[\]*]*", span)]
    parts = {part for name in names for part in re.findall(r"\w+", name)} - PLACEHOLDERS
    assert parts - words - {"i", "j", "py"} == set()

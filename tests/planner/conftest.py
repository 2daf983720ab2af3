"""One pair of solver processes for all tests of the planner."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from random_cases import EXAMPLES

from ebplan.case import Case, load_case
from ebplan.planner import Planner
from ebplan.planner.ladder import Ladder
from ebplan.solvers.session import Session


@pytest.fixture(scope="session")
def solver() -> Iterator[Session]:
    session = Session()
    assert session.wait_ready()
    yield session
    session.close()


@pytest.fixture
def ladder(solver: Session, tmp_path) -> Ladder:  # type: ignore[no-untyped-def]
    assert solver.wait_ready()
    return Ladder(solver, tmp_path)


@pytest.fixture
def case() -> Case:
    return load_case(EXAMPLES / "under_frequency.json")


@pytest.fixture
def planner(case: Case, tmp_path) -> Iterator[Planner]:  # type: ignore[no-untyped-def]
    with Planner(case.site, problems_to=tmp_path) as one:
        yield one.start(wait_s=30.0)


@pytest.fixture
def by_work(case: Case, tmp_path) -> Iterator[Planner]:  # type: ignore[no-untyped-def]
    """Searches are limited by their work: the same answers on every machine, however busy."""
    with Planner(case.site, problems_to=tmp_path, clock="work") as one:
        yield one.start(wait_s=30.0)

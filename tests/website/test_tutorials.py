"""Each tutorial runs from top to bottom in an empty folder, and prints what stands on its page."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted(page for page in (DOCS / "tutorials").glob("*.md") if page.stem != "index")
OTHER_EACH_TIME = (
    r"(?m)^  0+\.checkpoints:.*\n",  # as many checkpoints as there was time for
    r"(?<=\+)[0-9a-f]{8}\+[A-Za-z0-9+/=]{44}",  # a key
    r"(?m)^.*[▁▂▃▄▅▆▇█━╸].*\n",  # bars, whose ends a rounding moves
    r"-?\d[\d,.:TZ-]*",  # numbers: the last digits differ between machines; times
    r" +",  # and with them the padding
)


def the_same_each_time(page: str) -> str:
    for pattern in OTHER_EACH_TIME:
        page = re.sub(pattern, "#", page)
    return page


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_and_prints_what_it_shows(page: Path) -> None:
    spec = importlib.util.spec_from_file_location("sessions", DOCS / "sessions.py")
    assert spec is not None
    assert spec.loader is not None
    sessions = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sessions)
    shown = page.read_text("utf-8")
    assert the_same_each_time(sessions.run_page(shown)) == the_same_each_time(shown)


def test_every_tutorial_is_in_the_list() -> None:
    listed = (DOCS / "tutorials" / "index.md").read_text("utf-8")
    assert [page.name for page in TUTORIALS if f"({page.name})" not in listed] == []
    assert len(TUTORIALS) == 6

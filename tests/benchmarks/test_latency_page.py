"""docs/models/latency.md is what its command prints, also of data that are not kept here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.latency import TokenForm, page, token_form

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "models" / "latency.md"
TABLE = "mlenergy_v3_llm_h100_b200.csv"
DATA = Path(os.environ.get("EBPLAN_DATA", ROOT.parent / "shared" / "data"))
"""Where third-party tables lie; they are not part of the repository."""


@pytest.fixture(scope="module")
def data() -> Path:
    """The ML.ENERGY table."""
    found = DATA / "gpu_power" / TABLE
    if not found.is_file():
        pytest.skip(f"{TABLE} is not there: set EBPLAN_DATA to the folder that has gpu_power/")
    return found


@pytest.fixture(scope="module")
def form(data: Path) -> TokenForm:
    return token_form(data)


def test_page_without_tokens_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8").startswith(page(None).rstrip())


def test_page_is_what_the_command_prints(data: Path) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(data)


def test_tokens_take_longest_with_every_slot_taken(form: TokenForm) -> None:
    assert form.rising >= 0.98 * form.pairs
    assert 0.6 < form.at_half < 0.8


def test_the_latency_by_littles_law_is_that_measured_or_longer(form: TokenForm) -> None:
    assert 0.85 < form.middle < 1.0
    assert form.high < 1.05

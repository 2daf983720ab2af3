"""The Japanese README says what the English one does: the same commands, code and plan."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH = (ROOT / "README.md").read_text("utf-8")
JAPANESE = (ROOT / "README.ja.md").read_text("utf-8")


def commands(page: str) -> list[str]:
    """Every command and line of Python, without its remark."""
    blocks = re.findall(r"```(?:console|python)\n(.*?)```", page, re.DOTALL)
    lines = [line.partition("  #")[0].rstrip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def plan(page: str) -> str:
    found = re.search(r"```text\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_commands_are_the_same() -> None:
    assert commands(JAPANESE) == commands(ENGLISH)
    assert len(commands(JAPANESE)) > 25


def test_the_remarks_are_in_japanese() -> None:
    remarks = re.findall(r"  # (.*)", JAPANESE)
    assert len(remarks) > 20
    assert [remark for remark in remarks if remark.isascii()] == []


def test_the_plan_is_the_beginning_of_the_same_plan() -> None:
    assert plan(ENGLISH).startswith(plan(JAPANESE))


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", JAPANESE)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_example_that_a_command_names_is_there() -> None:
    named = set(re.findall(r"\bexamples/[\w./]+\.\w+", " ".join(commands(ENGLISH))))
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_exit_codes_are_the_same() -> None:
    codes = re.compile(r"(?m)^\| (\d) \|")
    assert codes.findall(JAPANESE) == codes.findall(ENGLISH)

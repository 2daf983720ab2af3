"""The README shows what the commands really print, and its Python runs."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")


def refresh() -> object:
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs" / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_plan_shown_is_the_plan_printed(readme: str, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """Word for word; numbers within 2 %, since the last digits may differ between machines."""
    module = refresh()
    monkeypatch.setattr(module, "FIGURE", str(tmp_path / "plan.png"))
    printed = module.printed_plan()  # type: ignore[attr-defined]
    shown = module.PLAN_BLOCK.search(readme).group()  # type: ignore[attr-defined]
    table = [line for line in shown.splitlines() if not set(line) & set("▁▂▃▄▅▆▇█━╸")]
    again = [line for line in printed.splitlines() if not set(line) & set("▁▂▃▄▅▆▇█━╸")]
    assert [NUMBER.sub("#", line) for line in table] == [NUMBER.sub("#", line) for line in again]
    for was, now in zip(table, again, strict=True):
        if "gap" in was:
            continue
        for a, b in zip(NUMBER.findall(was), NUMBER.findall(now), strict=True):
            left, right = float(a.replace(",", "")), float(b.replace(",", ""))
            assert left == pytest.approx(right, rel=0.02, abs=0.02), was


def test_the_examples_page_shows_what_is_printed(tmp_path: Path) -> None:
    """The first lines of each example, word for word but for the numbers, and its figure."""
    module, page = refresh(), (ROOT / "docs" / "examples.md").read_text(encoding="utf-8")
    examples: dict[str, str] = module.EXAMPLES  # type: ignore[attr-defined]
    for name, what in examples.items():
        figure = str(tmp_path / "plan.png")
        printed = module.printed_plan(f"examples/{name}.json", figure)  # type: ignore[attr-defined]
        head = NUMBER.sub("#", printed.partition("\n\n")[0])
        assert head in NUMBER.sub("#", page), name
        assert what in page
        assert (ROOT / "docs" / "figures" / f"{name}.png").exists()


def test_the_page_of_delivery_shows_what_is_printed(tmp_path: Path) -> None:
    """Word for word but for the numbers, which the seed of the plant makes."""
    module, page = refresh(), (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    printed = module.printed_delivery(str(tmp_path / "delivery.png"))  # type: ignore[attr-defined]
    assert NUMBER.sub("#", printed) in NUMBER.sub("#", page)
    assert (ROOT / "docs" / "figures" / "delivery.png").exists()


def test_the_python_runs(readme: str) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    one_shot, by_a_deadline = done.stdout.splitlines()
    assert one_shot.startswith("optimal ")
    assert by_a_deadline.endswith(" True")


def test_every_link_leads_somewhere(readme: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", readme)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_command_shown_exists(readme: str) -> None:
    shown = set(re.findall(r"^\$ ebplan (\w+)", readme, re.MULTILINE))
    done = subprocess.run(
        [sys.executable, "-m", "ebplan", "--help"], capture_output=True, text=True, check=True
    )
    assert shown
    assert all(f"  {verb} " in done.stdout for verb in shown)

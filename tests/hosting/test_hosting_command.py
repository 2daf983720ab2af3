"""The hosting study from its file to its table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan.cli import main
from ebplan.document import read_data
from ebplan.hosting.run import load_hosting, run_hosting
from ebplan.study import asked

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "hosting.toml"


def write(folder: Path, **more: Any) -> Path:
    plain = read_data(EXAMPLE)
    plain["load"]["by_hour"] = [1.0] * 24
    plain["mechanisms"] = [{"name": "all mechanisms"}, {"name": "none", "compute": False}]
    path = folder / "hosting.json"
    path.write_text(json.dumps({**plain, **more}))
    return path


def test_from_file_to_table_and_figure(tmp_path: Path) -> None:
    plot, table = tmp_path / "fits.png", tmp_path / "fits.parquet"
    result = CliRunner().invoke(
        main,
        ["hosting", str(write(tmp_path)), "--json", "--plot", str(plot), "-o", str(table)],
    )
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert len(rows) == 5 * 2 + 27 * 2
    assert plot.stat().st_size > 10_000
    assert table.exists()
    first = {row["mechanisms"]: row for row in rows if row["battery_kwh"] == 0.0}
    # with neither battery nor mechanisms, as many fit as are never curtailed, and no more
    assert first["none"]["units"] == first["none"]["units_without"] > 0
    assert first["all mechanisms"]["units"] > first["none"]["units"]
    assert first["none"]["lost_per_year"] == 0.0 < first["all mechanisms"]["lost_per_year"]
    for row in rows:
        assert row["compute_kw"] <= 1000.0 + 1e-6
        assert row["lost_share"] <= 0.001 + 1e-9


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"connection_kw": -1}, "connection_kw: got -1"),
        ({"batteries": [{"energy_kwh": 5, "power_kw": 0}]}, "both 0, or neither"),
        ({"site": "nowhere"}, "site: got 'nowhere'"),
        ({"mechanisms": [{"name": "a"}, {"name": "a"}]}, "each name once"),
        ({"mechanisms": [{"name": "a", "without": ["magic"]}]}, "magic"),
        ({"most_lost": 2}, "most_lost: got 2"),
    ],
)
def test_bad_studies_are_refused_in_one_line(
    more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(main, ["hosting", str(write(tmp_path, **more))])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_it_says_how_far_it_is_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, kept = load_hosting(write(tmp_path, what_if=None)), tmp_path / "kept"
    heard: list[tuple[str, int, int]] = []

    def interrupt(what: str, done: int, of: int) -> None:
        heard.append((what, done, of))
        if what == "counting what fits":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_hosting(spec, tmp_path, kept=kept, told=interrupt)
    assert heard == [
        *(("asking the planner what compute can release", done, 1) for done in (0, 1)),
        ("counting what fits", 1, 10),
    ]
    whole = run_hosting(spec, tmp_path)
    monkeypatch.setattr(asked, "ask", lambda _: pytest.fail("asked once more"))
    assert run_hosting(spec, tmp_path, kept=kept) == whole

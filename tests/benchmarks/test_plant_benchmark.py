"""The benchmark of the plant runs and says what it measured; no time is asserted."""

from click.testing import CliRunner

from benchmarks.plant import PLANTS, main


def test_it_prints_each_plant_and_the_switches() -> None:
    done = CliRunner().invoke(main, ["--repeat", "1", "--steps", "20"])
    assert done.exit_code == 0, done.output
    assert all(name in done.output for name in PLANTS)
    assert "63,327 switches" in done.output

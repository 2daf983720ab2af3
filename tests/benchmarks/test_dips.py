"""A hand-over dips below its level; a battery that holds the level takes the dip."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import dips
from benchmarks.dips import Mechanisms, Swap, main, mechanisms, run, section, site


@pytest.fixture(scope="module")
def found() -> Mechanisms:
    return mechanisms(site())


@pytest.fixture(scope="module")
def both(found: Mechanisms) -> tuple[Swap, Swap]:
    case = site()
    return run(case, found, battery=False), run(case, found, battery=True)


def test_the_battery_takes_the_dip(both: tuple[Swap, Swap]) -> None:
    without, held = both
    assert without.dip_kw > 5.0
    assert without.dip_s > 300.0
    assert held.dip_kw < 0.5
    assert held.dip_s == 0.0
    assert without.battery_kw == pytest.approx([0.0] * len(without.battery_kw))
    assert -min(held.battery_kw) == pytest.approx(without.dip_kw, abs=0.5)


def test_compute_serves_the_same(both: tuple[Swap, Swap]) -> None:
    without, held = both
    assert held.served == pytest.approx(without.served, rel=1e-3)
    assert without.rejected == held.rejected == 0.0
    # the load of a site that turns nobody away: what comes is served
    offered = sum(sum(p.load_req_per_s.values()) for p in site().state.pools.values())
    assert held.served == pytest.approx(offered * dips.END_S, rel=1e-2)


def test_each_mechanism_alone_holds_the_level(both: tuple[Swap, Swap]) -> None:
    without, _ = both
    at = dict(zip(without.t_s, without.grid_kw, strict=True))
    for t_s in (dips.SWAP_S - 60.0, dips.END_S - 60.0):
        assert at[t_s] == pytest.approx(without.level_kw, abs=0.1)


def test_numbers_of_a_dip_by_hand() -> None:
    t_s = [dips.CAPPED_S + dips.SETTLED_S + i * dips.STEP_S for i in range(4)]
    one = Swap(
        t_s=t_s,
        grid_kw=[100.0, 90.0, 96.0, 103.0],
        battery_kw=[0.0] * 4,
        level_kw=100.0,
        cap_w=300.0,
        active=1,
        served=1.0,
        rejected=0.0,
    )
    assert one.dip_kw == 10.0
    assert one.over_kw == 3.0
    assert one.dip_s == dips.STEP_S
    assert one.dip_kwh == pytest.approx(14.0 * dips.STEP_S / 3600.0)


def test_page_and_figure(
    both: tuple[Swap, Swap], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dips, "mechanisms", lambda case: None)
    monkeypatch.setattr(dips, "run", lambda case, found, battery: both[battery])
    page, figure = tmp_path / "dips.md", tmp_path / "dips.png"
    told = CliRunner().invoke(main, ["--write", str(page), "--plot", str(figure)])
    assert told.exit_code == 0, told.output
    assert section(*both) in page.read_text()
    assert figure.read_bytes().startswith(b"\x89PNG")

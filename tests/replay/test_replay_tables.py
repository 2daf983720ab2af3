"""A recording in a table, replayed: what is counted on both sides, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from replays import DRAW_KW, INTERVAL_S, POOL, START, means, row, rows, spec, write_csv

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.event import Event
from ebplan.replay.compare import summary_of
from ebplan.replay.folder import intervals_table
from ebplan.replay.measures import numbers_of
from ebplan.replay.run import Replayed, replay_recording
from ebplan.replay.stretches import stretches
from ebplan.report.replay_table import money_rows
from ebplan.settlement.series import GRID, MeterSeries

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    folder = tmp_path_factory.mktemp("replay")
    write_csv(folder / "recording.csv", rows(kw=0.3))
    return replay_recording(spec(), folder)


def test_both_sides_are_counted_by_the_same_laws(replayed: Replayed) -> None:
    (event,) = summary_of(replayed).events
    # 0.5 kW for 300 s, of which the first 30 s rise from nothing: 270 s and half of 30 s
    assert event.recorded.asked_kwh == pytest.approx(0.5 * 285.0 / 3600.0, rel=1e-6)
    assert event.recorded.delivered_kwh == pytest.approx(0.3 * 300.0 / 3600.0, rel=1e-6)
    # 0.2 kW missing less the tolerance of 5 % for nine intervals
    assert event.recorded.missing_kwh == pytest.approx((0.2 - 0.025) * 270.0 / 3600.0, rel=1e-6)
    assert event.recorded.outside_s == 270.0
    assert event.recorded.reached_s is None
    assert event.ebplan.delivered_kwh == pytest.approx(event.ebplan.asked_kwh, rel=0.03)
    assert event.ebplan.outside_s == 0.0


def test_money_follows_from_the_numbers(replayed: Replayed) -> None:
    found = summary_of(replayed)
    (event,) = found.events
    # 0.3 kW for nine intervals; in the first, which rises from nothing, 0.25 kW are asked
    kwh = (0.25 * 30.0 + 0.3 * 270.0) / 3600.0
    assert event.recorded.paid_kwh == pytest.approx(kwh)
    assert found.recorded.payment == pytest.approx(-50.0 * kwh)
    assert found.recorded.penalty == pytest.approx(100.0 * event.recorded.missing_kwh)
    kwh = (40 * DRAW_KW - 10 * 0.3) * INTERVAL_S / 3600.0
    assert found.recorded.energy == pytest.approx(20.0 * kwh, rel=1e-6)
    assert found.recorded.compute is None  # nobody recorded it
    assert found.ebplan_money.battery is not None
    assert found.ebplan_money.battery > 0.0  # what it gave wears it


def test_more_in_one_interval_does_not_pay_for_another() -> None:
    """0.9 and 0.1 kW in turn are 0.5 kW on average: paid are 0.5 and 0.1, and 0.25 of the first."""
    (event,) = spec().events
    assert isinstance(event, Event)
    given_kw = np.array([0.9, 0.1] * 5)
    drawn_kw = np.full(40, DRAW_KW)
    drawn_kw[20:30] -= given_kw
    meter = MeterSeries(
        start=START,
        interval_s=INTERVAL_S,
        time_s=INTERVAL_S * np.arange(40.0),
        values={GRID: drawn_kw},
    )
    found, _ = numbers_of(meter, event, np.full(40, DRAW_KW), 0.05)
    assert found.delivered_kwh == pytest.approx(0.5 * 300.0 / 3600.0)
    assert found.paid_kwh == pytest.approx((0.25 + 4 * 0.5 + 5 * 0.1) * 30.0 / 3600.0)
    assert found.missing_kwh == pytest.approx(5 * (0.5 - 0.025 - 0.1) * 30.0 / 3600.0)


def test_the_table_has_both_sides_and_what_was_asked(replayed: Replayed) -> None:
    table = intervals_table(replayed)
    sizes = {len(column) for column in table.values()}
    assert sizes == {40}
    inside = np.array([name == "less" for name in table["event"]])
    assert inside.sum() == 10
    assert np.isnan(table["ebplan_least_kw"][~inside]).all()
    drawn = table["ebplan_grid_kw"][inside]
    assert (drawn >= table["ebplan_least_kw"][inside] - 1e-9).all()
    assert (drawn <= table["ebplan_most_kw"][inside] + 1e-9).all()
    carried = sum(
        table[name][inside]
        for name in table
        if name.startswith("ebplan_planned_") and "before" not in name
    )
    assert means(carried, 2, 9) == pytest.approx(-0.5, abs=0.03)


def test_the_twin_draws_what_was_metered_where_only_power_is_known(tmp_path: Path) -> None:
    table = [row(i, DRAW_KW - (0.4 if 20 <= i < 30 else 0.0) - 0.01 * (i % 3)) for i in range(40)]
    write_csv(tmp_path / "recording.csv", table)
    found = replay_recording(spec(columns={}), tmp_path)
    told = summary_of(found)
    assert told.twin_off_kw == pytest.approx(0.0, abs=0.01)
    assert any("Which requests came" in line for line in told.cannot_tell)
    # in the event the load is that of the baseline, not that of the answer
    loads = found.loads.by_class["llama70b", "interactive"]
    assert means(loads, 20, 30) == pytest.approx(means(loads, 10, 20), rel=0.01)


def test_readings_that_no_load_draws_are_counted(tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", [row(i, 9.0 if i == 3 else DRAW_KW) for i in range(40)])
    told = summary_of(replay_recording(spec(columns={}, events=[]), tmp_path))
    assert any(note.startswith("1 reading(s) lie outside") for note in told.notes)


def test_gaps_and_repeats_are_told_and_not_filled_in(tmp_path: Path) -> None:
    table = rows()
    write_csv(tmp_path / "recording.csv", [*table[:5], table[4], *table[9:]])
    found = replay_recording(spec(), tmp_path)
    told = summary_of(found)
    assert any(note.startswith("1 gap(s), 120 s") for note in told.notes)
    assert any("repeats the line above" in note for note in told.notes)
    recorded = intervals_table(found)["recorded_grid_kw"]
    assert np.flatnonzero(np.isnan(recorded)).tolist() == [5, 6, 7, 8]
    assert told.metered_s == 36 * INTERVAL_S


def test_the_same_replay_gives_the_same_numbers(replayed: Replayed, tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", rows(kw=0.3))
    again = replay_recording(spec(), tmp_path)
    assert summary_of(again) == summary_of(replayed)
    assert again.stretches == replayed.stretches


def test_a_replay_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", rows(46))
    asked = spec(stretch_s=900.0)
    whole = replay_recording(asked, tmp_path)
    assert len(whole.stretches) > 1

    class Enough(Exception):
        pass

    def told(what: str, done: int, of: int) -> None:
        if done == whole.stretches[0].rows[-1]["slot"] + 3:
            raise Enough

    kept = tmp_path / "kept"
    with pytest.raises(Enough):
        replay_recording(asked, tmp_path, kept=kept, told=told)
    (first,) = kept.iterdir()
    begun = first.stat().st_mtime_ns
    assert replay_recording(asked, tmp_path, kept=kept).stretches == whole.stretches
    assert first.stat().st_mtime_ns == begun  # it was not replayed again


def test_no_cut_lies_in_an_event_or_just_before(replayed: Replayed) -> None:
    cuts = [part.begin for part in stretches(replayed.recording, INTERVAL_S)][1:]
    assert cuts
    assert not [i for i in cuts if 0 < i < 20 + 10 + 2]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda table: [table[1], table[0], *table[2:]], "times that rise"),
        (lambda table: [[cell[:19], *rest] for cell, *rest in table], "add the offset"),
        (lambda table: [[at, "-", *rest] for at, _, *rest in table], "left out"),
        (lambda table: [[*one[:2], "-1", one[3]] for one in table], ">= 0 requests/s"),
        (
            lambda table: [[at, f"{1e3 * float(w):.0f}", *more] for at, w, *more in table],
            "the unit",
        ),
        (lambda table: table[:15], "give the recording of the event"),
    ],
)
def test_what_is_wrong_is_one_line(damage: object, says: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", damage(rows()))  # type: ignore[operator]
    with pytest.raises(InputError, match=says) as error:
        replay_recording(spec(), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"columns": {"load.llama70b.interactive": {"column": "a"}}}, "map every class"),
        ({"columns": {}, "load": "recorded"}, "from_power"),
        ({"baseline": "yesterday"}, "last_value"),
        ({"beginning": None}, "beginning.pools.NAME"),
        ({"site": "nowhere.toml"}, "correct the name or the path"),
    ],
)
def test_what_does_not_fit_is_one_line(
    change: dict[str, object], says: str, tmp_path: Path
) -> None:
    write_csv(tmp_path / "recording.csv", rows())
    with pytest.raises(InputError, match=says):
        replay_recording(spec(**change), tmp_path)  # type: ignore[arg-type]


def test_a_missing_column_is_one_line(tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", rows(), header="time,watts,a,b")
    with pytest.raises(InputError, match="grid_w"):
        replay_recording(spec(), tmp_path)


def test_overlapping_events_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "recording.csv", rows())
    (event,) = spec().events
    later = event.model_copy(update={"id": "second"})  # type: ignore[union-attr]
    twice = [event.model_dump(mode="json"), later.model_dump(mode="json")]  # type: ignore[union-attr]
    with pytest.raises(InputError, match="one by one"):
        replay_recording(spec(events=twice), tmp_path)


def test_what_a_locked_clock_costs_is_not_told_as_nothing(tmp_path: Path) -> None:
    site = load_site("powerd-lab-phase-a").model_dump(mode="json")
    site["pools"][POOL]["clock_lock"] = {
        "clock_model": "v100-sm-clock",
        "clock_range_mhz": [945.0, 1380.0],
    }
    (tmp_path / "site.json").write_text(json.dumps(site), "utf-8")
    write_csv(tmp_path / "recording.csv", rows())
    found = summary_of(replay_recording(spec(site="site.json"), tmp_path))
    assert found.ebplan_money.compute is None
    assert found.ebplan_money.battery is None
    assert any("clock may be locked" in line for line in found.cannot_tell)
    told = {name: amount for name, _, amount in money_rows(found)}
    assert told["compute lost, late, switched"] == "not priced"

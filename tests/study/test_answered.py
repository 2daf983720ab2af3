"""Plans that batteries can carry out, and runs that go on whatever load and calls come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from study_cases import all_accepted, battery, group, service, study

from ebplan.study import kept
from ebplan.study.clock import Clock, Planning
from ebplan.study.decisions import Track
from ebplan.study.foresight import foresee
from ebplan.study.invariants import hold
from ebplan.study.ledger import absent_of, settle
from ebplan.study.numbers import Gate, ServiceNumbers, StudyNumbers
from ebplan.study.receding import Receding

DAY = 48


def receding(numbers: StudyNumbers) -> Track:
    planning = Planning(whole_bids=False)
    track = Receding(numbers, all_accepted(numbers), Clock(), planning).run()
    hold(numbers, track, settle(numbers, track))
    return track


def two_days(product: ServiceNumbers, before: float, after: float, **limits: float) -> StudyNumbers:
    """Return a load that is another one on the second day, beside 50 kWh and 100 kW."""
    load = [before] * DAY + [after] * DAY
    site = group(2 * DAY, baseline_kw=load, battery=battery(50, 100, start_kwh=25.0), products=1)
    site = replace(site, **limits)
    return study([10.0] * (2 * DAY), site, services=(product,), terminal=10.0, steps_per_day=DAY)


def test_no_room_is_planned_that_only_burning_energy_would_make() -> None:
    """20 kW of load take 10 / 0.9 kWh out of the full cells; a kW to absorb asks for 0.225 kWh."""
    product = service(
        2, releases=False, absorbs=True, sustain_s=0.0, room_s=900.0, price=6.0, activation=0.0
    )
    cells = battery(50, 100, start_kwh=50.0, efficiency=0.9)
    site = replace(group(2, baseline_kw=20.0, battery=cells, products=1), export_kw=0.0)
    numbers = study([10.0, 10.0], site, services=(product,), terminal=10.0)
    track = foresee(numbers, all_accepted(numbers))
    hold(numbers, track, settle(numbers, track))
    assert track.award_kw[0] == pytest.approx([0.0, 10.0 / 0.9 / 0.225], abs=1e-6)
    assert absent_of(numbers, track).max() == pytest.approx(0.0, abs=1e-6)


def test_what_is_called_beyond_the_cells_is_missed_and_the_study_goes_on() -> None:
    called = np.array([0.0] * DAY + [0.9] * DAY)
    calls: dict[str, Any] = {"expected_absorption": 0.45, "highest_absorption": 0.9}
    down = service(
        2 * DAY, releases=False, absorbs=True, sustain_s=0.0, room_s=900.0, absorption=called,
        **calls,
    )  # fmt: skip
    # to absorb: a load that falls leaves nothing to discharge into
    track = receding(two_days(down, 200.0, 10.0, export_kw=0.0))
    assert track.groups[0].missed_kwh.sum() > 1.0
    # to release: a load at the limit of the connection leaves nothing to charge with
    up = service(2 * DAY, sustain_s=900.0, activation=called.tolist())
    track = receding(two_days(up, 100.0, 195.0, import_kw=200.0))
    assert track.groups[0].missed_kwh.sum() > 1.0


def test_a_gate_may_close_in_the_first_step_of_a_study() -> None:
    product = service(2 * DAY, sustain_s=1800.0, gate=Gate(bid=0, known=20))
    track = receding(two_days(product, 200.0, 200.0))
    assert track.award_kw[0].min() == pytest.approx(50.0)


def test_a_run_kept_with_other_columns_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimpleNamespace(seed=1, policy=SimpleNamespace(model_dump_json=lambda: "{}"))
    built: Any = SimpleNamespace(spec=spec, numbers=study([10.0], group(1)))
    key = kept.track_key(built, "myopic")
    assert kept.track_key(built, "myopic") == key

    @dataclass(frozen=True)
    class Before:
        charge_kw: float

    monkeypatch.setattr(kept, "GroupTrack", Before)
    assert kept.track_key(built, "myopic") != key


@pytest.mark.parametrize("way", ["release", "absorb"])
def test_a_contract_is_held_to_the_end_of_the_study(way: str) -> None:
    facts: dict[str, Any] = {"contract_kw": 50.0, "gate": None, "sustain_s": 900.0}
    if way == "absorb":
        facts |= {"sustain_s": 0.0, "releases": False, "absorbs": True, "room_s": 900.0}
    numbers = two_days(service(2 * DAY, **facts), 200.0, 200.0)
    track = receding(numbers)
    assert track.award_kw[0] == pytest.approx(50.0)
    assert absent_of(numbers, track).max() == pytest.approx(0.0, abs=1e-6)

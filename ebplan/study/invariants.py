"""What must hold of every study, to the yen and the watt-hour; a study in which it does not fails.

The sums are formed anew from what was decided, by another way than the ledger and the program.
"""

from __future__ import annotations

import numpy as np

from ebplan.errors import EbplanError
from ebplan.solvers.program import FloatArray
from ebplan.study.decisions import Track
from ebplan.study.ledger import Ledger, absent_kw, unabsorbed_kw
from ebplan.study.numbers import StudyNumbers, levy_per_kwh

WH = 1e-3
"""A watt-hour in kWh: energies are held to it in each step, or to a share of 1e-9."""
KW = 1e-2
KW_SHARE = 2e-6
"""Powers at the connection point are held to ten watts and this share: twice what the ledger takes
for rounding."""
YEN = 1e-2
"""Money is held to a hundredth, or to a share of 1e-9."""
SHARE = 1e-9


class StudyBroken(EbplanError):
    """A study whose books do not balance: a fault of the program, not of the input."""

    exit_code = 4


def hold(numbers: StudyNumbers, track: Track, ledger: Ledger) -> None:
    """Assert what must hold.

    Raises:
        StudyBroken: it does not; the message says what, where, and by how much.
    """
    _hold_energy(numbers, track, ledger)
    _hold_batteries(numbers, track)
    _hold_awards(numbers, track)
    _hold_meters(numbers, track)
    _hold_money(numbers, track, ledger)


def _near(what: str, left: FloatArray, right: FloatArray, least: float | FloatArray) -> None:
    apart = np.abs(np.asarray(left) - np.asarray(right))
    allowed = np.maximum(least, SHARE * np.abs(np.asarray(right)))
    if (apart > allowed).any():
        at = int(np.argmax(apart - allowed))
        raise StudyBroken(
            f"{what} does not balance in step {at}: {float(np.ravel(apart)[at]):.6g} apart"
        )


def _hold_energy(numbers: StudyNumbers, track: Track, ledger: Ledger) -> None:
    """What is drawn is what is bought, and what is off the plan."""
    hours = numbers.hours
    bought = (track.position_kw + track.bought_kw - track.sold_kw) * hours
    drawn = ledger.grid_kw * hours
    _near(
        "energy bought and drawn",
        drawn,
        bought
        + ledger.imbalance_kwh
        - ledger.delivered_kwh.sum(axis=0)
        + ledger.absorbed_kwh.sum(axis=0),
        WH,
    )
    baseline = sum(float(g.baseline_kw.sum()) for g in numbers.groups) * hours
    compute = called = net = 0.0
    for done in track.groups:
        compute += float(done.release_kw.sum()) * hours
        for i, service in enumerate(numbers.services):
            compute += float((service.activation @ done.compute_award_kw[i]).sum()) * hours
        called += float((done.battery_called_kwh - done.battery_absorbed_kwh).sum())
        net += float((done.discharge_kw - done.charge_kw).sum()) * hours
    _near(
        "energy of the period",
        np.array([drawn.sum()]),
        np.array([baseline - compute - net - called]),
        WH,
    )


def _hold_batteries(numbers: StudyNumbers, track: Track) -> None:
    for group, done in zip(numbers.groups, track.groups, strict=True):
        if group.battery is None:
            continue
        problem = group.battery.problem
        out = done.discharge_kw * numbers.hours + done.battery_called_kwh.sum(axis=0)
        into = done.charge_kw * numbers.hours + done.battery_absorbed_kwh.sum(axis=0)
        _near(
            f"the battery of {group.name}",
            np.diff(done.energy_kwh),
            into * group.battery.charge_efficiency - out / group.battery.discharge_efficiency,
            WH,
        )
        both = np.minimum(done.charge_kw, done.discharge_kw)
        _near(f"one direction of the battery of {group.name}", both, np.zeros_like(both), WH)
        low, high = problem.min_kwh, problem.max_kwh
        _near(
            f"the limits of the battery of {group.name}",
            done.energy_kwh,
            np.clip(done.energy_kwh, low, high),
            WH,
        )


def _hold_awards(numbers: StudyNumbers, track: Track) -> None:
    for i, service in enumerate(numbers.services):
        held, absorbed = np.zeros(numbers.steps), np.zeros(numbers.steps)
        for done in track.groups:
            held += done.battery_award_kw[i] + done.compute_award_kw[i].sum(axis=1)
            held += done.lacking_kw[i]
            absorbed += done.absorb_award_kw[i]
        for way, sold, there in (
            ("release", service.releases, held),
            ("absorb", service.absorbs, absorbed),
        ):
            award = track.award_kw[i] if sold else np.zeros(numbers.steps)
            _near(f"what is held for {service.id} to {way}", there, award, 1e-3)


def _hold_meters(numbers: StudyNumbers, track: Track) -> None:
    """No connection point carries more than it may, and nobody is paid for more than it can show.

    Calls apart: what of them the meter cannot show is absent. A draw above the limit without any
    grid action is the site's own.
    """
    for group, done in zip(numbers.groups, track.groups, strict=True):
        draw = group.baseline_kw - done.release_kw.sum(axis=1) + done.charge_kw - done.discharge_kw
        most = np.maximum(group.import_kw, group.baseline_kw)
        least = KW + KW_SHARE * np.abs(draw)
        carried = np.clip(draw, -group.export_kw, most)
        _near(f"the connection point of {group.name}", draw, carried, least)
        held = done.battery_award_kw.sum(axis=0) + done.compute_award_kw.sum(axis=(0, 2))
        there = held - absent_kw(numbers, group, done).sum(axis=0)
        shown = np.minimum(there, np.maximum(draw + group.export_kw, 0.0))
        _near(f"what the meter of {group.name} shows", there, shown, KW + KW_SHARE * held)
        held = done.absorb_award_kw.sum(axis=0)
        there = held - unabsorbed_kw(numbers, group, done).sum(axis=0)
        shown = np.minimum(there, np.maximum(group.import_kw - draw, 0.0))
        _near(f"what {group.name} absorbs", there, shown, KW + KW_SHARE * held)


def _hold_money(numbers: StudyNumbers, track: Track, ledger: Ledger) -> None:
    """Energy is paid by what was drawn: position and trades at their prices, the rest imbalance."""
    market, hours = numbers.market, numbers.hours
    paid = market.spot_per_kwh * track.position_kw * hours
    booked = ledger.of["inference", "energy"] + ledger.of["arbitrage", "day_ahead"]
    _near("money for energy day-ahead", -booked, paid, YEN)
    levied = sum(v for (layer, _), v in ledger.of.items() if layer in ("wheeling", "carbon"))
    owed = np.zeros(numbers.steps)
    for group, draw in zip(numbers.groups, _draws(numbers, track), strict=True):
        owed += levy_per_kwh(market, group) * draw * hours
    _near("money for wheeling and carbon", -np.asarray(levied), owed, YEN)
    months = np.unique(numbers.month)
    parts = [sum(float(v[numbers.month == m].sum()) for v in ledger.of.values()) for m in months]
    _near("money of the months", np.array([sum(parts)]), np.array([ledger.total]), YEN)
    charged = sum(float(v.sum()) for (layer, _), v in ledger.of.items() if layer == "demand_charge")
    due = sum(
        group.demand_per_kw_month[m] * max(float(draw[numbers.month == m].max()), 0.0)
        for group, draw in zip(numbers.groups, _draws(numbers, track), strict=True)
        for m in months
    )
    _near("demand charges", np.array([-charged]), np.array([due]), YEN)


def _draws(numbers: StudyNumbers, track: Track) -> list[FloatArray]:
    draws = []
    for group, done in zip(numbers.groups, track.groups, strict=True):
        draw = group.baseline_kw - done.release_kw.sum(axis=1) + done.charge_kw - done.discharge_kw
        called = (done.battery_called_kwh - done.battery_absorbed_kwh).sum(axis=0)
        draw = draw - called / numbers.hours
        for i, service in enumerate(numbers.services):
            draw = draw - service.activation * done.compute_award_kw[i].sum(axis=1)
        draws.append(draw)
    return draws

"""What was decided for each step, and what became of it: arrays over the whole period.

T steps, S products, K slices of a group's compute frontier, J depth segments of its battery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ebplan.solvers.blocks.wear import layer_widths_kwh, layers_at_start_kwh
from ebplan.solvers.program import FloatArray
from ebplan.study.moment import GroupPlan, WindowPlan
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, StudyNumbers


@dataclass(frozen=True)
class GroupTrack:
    """A group over the period."""

    charge_kw: FloatArray
    """Shape (T,)."""
    discharge_kw: FloatArray
    """Besides what products call, shape (T,)."""
    energy_kwh: FloatArray
    """In the cells at step edges, shape (T + 1,)."""
    layers_kwh: FloatArray
    """Energy by depth layer at step edges, shape (T + 1, J)."""
    release_kw: FloatArray
    """Planned, shape (T, K)."""
    battery_award_kw: FloatArray
    """To release, shape (S, T)."""
    compute_award_kw: FloatArray
    """To release, shape (S, T, K)."""
    absorb_award_kw: FloatArray
    """By the battery, to absorb, shape (S, T)."""
    battery_called_kwh: FloatArray
    """Released by the battery for products, shape (S, T)."""
    battery_absorbed_kwh: FloatArray
    """Absorbed by the battery for products, shape (S, T)."""
    missed_kwh: FloatArray
    """Called either way and not delivered, shape (S, T)."""
    lacking_kw: FloatArray
    """Held by compute that is not there at the load that came, shape (S, T)."""


@dataclass(frozen=True)
class Track:
    """The whole portfolio over the period, as decided and as it came."""

    groups: tuple[GroupTrack, ...]
    position_kw: FloatArray
    """Bought day-ahead, shape (T,)."""
    bought_kw: FloatArray
    """Bought intraday, shape (T,)."""
    sold_kw: FloatArray
    """Sold intraday, shape (T,)."""
    bid_kw: FloatArray
    """Shape (S, T)."""
    award_kw: FloatArray
    """Shape (S, T)."""


def empty_track(numbers: StudyNumbers) -> Track:
    """Return a track in which nothing has happened, the batteries as they are at the start."""
    steps, products = numbers.steps, len(numbers.services)
    groups = []
    for group in numbers.groups:
        layers = start_layers(group)
        energy = np.zeros(steps + 1)
        energy[0] = group.battery.start_kwh if group.battery else 0.0
        track = np.zeros((steps + 1, len(layers)))
        track[0] = layers
        groups.append(
            GroupTrack(
                charge_kw=np.zeros(steps),
                discharge_kw=np.zeros(steps),
                energy_kwh=energy,
                layers_kwh=track,
                release_kw=np.zeros((steps, group.slices)),
                battery_award_kw=np.zeros((products, steps)),
                compute_award_kw=np.zeros((products, steps, group.slices)),
                absorb_award_kw=np.zeros((products, steps)),
                battery_called_kwh=np.zeros((products, steps)),
                battery_absorbed_kwh=np.zeros((products, steps)),
                missed_kwh=np.zeros((products, steps)),
                lacking_kw=np.zeros((products, steps)),
            )
        )
    return Track(
        groups=tuple(groups),
        position_kw=np.zeros(steps),
        bought_kw=np.zeros(steps),
        sold_kw=np.zeros(steps),
        bid_kw=np.zeros((products, steps)),
        award_kw=np.zeros((products, steps)),
    )


def start_layers(group: GroupNumbers) -> FloatArray:
    """Return the energy by depth layer when the study begins, shape (J,)."""
    if group.battery is None or not group.battery.problem.depth_segments:
        return np.zeros(0)
    return layers_at_start_kwh(group.battery.problem)


def carry(
    numbers: StudyNumbers, track: Track, plan: WindowPlan, first: int, count: int, at: int = 0
) -> None:
    """Carry out steps of a plan: what comes are calls and load, not what was expected.

    Args:
        numbers: the study.
        track: written from step ``first`` on.
        plan: its step ``at`` is the study's step ``first``.
        first: first step.
        count: number of steps.
        at: first step of the plan.
    """
    now, then = slice(first, first + count), slice(at, at + count)
    for group, done, planned in zip(numbers.groups, track.groups, plan.groups, strict=True):
        _carry_compute(numbers, group, done, planned, now, then)
        done.battery_award_kw[:, now] = planned.battery_award_kw[:, then]
        done.absorb_award_kw[:, now] = planned.absorb_award_kw[:, then]
        done.charge_kw[now] = planned.charge_kw[then]
        done.discharge_kw[now] = planned.discharge_kw[then]
        if group.battery is not None:
            _one_way(group.battery, done, now)
            _within_meter(group, done, now)
            for step in range(first, first + count):
                _carry_battery(numbers, group, done, step)


def _carry_compute(
    numbers: StudyNumbers,
    group: GroupNumbers,
    done: GroupTrack,
    planned: GroupPlan,
    now: slice,
    then: slice,
) -> None:
    """Let compute do what it can at the load that came: the rest of what it held is lacking."""
    width, hours = group.width_kw[now], numbers.hours
    done.release_kw[now] = np.minimum(planned.release_kw[then], width)
    promised = planned.compute_award_kw[:, then]
    total = promised.sum(axis=0)
    room = width - done.release_kw[now]
    share = np.divide(room, total, out=np.ones_like(total), where=total > room)
    done.compute_award_kw[:, now] = promised * share
    lacking = (promised * (1.0 - share)).sum(axis=2)
    done.lacking_kw[:, now] = lacking
    called = np.array([service.activation[now] for service in numbers.services])
    done.missed_kwh[:, now] = called.reshape(lacking.shape) * lacking * hours


def _within_meter(group: GroupNumbers, done: GroupTrack, steps: slice) -> None:
    """Take out of a plan what the connection cannot carry at the load that came."""
    load = group.baseline_kw[steps] - done.release_kw[steps].sum(axis=1)
    room, cover = np.maximum(group.import_kw - load, 0.0), np.maximum(load + group.export_kw, 0.0)
    done.charge_kw[steps] = np.minimum(done.charge_kw[steps], room)
    done.discharge_kw[steps] = np.minimum(done.discharge_kw[steps], cover)


def _one_way(battery: BatteryNumbers, done: GroupTrack, steps: slice) -> None:
    """Take out of a plan what it charges and discharges at once: the cells hold the same after.

    Where energy costs less than nothing a linear program burns it between the two; a converter
    cannot, so that what was planned to be burnt is not drawn.
    """
    into = done.charge_kw[steps] * battery.charge_efficiency
    burnt = np.minimum(into, done.discharge_kw[steps] / battery.discharge_efficiency)
    done.charge_kw[steps] -= burnt / battery.charge_efficiency
    done.discharge_kw[steps] -= burnt * battery.discharge_efficiency


def _carry_battery(numbers: StudyNumbers, group: GroupNumbers, done: GroupTrack, step: int) -> None:
    """Move the battery one step on: what is called comes first, then what was planned.

    A step is known by its means: what is absorbed in it may be released in it again.
    """
    battery, hours = group.battery, numbers.hours
    assert battery is not None
    problem, energy = battery.problem, float(done.energy_kwh[step])
    charged = float(done.charge_kw[step]) * hours
    offered = np.array([service.absorption[step] for service in numbers.services])
    offered = offered * done.absorb_award_kw[:, step] * hours
    there = energy + (charged + float(offered.sum())) * battery.charge_efficiency - problem.min_kwh
    there = max(there, 0.0) * battery.discharge_efficiency
    taken = 0.0
    for i, service in enumerate(numbers.services):
        called = float(service.activation[step] * done.battery_award_kw[i, step]) * hours
        given = min(called, there - taken)
        done.battery_called_kwh[i, step] = given
        done.missed_kwh[i, step] += called - given
        taken += given
    discharged = min(float(done.discharge_kw[step]) * hours, there - taken)
    out = (discharged + taken) / battery.discharge_efficiency
    room = max(problem.max_kwh - energy + out, 0.0) / battery.charge_efficiency
    absorbed = 0.0
    for i, called in enumerate(offered.tolist()):
        taken_in = min(called, room - absorbed)
        done.battery_absorbed_kwh[i, step] = taken_in
        done.missed_kwh[i, step] += called - taken_in
        absorbed += taken_in
    charged = min(charged, room - absorbed)
    done.charge_kw[step], done.discharge_kw[step] = charged / hours, discharged / hours
    after = energy + (charged + absorbed) * battery.charge_efficiency - out
    done.energy_kwh[step + 1] = after
    done.layers_kwh[step + 1] = layers_after(group, done.layers_kwh[step], after - energy)


def layers_after(group: GroupNumbers, layers: FloatArray, change: float) -> FloatArray:
    """Return the energy by layer after a change: shallow layers give and take first."""
    if not len(layers):
        return layers
    assert group.battery is not None
    room = layers if change < 0.0 else layer_widths_kwh(group.battery.problem) - layers
    before = np.append(0.0, np.cumsum(room)[:-1])
    return np.asarray(layers + np.sign(change) * np.clip(abs(change) - before, 0.0, room))

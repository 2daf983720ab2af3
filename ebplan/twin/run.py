"""Carry a plan out on a plant: each command at its time, and measurements along the way."""

from __future__ import annotations

from collections.abc import Iterable

from ebplan.adapters.commands import Command, HoldConnectionPoint, commands
from ebplan.errors import InputError
from ebplan.plan import Plan
from ebplan.twin.plant import Measurements, Plant

SAME_TIME_S = 1e-6


def carry_out(
    plan: Plan, plant: Plant, dt_s: float, *, measure_at_s: Iterable[float] = ()
) -> list[Measurements]:
    """Carry a plan out, its second 0 being now, and return what is measured until its end.

    A draw to hold is sent the converter's delay ahead, so that it holds when it should.

    Args:
        plan: the plan; its converter says how long the delay is.
        plant: what carries it out.
        dt_s: a measurement at least this often. A command is sent at its own time, and a shorter
            step ends there.
        measure_at_s: further times of the plan at which a step ends.

    Raises:
        InputError: ``dt_s`` is no time.
    """
    if not dt_s > 0.0:
        raise InputError(field="dt_s", value=dt_s, allowed="> 0 s", remedy="let some time pass")
    delay_s = 0.0 if plan.converter is None else plan.converter.delay_s
    end_s = plan.steps[-1].t_s + plan.steps[-1].duration_s
    due = [(_sent_s(command, delay_s), command) for command in commands(plan)]
    due.sort(key=lambda entry: entry[0])  # stable: the safe order stays
    even = (k * dt_s for k in range(1, int(end_s / dt_s) + 1))
    stops = sorted({*even, *(at_s for at_s, _ in due), *measure_at_s, end_s})
    measured: list[Measurements] = []
    begin_s, now_s, told = plant.now_s, 0.0, 0
    for stop_s in (s for s in stops if s <= end_s):
        if stop_s <= now_s + SAME_TIME_S:
            continue
        first = told
        while told < len(due) and due[told][0] <= now_s + SAME_TIME_S:
            told += 1
        now_commands = [command for _, command in due[first:told]]
        measured.append(plant.step(now_commands, begin_s + stop_s - plant.now_s))
        now_s = stop_s
    return measured


def _sent_s(command: Command, delay_s: float) -> float:
    ahead_s = delay_s if isinstance(command, HoldConnectionPoint) else 0.0
    return max(command.at_s - ahead_s, 0.0)

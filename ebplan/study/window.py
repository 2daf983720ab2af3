"""The co-optimisation of a window of steps: columns, rows, and the vectors written into them.

One program serves every moment of the market's clock: what has been fixed (a spot position, an
award) is a column whose bounds have met. Minimised is money paid, so revenue is negative.

| symbol | name             | meaning                                                    | shape   |
|--------|------------------|------------------------------------------------------------|---------|
| c_t    | G.charge         | battery, kW at the connection point                        | (T,)    |
| d_t    | G.discharge      |                                                            | (T,)    |
| e_t    | G.energy         | energy in the cells at step edges, kWh                     | (T + 1,)|
| r_kt   | G.release.K      | planned release by slice k of the compute frontier         | (T,)    |
| g_t    | G.grid           | planned draw                                               | (T,)    |
| b_st   | G.S.battery      | part of the award that the battery carries, to release     | (T,)    |
| a_skt  | G.S.compute.K    | part that compute carries, by slice, to release            | (T,)    |
| n_st   | G.S.absorb       | part that the battery carries, to absorb                   | (T,)    |
| A_st   | S.award          | award of product s, of all groups                          | (T,)    |
| q_t    | position         | energy bought day-ahead, as power                          | (T,)    |
| u_t,v_t| bought, sold     | intraday, as power                                         | (T,)    |
| z_t    | G.uncovered_kwh  | energy missing below what awards ask for                   | (T,)    |
| y_t    | G.uncovered_kw   | power missing below what awards ask for                    | (T,)    |
| z'_t   | G.unstored_kwh   | room missing below what awards ask for, to absorb          | (T,)    |
| y'_t   | G.unabsorbed_kw  | power missing below what awards ask for, to absorb         | (T,)    |
| l_t    | G.lacking        | compute missing for given awards; only without a battery   | (T,)    |
| m_1,m_2| G.peak           | highest draw of the first and the last month in the window | (2,)    |

energy     e_t+1 = e_t + h (eta_c c_t - d_t / eta_d)
                   + h sum_s (eta_c f'_st n_st - f_st b_st / eta_d)
draw       g_t = L_t - sum_k r_kt + c_t - d_t
position   sum_G g_t = q_t + u_t - v_t
award      A_st = sum_G (b_st + sum_k a_skt), the same throughout a block of the product
power      d_t - c_t + sum_s (b_st + o_s n_st)
                     + sum_{s faster than compute} sum_k a_skt <= P + y_t
reserve    e_t, e_t+1 + z_t >= e_min + sum_s b_st sustain_s / eta_d
                                 + sum_{s faster than compute} sum_k a_skt bridge / eta_d
compute    r_kt + sum_s a_skt <= w_kt, + l_t for the last slice
export     g_t - sum_s (b_st + sum_k a_skt) + y_t >= -export limit
peak       g_t <= m_1 or m_2, by the month of t

and where a product absorbs, or asks for power in the other direction (o_s) or beyond its award
(R_s, R the largest):

absorb     A_st = sum_G n_st
charging   c_t - d_t + sum_s (n_st + o_s b_st) <= P' + y'_t
room       e_t, e_t+1 - z'_t <= e_max - eta_c sum_s n_st room_s
import     g_t + sum_s n_st - y'_t <= import limit
peak       g_t + sum_s F'_st n_st <= m_1 or m_2
rated      sum_s R_s b_st <= P + R y_t,  sum_s R_s n_st <= P' + R y'_t, over products with R_s > 1

f_st and f'_st are the shares of an award that are called on average, F'_st the highest that may be
called in a step: a month's peak is what was drawn, not what was planned. A battery answers a fast
product whole at once and hands over to compute as that settles: so its power covers the whole
award, and its energy what it sustains itself and the bridge for the rest. To absorb there is the
battery alone: a baseline serves all its load, and compute has nothing more to do. What is missing
for an award that has been given is priced (z, y), up to what that award itself asks for; for one
that is open nothing may be missing. Calls that the cells cannot carry stand in the row of energy as
well (G.uncalled, G.unfilled), where else there is no plan (``answered.py``). Wear:
``solvers/blocks/wear.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ebplan.solvers.blocks.wear import add_wear
from ebplan.solvers.live import LiveProgram
from ebplan.solvers.program import IndexArray, Program, ProgramBuilder, Term
from ebplan.study.numbers import GroupNumbers, ServiceNumbers

FAR_KW = 1e7
"""A bound that never binds, where a column needs one."""


@dataclass(frozen=True)
class AwardColumns:
    """What a group holds for one product."""

    battery: IndexArray | None
    """Shape (T,)."""
    compute: tuple[IndexArray, ...]
    """By slice, each of shape (T,)."""
    absorb: IndexArray | None
    """Shape (T,)."""

    def all(self) -> list[Term]:
        """Return all that is held to release as terms of a row."""
        parts = [*self.compute] if self.battery is None else [self.battery, *self.compute]
        return [(1.0, part) for part in parts]


@dataclass(frozen=True)
class GroupColumns:
    """Columns of a group."""

    charge: IndexArray | None
    discharge: IndexArray | None
    energy: IndexArray | None
    uncovered_kwh: IndexArray | None
    uncovered_kw: IndexArray
    lacking: IndexArray | None
    unstored_kwh: IndexArray | None
    unabsorbed_kw: IndexArray | None
    uncalled: IndexArray | None
    """Energy in the cells that calls would take and is not there: opened where else no plan is."""
    unfilled: IndexArray | None
    """Energy that calls would fill into them and has no room: the same."""
    release: tuple[IndexArray, ...]
    grid: IndexArray
    awards: tuple[AwardColumns, ...]
    peak: IndexArray


@dataclass(frozen=True)
class Columns:
    """Columns of the program."""

    groups: tuple[GroupColumns, ...]
    award: tuple[IndexArray, ...]
    """By product, each of shape (T,)."""
    position: IndexArray
    bought: IndexArray
    sold: IndexArray


@dataclass(frozen=True)
class Shape:
    """What the entries of the program depend on: while it is equal, only vectors change."""

    hours: tuple[float, ...]
    """Length of each step, (T,)."""
    activation: tuple[tuple[float, ...], ...]
    """f_st, (S, T)."""
    absorption: tuple[tuple[float, ...], ...]
    """f'_st, (S, T)."""
    highest: tuple[tuple[float, ...], ...]
    """F'_st, (S, T)."""


class Window:
    """The program of one shape, live.

    Args:
        shape: steps, and what is expected to be called.
        groups: their limits and efficiencies; arrays over the period are not looked at.
        services: their speed and sustain time.
        method: see ``LiveProgram``.
    """

    def __init__(
        self,
        shape: Shape,
        groups: Sequence[GroupNumbers],
        services: Sequence[ServiceNumbers],
        *,
        method: str = "simplex",
    ) -> None:
        self.shape, self.groups, self.services = shape, tuple(groups), tuple(services)
        self.hours = np.array(shape.hours)
        builder = ProgramBuilder()
        self.columns = self._state(builder)
        self.program: Program = builder.build()
        self.base_cost = self.program.cost
        self.row_ranges = {g.name: slice(g.start, g.start + g.size) for g in self.program.rows}
        self.live = LiveProgram(self.program, method=method)

    @property
    def steps(self) -> int:
        """Number T of steps."""
        return len(self.hours)

    @property
    def both_ways(self) -> bool:
        """Whether a product absorbs, or asks for more power of a battery than its award."""
        return any(s.absorbs or s.opposite > 0.0 or s.rated > 1.0 for s in self.services)

    def _state(self, builder: ProgramBuilder) -> Columns:
        steps = self.steps
        awards = tuple(
            builder.variables(f"{s.id}.award", steps, upper=s.max_bid_kw) for s in self.services
        )
        position = builder.variables("position", steps, lower=-FAR_KW, upper=FAR_KW)
        bought = builder.variables("bought", steps, upper=FAR_KW)
        sold = builder.variables("sold", steps, upper=FAR_KW)
        builder.cost("energy", position, 0.0)  # prices are written for each moment
        groups = tuple(self._state_group(builder, group) for group in self.groups)
        builder.rows(
            "position",
            steps,
            [
                (1.0, position),
                (1.0, bought),
                (-1.0, sold),
                *((-1.0, columns.grid) for columns in groups),
            ],
            lower=0.0,
            upper=0.0,
        )
        for i, service in enumerate(self.services):
            held = [term for columns in groups for term in columns.awards[i].all()]
            parts = [g.awards[i].absorb for g in groups]
            absorbed: list[Term] = [(1.0, part) for part in parts if part is not None]
            for way, offered, carried in (
                ("award", service.releases, held),
                ("absorb", service.absorbs, absorbed),
            ):
                if offered:
                    award: list[Term] = [(-1.0, awards[i]), *carried]
                    builder.rows(f"{service.id}.{way}", steps, award, lower=0.0, upper=0.0)
            if service.block > 1:
                change: list[Term] = [(1.0, awards[i][1:]), (-1.0, awards[i][:-1])]
                builder.rows(f"{service.id}.block", steps - 1, change, lower=-FAR_KW, upper=FAR_KW)
        return Columns(groups, awards, position, bought, sold)

    def _state_group(self, builder: ProgramBuilder, group: GroupNumbers) -> GroupColumns:
        steps, name, battery = self.steps, group.name, group.battery
        charge = discharge = energy = uncovered_kwh = unstored_kwh = unabsorbed_kw = None
        lacking = uncalled = unfilled = None
        if battery is None and group.slices:
            # opened where load is a forecast, and may turn out lower than what was bid on
            lacking = builder.variables(f"{name}.lacking", steps, upper=0.0)
        if battery is not None:
            limits = battery.problem
            charge = builder.variables(f"{name}.charge", steps, upper=limits.charge_limit_kw)
            discharge = builder.variables(
                f"{name}.discharge", steps, upper=limits.discharge_limit_kw
            )
            energy = builder.variables(
                f"{name}.energy", steps + 1, lower=limits.min_kwh, upper=limits.max_kwh
            )
            uncovered_kwh = builder.variables(f"{name}.uncovered_kwh", steps, upper=FAR_KW)
            uncalled = builder.variables(f"{name}.uncalled", steps, upper=0.0)
            if self.both_ways:
                unfilled = builder.variables(f"{name}.unfilled", steps, upper=0.0)
                unstored_kwh = builder.variables(f"{name}.unstored_kwh", steps, upper=FAR_KW)
                unabsorbed_kw = builder.variables(f"{name}.unabsorbed_kw", steps, upper=FAR_KW)
        columns = GroupColumns(
            charge=charge,
            discharge=discharge,
            energy=energy,
            uncovered_kwh=uncovered_kwh,
            uncovered_kw=builder.variables(f"{name}.uncovered_kw", steps, upper=FAR_KW),
            lacking=lacking,
            unstored_kwh=unstored_kwh,
            unabsorbed_kw=unabsorbed_kw,
            uncalled=uncalled,
            unfilled=unfilled,
            release=tuple(
                builder.variables(f"{name}.release.{k}", steps, upper=FAR_KW)
                for k in range(group.slices)
            ),
            grid=builder.variables(
                f"{name}.grid", steps, lower=-group.export_kw, upper=group.import_kw
            ),
            awards=tuple(self._state_award(builder, group, s) for s in self.services),
            peak=builder.variables(f"{name}.peak", 2, upper=FAR_KW),
        )
        self._rows_of_draw(builder, group, columns)
        if battery is not None:
            self._rows_of_battery(builder, group, columns)
            if self.both_ways:
                self._rows_of_absorbing(builder, group, columns)
        return columns

    def _state_award(
        self, builder: ProgramBuilder, group: GroupNumbers, service: ServiceNumbers
    ) -> AwardColumns:
        name, steps = f"{group.name}.{service.id}", self.steps
        most_kw = service.max_bid_kw if service.releases else 0.0
        battery = absorb = None
        if group.battery is not None:
            battery = builder.variables(f"{name}.battery", steps, upper=most_kw)
            if service.absorbs:
                absorb = builder.variables(f"{name}.absorb", steps, upper=service.max_bid_kw)
        return AwardColumns(
            battery=battery,
            compute=tuple(
                builder.variables(f"{name}.compute.{k}", steps, upper=most_kw)
                for k in range(group.slices)
            ),
            absorb=absorb,
        )

    def _rows_of_draw(
        self, builder: ProgramBuilder, group: GroupNumbers, columns: GroupColumns
    ) -> None:
        steps, name = self.steps, group.name
        draw: list[Term] = [(1.0, columns.grid), *((1.0, r) for r in columns.release)]
        if columns.charge is not None and columns.discharge is not None:
            draw += [(1.0, columns.discharge), (-1.0, columns.charge)]
        builder.rows(f"{name}.draw", steps, draw, lower=0.0, upper=0.0)
        for k, release in enumerate(columns.release):
            held: list[Term] = [(1.0, award.compute[k]) for award in columns.awards]
            if columns.lacking is not None and k == group.slices - 1:
                held.append((-1.0, columns.lacking))
            builder.rows(f"{name}.compute.{k}", steps, [(1.0, release), *held], upper=0.0)
        given: list[Term] = [(-1.0, part) for a in columns.awards for _, part in a.all()]
        export: list[Term] = [(1.0, columns.grid), *given, (1.0, columns.uncovered_kw)]
        builder.rows(f"{name}.export", steps, export, lower=-group.export_kw)
        drawn: list[Term] = [(1.0, columns.grid)]
        for called, award in zip(self.shape.highest, columns.awards, strict=True):
            if award.absorb is not None:
                drawn.append((np.array(called), award.absorb))
        for i in range(2):
            peak = np.repeat(columns.peak[i], steps)
            builder.rows(f"{name}.peak.{i}", steps, [*drawn, (-1.0, peak)])
        if group.battery is None:
            for s, award in zip(self.services, columns.awards, strict=True):
                alone: list[Term] = [(1.0, part) for part in award.compute]
                alone.append((-1.0, columns.uncovered_kw))
                builder.rows(f"{name}.{s.id}.alone", steps, alone, upper=FAR_KW)

    def _rows_of_battery(
        self, builder: ProgramBuilder, group: GroupNumbers, columns: GroupColumns
    ) -> None:
        assert group.battery is not None
        assert columns.energy is not None
        assert columns.uncovered_kwh is not None
        assert columns.charge is not None
        assert columns.discharge is not None
        steps, name, battery, hours = self.steps, group.name, group.battery, self.hours
        out = 1.0 / battery.discharge_efficiency
        energy, power, reserve = list[Term](), list[Term](), list[Term]()
        for missed, way in ((columns.uncalled, -1.0), (columns.unfilled, 1.0)):
            if missed is not None:
                energy.append((way, missed))
        for i, (service, award) in enumerate(zip(self.services, columns.awards, strict=True)):
            assert award.battery is not None
            called = np.array(self.shape.activation[i])
            energy.append((hours * called * out, award.battery))
            power.append((1.0, award.battery))
            reserve.append((-service.sustain_s / 3600.0 * out, award.battery))
            if award.absorb is not None:
                called = np.array(self.shape.absorption[i])
                energy.append((-hours * called * battery.charge_efficiency, award.absorb))
                if service.opposite > 0.0:
                    power.append((service.opposite, award.absorb))
            if is_bridged(service, group):
                power += [(1.0, part) for part in award.compute]
                bridge = -group.bridge_s / 3600.0 * out
                reserve += [(bridge, part) for part in award.compute]
        builder.rows(
            f"{name}.energy",
            steps,
            [
                (1.0, columns.energy[1:]),
                (-1.0, columns.energy[:-1]),
                (-hours * battery.charge_efficiency, columns.charge),
                (hours * out, columns.discharge),
                *energy,
            ],
            lower=0.0,
            upper=0.0,
        )
        net: list[Term] = [
            (1.0, columns.discharge),
            (-1.0, columns.charge),
            (-1.0, columns.uncovered_kw),
        ]
        builder.rows(
            f"{name}.power", steps, [*net, *power], upper=battery.problem.discharge_limit_kw
        )
        for edge, at in (("begin", columns.energy[:-1]), ("end", columns.energy[1:])):
            builder.rows(
                f"{name}.reserve.{edge}",
                steps,
                [(1.0, at), (1.0, columns.uncovered_kwh), *reserve],
                lower=battery.problem.min_kwh,
            )
        add_wear(builder, battery.problem, columns.energy, hours, prefix=f"{name}.")

    def _rows_of_absorbing(
        self, builder: ProgramBuilder, group: GroupNumbers, columns: GroupColumns
    ) -> None:
        assert group.battery is not None
        assert columns.energy is not None
        assert columns.unstored_kwh is not None
        assert columns.unabsorbed_kw is not None
        assert columns.charge is not None
        assert columns.discharge is not None
        steps, name, battery = self.steps, group.name, group.battery
        limits, into = battery.problem, battery.charge_efficiency
        power, room, drawn = list[Term](), list[Term](), list[Term]()
        rated: tuple[list[Term], list[Term]] = ([], [])
        for service, award in zip(self.services, columns.awards, strict=True):
            assert award.battery is not None
            if service.opposite > 0.0:
                power.append((service.opposite, award.battery))
            if award.absorb is not None:
                power.append((1.0, award.absorb))
                room.append((service.room_s / 3600.0 * into, award.absorb))
                drawn.append((1.0, award.absorb))
            if service.rated > 1.0:
                rated[0].append((service.rated, award.battery))
                rated[1].extend([(service.rated, n) for n in (award.absorb,) if n is not None])
        net: list[Term] = [
            (1.0, columns.charge),
            (-1.0, columns.discharge),
            (-1.0, columns.unabsorbed_kw),
        ]
        builder.rows(f"{name}.charging", steps, [*net, *power], upper=limits.charge_limit_kw)
        for edge, at in (("begin", columns.energy[:-1]), ("end", columns.energy[1:])):
            held: list[Term] = [(1.0, at), (-1.0, columns.unstored_kwh), *room]
            builder.rows(f"{name}.room.{edge}", steps, held, upper=limits.max_kwh)
        meter: list[Term] = [(1.0, columns.grid), *drawn, (-1.0, columns.unabsorbed_kw)]
        builder.rows(f"{name}.import", steps, meter, upper=group.import_kw)
        for way, most_kw, terms, lacking in (
            ("release", limits.discharge_limit_kw, rated[0], columns.uncovered_kw),
            ("absorb", limits.charge_limit_kw, rated[1], columns.unabsorbed_kw),
        ):
            if terms:
                terms.append((-top_rated(self.services), lacking))
                builder.rows(f"{name}.rated.{way}", steps, terms, upper=most_kw)


def is_bridged(service: ServiceNumbers, group: GroupNumbers) -> bool:
    """Tell whether a product asks for the whole release before compute has settled."""
    return service.releases and service.activation_s < group.settled_s


def top_rated(services: Sequence[ServiceNumbers]) -> float:
    """Return the most power that a product asks a battery for, for each kW that it holds."""
    return max((service.rated for service in services), default=1.0)

"""One mechanism takes over from another, without and with a battery: ``python -m benchmarks.dips``.

Published readings of a cluster of 93 kW in a demand response lie up to 18 kW below the level that
was held, for minutes (``docs/measured_event.md``). What made them is not told. Here the fluid
plant, scaled to that draw, is told what would: power caps hold a level; consolidation takes over,
and is given its lead time before the caps are lifted, so that the level is kept meanwhile. While
both act, the draw lies below it. The same commands again, with the battery told to hold the
level: compute does the same, and the connection point sees nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.dips_figure import draw_swap
from benchmarks.scaling import scaled
from benchmarks.sections import write_section
from benchmarks.subjects import example
from benchmarks.tables import table
from ebplan.adapters.commands import CapPower, Command, HoldConnectionPoint, RestConverter, Route
from ebplan.case import Case
from ebplan.twin import FluidPlant

INSTANCES = 71
"""So many instances of the built-in site draw what the cluster of the published readings does."""
LEAD_S = 360.0
"""Both mechanisms act for so long: the length of the longest published dip in the hold; assumed."""
CAPPED_S, SWAP_S, END_S = 300.0, 1500.0, 2700.0
"""When the caps begin, when consolidation is told, when it is over."""
SETTLED_S = 120.0
"""The caps have settled so long after they began."""
STEP_S = 1.0
DEPTH_SHARE = 0.17
"""Of the draw that each mechanism releases alone; assumed, so that the load is still served."""
DIP_SHARE = 0.05
"""A dip lasts while the draw lies below the level by more than this share of it."""
HEAD = """\
# One mechanism takes over from another

Written by `python -m benchmarks.dips --write docs/dips.md --plot docs/figures/dips.png`; do not
edit.

Published readings of a GPU cluster lie up to 17.9 kW below the level that it held in a demand
response, for up to 7 minutes ([a measured event](measured_event.md)). What made them is not told;
this page shows one cause that would, and what a battery does about it. It does not show that this
was the cause.

Simulated on the fluid plant: the built-in site, scaled to that draw. Power caps hold a level, then
consolidation onto fewer instances takes over. Draining takes time that is not known beforehand, so
the caps stay until the lead time is over, and while both act the draw lies below the level. The
second run is told the same, and its battery to hold the level at the connection point: the plant's
converter follows what it measures there without noise, so that a real one does worse
([reliability](reliability.md) has the controller on meters with noise and faults).

![Draw of the site and power of the battery](figures/dips.png)"""


@dataclass(frozen=True)
class Swap:
    """One run."""

    t_s: list[float]
    grid_kw: list[float]
    battery_kw: list[float]
    level_kw: float
    """What was to be held."""
    cap_w: float
    """Power cap of a GPU that holds it, in watts."""
    active: int
    """Instances that hold it without caps."""
    served: float
    """Requests served by the end."""
    rejected: float
    """Requests turned away by the end."""

    @property
    def off_kw(self) -> list[float]:
        """Draw against the level, from when the caps have settled on."""
        return [
            kw - self.level_kw
            for t, kw in zip(self.t_s, self.grid_kw, strict=True)
            if t >= CAPPED_S + SETTLED_S
        ]

    @property
    def dip_kw(self) -> float:
        """Depth of the dip."""
        return max(0.0, -min(self.off_kw))

    @property
    def over_kw(self) -> float:
        """Farthest above the level."""
        return max(0.0, *self.off_kw)

    @property
    def dip_s(self) -> float:
        """Length of the dip."""
        return STEP_S * sum(-kw > DIP_SHARE * self.level_kw for kw in self.off_kw)

    @property
    def dip_kwh(self) -> float:
        """Energy of what lies below the level."""
        return sum(max(-kw, 0.0) for kw in self.off_kw) * STEP_S / 3600.0


@dataclass(frozen=True)
class Mechanisms:
    """A cap and a count of active instances that hold the same level, each alone."""

    cap: CapPower
    route: Route
    level_kw: float


def site() -> Case:
    """Return the built-in site, scaled to the cluster."""
    return scaled(example("under_frequency"), instances=INSTANCES)


def _settled_kw(case: Case, *commands: Command) -> float:
    """Return what the site settles to."""
    plant = FluidPlant(case.site, case.state)
    plant.step(commands, 600.0)
    kw = plant.step((), 10.0).grid_kw
    assert kw is not None
    return kw


def mechanisms(case: Case) -> Mechanisms:
    """Find two mechanisms that release the same.

    The count is the one that releases most nearly the share; the cap is found by halving on the
    plant.
    """
    (pool,) = case.site.pools
    draw_kw = _settled_kw(case)

    def route(active: int) -> Route:
        return Route(at_s=0.0, pool=pool, active=active, drained=INSTANCES - active)

    def cap(w: float) -> CapPower:
        return CapPower(at_s=0.0, pool=pool, w_per_gpu=w)

    level_kw, active = min(
        ((_settled_kw(case, route(n)), n) for n in range(INSTANCES // 3, INSTANCES)),
        key=lambda found: abs(found[0] - (1.0 - DEPTH_SHARE) * draw_kw),
    )
    low_w, high_w = 200.0, 600.0
    for _ in range(20):
        w = 0.5 * (low_w + high_w)
        low_w, high_w = (w, high_w) if _settled_kw(case, cap(w)) < level_kw else (low_w, w)
    return Mechanisms(cap(high_w), route(active), level_kw)


def run(case: Case, found: Mechanisms, *, battery: bool) -> Swap:
    """Carry the swap out, with the battery holding the level or at rest."""
    (pool,) = case.site.pools
    due: dict[float, list[Command]] = {
        CAPPED_S: [found.cap],
        SWAP_S: [found.route],
        SWAP_S + LEAD_S: [CapPower(at_s=0.0, pool=pool, w_per_gpu=None)],
    }
    if battery:
        due[CAPPED_S].insert(0, HoldConnectionPoint(at_s=0.0, grid_kw=found.level_kw))
        due[END_S - STEP_S] = [RestConverter(at_s=0.0)]
    plant = FluidPlant(case.site, case.state)
    t_s, grid_kw, battery_kw = list[float](), list[float](), list[float]()
    while plant.now_s < END_S - 1e-6:
        t_s.append(plant.now_s)
        seen = plant.step(due.get(round(plant.now_s, 6), []), STEP_S)
        assert seen.grid_kw is not None
        grid_kw.append(seen.grid_kw)
        battery_kw.append(seen.battery_kw)
    reading = seen.pools[pool]
    assert found.cap.w_per_gpu is not None
    assert found.route.active is not None
    return Swap(
        t_s=t_s,
        grid_kw=grid_kw,
        battery_kw=battery_kw,
        level_kw=found.level_kw,
        cap_w=found.cap.w_per_gpu,
        active=found.route.active,
        served=sum(reading.served_requests.values()),
        rejected=sum(reading.rejected_requests.values()),
    )


def section(without: Swap, held: Swap) -> str:
    """Return the numbers of both runs as Markdown."""
    both = (without, held)
    rows = [
        ("farthest below the level", *(f"{one.dip_kw:.1f} kW" for one in both)),
        (f"below it by over {100 * DIP_SHARE:g} %", *(f"{one.dip_s:.0f} s" for one in both)),
        ("energy below it", *(f"{one.dip_kwh:.2f} kWh" for one in both)),
        ("farthest above it", *(f"{one.over_kw:.1f} kW" for one in both)),
        ("battery takes at most", *(f"{max(0.0, -min(one.battery_kw)):.1f} kW" for one in both)),
        ("battery gives at most", *(f"{max(0.0, *one.battery_kw):.1f} kW" for one in both)),
        ("requests served", *(f"{one.served:,.0f}" for one in both)),
        ("requests turned away", *(f"{one.rejected:,.0f}" for one in both)),
    ]
    return "\n".join(
        [
            f"**A hand-over at {without.level_kw:.1f} kW dips by {without.dip_kw:.1f} kW for "
            f"{without.dip_s:.0f} s; with the battery holding the connection point, by "
            f"{held.dip_kw:.1f} kW, at {held.served / without.served:.2%} of the requests "
            "served.**",
            "",
            *table(("", "battery at rest", "battery holds the level"), rows),
            "",
            f"The site draws {without.grid_kw[0]:.1f} kW before; a cap of {without.cap_w:.0f} W "
            f"per GPU hands over to {without.active} of {INSTANCES} instances. Counted from "
            f"{SETTLED_S:.0f} s after the caps begin. Assumed: both act for {LEAD_S / 60:g} min, "
            f"the depth is {100 * DEPTH_SHARE:g} % of the draw.",
        ]
    )


@click.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write the numbers into this page.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw both runs here.")
def main(write: Path | None, plot: Path | None) -> None:
    """Hand over without and with the battery; print what the connection point saw."""
    case = site()
    found = mechanisms(case)
    without, held = (run(case, found, battery=battery) for battery in (False, True))
    text = section(without, held)
    if write is None:
        click.echo(text)
    else:
        write_section(write, "what was done", HEAD)
        write_section(write, "dips", text)
    if plot is not None:
        draw_swap(without, held, path=plot, overlap_s=(SWAP_S, SWAP_S + LEAD_S), end_s=END_S)


if __name__ == "__main__":
    main()

"""How the battery gets its charge back between events: below a limit, and said aloud.

A call leaves the battery emptier or fuller than it should be. At full power a site would be made
ready in minutes, and its draw would rise to the limit of its connection right after it helped the
grid. So the battery may move the draw by no more than

    power_kw = max(rebound limit of the last event, 0.1 x draw of the pools)

until it is ready, unless the site says another power. A time by which it should be ready hurries
nothing: where the power does not suffice, that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from ebplan.document import Fraction, Part, Positive
from ebplan.pose.corrections import battery_as_found
from ebplan.site import Battery, Site
from ebplan.state import State
from ebplan.words import percent_words

DRAW_SHARE = 0.1
"""Of the draw of the pools, by which restoration may move the draw of the site; assumed."""
NEAR_SOC = 0.005
"""Emptier than ready by less is ready."""
CLOSE_SOC = 0.02
"""Fuller than ready by less is ready."""
TAKEN_SHARE = 0.9
"""Share of the draw that discharging may take away, so that nothing is fed in."""
FILLED_SHARE = 0.95
"""Share of the power that charging fills: loads move while it lasts."""


class Restoration(Part):
    """How a site is made ready again after an event: its battery, and room to absorb."""

    soc: Fraction | None = None
    """State of charge from which it is ready; what was measured first if absent."""
    power_kw: Positive | None = None
    """How far the battery may move the draw for it, up to charge and down to discharge. If absent,
    what the last event allowed as its rebound, and a tenth of the draw at least."""
    within_s: float = Field(default=7200.0, gt=0.0)
    """How long after an event it should be ready again; later is named as late. Two hours are what
    Europe's rule for frequency containment allows."""
    drained: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """Instances that stand by without load between events, by pool: what compute can absorb with.
    They serve where the load does not fit the others."""

    def limit_kw(self, draw_kw: float, rebound_kw: float) -> float:
        """Return how far the draw may be moved.

        Args:
            draw_kw: what the site draws without its battery.
            rebound_kw: rebound limit of the last event; 0 where there was none.
        """
        if self.power_kw is not None:
            return self.power_kw
        return max(rebound_kw, DRAW_SHARE * max(draw_kw, 0.0))


@dataclass(frozen=True)
class Restoring:
    """A restoration that is under way."""

    soc: float
    """State of charge now."""
    ready_soc: float
    """State of charge from which the battery is ready."""
    power_kw: float
    """How far the battery may move the draw."""
    done_at: datetime | None
    """When it is ready at this power; None where there is no room for it now."""
    due_at: datetime | None
    """When it should be ready; None where no event came before."""

    @property
    def is_late(self) -> bool:
        """Whether it is ready only after it should be."""
        if self.due_at is None:
            return False
        return self.done_at is None or self.done_at > self.due_at

    def __str__(self) -> str:
        done = "no room for it now" if self.done_at is None else f"done {self.done_at:%H:%M}"
        late = f", late: due {self.due_at:%H:%M}" if self.due_at and self.is_late else ""
        return (
            f"restoring {percent_words(self.soc)} -> {percent_words(self.ready_soc)} "
            f"with {_kw_words(self.power_kw)} at most, {done}{late}"
        )


def _kw_words(kw: float) -> str:
    """Return a power with three digits that count, or whole above: ``12.5 kW``, ``1,250 kW``."""
    return f"{kw:,.0f} kW" if kw >= 999.5 else f"{kw:.3g} kW"  # .3g writes 999.5 as 1e+03


def restoring(
    site: Site,
    state: State,
    *,
    ready_soc: float | None,
    power_kw: float,
    draw_kw: float,
    due_at: datetime | None,
    limit_kw: float | None = None,
) -> Restoring | None:
    """Return what is left to restore; None where the battery is ready, or nobody can tell.

    Args:
        site: the site.
        state: what was measured.
        ready_soc: state of charge from which the battery is ready.
        power_kw: how far the battery may move the draw.
        draw_kw: what the site draws without its battery.
        due_at: when it should be ready.
        limit_kw: what may be drawn, where an event's recovery allows less than the contract.
    """
    if site.battery is None or state.soc is None or ready_soc is None:
        return None
    battery = battery_as_found(site.battery, state)
    ready_soc = min(max(ready_soc, battery.soc_min), battery.soc_max)
    lacks_soc = ready_soc - state.soc
    if -CLOSE_SOC <= lacks_soc <= NEAR_SOC or not state.converter_available:
        return None
    if lacks_soc > 0.0:
        room_kw = drawn_at_most_kw(site, draw_kw, limit_kw) - draw_kw
        rate_kw = gained_kw(battery, min(power_kw, room_kw))
    else:
        rate_kw = given_off_kw(battery, draw_kw, power_kw)
    done_at = None
    if rate_kw > 0.0:
        hours = abs(lacks_soc) * battery.energy_kwh / rate_kw
        done_at = state.at + timedelta(hours=hours)
    return Restoring(state.soc, ready_soc, power_kw, done_at, due_at)


def drawn_at_most_kw(site: Site, draw_kw: float, limit_kw: float | None) -> float:
    """Return what may be drawn between events.

    Args:
        site: the site.
        draw_kw: what it draws without its battery.
        limit_kw: what an event's recovery allows; None where none lasts.
    """
    contract_kw = site.connection_point.import_limit_kw
    # where more is drawn already nobody is asked to draw less: battery alone acts between events
    return contract_kw if limit_kw is None else min(max(limit_kw, draw_kw), contract_kw)


def gained_kw(battery: Battery, room_kw: float) -> float:
    """Return how fast the cells gain energy within a room above the draw."""
    return _charging_kw(battery, room_kw) * _kept_share(battery)


def given_off_kw(battery: Battery, draw_kw: float, power_kw: float) -> float:
    """Return how fast the cells give off energy, as far as draw and power of restoration take it.

    The converter's loss is left out: the cells are emptier a little sooner.
    """
    most_kw = battery.discharge_limit_kw - battery.droop_reserve_kw
    return max(min(power_kw, most_kw, TAKEN_SHARE * draw_kw), 0.0) / battery.cell_efficiency


def _charging_kw(battery: Battery, room_kw: float) -> float:
    """Return the power that fills a room above the draw, as far as the battery takes it."""
    kw = min(battery.charge_limit_kw - battery.droop_reserve_kw, FILLED_SHARE * room_kw)
    return max(kw, 0.0)


def _kept_share(battery: Battery) -> float:
    """Return the share of what is charged that the cells keep, at full power: no less otherwise."""
    converter = 1.0 - battery.converter_loss_linear - battery.converter_loss_quadratic
    return battery.cell_efficiency * converter

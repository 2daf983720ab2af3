"""The terminal view of a site in operation."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ebplan.controller.controller import Status
from ebplan.controller.sensing import Sensed
from ebplan.words import percent_words


def live_view(status: Status) -> RenderableType:
    """Return what a person at the site looks at."""
    sensed, plan, step = status.sensed, status.plan, status.step
    if sensed is None:
        return Text("reading the devices ...")
    state = sensed.state
    power = Table.grid(padding=(0, 3))
    for _ in range(4):
        power.add_column()
    drawn = "silent" if state.grid is None else f"{state.grid.kw:.2f} kW"
    wanted = "-" if step is None else f"{step.grid_kw:.2f} kW"
    asked = "-" if step is None or step.target_kw == 0.0 else f"{step.target_kw:+.2f} kW"
    soc = "-" if state.soc is None else percent_words(state.soc, 1)
    hz = "-" if sensed.frequency_hz is None else f"{sensed.frequency_hz:.3f} Hz"
    power.add_row("drawn", drawn, "planned", wanted)
    power.add_row("asked", asked, "frequency", hz)
    power.add_row("battery", _battery(sensed), "charge", soc)
    pools = Table(box=None, padding=(0, 2), header_style="dim")
    for head in ("pool", "active", "drained", "asleep", "on the way", "lost", "kW", "req/s"):
        pools.add_column(head, justify="left" if head == "pool" else "right")
    for name, pool in state.pools.items():
        counts = (pool.active, pool.drained, pool.asleep, len(pool.in_transit), pool.lost)
        kw = "-" if pool.power_kw is None else f"{pool.power_kw:.2f}"
        load = f"{sum(pool.load_req_per_s.values()):.1f}"
        pools.add_row(name, *(str(count) for count in counts), kw, load)
    doing = "between events" if status.event is None else f"event {status.event.id}"
    planned = "no plan yet"
    if plan is not None:
        bound = "without a bound" if plan.gap is None else f"gap {percent_words(plan.gap, 2)}"
        planned = f"{doing}: {plan.status}, {bound}"
    why = f" ({'; '.join(status.why)})" if status.why else ""
    ready = "" if status.restoring is None else f"\nbattery: {status.restoring}"
    held = sum(status.leased.values())
    below = Text(
        f"{_printable(planned + why)}{ready}\n"
        f"{held} of {len(status.leased)} actuators leased, {status.armed} plans armed, "
        f"last planning {status.planning_s * 1e3:.0f} ms, cycle {status.cycles}"
    )
    wrong = [Text(_printable(str(one)), style="red") for one in status.degradations]
    title = state.at.astimezone().strftime("%H:%M:%S")
    return Panel(Group(power, "", pools, "", below, *wrong), title=title, title_align="left")


def one_line(status: Status) -> str:
    """Return the same in a line, for a log."""
    sensed, step = status.sensed, status.step
    if sensed is None:
        return "reading the devices"
    state = sensed.state
    drawn = "silent" if state.grid is None else f"{state.grid.kw:.2f} kW"
    wanted = "-" if step is None else f"{step.grid_kw:.2f}"
    event = "-" if status.event is None else status.event.id
    ready = "" if status.restoring is None else f", {status.restoring}"
    wrong = "".join(f"; {one}" for one in status.degradations)
    return _printable(
        f"{state.at.isoformat(timespec='seconds')} drawn {drawn} (planned {wanted}), "
        f"battery {_battery(sensed)}, event {event}{ready}{wrong}"
    )


def _battery(sensed: Sensed) -> str:
    return "silent" if sensed.battery_kw is None else f"{sensed.battery_kw:+.2f} kW"


def _printable(text: str) -> str:
    """Show control characters as what they are: devices and senders put names into this."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)

"""What the controller did on the wire, as a section of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.on_the_wire.cases import (
    BROKEN_FROM_S,
    BROKEN_TO_S,
    FAULT_EVENT_S,
    SHORTENED,
    Done,
)
from benchmarks.on_the_wire.faults import FAULTS, PAIRS
from benchmarks.on_the_wire.judge import BEFORE_S, CYCLE_S, METER_S, TOLERANCE_KW
from benchmarks.on_the_wire.operated import SLOW_S
from benchmarks.tables import table

CALL = (
    *("call", "kW asked", "s", "meter samples inside", "outside at most, kW", "kW held at the end"),
    *("battery after hand-off, kW", "lost", "protected refused", "others refused", "served"),
    *("SoC from, lowest, end", "log", "handed back"),
)
FAULT = (
    *("fault", "samples inside", "outside at most, kW", "back on plan", "battery at most, kW"),
    *("SoC lowest to highest", "lost", "protected refused", "log", "handed back"),
)


def section(
    calls: Sequence[Done],
    faults: Sequence[Done],
    pairs: Sequence[Done],
    machine: Sequence[str],
) -> str:
    """Return the section."""
    every = [*calls, *faults, *pairs]
    late = max((d.late_most_s for d in every), default=0.0)
    return "\n".join(
        (
            "## The controller on the wire, in real time",
            "",
            "Written by `python -m benchmarks.on_the_wire --write docs/reliability.md`:",
            "`ebplan run` as a process of its own against [the simulated site](twin.md) in real",
            "time. Simulated; nothing was measured on a bench. Judged by the meter alone, with",
            f"{TOLERANCE_KW:g} kW of tolerance (assumed): each sample (10 a second) against what",
            f"was asked {METER_S:g} s (the meter's mean) and {CYCLE_S:g} s (a cycle) earlier;",
            f"the baseline is the meter's mean over {BEFORE_S:g} s before. Calls keep ramp and",
            "hand-off and lose their sustain; instances that stand drained in an example stand by",
            "between calls ([how](controller.md#between-calls)). The plant fell behind the clock",
            f"by {late:.2f} s at most.",
            "",
            *machine,
            "- cycles of the controller that took longer than their second, with nothing wrong: "
            + str(sum(d.slow_cycles for d in calls)),
            "",
            *table(CALL, [_call(done) for done in calls]),
            *_left_out("calls", SHORTENED, calls),
            "",
            "Not run: `fcr_tracking` (the converter's droop model holds no knee), `mixed_pools`",
            "(the lower precision is not on the wire), `surplus_queue` (nor is such a queue),",
            "`infeasible_target` (asks for more than there is).",
            "",
            "### With something that goes wrong",
            "",
            f"The call of `under_frequency` for {FAULT_EVENT_S:g} s; the fault lasts from second",
            f"{BROKEN_FROM_S:g} to {BROKEN_TO_S:g}. Slow answers come {SLOW_S:g} s late. *Back on",
            "plan*: the last 10 s hold what was asked. Requests that a dead engine had are lost by",
            "the fault.",
            "",
            *table(FAULT, [_fault(done) for done in faults]),
            *_left_out("faults", FAULTS, faults),
            "",
            *table(("two faults at once", *FAULT[1:]), [_fault(done) for done in pairs]),
            *_left_out("pairs", map(" + ".join, PAIRS), pairs),
        )
    )


def _left_out(what: str, every: Iterable[str], ran: Sequence[Done]) -> list[str]:
    """Return which of the list did not run."""
    left = [name for name in every if name not in {done.name for done in ran}]
    return ["", f"Of the {what} not run this time: {', '.join(left)}."] if left else []


def _call(d: Done) -> tuple[str, ...]:
    v = d.verdict
    asked = "prices" if d.delta_kw is None else f"{d.delta_kw:+.1f}"
    return (
        *(d.name, asked, f"{d.length_s:.0f}", _inside(d), f"{v.worst_kw:.2f}", f"{v.held_kw:+.2f}"),
        "" if v.battery_after_kw is None else f"{v.battery_after_kw:.2f}",
        *(str(d.lost), str(d.refused_protected), str(d.refused_priced), str(d.served)),
        f"60.00%, {v.lowest_soc:.2%}, {v.end_soc:.2%}",
        *(d.audit, _yes(d.handed_back)),
    )


def _fault(d: Done) -> tuple[str, ...]:
    v = d.verdict
    return (
        *(d.name, _inside(d), f"{v.worst_kw:.2f}", _yes(d.back), f"{v.most_battery_kw:.2f}"),
        f"{v.lowest_soc:.2%} to {v.highest_soc:.2%}",
        *(str(d.lost), str(d.refused_protected), d.audit, _yes(d.handed_back)),
    )


def _inside(d: Done) -> str:
    v = d.verdict
    return f"{v.inside} of {v.samples}" if v.samples else "nothing asked"


def _yes(is_so: bool) -> str:
    return "yes" if is_so else "**no**"

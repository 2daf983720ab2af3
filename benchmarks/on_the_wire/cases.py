"""One call on one site, with or without something that goes wrong meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.on_the_wire.faults import break_it
from benchmarks.on_the_wire.judge import TOLERANCE_KW, Verdict, judge
from benchmarks.on_the_wire.operated import Operated, operated
from ebplan import load_case
from ebplan.audit import SigningKey, verify
from ebplan.event import Event
from ebplan.twin.live.converter import PlantConverter
from ebplan.twin.live.gpus import LIMIT_W

EXAMPLES = Path(__file__).parents[2] / "examples"
SETTLE_S = 25.0
"""Until rates are counted over their 10 s and the load is settled."""
AHEAD_S = 5.0
AFTER_S = 20.0
BROKEN_FROM_S, BROKEN_TO_S = 10.0, 22.0
FAULT_EVENT_S = 60.0

SHORTENED: Mapping[str, float] = {
    "under_frequency": 75.0,
    "demand_response": 150.0,
    "surplus_absorb": 150.0,
    "curtailment_3h": 660.0,
    "price_window": 60.0,
}
"""Length of each example's call: its ramp and hand-off are kept, the sustain is cut."""


@dataclass(frozen=True)
class Done:
    """What happened in one case."""

    name: str
    """Of the example, or of what went wrong."""
    delta_kw: float | None
    length_s: float
    verdict: Verdict
    lost: int
    """Requests without an answer, or with one cut short."""
    refused_protected: int
    refused_priced: int
    served: int
    back: bool
    """Whether the last 10 s of the call were held again, to the tolerance."""
    handed_back: bool
    """Whether the converter's set-point, limits and engines were as before once the controller had
    ended; a droop that is armed stays armed."""
    audit: str
    """``ok``, or what is wrong with the log."""
    slow_cycles: int
    """Cycles of the controller that took longer than they may."""
    late_steps: int
    late_most_s: float
    exit_code: int


def event_of(example: str) -> Event:
    """Return the call of an example, shortened."""
    event = load_case(EXAMPLES / f"{example}.json").event
    response = event.response.model_copy(update={"recovery_s": AFTER_S})
    length_s = SHORTENED[example]
    return event.model_copy(update={"duration_s": length_s, "response": response})


async def run_case(name: str, *faults: str) -> Done:
    """Run an example's call, with faults between its second 10 and 22.

    Args:
        name: the example.
        faults: what goes wrong, at once.
    """
    case = load_case(EXAMPLES / f"{name}.json")
    event = event_of(name)
    if faults:
        event = event.model_copy(update={"duration_s": FAULT_EVENT_S})
    loads = {pool: dict(p.load_req_per_s) for pool, p in case.state.pools.items()}
    drained = {pool: p.drained for pool, p in case.state.pools.items() if p.drained}
    raw = load_site_name(name)
    with tempfile.TemporaryDirectory() as folder:
        async with operated(
            Path(folder), raw, drained=drained, load_req_per_s=loads, timeout_s=1.0
        ) as site:
            await asyncio.sleep(SETTLE_S)
            start_s = site.call(event, AHEAD_S)
            async with AsyncExitStack() as broken:
                if faults:
                    await site.until(start_s + BROKEN_FROM_S)
                    for fault in faults:
                        await break_it(site, fault, broken)
                    await site.until(start_s + BROKEN_TO_S)
            await site.until(start_s + event.duration_s + AFTER_S)
            exit_code = await site.end_controller()
            await asyncio.sleep(site.bench.spec.lease_s + 8.0)
            return _told(site, event, faults, start_s, exit_code, name)


def run_one(case: tuple[str, ...]) -> Done:
    """Run a case in a process of its own: the example, and what goes wrong."""
    return asyncio.run(run_case(*case))


def load_site_name(example: str) -> str:
    """Return the site that an example names."""
    import json

    site: str = json.loads((EXAMPLES / f"{example}.json").read_text())["site"]
    return site


def _told(
    site: Operated, event: Event, faults: tuple[str, ...], start_s: float, code: int, name: str
) -> Done:
    samples = [s._replace(t_s=s.t_s - start_s) for s in site.samples]
    verdict = judge(event, samples)
    delta_kw = None if event.target is None else event.target.delta_kw
    answers, pools = site.answers(), site.bench.site.pools.values()
    protected = {k for pool in pools for k, c in pool.classes.items() if c.protected}
    refused = {k: sum(n for s, n in a.items() if s in ("429", "503")) for k, a in answers.items()}
    lost = sum(n for a in answers.values() for s, n in a.items() if s not in ("200", "429", "503"))
    plant, gpus, converter = site.bench.plant, site.bench.gpus.values(), site.bench.converter
    assert converter is not None
    assert isinstance(converter.behind, PlantConverter)
    back = delta_kw is None or abs(verdict.held_kw - delta_kw) <= TOLERANCE_KW
    rests = (
        converter.behind.told_kw == 0.0
        and all(w >= LIMIT_W for g in gpus for w in g.stub.limits_w())
        and all(e.mode == "awake" for p in plant.named_pools.values() for e in p.engines)
    )
    key = SigningKey.read(site.folder / "site.key").verify_key
    checked = verify(site.folder / "audit", key)
    return Done(
        name=" + ".join(faults) or name,
        delta_kw=delta_kw,
        length_s=event.duration_s,
        verdict=verdict,
        lost=lost,
        refused_protected=sum(n for k, n in refused.items() if k in protected),
        refused_priced=sum(n for k, n in refused.items() if k not in protected),
        served=sum(a.get("200", 0) for a in answers.values()),
        back=back,
        handed_back=rests,
        audit="ok" if checked.ok else str(checked),
        slow_cycles=(site.folder / "controller.log").read_text().count(": slow_cycle:"),
        late_steps=plant.late_steps,
        late_most_s=plant.late_s,
        exit_code=code,
    )

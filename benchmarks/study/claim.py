"""Where the hand-off from battery to compute pays: ``python -m benchmarks.study.claim``.

Two weeks of the example of Tokyo under perfect foresight, one product at a time, so that what is
compared is what is possible, not how well it is forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks.sections import write_section
from benchmarks.tables import table
from ebplan.study.asked import Frontiers
from ebplan.study.build import Built, build
from ebplan.study.decisions import Track
from ebplan.study.foresight import foresee
from ebplan.study.kpi import gain
from ebplan.study.ledger import settle
from ebplan.study.numbers import BatteryNumbers, GroupNumbers, ServiceNumbers, StudyNumbers
from ebplan.study.run import load_study
from ebplan.study.spec import BatterySize, Service, StudySpec
from ebplan.wear import Wear

EXAMPLE = Path(__file__).parents[2] / "examples" / "study_tokyo.toml"
DAYS = 14
SIZES = {"10 kWh, 8 kW": (10.0, 8.0), "1 kWh, 8 kW": (1.0, 8.0)}
"""Batteries of one site."""
REPLACEMENT_PER_KWH = 20_000.0
"""Assumed, as in the example."""
DR_PER_KW_STEP = 5_834.0 / 17_520.0
"""JPY for each kW and half-hour: the capacity market's 5,834 JPY/kW in fiscal 2026."""
CALLED_H = 12 * 3.0
CALLED_SHARE = CALLED_H / 8_760.0
"""Twelve calls of 3 h in a year."""
AWARD_KW = 1_000.0
WORTH_A_TRY = 1.5
PARTS = (0.97, 1.0)
"""Contracts that are tried, as shares of what a full battery and some slices hold: calls empty it
a little."""


def spec_of(size: tuple[float, float], wear: Wear | float | None = None) -> StudySpec:
    """Return the example over two weeks with another battery, and a contract as well."""
    spec = load_study(EXAMPLE)
    group = spec.portfolio[0]
    update: dict[str, object] = {"battery": BatterySize(energy_kwh=size[0], power_kw=size[1])}
    if wear is not None:
        update["wear"] = wear
    called = Service.parse(
        {
            "service": "jp_capacity_dr",
            "price_per_kw": DR_PER_KW_STEP,
            "activation_share": CALLED_SHARE,
            "energy_per_kwh": "none",
            "penalty_per_kwh": 0.0,
            "award_probability": 1.0,
            "contract_kw": 0.0,
        }
    )
    return spec.model_copy(
        update={
            "period": spec.period.model_copy(update={"days": DAYS}),
            "portfolio": (group.model_copy(update=update),),
            "services": (*spec.services, called),
        }
    )


def products(numbers: StudyNumbers) -> dict[str, tuple[ServiceNumbers, ...]]:
    """Return the products that are compared, each by itself."""
    fcr, half_hour, called = numbers.services
    return {
        "arbitrage only": (),
        "primary (300 s)": (fcr,),
        "30 minutes": (half_hour,),
        "3 hours": (called,),
    }


def firm_kw(group: GroupNumbers, service: ServiceNumbers, slices: int) -> float:
    """Return the largest contract that a full battery and some slices hold in all its hours."""
    battery = group.battery
    assert battery is not None
    problem = battery.problem
    usable = (problem.max_kwh - problem.min_kwh) * battery.discharge_efficiency
    own = min(problem.discharge_limit_kw, usable * 3600.0 / service.sustain_s)
    compute = group.width_kw[:, :slices].sum(axis=1)
    room = group.baseline_kw + group.export_kw
    return float(np.minimum(own + compute, room)[service.held > 0.0].min())


def without_compute(group: GroupNumbers) -> GroupNumbers:
    """Return a group whose compute rests."""
    return replace(
        group,
        width_kw=group.width_kw[:, :0],
        lost_per_kwh=group.lost_per_kwh[:, :0],
        rejected_per_kwh=group.rejected_per_kwh[:, :0],
    )


def by_itself(group: GroupNumbers) -> GroupNumbers:
    """Return the battery without the site, at a connection of its own that may feed in."""
    battery = group.battery
    assert battery is not None
    power = battery.problem.discharge_limit_kw
    return replace(
        without_compute(group),
        baseline_kw=np.zeros_like(group.baseline_kw),
        revenue_per_h=np.zeros_like(group.revenue_per_h),
        import_kw=power,
        export_kw=power,
    )


def fitted(
    numbers: StudyNumbers, group: GroupNumbers, services: tuple[ServiceNumbers, ...]
) -> StudyNumbers:
    """Return the study with one group and some products."""
    alone = np.zeros((numbers.steps, len(services)))
    return replace(numbers, groups=(replace(group, alone_kw=alone),), services=services)


def found_for(
    numbers: StudyNumbers, group: GroupNumbers, services: tuple[ServiceNumbers, ...]
) -> tuple[float, float, float]:
    """Return what ``gained`` does; a contract as large as pays best, by slices of compute."""
    if not services or services[0].contract_kw is None:
        return gained(fitted(numbers, group, services))
    # what a called kWh loses has to be less than what is paid for a year's calls of it
    lost = group.lost_per_kwh[services[0].held > 0.0].mean(axis=0)
    cheap = int((lost < WORTH_A_TRY * DR_PER_KW_STEP * 17_520 / CALLED_H).sum())
    sizes = {
        np.floor(part * firm_kw(group, services[0], k)) for k in range(cheap + 1) for part in PARTS
    }
    held = [(replace(services[0], contract_kw=float(kw)),) for kw in sorted(sizes)]
    return max(gained(fitted(numbers, group, one)) for one in held)


def gained(numbers: StudyNumbers) -> tuple[float, float, float]:
    """Return gain, mean award in the hours it is held, and the share of it that compute carries."""
    taken = np.ones((len(numbers.services), numbers.steps))
    track = foresee(numbers, taken)
    award = float(track.award_kw.sum())
    compute = float(sum(g.compute_award_kw.sum() for g in track.groups))
    share = compute / award if award > 0.0 else 0.0
    held = sum(float(service.held.sum()) for service in numbers.services)
    return gain(settle(numbers, track)), award / max(held, 1.0), share


def needed(
    battery: BatteryNumbers, group: GroupNumbers, service: ServiceNumbers, compute_kw: float
) -> tuple[float, float]:
    """Return power and usable energy of the battery that hold an award all the time."""
    own = AWARD_KW - compute_kw
    fast = service.activation_s < group.settled_s
    bridged = compute_kw if fast else 0.0
    held = own * service.sustain_s + bridged * group.bridge_s
    return own + bridged, held / 3600.0 / battery.discharge_efficiency


Required = dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]
"""By product: compute kW, battery kW, usable kWh; alone and with compute."""
Gains = dict[str, tuple[float, float, float, float, float]]
"""By battery and product: gain alone and with compute, award alone and with, share of compute."""


def batteries(built: Built) -> Required:
    """Return the battery that one megawatt takes, of each product."""
    numbers = built.numbers
    group = numbers.groups[0]
    battery = group.battery
    assert battery is not None
    least = float(group.width_kw.sum(axis=1).min())
    found: Required = {}
    for name, services in products(numbers).items():
        if services:
            alone, with_it = (
                (compute, *needed(battery, group, services[0], compute))
                for compute in (0.0, min(least, AWARD_KW))
            )
            found[name] = alone, with_it
    return found


def required(found: Required) -> list[str]:
    """Return the table of the battery that one megawatt takes."""
    rows = [
        [f"{name}, {words}", *(f"{v:,.0f}" for v in one[:2]), f"{one[2]:,.1f}"]
        for name, both in found.items()
        for words, one in zip(("alone", "with compute"), both, strict=True)
    ]
    return table(("1 MW, all the time", "compute kW", "battery kW", "usable kWh"), rows)


def compared(frontiers: Frontiers) -> Gains:
    """Return gains with and without compute, for each battery and product."""
    found: Gains = {}
    for size, of in SIZES.items():
        numbers = build(spec_of(of), EXAMPLE.parent, frontiers=frontiers).numbers
        group = numbers.groups[0]
        for name, services in products(numbers).items():
            bare, bare_kw, _ = found_for(numbers, without_compute(group), services)
            both, both_kw, share = found_for(numbers, group, services)
            found[f"{size}: {name}"] = bare, both, bare_kw, both_kw, share
    return found


def handed_over(found: Gains) -> list[str]:
    """Return the table of gains with and without compute."""
    rows = []
    for name, (bare, both, bare_kw, both_kw, share) in found.items():
        more = "-" if abs(bare) < 1.0 else f"{100 * (both / bare - 1):+.1f} %"
        money = (f"{v / 1e6:,.3f}" for v in (bare, both))
        rows.append([name, *money, more, f"{bare_kw:,.0f}", f"{both_kw:,.0f}", f"{share:.0%}"])
    head = (
        "battery of a site",
        "alone, M JPY",
        "with compute",
        "more",
        "award kW",
        "with",
        "by compute",
    )
    return table(head, rows)


def beside(frontiers: Frontiers) -> list[str]:
    """Return the table of a battery beside compute against one that trades by itself."""
    numbers = build(spec_of(SIZES["10 kWh, 8 kW"]), EXAMPLE.parent, frontiers=frontiers).numbers
    group = numbers.groups[0]
    rows = []
    for name, services in products(numbers).items():
        apart, _, _ = found_for(numbers, by_itself(group), services)
        site, _, _ = found_for(numbers, without_compute(group), services)
        both, _, _ = found_for(numbers, group, services)
        rows.append([name, *(f"{v / 1e6:,.3f}" for v in (apart, site, both))])
    head = ("M JPY in two weeks", "battery by itself", "behind the meter", "with compute")
    return table(head, rows)


def worn(frontiers: Frontiers) -> Iterator[str]:
    """Yield the table of wear by depth against flat wear of the same cells."""
    deep = Wear(
        replacement_per_kwh=REPLACEMENT_PER_KWH,
        temperature_c=25.0,
        model="lfp-sony-us26650",
        segments=4,
    )
    depth = build(spec_of((10.0, 5.0), deep), EXAMPLE.parent, frontiers=frontiers).numbers
    cells = depth.groups[0].battery
    assert cells is not None
    full = max(s.price_per_kwh for s in cells.problem.depth_segments)
    widths = [s.price_per_kwh for s in cells.problem.depth_segments]
    flat_price = float(np.mean(widths))
    flat = build(spec_of((10.0, 5.0), flat_price), EXAMPLE.parent, frontiers=frontiers).numbers
    rows = []
    for words, numbers in (("by depth", depth), (f"flat, {flat_price:.2f} JPY/kWh", flat)):
        for name in ("arbitrage only", "primary (300 s)"):
            services = products(numbers)[name]
            study = fitted(numbers, without_compute(numbers.groups[0]), services)
            track = foresee(study, np.ones((len(services), study.steps)))
            # both plans are charged what the cells wear by depth
            judged = fitted(depth, without_compute(depth.groups[0]), services)
            priced = settle(judged, track_with_layers(judged, track))
            energy = track.groups[0].energy_kwh
            out = float(np.maximum(-np.diff(energy), 0.0).sum()) / cells.problem.energy_kwh
            rows.append(
                [
                    f"{name}, planned {words}",
                    f"{gain(priced) / 1e6:,.3f}",
                    f"{-priced.of['wear', 'cycling'].sum() / 1e6:,.3f}",
                    f"{out:,.1f}",
                ]
            )
    head = ("charged by depth", "gain, M JPY", "cycling, M JPY", "equivalent cycles")
    yield f"Depth prices run from {min(widths):.2f} to {full:.2f} JPY/kWh.\n"
    yield from table(head, rows)


def track_with_layers(numbers: StudyNumbers, track: Track) -> Track:
    """Return a track whose cells are counted in the layers of a study."""
    from ebplan.study.decisions import layers_after, start_layers

    groups = []
    for group, done in zip(numbers.groups, track.groups, strict=True):
        layers = [start_layers(group)]
        for change in np.diff(done.energy_kwh).tolist():
            layers.append(layers_after(group, layers[-1], change))
        groups.append(replace(done, layers_kwh=np.array(layers)))
    return replace(track, groups=tuple(groups))


@click.command()
@click.option("--write", type=click.Path(path_type=Path), help="Write the sections into this page.")
@click.option("--figures", type=click.Path(path_type=Path), help="Draw into this folder.")
def main(write: Path | None, figures: Path | None) -> None:
    """Print where the hand-off pays."""
    frontiers = Frontiers()
    built = build(spec_of(SIZES["10 kWh, 8 kW"]), EXAMPLE.parent, frontiers=frontiers)
    megawatt, gains = batteries(built), compared(frontiers)
    if figures is not None:
        from benchmarks.study.claim_figure import draw

        draw(gains, megawatt, figures / "hand_off.png")
    sections: dict[str, Callable[[], Iterable[str]]] = {
        "required battery": lambda: required(megawatt),
        "hand-off": lambda: handed_over(gains),
        "beside compute": lambda: beside(frontiers),
        "wear by depth": lambda: worn(frontiers),
    }
    for name, lines in sections.items():
        text = "\n".join(lines())
        click.echo(f"\n{name}\n\n{text}")
        if write is not None:
            write_section(write, name, text)


if __name__ == "__main__":
    main()

"""The page of the shipped definitions: a table of numbers, then where each comes from."""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.services.definition import ServiceDefinition
from ebplan.services.evidence import Defined, Evidence
from ebplan.services.library import LeftOut
from ebplan.services.market import Clock, Market
from ebplan.services.price_unit import PriceUnit
from ebplan.services.tariff import TariffDefinition

HEAD = """# Grid services

Written by `python -m ebplan.services`. A load *releases* when it draws less: the "up" reserve of a
system operator is a release here. A dash is a value that is unknown or does not apply; the tables
below say which and why. Whoever needs an unknown value is told so, and gives it with
`with_values(service, {"tolerance.under": 0.1})` (on command lines: `--set tolerance.under=0.1`).

No primary document of the Japanese markets was opened: "high" there means a careful second source
that cites it. Read the rule itself before money depends on it. Definitions of your own are TOML or
JSON files; `ebplan schema service` prints their form. What is paid without a response (energy,
imbalance, demand) is a tariff: `ebplan schema tariff`.

"""
MONEY = """
## Money

When bids close and results are known (the order in which a bidder learns things), what is paid, the
newest cap, the energy to hold for each kW awarded, and the first price example, brought to one
unit. Examples were paid once; they are no forecast. A year has 8,760 h, a month a twelfth of it.
"""
OMITTED = """
## Left out
"""


def services_page(
    services: Sequence[ServiceDefinition],
    tariffs: Sequence[TariffDefinition],
    omitted: Sequence[LeftOut],
) -> str:
    """Return the page in Markdown."""
    numbers = [
        "| id | name | region | direction | starts by | full by | held for | block | least bid "
        "| step | tolerance |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_numbers(service) for service in services),
    ]
    money = [
        "| id | bids close | result | pays | unit | newest cap | energy to hold | example "
        "| per kW and hour, or kWh |",
        "|---|---|---|---|---|---|---|---|---|",
        *(_money(one.id, one.market) for one in services),
        *(_money(one.id, one.market) for one in tariffs),
    ]
    out = [
        "| id | name | why it has no definition |",
        "|---|---|---|",
        *(f"| `{one.id}` | {one.name} | {one.why} |" for one in omitted),
    ]
    parts = (numbers, [MONEY], money, [OMITTED], out, [""])
    head = HEAD + "\n".join(line for part in parts for line in part)
    sections = [_section(one) for one in (*services, *tariffs)]
    return head + "\n" + "\n".join(sections)


def _money(name: str, market: Market) -> str:
    held = [
        f"{hours:.3g} h {way}"
        for hours, way in (
            (market.reservoir_release_h, "to release"),
            (market.reservoir_absorb_h, "to absorb"),
        )
        if hours is not None
    ]
    example, plain = "-", "-"
    if market.price_examples:
        first = market.price_examples[0]
        unit = PriceUnit.parse(first.unit)
        example = f"{first.value:,.10g} {first.unit} ({first.period})"
        plain = f"{first.value * unit.factor:,.4g} {unit.currency}"
    cap = market.price_cap[-1] if market.price_cap else None
    cells = (
        f"`{name}`",
        _clock(market.gate),
        _clock(market.award),
        ", ".join(pays.replace("_", " ") for pays in market.pays or ()) or "-",
        market.capacity_unit or market.energy_unit or "-",
        "-" if cap is None else f"{cap.price:g} from {cap.from_date}",
        ", ".join(held) or "-",
        example,
        plain,
    )
    return f"| {' | '.join(cells)} |"


def _clock(clock: Clock | None) -> str:
    return "-" if clock is None else f"{clock.at}, {clock.days_before} day ahead"


def _numbers(service: ServiceDefinition) -> str:
    tolerance = service.tolerance
    under, over = (_share(share) for share in (tolerance.under, tolerance.over))
    cells = (
        f"`{service.id}`",
        service.name,
        service.region,
        ", ".join(service.directions),
        _number(service.initial_delay_s, "s"),
        _number(service.full_activation_s, "s"),
        _number(service.sustain_s, "s"),
        _number(service.block_s, "s"),
        _number(service.min_bid_kw, "kW"),
        _number(service.step_kw, "kW"),
        "-" if (under, over) == ("-", "-") else f"under {under}, over {over}",
    )
    return f"| {' | '.join(cells)} |"


def _section(service: Defined) -> str:
    name = service.name + (f", {service.local_name}" if service.local_name else "")
    lines = [
        f"## {service.id}",
        "",
        f"{name}: {service.status or 'status unknown'}.",
        "",
        "| facts | confidence | as of | source | note |",
        "|---|---|---|---|---|",
        *(_evidence(entry) for entry in service.evidence),
        "",
    ]
    if service.ranges:
        lines += ["| unknown | reckoned with | from | to | why |", "|---|---|---|---|---|"]
        lines += [
            f"| `{one.fact}` | {one.value:g} | {one.low:g} | {one.high:g} | {one.why} |"
            for one in service.ranges
        ]
        lines.append("")
    if isinstance(service, ServiceDefinition) and service.recovery:
        lines += [f"Recovery: {service.recovery}", ""]
    return "\n".join(lines)


def _evidence(entry: Evidence) -> str:
    cells = (
        ", ".join(f"`{name}`" for name in entry.fields),
        entry.confidence.replace("_", " "),
        entry.as_of or "-",
        "; ".join(entry.sources) or "-",
        entry.note or "",
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:,.10g} {unit}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100.0 * value:g} %"

"""The page of the shipped definitions: a table of numbers, then where each comes from."""

from __future__ import annotations

from collections.abc import Sequence

from ebplan.services.definition import Evidence, ServiceDefinition

HEAD = """# Grid services

Written by `python -m ebplan.services`. A load *releases* when it draws less: the "up" reserve of a
system operator is a release here. A dash is a value that is unknown or does not apply; the tables
below say which and why. Whoever needs an unknown value is told so, and gives it with
`with_values(service, {"tolerance.under": 0.1})` (on command lines: `--set tolerance.under=0.1`).

No primary document of the Japanese markets was opened: "high" there means a careful second source
that cites it. Read the rule itself before money depends on it. Definitions of your own are TOML or
JSON files; `ebplan schema service` prints their form.

"""


def services_page(services: Sequence[ServiceDefinition]) -> str:
    """Return the page in Markdown."""
    numbers = [
        "| id | name | region | direction | starts by | full by | held for | block | least bid "
        "| step | tolerance |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *(_numbers(service) for service in services),
    ]
    return HEAD + "\n".join(numbers) + "\n\n" + "\n".join(_section(one) for one in services)


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


def _section(service: ServiceDefinition) -> str:
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
    if service.recovery:
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

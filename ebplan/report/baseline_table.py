"""Rules of a baseline with their errors, and the baseline of the event, on a terminal."""

from __future__ import annotations

import re

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ebplan.report.legible import given
from ebplan.settlement.baseline_report import BaselineReport, RuleResult, slot_means
from ebplan.words import number_words, percent_words, time_words

COLUMNS = (
    "in kW, errors are baseline less draw; CV: RMSE as a share of the mean draw; 90 %: so many "
    "slots are within; event: RMSE of the mean over the event"
)


HEADERS = ("bias", "MAE", "RMSE", "CV", "90 %", "event", "baseline")
GAP = 3
"""Characters between two columns."""


def print_baseline(report: BaselineReport, console: Console) -> None:
    """Print one row for each rule, which is nearest, and the baseline in half-hours."""
    tested = next((one.errors.days for one in report.results if one.errors), 0)
    words = f"{report.start:%Y-%m-%d %H:%M %z}, {time_words(report.duration_s)}"
    head = f"baseline of the event of {words}; errors on {tested} like day(s) without an event"
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("rule", overflow="fold")
    for header in HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    rows = [_row(one) for one in report.results]
    columns = zip(HEADERS, *rows, strict=True)
    used = sum(max(map(len, column)) + GAP for column in columns)
    for one, row in zip(report.results, rows, strict=True):
        table.add_row(Text(broken(given(one.rule), console.width - used)), *map(Text, row))
    console.print(Text(head), table, sep="\n", highlight=False)
    console.print(Text(COLUMNS))
    for one in report.results:
        for why in filter(None, (one.no_baseline, one.not_tested)):
            what = "no baseline" if why == one.no_baseline else "not tested"
            console.print(Text(f"{one.rule}: {what}: {why}"))
    console.print(Text(verdict(report)))
    console.print(_series(report), highlight=False)
    if report.days:
        console.print(Text(f"from the days {', '.join(day.isoformat() for day in report.days)}"))
    for out in report.left_out:
        console.print(Text(f"without {out.day.isoformat()}: {out.reason}"))


def verdict(report: BaselineReport) -> str:
    """Return in a sentence which rule the baseline is by, and how far that is off."""
    result = report.result()
    found = f"{rule_words(report.rule)}: {number_words(result.mean_kw or 0.0, 1)} kW over the event"
    if result.errors is None:
        return f"{found}; how far it is off is not known"
    nearest = ""
    if report.rule == report.best and len(report.results) > 1:
        missing = any(one.mean_kw is None for one in report.results)
        nearest = "the nearest of those with a baseline, " if missing else "the nearest rule, "
    return (
        f"{found}; {nearest}90 % of like slots of {time_words(report.slot_s)} within "
        f"{number_words(result.errors.half_width_kw, 1)} kW"
    )


def rule_words(rule: str) -> str:
    """Return a rule as it is spoken of."""
    name, _, given = rule.partition(":")
    if name.startswith("high_"):
        plain = name.removesuffix("_unadjusted").replace("high", "High").replace("_", " ")
        return plain + (" unadjusted" if name.endswith("_unadjusted") else "")
    if name == "last_value":
        return f"Mean of the last {given} min"
    if name == "fixed":
        return f"Fixed at {given} kW"
    return f"Regression on {given.replace('_', ' ').replace(',', ' and ')}"


def broken(name: str, width: int) -> str:
    """Return a name in lines of a width, broken behind its underscores, colons and commas."""
    lines = [""]
    for part in re.findall(r"[^_:,]*[_:,]|[^_:,]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _row(one: RuleResult) -> tuple[str, ...]:
    """Return the numbers of a rule."""
    mean = "-" if one.mean_kw is None else number_words(one.mean_kw, 1)
    if one.errors is None:
        return (*["-"] * 6, mean)
    errors = one.errors
    share = "-" if errors.cv_rmse is None else percent_words(errors.cv_rmse, 1)
    numbers = (errors.bias_kw, errors.mae_kw, errors.rmse_kw)
    return (
        *(number_words(kw, 1) for kw in numbers),
        share,
        number_words(errors.half_width_kw, 1),
        number_words(errors.level_rmse_kw, 1),
        mean,
    )


def _series(report: BaselineReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("from")
    table.add_column("baseline in kW", justify="right")
    for at, kw in slot_means(report):
        table.add_row(Text(f"{at:%H:%M}"), number_words(kw, 1))
    return table

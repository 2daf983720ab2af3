"""A study as one page: numbers, interactive figures, assumptions; it loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebplan.document import write_atomically
from ebplan.errors import InputError
from ebplan.report.study_figures import (
    LAYER_WORDS,
    by_month,
    durations,
    policy_words,
    size_value,
    soc_map,
    waterfall,
)
from ebplan.report.study_ranges import tornado
from ebplan.report.study_results import StudyResults, read_results
from ebplan.report.study_tiles import number, tiles

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 1rem;
       color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h3 { font-size: 1rem; font-weight: 600; margin: 1rem 0 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .6rem;
         padding: 0; list-style: none; }
.tiles li { border: 1px solid #ccc; border-radius: 6px; padding: .5rem .8rem; }
.tiles b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.tiles small { display: block; line-height: 1.3; }
.tiles small, .note { color: #555; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
nav button { font: inherit; padding: .35rem .9rem; margin-right: .25rem; border: 1px solid #888;
             border-radius: 4px; background: #fff; cursor: pointer; }
nav button[aria-pressed=true] { background: #1a1a1a; color: #fff; }
nav button:focus-visible { outline: 3px solid #0072B2; }
"""
SCRIPT = """
function show(policy) {
  for (const part of document.querySelectorAll('section[data-policy]')) {
    part.hidden = part.dataset.policy !== policy;
  }
  for (const button of document.querySelectorAll('nav button')) {
    button.setAttribute('aria-pressed', button.dataset.policy === policy);
  }
  for (const figure of document.querySelectorAll('section:not([hidden]) .plotly-graph-div')) {
    Plotly.Plots.resize(figure);
  }
}
for (const button of document.querySelectorAll('nav button')) {
  button.addEventListener('click', () => show(button.dataset.policy));
}
"""
A_YEAR = 365


def write_study_page(folder: Path) -> Path:
    """Write ``report.html`` beside the results of a study; return it.

    Raises:
        InputError: there are no results, or plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise InputError(
            field="report",
            value="plotly is not installed",
            allowed="the extra 'study'",
            remedy="pip install 'ebplan[study]', or leave the page out with --no-page",
        ) from None
    results = read_results(folder)
    page = folder / "report.html"
    write_atomically(page, "".join(_page(results, get_plotlyjs())))
    return page


def _page(results: StudyResults, plotly: str) -> Iterator[str]:
    title = escape(str(results.manifest["study"]))
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><script>{plotly}</script></head><body><h1>{title}</h1>"
    )
    yield f'<p class="note">{escape(_period(results.manifest))}</p>'
    policies = results.policies
    if len(policies) > 1:
        yield '<nav aria-label="policy">'
        for n, policy in enumerate(policies):
            words, pressed = escape(policy_words(policy)), str(n == 0).lower()
            yield f'<button data-policy="{policy}" aria-pressed="{pressed}">{words}</button>'
        yield "</nav>"
    for n, policy in enumerate(policies):
        yield f'<section data-policy="{policy}"{" hidden" if n else ""}>'
        yield from _policy(results, policy)
        yield "</section>"
    if "sizes" in results.tables:
        yield "<h2>What other batteries would gain</h2>"
        yield _drawn(size_value(results), "sizes")
    yield from _assumptions(results)
    yield from _made_from(results.manifest)
    yield f"<script>{SCRIPT}</script></body></html>"


def _period(manifest: dict[str, Any]) -> str:
    period = manifest["spec"]["period"]
    sites = ", ".join(f"{g['sites']} x {g['site']}" for g in manifest["groups"])
    return (
        f"{period['days']} days from {period['start']} ({period['time_zone']}), steps of "
        f"{period['step_s'] // 60} min; {sites}. Money in {manifest['currency']}, > 0 earned."
        f"{_stands_for(manifest['spec'])}"
    )


def _stands_for(spec: dict[str, Any]) -> str:
    """Say by what the worth of the battery is reckoned."""
    economics, days = spec.get("economics"), spec["period"]["days"]
    if not economics:
        return ""
    year = "" if days >= A_YEAR else f", each like these {days} days"
    return f" The battery is looked at over {economics['lifetime_years']} years{year}."


def _policy(results: StudyResults, policy: str) -> Iterator[str]:
    kpis = results.kpis(policy)
    yield '<ul class="tiles">'
    yield from tiles(results, policy)
    yield "</ul><h2>What it gains, and what that costs</h2>"
    yield _drawn(waterfall(results, policy), f"waterfall-{policy}")
    ends = tornado(results, policy)
    if ends is not None:
        yield _drawn(ends, f"ranges-{policy}")
    if len(set(results.of("ledger", policy)["month"].tolist())) > 1:
        yield _drawn(by_month(results, policy), f"months-{policy}")
    yield "<h2>Power and energy</h2>"
    yield _drawn(durations(results, policy), f"durations-{policy}")
    for n, group in enumerate(results.manifest["groups"]):
        if group["battery"] is not None:
            yield _drawn(soc_map(results, policy, group["name"]), f"soc-{n}-{policy}")
    yield "<h2>Profit and loss</h2>"
    yield from _books(results, policy)
    yield "<h2>All numbers</h2>"
    heads: tuple[str, ...] = ("number", "value", "unit")
    rows: list[tuple[str, ...]] = [
        (name.replace("_", " "), number(value), "" if unit == "1" else unit)
        for name, (value, unit) in kpis.items()
    ]
    if len(results.corners(policy)) > 1:
        heads = (*heads, "over the ranges of the assumptions")
        rows = [
            (*row, _spread(results, policy, name)) for row, name in zip(rows, kpis, strict=True)
        ]
    yield _table(heads, rows, {1, 3})


def _books(results: StudyResults, policy: str) -> Iterator[str]:
    ledger = results.of("ledger", policy)
    sums: dict[tuple[str, str], float] = {}
    for layer, item, money in zip(ledger["layer"], ledger["item"], ledger["money"], strict=True):
        key = str(layer), str(item)
        sums[key] = sums.get(key, 0.0) + float(money)
    rows = [
        (LAYER_WORDS.get(layer, layer), item.replace("_", " "), number(money))
        for (layer, item), money in sums.items()
        if abs(money) >= 0.5
    ]
    rows.append(("profit", "", number(sum(sums.values()))))
    yield _table(("layer", "item", results.currency), rows, {2})


def _spread(results: StudyResults, policy: str, name: str) -> str:
    """Return the range of a number over the corners of the assumptions; empty without any."""
    values = []
    for corner in results.corners(policy):
        found = results.kpis(policy, corner).get(name)
        if found is not None:
            values.append(found[0])
    if len(values) < 2:
        return ""
    return f" {number(min(values))} to {number(max(values))}"


def _assumptions(results: StudyResults) -> Iterator[str]:
    """List what is assumed, wherever in the study it stands."""
    found = list(_assumed(results.manifest["spec"], ""))
    economics = results.manifest["spec"].get("economics")
    if not found and economics is None:
        return
    yield "<h2>What is assumed</h2>"
    if economics is not None:  # the study may leave the model to the default
        model = escape(str(economics["life_model"]))
        yield f"<p>How long cells last is by the wear model <code>{model}</code>.</p>"
    if not found:
        return
    rows = [
        (field, number(a["value"]), f"{number(a['low'])} to {number(a['high'])}", a["why"])
        for field, a in found
    ]
    yield _table(("field", "value", "range", "why"), rows, {1, 2})


def _assumed(part: Any, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        if {"value", "low", "high", "why"} <= set(part):
            yield field, part
            return
        for name, inner in part.items():
            yield from _assumed(inner, f"{field}.{name}" if field else str(name))
    elif isinstance(part, list):
        for n, inner in enumerate(part):
            yield from _assumed(inner, f"{field}.{n}")


def _made_from(manifest: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Made from</h2>"
    rows = [(name, str(digest)) for name, digest in manifest["inputs"].items()]
    rows += [(name, str(version)) for name, version in manifest["versions"].items()]
    rows.append(("seed", str(manifest["seed"])))
    yield _table(("input or program", "hash or version"), rows, set())


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: set[int]) -> str:
    def cell(tag: str, n: int, text: str) -> str:
        return f"<{tag}{' class=n' if n in right else ''}>{escape(text)}</{tag}>"

    head = "".join(cell("th", n, text) for n, text in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", n, text) for n, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _drawn(figure: Figure, name: str) -> str:
    """Return a figure under its message, which wraps where the page is narrow."""
    message = escape(str(figure.layout.title.text))
    figure.update_layout(title=None, margin_t=36)
    html: str = figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=name,
        config={"displaylogo": False, "responsive": True},
    )
    return f"<h3>{message}</h3>{html}"

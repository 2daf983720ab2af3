"""What the gain of a study rests on: both ends of each assumed range, as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebplan.report.study_figures import TOTAL, laid, scale_of, signed
from ebplan.report.study_results import StudyResults
from ebplan.study.corners import words_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ENDS = "#56B4E9", "#E69F00"
"""Colours of the low and the high end of a range."""
MOST_BARS = 12


def tornado(results: StudyResults, policy: str) -> Figure | None:
    """Return the gain at the ends of each range, the widest on top; None where none moves it."""
    import plotly.graph_objects as go

    middle = results.kpis(policy)["gain"][0]
    ends: dict[str, dict[str, float]] = {}
    for corner in results.corners(policy)[1:]:
        field, _, end = corner.rpartition(":")
        ends.setdefault(field, {})[end] = results.kpis(policy, corner)["gain"][0]
    wide = {f: max(abs(v - middle) for v in of.values()) for f, of in ends.items()}
    order = sorted((f for f in wide if wide[f] >= 0.5), key=wide.__getitem__)[-MOST_BARS:]
    if not order:
        return None
    scale, unit = scale_of(max(abs(v) for f in order for v in ends[f].values()), results.currency)
    services = [service["id"] for service in results.manifest["services"]]
    groups = [group["name"] for group in results.manifest["groups"]]
    names = {field: _two_lines(words_of(f"{field}:", services, groups)) for field in order}
    figure = go.Figure()
    for end, colour in (("low", ENDS[0]), ("high", ENDS[1])):
        gained = [ends[field].get(end, middle) for field in order]
        figure.add_bar(
            y=[names[field] for field in order],
            x=[(value - middle) / scale for value in gained],
            base=middle / scale,
            customdata=[value / scale for value in gained],
            orientation="h",
            name=f"{end} end of the range",
            marker_color=colour,
            hovertemplate="%{y}: %{customdata:,.2f} " + unit,
        )
    figure.add_vline(x=middle / scale, line_color=TOTAL)
    figure.update_layout(barmode="overlay")
    reach = sorted(ends[order[-1]].values())
    low, high = min(reach[0], middle), max(reach[-1], middle)
    widest = words_of(f"{order[-1]}:", services, groups).rstrip(", ")
    span = f"{signed(low / scale, sign=False)} to {signed(high / scale, sign=False)} {unit}"
    title = f"{widest} moves the gain most: {span}"
    return laid(figure, title, f"gain in {unit}", "")


def _two_lines(words: str) -> str:
    """Return a field under what it belongs to, so that it is narrow."""
    first, _, rest = words.rstrip(", ").partition(".")
    return f"{first}<br>{rest}"

r"""Formulas as MathML, which browsers draw themselves: no script, nothing to fetch.

The pages write LaTeX between dollar signs, as code hosts show it. Markdown's `arithmatex` marks it,
and what it marks is turned here into MathML Core. The font is STIX Two Math, which the package
`ziamath` brings.
"""

from __future__ import annotations

import html
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from latex2mathml.converter import convert

MARKED = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
FONT = "STIXTwoMath-Regular.ttf"


class FormulaError(Exception):
    """A formula that cannot be turned into MathML."""


def mathml(latex: str, *, block: bool) -> str:
    """Return the MathML of a formula.

    Raises:
        FormulaError: a command is not known.
    """
    try:
        # the same columns; "aligned" is not known to latex2mathml
        known = re.sub(r"(begin|end)\{aligned\}", r"\1{align*}", latex.strip())
        drawn = convert(known, display="block" if block else "inline")
    except Exception as error:
        raise FormulaError(f"{latex.strip()}: {error}") from error
    if unknown := re.search(r"<mi>(\\\w+|&)</mi>|linebreak", drawn):
        raise FormulaError(f"{latex.strip()}: {unknown[0]} is not known")
    # the font's prime stands high by itself
    return re.sub(
        r"<msup>(<mi>\w</mi>)<mi>&#x02032;</mi></msup>", r"<mrow>\1<mo>&#x02032;</mo></mrow>", drawn
    )


def draw_formulas(page: str) -> str:
    """Return an HTML page with each marked formula as MathML."""

    def drawn(match: re.Match[str]) -> str:
        return mathml(html.unescape(match[3]), block=match[2] == "[")

    return MARKED.sub(drawn, page)


def copy_font(into: Path) -> None:
    """Copy the font of the formulas."""
    found = find_spec("ziamath")
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            "ziamath has the font of the formulas: pip install 'ebplan[docs]'"
        )
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(found.origin).parent / "fonts" / FONT, into / FONT)

"""Blank figures in one style, and their files.

matplotlib is imported only when a figure is drawn, and never through pyplot, so that no global
state is touched.
"""

from __future__ import annotations

import io
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ebplan.document import write_atomically
from ebplan.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
INK, GREY = "#222222", "#777777"
STYLE: dict[Any, Any] = {
    "axes.edgecolor": GREY,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9.0,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "svg.hashsalt": "ebplan",  # equal plans give equal files
}


def check_suffix(path: Path) -> str:
    """Return the suffix of a figure's file, in lower case.

    Raises:
        InputError: no figure is drawn in this format.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise InputError(
            field="(figure)",
            value=path.name,
            allowed=f"a name that ends in {', '.join(FORMATS)}",
            remedy="choose one of these suffixes",
            file=str(path),
        )
    return suffix


def styled() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and saved.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
    except ImportError:
        raise InputError(
            field="(figure)",
            value="matplotlib is not installed",
            allowed="an installed matplotlib",
            remedy="pip install ebplan[plot]",
        ) from None
    return rc_context(STYLE)


def blank(width_in: float, height_in: float) -> Figure:
    """Return an empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path, *, dpi: int = 200) -> None:
    """Write a figure; the suffix chooses png, svg or pdf.

    Raises:
        InputError: another suffix, or a folder that cannot be written.
    """
    suffix = check_suffix(path)
    undated = {".png": None, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[suffix]
    content = io.BytesIO()
    with styled(), warnings.catch_warnings():
        # a name may have characters that the font lacks; the rest is still worth seeing
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(content, format=suffix[1:], dpi=dpi, metadata=undated)
    write_atomically(path, content.getvalue())

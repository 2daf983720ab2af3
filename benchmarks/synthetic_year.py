"""Made-up market years against what is published: ``python -m benchmarks.synthetic_year``.

Prints, and writes into ``docs/series.md``, each statistic that a year is shaped after, and that of
years made with ten seeds: their mean and how far they lie apart.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sections import write_section
from ebplan.study.synthetic.compare import compare
from ebplan.study.synthetic.year import ABOUT

PAGE = Path(__file__).parents[1] / "docs" / "series.md"
FISCAL = 2025
SEEDS = range(1, 11)


def main() -> None:
    """Print the tables and write them into the page."""
    years = [compare(FISCAL, seed) for seed in SEEDS]
    lines = [
        "| series | statistic | published | made up, mean of ten seeds | lowest | highest | off |",
        "|---|---|---|---|---|---|---|",
    ]
    for found in zip(*years, strict=True):
        made = np.array([one.made for one in found])
        known = found[0].published
        off = 100.0 * (made.mean() / known - 1.0)
        lines.append(
            f"| {found[0].series} | {found[0].statistic} | {known:,.4g} | {made.mean():,.4g} | "
            f"{made.min():,.4g} | {made.max():,.4g} | {off:+.1f} % |"
        )
    about = ["| series | unit | what is matched, what assumed |", "|---|---|---|"]
    about += [f"| `{name}` | {unit} | {what} |" for name, (unit, what) in ABOUT.items()]
    text = "\n".join([*about, "", *lines])
    print(text)
    write_section(PAGE, "made-up years", text)


if __name__ == "__main__":
    main()

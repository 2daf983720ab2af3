"""The day with reserve and loads, statement by statement: what each is worth in HiGHS itself."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.runs import Measured

STATEMENTS: dict[tuple[str, str], str] = {
    ("highs", "plant_naive"): "least times pair by pair of steps, a direction binary each step",
    ("highs", "plant"): "least times by starts (Rajan and Takriti): the plain statement",
    ("highs", "plant_hull"): "rows of one-way batteries in place of direction binaries",
    ("ebplan", "plant_apart"): "and each load by itself, for it shares no row",
    ("ebplan", "plant"): "and by its number of runs, from the best bound on",
    ("ebplan", "plant_paths"): "loads as shortest paths over time and steps run, no program",
}
WORDS = """\
## The day with reserve and loads, by its statement

Each line adds to the one before; all find the same optimum. The first three are HiGHS with its
defaults, the others with what ebplan sets. ebplan's row above is the line by numbers of runs: it is
ahead by its statement, which any of the other tools could be given as well, and so it is on the
`day`, where only prices below zero get a binary.

- **Reserve and direction.** A battery that never does both keeps c + d + r <= P, where the plain
  statement asks for d - c + r <= P and c - d + r <= P and a binary; and what it gives, or takes,
  in a step is there within the step together with the reserve: e - h d / eta_d >= r s / eta_d,
  e + h eta_c c + r eta_c s <= E, s the time that it is held. The rows hold for every honest plan,
  so they cut nothing off; with them the linear program does not burn energy at these prices below
  zero, and no binary is left. The run looks at its own answer and stops if it does. ebplan's own
  battery has these rows ([formulation.md](formulation.md), 3.5: `converter_share`, `hull`).
- **Loads.** They share no row with the battery or with each other. Nothing tells HiGHS so.
- **Number of runs.** Rajan and Takriti's rows are the hull of least times, but a number of steps to
  run cuts through it: the relaxation mixes plans with fewer and with more. With the number of runs
  fixed there is little left to mix. Relaxations of all numbers of runs come first, each from the
  basis of the last; whole numbers only where a bound is below the best plan.
- **Shortest paths.** What is a program of 576 columns is a walk over 288 steps for a computer: the
  last line is faster than any program, proves the others right by other means, and works for as
  long as loads share nothing.

The order of time on and off is all that symmetry there could be: the four loads differ, so there
is none to break. ebplan plans pools of instances, whose least times are rows by starts of counts;
it has no loads with a number of steps to run, and these are stated with its program builder.
"""


def section(measured: Sequence[Measured]) -> str:
    """Return the table of statements as Markdown."""
    lines = [
        WORDS,
        "| statement | solves | nodes | in HiGHS, s | total, s | of the plain one |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    found = {(m.tool, m.problem): m for m in measured}
    plain = found.get(("highs", "plant"))
    for key, words in STATEMENTS.items():
        m = found.get(key)
        if m is None or not m.runs:
            lines.append(f"| {words} | | | | {m.left_out if m else 'not run'} | |")
            continue
        total = m.median("total_s")
        share = f"{total / plain.median('total_s'):.3f}" if plain and plain.runs else ""
        lines.append(
            f"| {words} | {m.median('runs'):.0f} | {m.median('nodes'):.0f} "
            f"| {m.median('solver_s'):.2f} | {total:.2f} | {share} |"
        )
    return "\n".join(lines)

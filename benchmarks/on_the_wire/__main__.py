"""Run the controller against simulated sites in real time, and report what their meters showed.

An hour one after the other. Exits with 1 where a site was not handed back, a protected request
was refused, or a log does not verify; an envelope that is not kept is reported.
"""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from benchmarks.machine import describe_machine
from benchmarks.on_the_wire.cases import SHORTENED, Done, run_one
from benchmarks.on_the_wire.faults import FAULTS, PAIRS
from benchmarks.on_the_wire.page import section
from benchmarks.sections import write_section

FAULT_CALL = "under_frequency"


@click.command(help=__doc__)
@click.option("--call", "calls", multiple=True, help="Only these examples.")
@click.option("--fault", "faults", multiple=True, help="Only these faults.")
@click.option("--pairs", is_flag=True, help="The pairs of faults.")
@click.option("--sites", default=1, show_default=True, help="Side by side.")
@click.option("--kept", type=click.Path(path_type=Path), help="Keep finished cases here; resume.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(
    calls: tuple[str, ...],
    faults: tuple[str, ...],
    pairs: bool,
    sites: int,
    kept: Path | None,
    write: Path | None,
) -> None:
    """Run and report."""
    every = not calls and not faults and not pairs
    cases = [(name,) for name in (SHORTENED if every else calls)]
    cases += [(FAULT_CALL, fault) for fault in (FAULTS if every else faults)]
    cases += [(FAULT_CALL, *pair) for pair in (PAIRS if every or pairs else ())]
    done: dict[tuple[str, ...], Done] = {}
    if kept is not None and kept.exists():
        done = pickle.loads(kept.read_bytes())
    left = [case for case in cases if case not in done]
    with ProcessPoolExecutor(sites, max_tasks_per_child=1) as pool:
        for case, result in zip(left, pool.map(run_one, left), strict=True):
            done[case] = result
            click.echo(f"{' + '.join(case)}: {result}", err=True)
            if kept is not None:
                kept.write_bytes(pickle.dumps(done))
    ran = [done[case] for case in cases]
    by_faults = [[d for c, d in zip(cases, ran, strict=True) if len(c) == 1 + n] for n in range(3)]
    text = section(*by_faults, describe_machine())
    click.echo(text)
    if write is not None:
        write_section(write, "on the wire", text)
    safe = all(d.handed_back and not d.refused_protected and d.audit == "ok" for d in ran)
    sys.exit(0 if safe else 1)


if __name__ == "__main__":
    main()

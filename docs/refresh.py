"""Put what the commands print into the README and the examples page: ``python docs/refresh.py``.

The plan between the README's ``text`` fences is the output of ``ebplan solve`` at a width of 100,
and the figure beside it that of ``--plot``. The examples page has the first lines and the figure of
each further example, below a sentence on what to see. The pages of baselines and of delivery have
what ``ebplan settle`` prints for their examples, and that of offers what ``ebplan offer`` does. The
page of the audit log is one session: its Python and its commands are run from top to bottom; so is
each tutorial.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))
from sessions import run_page

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples/under_frequency.json"
FIGURE = "docs/figures/under_frequency.png"
BASELINE = (
    "examples/settle/history.csv",
    "--event",
    "examples/settle/event.json",
    "--notice",
    "3h",
)
BASELINE_FIGURE = "docs/figures/baseline.png"
DELIVERY = (
    *("examples/settle/meter.csv", "--event", "examples/settle/meter_event.json"),
    *("--plan", "examples/settle/meter_plan.json"),
    *("--service", "examples/settle/both_ways.toml", "--simulated"),
)
OFFER = (
    *("examples/offers/phase_a.json", "--direction", "release"),
    *("--duration", "5min", "--duration", "1h"),
    *("--confidence", "0.5", "--confidence", "0.9", "--confidence", "0.99"),
    *("--service", "jp_rr"),
)
OFFER_FIGURE = "docs/figures/offer.png"
DELIVERY_FIGURE = "docs/figures/delivery.png"
REPLAY = ("examples/replay/caps_by_hand.toml",)
REPLAY_FIGURE = "docs/figures/replay.png"
EXAMPLES = {
    "surplus_absorb": "Draw more: the battery takes the surplus at once, an instance that stood "
    "drained goes to work, and the battery keeps the share left to it.",
    "demand_response": "Two hours with ten minutes' notice. The cache is warmed before the first "
    "instance is drained, because draining cold costs more than the pre-warm; one instance loads "
    "FP8 weights, so that two carry what took three.",
    "mixed_pools": "Two models on two GPU types. One pool's clocks are locked, which goes deeper "
    "than the lowest cap that the model covers; the other pool is capped a little. Look at what is "
    "refused, and why, in the plan's sentences.",
    "surplus_queue": "Draw more by useful work: an instance is woken in time, another put to work, "
    "and both serve what was queued for later; the battery bridges until then.",
    "fcr_tracking": "A synthetic frequency is followed both ways within a band, and the charge is "
    "restored afterwards.",
    "price_window": "No target, synthetic prices: the battery fills where drawing is paid and "
    "gives where it is dear.",
}
"""Examples of the page, with what to see in each."""
SESSION_BLOCK = re.compile(r"```(?:python\n|text\n\$ ).*?```", re.DOTALL)
PLAN_BLOCK = re.compile(r"(?<=```text\n).*?(?=```)", re.DOTALL)


def printed_plan(example: str = EXAMPLE, figure: str | None = None) -> str:
    """Return what ``ebplan solve`` prints for an example, and draw its figure."""
    return _printed(["solve", example, "--plot", figure or FIGURE])


def _printed(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ebplan", *arguments],
        cwd=ROOT,
        env={"COLUMNS": "100", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def printed_baseline(figure: str = BASELINE_FIGURE) -> str:
    """Return what ``ebplan settle baseline`` prints for the example, and draw its figure."""
    return _printed(["settle", "baseline", *BASELINE, "--plot", figure])


def printed_delivery(figure: str = DELIVERY_FIGURE) -> str:
    """Return what ``ebplan settle delivery`` prints for the example, and draw its figure."""
    return _printed(["settle", "delivery", *DELIVERY, "--plot", figure])


def printed_offer() -> str:
    """Return what ``ebplan offer`` prints for the example."""
    return _printed(["offer", *OFFER])


def printed_replay(folder: str) -> str:
    """Return what ``ebplan replay`` prints for the example, and keep its folder."""
    return _printed(["replay", *REPLAY, "-o", folder])


def examples_page() -> str:
    """Return the examples page, and draw its figures."""
    parts = [
        "# Examples\n\nWritten by `python docs/refresh.py`. Each is `ebplan solve "
        "examples/NAME.json --plot NAME.png`; what a price or a watt is assumed to be stands in "
        "the site's file.\n"
    ]
    for name, what in EXAMPLES.items():
        figure = f"docs/figures/{name}.png"
        head = printed_plan(f"examples/{name}.json", figure).partition("\n\n")[0]
        parts.append(f"## {name}\n\n{what}\n\n```text\n{head}\n```\n")
        parts.append(f"![The plan of examples/{name}.json](figures/{name}.png)\n")
    return "\n".join(parts)


def audit_page(page: str) -> str:
    """Return the page of the audit log with what its commands print, run one after the other."""
    with TemporaryDirectory() as folder:
        for name in (EXAMPLE, "examples/verify_audit.py"):
            shutil.copy(ROOT / name, folder)
        return SESSION_BLOCK.sub(lambda block: _run_block(block[0], Path(folder)), page)


def _run_block(block: str, folder: Path) -> str:
    if block.startswith("```python\n"):
        code = block.removeprefix("```python\n").removesuffix("```")
        _run_in(folder, [sys.executable, "-c", code])
        return block
    lines = []
    for line in block.splitlines():
        if line.startswith("$ "):
            # the shell's own quoting, and this Python
            words = line[2:].replace("ebplan audit", '"$PYTHON" -m ebplan audit', 1)
            words = re.sub("^python ", '"$PYTHON" ', words)
            lines += [line, *_run_in(folder, ["sh", "-c", words]).splitlines()]
    return "\n".join(["```text", *lines, "```"])


def _run_in(folder: Path, command: list[str]) -> str:
    environment = {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT), "PATH": os.defpath}
    return subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def main() -> None:
    """Rewrite the README's plan, the examples page and the output on the pages of settlement."""
    readme = ROOT / "README.md"
    plan = printed_plan()
    readme.write_text(PLAN_BLOCK.sub(lambda _: plan, readme.read_text("utf-8")), "utf-8")
    japanese = ROOT / "README.ja.md"
    first = plan.partition("\n\nFleet\n")[0] + "\n"
    japanese.write_text(PLAN_BLOCK.sub(lambda _: first, japanese.read_text("utf-8")), "utf-8")
    (ROOT / "docs" / "examples.md").write_text(examples_page(), "utf-8")
    _printed(["offer", OFFER[0], "--plot", OFFER_FIGURE])
    pages = {
        "baselines": printed_baseline(),
        "delivery": printed_delivery(),
        "offers": printed_offer(),
    }
    for name, printed in pages.items():
        page = ROOT / "docs" / f"{name}.md"
        page.write_text(
            PLAN_BLOCK.sub(lambda _, text=printed: text, page.read_text("utf-8")),
            "utf-8",
        )
    with TemporaryDirectory() as folder:
        page = ROOT / "docs" / "replay.md"
        printed = printed_replay(f"{folder}/report")
        page.write_text(
            PLAN_BLOCK.sub(lambda _: printed, page.read_text("utf-8"), count=1), "utf-8"
        )
        shutil.copy(f"{folder}/report/replay.png", ROOT / REPLAY_FIGURE)
    page = ROOT / "docs" / "audit.md"
    page.write_text(audit_page(page.read_text("utf-8")), "utf-8")
    for page in sorted((ROOT / "docs" / "tutorials").glob("*.md")):
        page.write_text(run_page(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()

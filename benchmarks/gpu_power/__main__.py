"""Measure one GPU under transformer load and idle: see the package's docstring."""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import signal
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.gpu_power.block import measure_block
from benchmarks.gpu_power.cells import Files, Task, measure_cells
from benchmarks.gpu_power.meter import MeterUnavailable, open_meter
from benchmarks.gpu_power.plan import Block, Cell, Durations, plan_blocks
from benchmarks.gpu_power.sampler import Readings, Sampler

DRY_TOKENS = 16
"""Tokens of a dry run's contexts and prompts."""


def main(arguments: list[str] | None = None) -> int:
    """Run; return 0 when every cell was measured, 1 when some were not, 2 when none can be."""
    began_s = time.monotonic()
    options = _parser().parse_args(arguments)
    files = Files(options.out)
    try:
        meter = open_meter(options.gpu, options.dry)
        torch_version = _torch_version(options.dry)
        if files.runs.exists() or files.failed.exists():
            raise MeterUnavailable(f"{options.out} holds an earlier run: choose a new folder")
    except MeterUnavailable as error:
        print(f"gpu_power: {error}", file=sys.stderr)
        return 2
    # ended from outside, it ends the processes it started, as it does at its own end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    files.folder.mkdir(parents=True, exist_ok=True)
    machine = {"gpu": meter.gpu, "driver": meter.driver, "torch": torch_version}
    _write_setup(files, machine, options)

    durations = Durations(options.seconds, options.warm_up_s, options.settle_s, options.rest_s)
    deadline_s = None if options.budget_s is None else began_s + options.budget_s
    context = multiprocessing.get_context("spawn")
    blocks = _blocks(options)
    first = Task((Cell("idle", None),), blocks, durations, deadline_s, machine, files)
    with Sampler(context, options.gpu, options.dry, files.samples, options.rate_hz):
        _wait_for_readings(files)
        # before any process opens CUDA
        measure_cells(first, None, Readings(files.samples), time)
        for place, block in enumerate(blocks):
            task = replace(first, block=block, later=blocks[place + 1 :])
            measure_block(context, task, options.gpu, options.dry)
    return _report(files)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_power", description=__doc__)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the tables; of one run only")
    add("--seconds", type=float, default=60.0, help="seconds of each cell (%(default)s)")
    add("--budget-s", type=float, help="seconds all in all: cells are shortened to fit")
    add("--warm-up-s", type=float, default=2.0, help="of load before a loaded cell (%(default)s)")
    add("--settle-s", type=float, default=5.0, help="of quiet before an idle one (%(default)s)")
    add("--rest-s", type=float, default=2.0, help="of quiet around a ramp (%(default)s)")
    add("--rate-hz", type=float, default=20.0, help="readings a second (%(default)s)")
    add("--precisions", type=_words("bf16", "fp8"), default=("bf16", "fp8"))
    add("--phases", type=_words("decode", "prefill"), default=("decode", "prefill"))
    add("--decode-batches", type=_sizes, default=(1, 2, 4, 8, 16, 32, 64, 128, 256))
    add("--context-tokens", type=int, default=1024, help="of each sequence (%(default)s)")
    add("--prefill-batches", type=_sizes, default=(1, 2, 4, 8, 16, 32, 64, 128))
    add("--prompt-tokens", type=int, default=256, help="of each prompt (%(default)s)")
    add("--gpu", type=int, default=0, help="index of the GPU in NVML (%(default)s)")
    add("--dry", action="store_true", help="tiny sizes on the processor, invented readings")
    return parser


def _words(*allowed: str):
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        if not set(words) <= set(allowed):
            raise argparse.ArgumentTypeError(f"{text!r}: of {', '.join(allowed)}, by commas")
        return words

    return parse


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(word) for word in text.split(","))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a batch holds 1 or more")
    return sizes


def _blocks(options: argparse.Namespace) -> list[Block]:
    context = DRY_TOKENS if options.dry else options.context_tokens
    prompt = DRY_TOKENS if options.dry else options.prompt_tokens
    return plan_blocks(
        options.precisions,
        options.phases,
        [(batch, context) for batch in options.decode_batches],
        [(batch, prompt) for batch in options.prefill_batches],
    )


def _torch_version(dry: bool) -> str:
    if importlib.util.find_spec("torch") is None:
        raise MeterUnavailable("no module torch: install torch built for CUDA")
    # importing it opens no CUDA context: the idle to be measured stays one without
    import torch

    if not dry and torch.version.cuda is None:
        raise MeterUnavailable(f"torch {torch.__version__} is built without CUDA")
    return str(torch.__version__)


def _write_setup(files: Files, machine: dict[str, str], options: argparse.Namespace) -> None:
    from benchmarks.gpu_power.model import TINY, Shape

    said = {name: value for name, value in vars(options).items() if name != "out"}
    shape = asdict(TINY if options.dry else Shape())
    setup = {**machine, "python": platform.python_version(), "transformer": shape, "options": said}
    (files.folder / "setup.json").write_text(json.dumps(setup, indent=2) + "\n")


def _wait_for_readings(files: Files) -> None:
    for _ in range(100):
        if files.samples.exists() and Readings(files.samples).between(0.0, float("inf")):
            return
        time.sleep(0.1)


def _report(files: Files) -> int:
    if not files.failed.exists():
        print(f"every cell was measured: {files.runs}")
        return 0
    print(f"not measured ({files.failed}):\n{files.failed.read_text()}", end="")
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""A real GPU read through the adapter, idle and under load; nothing is set.

``python -m benchmarks.adapters.real_gpu --save FILE.json.gz`` measures where there is a GPU and
PyTorch; without it, what was measured on an H200 is reported.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.sections import write_section
from ebplan.adapters.answers import Unreachable
from ebplan.adapters.gpu.nvml import NvmlGpus

MEASURED = Path(__file__).parent / "measured" / "h200_read.json.gz"
IDLE_S, LOAD_S, READ_HZ = 6.0, 10.0, 100.0
SIDE = 8192
"""Matrices of this side, bf16: the tensor cores are busy all the time."""


async def watch(seconds: float, load: Callable[[], None] | None) -> list[dict[str, float]]:
    """Read the GPU for some seconds, a load beside it; return readings with their times."""
    gpus = NvmlGpus("node")
    rows: list[dict[str, float]] = []
    thread = None if load is None else threading.Thread(target=load)
    begin = time.monotonic()
    if thread is not None:
        thread.start()
    while (at := time.monotonic() - begin) < seconds:
        reading = await gpus.read()
        took_s = time.monotonic() - begin - at
        if isinstance(reading, Unreachable):
            raise click.ClickException(str(reading))
        gpu = reading[0]
        rows.append(
            {
                "at_s": at,
                "took_s": took_s,
                "power_w": 1e3 * gpu.power_kw,
                "mean_w": _mean_w(),
                "energy_j": 3.6e6 * gpu.energy_kwh,
                "enforced_w": gpu.enforced_w,
                "low_w": gpu.cap_range.low,
                "high_w": gpu.cap_range.high,
                "instantaneous": float(gpu.instantaneous),
            }
        )
        await asyncio.sleep(max(1.0 / READ_HZ - took_s, 0.0))
    if thread is not None:
        thread.join()
    await gpus.close()
    return rows


def _mean_w() -> float:
    """Return the driver's one-second mean."""
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    return float(pynvml.nvmlDeviceGetPowerUsage(handle)) / 1e3


def matrix_products(seconds: float) -> Callable[[], None]:
    """Return a load that is ready to start."""
    import torch

    a, b = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    out = a @ b
    torch.cuda.synchronize()

    def run() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(20):
                torch.matmul(a, b, out=out)
            torch.cuda.synchronize()

    return run


def measure() -> dict[str, Any]:
    """Measure idle and under load."""
    import pynvml
    import torch

    load = matrix_products(LOAD_S)
    time.sleep(3.0)
    idle = asyncio.run(watch(IDLE_S, None))
    loaded = asyncio.run(watch(LOAD_S, load))
    pynvml.nvmlInit()
    return {
        "gpu": torch.cuda.get_device_name(0),
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "idle": idle,
        "load": loaded,
    }


def section(measured: dict[str, Any]) -> str:
    """Return what was measured in words and a table."""
    from benchmarks.tables import table  # not where it is measured: it needs the solver

    idle, load = (
        {name: np.array([row[name] for row in measured[part]]) for name in measured[part][0]}
        for part in ("idle", "load")
    )
    took_ms = 1e3 * np.concatenate([idle["took_s"], load["took_s"]])
    last = load["at_s"] > LOAD_S / 2.0
    plateau_w = float(np.median(load["power_w"][last]))
    rest_w = float(np.median(idle["power_w"]))
    counted_w = _slope_w(load["at_s"][last], load["energy_j"][last])
    rows = [
        ("a whole reading (4 calls of the driver), median", f"{np.median(took_ms):.2f} ms"),
        ("99 %", f"{np.quantile(took_ms, 0.99):.2f} ms"),
        ("the longest", f"{took_ms.max():.1f} ms"),
        ("idle, CUDA loaded", f"{rest_w:.0f} W"),
        ("under load", f"{plateau_w:.0f} W"),
        ("the energy counter over the same time", f"{counted_w:.0f} W"),
        ("new instantaneous value every", f"{1e3 * _period_s(load, 'power_w'):.0f} ms"),
        ("new value of the one-second mean every", f"{1e3 * _period_s(load, 'mean_w'):.0f} ms"),
        ("the energy counter moves every", f"{1e3 * _period_s(load, 'energy_j'):.0f} ms"),
        ("90 % of the step seen, instantaneous", f"{_reached_s(load, 'power_w', rest_w):.2f} s"),
        ("90 % of the step seen, one-second mean", f"{_reached_s(load, 'mean_w', rest_w):.2f} s"),
        ("limits that it takes", f"{load['low_w'][0]:.0f} to {load['high_w'][0]:.0f} W"),
        ("limit that is enforced", f"{load['enforced_w'][0]:.0f} W"),
    ]
    return "\n".join(
        (
            "### A real GPU",
            "",
            f"One {measured['gpu']}, driver {measured['driver']}, read {READ_HZ:g} times a second "
            f"for {IDLE_S + LOAD_S:g} s, idle and under matrix products; nothing was set.",
            "",
            *table(("what", "measured"), rows),
        )
    )


def _slope_w(at_s: np.ndarray, energy_j: np.ndarray) -> float:
    return float((energy_j[-1] - energy_j[0]) / (at_s[-1] - at_s[0]))


def _period_s(load: dict[str, np.ndarray], name: str) -> float:
    """Return the median time between two changes of what is read."""
    at = [
        float(now)
        for (before, value), now in zip(
            itertools.pairwise(load[name]), load["at_s"][1:], strict=True
        )
        if value != before
    ]
    return float(np.median(np.diff(at)))


def _reached_s(load: dict[str, np.ndarray], name: str, rest_w: float) -> float:
    """Return when 90 % of the way from idle to load was seen."""
    plateau_w = float(np.median(load[name][load["at_s"] > LOAD_S / 2.0]))
    seen = load[name] >= rest_w + 0.9 * (plateau_w - rest_w)
    return float(load["at_s"][np.argmax(seen)])


@click.command(help=__doc__)
@click.option("--save", type=click.Path(path_type=Path), help="Measure, and write readings here.")
@click.option("--write", type=click.Path(path_type=Path), help="Put the section into this page.")
def main(save: Path | None, write: Path | None) -> None:
    """Measure, or report what was measured."""
    if save is not None:
        save.write_bytes(gzip.compress(json.dumps(measure()).encode(), mtime=0))
        return
    text = section(json.loads(gzip.decompress(MEASURED.read_bytes())))
    click.echo(text)
    if write is not None:
        write_section(write, "real gpu", text)


if __name__ == "__main__":
    main()

"""What the numbers were measured on: processor and versions, no names of hosts or paths."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from ebplan.solvers.highs import OPTIONS

PACKAGES = ("ebplan", "highspy", "numpy", "pydantic")
"""Packages whose versions move the numbers."""


def describe_machine(gap: float = OPTIONS["mip_rel_gap"]) -> list[str]:
    """Return the description as Markdown list items.

    Args:
        gap: relative gap that was asked for; that of integer programs if absent.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return [
        f"- processor: {processor()}, {os.cpu_count()} cores visible, {platform.system()}",
        f"- Python {platform.python_version()}, {versions}",
        f"- HiGHS threads: {OPTIONS['threads']}, relative gap asked: {gap:g}",
        f"- date: {datetime.now(UTC):%Y-%m-%d}",
    ]


def processor() -> str:
    """Return the model of the processor."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()

"""The way back to what was before, without all GPUs rebounding at once. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

STEPS: Final = 4
"""Steps in which each GPU comes back."""


@dataclass(frozen=True)
class Step:
    """One limit of one GPU."""

    at_s: float
    """When, from the beginning."""
    gpu: int
    """Which one."""
    cap_w: float | None
    """Its limit then; None is the last step: everything as it was before."""


def ramp(
    from_w: Mapping[int, float], to_w: Mapping[int, float], within_s: float, steps: int = STEPS
) -> tuple[Step, ...]:
    """Return the limits in time order: one GPU at a time, each raised by equal parts.

    The sum of the limits rises in ``steps`` times the number of GPUs small steps, evenly over
    ``within_s``. A limit that has to fall does so in the first step.

    Args:
        from_w: limits now, by GPU.
        to_w: limits to come to; a GPU that is missing here is restored in its last step.
        within_s: when the last GPU is back, at most.
        steps: steps of each GPU.
    """
    apart_s = within_s / (len(from_w) * steps) if from_w else 0.0
    found = []
    for step in range(1, steps + 1):
        for place, (gpu, low_w) in enumerate(sorted(from_w.items())):
            high_w = to_w.get(gpu, low_w)
            last = step == steps
            cap_w = None if last else low_w + (high_w - low_w) * step / steps
            if not last and high_w <= low_w:
                if step > 1 or high_w == low_w:
                    continue
                cap_w = high_w
            found.append(Step(apart_s * ((step - 1) * len(from_w) + place), gpu, cap_w))
    return tuple(found)

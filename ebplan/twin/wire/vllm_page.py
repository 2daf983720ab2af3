"""The page of metrics of an engine without a model: a recorded one with its own numbers put in."""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

PAGE = Path(__file__).with_name("vllm_metrics.prom")
"""Recorded from vLLM 0.32.0 before its first request."""
STATES = ("awake", "weights_offloaded", "discard_all")
"""States of sleep by level."""
_SAMPLE = re.compile(r"^vllm:(?P<name>\w+)(?P<labels>\{[^}]*\}) \S+$", re.MULTILINE)


class EngineCounts:
    """What an engine has counted since it started.

    Args:
        model: name of the model that it serves.
        block_tokens: size of a block of its cache.
    """

    def __init__(self, model: str, block_tokens: int) -> None:
        self._model, self._block_tokens = model, block_tokens
        self.counters: Counter[str] = Counter()
        """By family, without prefix; without its reason where it has one."""
        self.finished: Counter[str] = Counter()
        """Requests by reason."""
        self._observed: defaultdict[str, list[float]] = defaultdict(list)  # each sorted
        self._sums: defaultdict[str, float] = defaultdict(float)

    def observe(self, histogram: str, value: float) -> None:
        """Count a value, in the unit of the histogram."""
        insort(self._observed[histogram], value)
        self._sums[histogram] += value

    def page(self, gauges: Mapping[str, float], sleep_level: int) -> str:
        """Return the page.

        Args:
            gauges: values by family, without prefix.
            sleep_level: 0 for awake, 1 or 2.
        """

        def put(match: re.Match[str]) -> str:
            name, labels = match["name"], match["labels"]
            value = self._sample(name, labels, gauges, sleep_level)
            return match[0] if value is None else f"vllm:{name}{labels} {value}"

        text = _SAMPLE.sub(put, PAGE.read_text(encoding="utf-8"))
        text = text.replace('model_name="tiny"', f'model_name="{self._model}"')
        return text.replace(',block_size="128"', f',block_size="{self._block_tokens}"')

    def _sample(
        self,
        name: str,
        labels: str,
        gauges: Mapping[str, float],
        sleep_level: int,
    ) -> float | None:
        """Return the value of one line; None leaves what was recorded."""
        family, _, kind = name.rpartition("_")
        if name == "request_success_total":
            return float(self.finished[_label(labels, "finished_reason")])
        if name == "engine_sleep_state":
            return float(_label(labels, "sleep_state") == STATES[sleep_level])
        if name == "admission_rejections_total" and "tokens" in _label(labels, "reason"):
            return None  # there is no limit of tokens here
        if name in gauges:
            return float(gauges[name])
        if kind == "total" and family in self.counters:
            return float(self.counters[family])
        if family not in self._observed:
            return None
        values = self._observed[family]
        match kind:
            case "bucket":
                bound = float(_label(labels, "le"))
                return float(bisect_right(values, bound))
            case "sum":
                return self._sums[family]
            case "count":
                return float(len(values))
        return None


def _label(labels: str, name: str) -> str:
    found = re.search(rf'\b{name}="([^"]*)"', labels)
    return found[1] if found else ""

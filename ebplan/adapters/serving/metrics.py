"""What a vLLM engine counts: names of versions 0.9 to 0.33 and older ones, summed over its ranks.

For a release or two an engine shows a family under its old name and its new one; it is read once.
Counters only grow; one that falls tells that the engine has restarted. Percentiles come from two
pages: a histogram counts since the start, so only the difference speaks of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf, isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX = "vllm:"
STARTED = "process_start_time_seconds"
OLDER = {
    "gpu_cache_usage_perc": "kv_cache_usage_perc",
    "gpu_prefix_cache_hits": "prefix_cache_hits",
    "gpu_prefix_cache_queries": "prefix_cache_queries",
    "time_per_output_token_seconds": "inter_token_latency_seconds",
}
"""Older names, and what they are called now."""
SLEEP_LEVELS = {"awake": 0, "weights_offloaded": 1, "discard_all": 2}
"""Level by the state that an engine says it is in."""
REQUIRED = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "prompt_tokens",
    "generation_tokens",
    "request_success",
)
"""Without these nothing can be said of an engine."""
SHARES = frozenset({"kv_cache_usage_perc"})
"""Families that are averaged over ranks, not summed."""
FAILED = frozenset({"abort", "error"})
"""Reasons to finish that are none to be proud of."""


class NotVllm(ValueError):
    """A page of metrics is not that of a vLLM engine; says what is missing."""


@dataclass(frozen=True)
class Histogram:
    """Counts up to each bound, cumulative, as the page has them."""

    upto: Mapping[float, float] = field(default_factory=dict)

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after another page; everything where the engine restarted."""
        grown = {bound: n - earlier.upto.get(bound, 0.0) for bound, n in self.upto.items()}
        return self if any(n < 0.0 for n in grown.values()) else Histogram(grown)

    def percentile(self, share: float) -> float | None:
        """Return the value below which this share lies, straight within a bucket.

        Args:
            share: 0 to 1.

        Returns:
            None where nothing was counted. In the last bucket, its lower bound: it has no upper.
        """
        bounds = sorted(self.upto)
        total = self.upto[bounds[-1]] if bounds else 0.0
        if total <= 0.0:
            return None
        wanted = share * total
        for low, high in pairwise((0.0, *bounds)):
            below, here = self.upto.get(low, 0.0), self.upto[high]
            if here >= wanted:
                if high == inf or here == below:
                    return low
                return low + (high - low) * (wanted - below) / (here - below)
        return bounds[-1]


@dataclass(frozen=True)
class Metrics:
    """One page, by family without prefix; sums over the engine's ranks."""

    values: Mapping[str, float]
    histograms: Mapping[str, Histogram]
    finished: float
    """Requests that ended well."""
    started_s: float | None
    """When its process started, as it says."""
    sleep_level: int = 0
    """Level at which it sleeps, the deepest of its ranks; 0 where it is awake or does not say."""

    def restarted_since(self, earlier: Metrics) -> bool:
        """Whether the engine has restarted between two pages."""
        if self.started_s != earlier.started_s:
            return True
        grow = ("prompt_tokens", "generation_tokens")
        return any(self.values[name] < earlier.values[name] for name in grow)


def read_metrics(page: str) -> Metrics:
    """Return what a page says.

    Raises:
        NotVllm: it is no page of metrics, lacks what every vLLM engine has, or says numbers that
            are none.
    """
    families = _families(page)
    values = {
        name: _value(name, family)
        for name, family in families.items()
        if family.type in ("counter", "gauge", "unknown")
    }
    for name in REQUIRED:
        if name not in values:
            raise NotVllm(f"a page of metrics without {PREFIX}{name}: is it a vLLM engine?")
        if not isfinite(values[name]):
            raise NotVllm(f"a page of metrics whose {PREFIX}{name} is no number")
    states, started = families.get("engine_sleep_state"), families.get(STARTED)
    return Metrics(
        values=values,
        histograms={n: _histogram(f) for n, f in families.items() if f.type == "histogram"},
        finished=sum(
            sample.value
            for sample in families["request_success"].samples
            if sample.name.endswith("_total") and not _failed(sample.labels)
        ),
        started_s=None if started is None else started.samples[0].value,
        sleep_level=0 if states is None else _sleep_level(states),
    )


def _families(page: str) -> dict[str, Metric]:
    """Return the engine's families by today's names; a page may show both, and counts them once."""
    from prometheus_client.parser import text_string_to_metric_families

    found: dict[str, Metric] = {}
    try:
        for family in text_string_to_metric_families(page):
            if family.name == STARTED:
                found[STARTED] = family
            elif family.name.startswith(PREFIX) and not family.name.endswith("_created"):
                name = family.name.removeprefix(PREFIX)
                if name not in OLDER:
                    found[name] = family
                else:
                    found.setdefault(OLDER[name], family)
    except (ValueError, IndexError, KeyError):
        # the error would quote the page, and an engine may write back the key that it was sent
        raise NotVllm("no page of metrics: is it a vLLM engine?") from None
    return found


def _value(name: str, family: Metric) -> float:
    """Return the sum over ranks and labels, or the mean over ranks where it is a share."""
    each = [sample.value for sample in family.samples if not sample.name.endswith("_created")]
    return sum(each) / max(len(each), 1) if name in SHARES else sum(each)


def _histogram(family: Metric) -> Histogram:
    upto: dict[float, float] = {}
    for sample in family.samples:
        if "le" in sample.labels:
            bound = float(sample.labels["le"])
            upto[bound] = upto.get(bound, 0.0) + sample.value
    return Histogram(upto)


def _sleep_level(family: Metric) -> int:
    return max(
        (
            SLEEP_LEVELS.get(sample.labels.get("sleep_state", ""), 0)
            for sample in family.samples
            if sample.value == 1.0
        ),
        default=0,
    )


def _failed(labels: Mapping[str, str]) -> bool:
    return labels.get("finished_reason") in FAILED

"""What a vLLM engine counts: names of versions 0.9 to 0.33 and older ones, summed over its ranks.

Counters only grow; one that falls tells that the engine has restarted. Percentiles come from two
pages: a histogram counts since the start, so only the difference speaks of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

PREFIX = "vllm:"
OLDER = {
    "gpu_cache_usage_perc": "kv_cache_usage_perc",
    "gpu_prefix_cache_hits": "prefix_cache_hits",
    "gpu_prefix_cache_queries": "prefix_cache_queries",
    "time_per_output_token_seconds": "inter_token_latency_seconds",
}
"""Names before 0.9, and what they are called now."""
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

    def restarted_since(self, earlier: Metrics) -> bool:
        """Whether the engine has restarted between two pages."""
        if self.started_s != earlier.started_s:
            return True
        grow = ("prompt_tokens", "generation_tokens")
        return any(self.values[name] < earlier.values[name] for name in grow)


def read_metrics(page: str) -> Metrics:
    """Return what a page says.

    Raises:
        NotVllm: it is no page of metrics, or lacks what every vLLM engine has.
    """
    from prometheus_client.parser import text_string_to_metric_families

    values: dict[str, float] = {}
    ranks: dict[str, int] = {}
    buckets: dict[str, dict[float, float]] = {}
    finished, started_s = 0.0, None
    try:
        for family in text_string_to_metric_families(page):
            if family.name == "process_start_time_seconds":
                started_s = float(family.samples[0].value)
            if not family.name.startswith(PREFIX) or family.name.endswith("_created"):
                continue
            name = _today(family.name.removeprefix(PREFIX))
            for sample in family.samples:
                if "le" in sample.labels:
                    bound = float(sample.labels["le"])
                    upto = buckets.setdefault(name, {})
                    upto[bound] = upto.get(bound, 0.0) + sample.value
                elif family.type in ("counter", "gauge") and "_created" not in sample.name:
                    values[name] = values.get(name, 0.0) + sample.value
                    ranks[name] = ranks.get(name, 0) + 1
                    if name == "request_success" and not _failed(sample.labels):
                        finished += sample.value
    except (ValueError, IndexError, KeyError) as error:
        raise NotVllm(f"no page of metrics: {error}") from None
    missing = [name for name in REQUIRED if name not in values]
    if missing:
        raise NotVllm(f"a page of metrics without {PREFIX}{missing[0]}: is it a vLLM engine?")
    for name in SHARES & values.keys():
        values[name] /= ranks[name]
    return Metrics(
        values=values,
        histograms={name: Histogram(upto) for name, upto in buckets.items()},
        finished=finished,
        started_s=started_s,
    )


def _today(name: str) -> str:
    return OLDER.get(name, name)


def _failed(labels: Mapping[str, str]) -> bool:
    return labels.get("finished_reason") in FAILED

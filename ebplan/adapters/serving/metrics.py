"""vLLM's ``/metrics`` page, in the names of 0.9 to 0.33.

One row per engine of a server: counts are summed, shares are averaged. Counters only grow, so rates
and percentiles come from the difference between two pages; a counter that went down means that the
engine began anew, and the later page is then the whole difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan

from ebplan.errors import InputError

GAUGES: Mapping[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "kv_cache_used": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
}
COUNTERS: Mapping[str, tuple[str, ...]] = {
    "prompt_tokens": ("vllm:prompt_tokens",),
    "generated_tokens": ("vllm:generation_tokens",),
    "finished": ("vllm:request_success",),
    "cache_hits": ("vllm:prefix_cache_hits", "vllm:gpu_prefix_cache_hits"),
    "preempted": ("vllm:num_preemptions",),
}
HISTOGRAMS: Mapping[str, tuple[str, ...]] = {
    "first_token_s": ("vllm:time_to_first_token_seconds",),
    "between_tokens_s": ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
}
"""Families by what they are here; the first name that is on the page counts, then older ones."""
SLEEP = "vllm:engine_sleep_state"
ENDED_WELL = frozenset({"stop", "length"})

Buckets = Mapping[float, float]
"""Observations up to a bound, by the bound; the last bound is infinite."""


@dataclass(frozen=True)
class ServingMetrics:
    """One page, summed over the engines of the server."""

    running: int
    """Requests being computed."""
    waiting: int
    """Requests queued."""
    kv_cache_used: float
    """Share of the cache in use, 0 to 1."""
    counters: Mapping[str, float]
    """By the names of ``COUNTERS``."""
    first_token_s: Buckets
    """Time to the first token."""
    between_tokens_s: Buckets
    """Time between two tokens."""
    awake: bool | None
    """Whether every engine is awake; None where this version does not tell."""


def read_metrics(page: str, *, model: str | None = None) -> ServingMetrics:
    """Return what a page says.

    Args:
        page: text in Prometheus' format.
        model: count this model only; None counts all that the server serves.

    Raises:
        InputError: the page is no such text, or a family that is needed is missing.
    """
    rows = _rows(page, model)
    buckets = {
        what: _buckets(_first(rows, names, ("_bucket",))) for what, names in HISTOGRAMS.items()
    }
    gauges = {what: _first(rows, names, ("",)) for what, names in GAUGES.items()}
    usage = [value for _, value in gauges["kv_cache_used"]]
    return ServingMetrics(
        running=round(_total(gauges["running"])),
        waiting=round(_total(gauges["waiting"])),
        kv_cache_used=sum(usage) / len(usage),
        counters={what: _counter(rows, what) for what in COUNTERS},
        first_token_s=buckets["first_token_s"],
        between_tokens_s=buckets["between_tokens_s"],
        awake=_awake(rows.get(SLEEP, [])),
    )


def restarted(before: ServingMetrics, after: ServingMetrics) -> bool:
    """Whether the engine began anew between two pages: a counter went down."""
    return any(after.counters[what] < before.counters[what] for what in COUNTERS) or any(
        _went_down(getattr(before, what), getattr(after, what)) for what in HISTOGRAMS
    )


def grown(before: ServingMetrics, after: ServingMetrics) -> Mapping[str, float]:
    """Return by how much each counter grew; since the restart, where there was one."""
    if restarted(before, after):
        return dict(after.counters)
    return {what: after.counters[what] - before.counters[what] for what in COUNTERS}


def percentile(before: Buckets | None, after: Buckets, share: float) -> float | None:
    """Return a percentile of what was observed between two pages, in the unit of the bounds.

    Linear within a bucket; infinite where it lies above the last finite bound.

    Args:
        before: the earlier page; None counts from the engine's start.
        after: the later page.
        share: e.g. 0.99.

    Returns:
        None where nothing was observed.
    """
    earlier = {} if before is None or _went_down(before, after) else before
    seen = [(bound, after[bound] - earlier.get(bound, 0.0)) for bound in sorted(after)]
    if not seen or seen[-1][1] <= 0.0:
        return None
    rank = share * seen[-1][1]
    low, below = 0.0, 0.0
    for bound, upto in seen:
        if upto >= rank and upto > below:
            return inf if bound == inf else low + (bound - low) * (rank - below) / (upto - below)
        low, below = bound, max(upto, below)
    return inf


_Row = tuple[Mapping[str, str], float]


def _rows(page: str, model: str | None) -> dict[str, list[_Row]]:
    """Return labels and value of every sample that counts, by the sample's name."""
    from prometheus_client.parser import text_string_to_metric_families

    rows: dict[str, list[_Row]] = {}
    try:
        for family in text_string_to_metric_families("\n".join(_wanted_lines(page)) + "\n"):
            for sample in family.samples:
                if model is None or sample.labels.get("model_name") == model:
                    rows.setdefault(sample.name, []).append((sample.labels, sample.value))
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(
            field="/metrics",
            value=str(error) or type(error).__name__,
            allowed="text in Prometheus' format",
            remedy="check that this address is a vLLM server",
        ) from None
    return rows


_WANTED = (
    *(n for table in (GAUGES, COUNTERS, HISTOGRAMS) for names in table.values() for n in names),
    SLEEP,
)
_STARTS = _WANTED + tuple(f"# TYPE {name}" for name in _WANTED)


def _wanted_lines(page: str) -> Iterator[str]:
    """Leave out what is not needed before it is parsed: that is nine tenths of a page."""
    for line in page.split("\n"):
        if line.startswith(_STARTS) and "_created" not in line:
            yield line


def _first(
    rows: Mapping[str, list[_Row]], names: tuple[str, ...], endings: tuple[str, ...]
) -> list[_Row]:
    for name in names:
        for ending in endings:
            found = rows.get(name + ending)
            if found:
                if not all(isfinite(value) for _, value in found):
                    raise _missing(name, nan)
                return found
    raise _missing(names[0], None)


def _counter(rows: Mapping[str, list[_Row]], what: str) -> float:
    found = _first(rows, COUNTERS[what], ("_total", ""))
    if what == "finished":
        found = [row for row in found if row[0].get("finished_reason") in ENDED_WELL]
    return _total(found)


def _buckets(rows: Iterable[_Row]) -> dict[float, float]:
    summed: dict[float, float] = {}
    for labels, value in rows:
        bound = float(labels.get("le", "nan").replace("+Inf", "inf"))
        summed[bound] = summed.get(bound, 0.0) + value
    return summed


def _went_down(before: Buckets, after: Buckets) -> bool:
    return any(after.get(bound, 0.0) < count for bound, count in before.items())


def _awake(rows: list[_Row]) -> bool | None:
    states = [value for labels, value in rows if labels.get("sleep_state") == "awake"]
    return all(value == 1.0 for value in states) if states else None


def _total(rows: Iterable[_Row]) -> float:
    return sum(value for _, value in rows)


def _missing(name: str, value: float | None) -> InputError:
    return InputError(
        field=name,
        value=value,
        allowed="a number for each engine, as vLLM 0.9 to 0.33 writes it",
        remedy="check the address, the model's name, and that this version still has the metric",
    )

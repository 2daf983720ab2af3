"""The serving double's ``/metrics`` page: names, labels and buckets as vLLM 0.32 writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LABELS: Final = ("model_name", "engine")
FINISHED: Final = ("stop", "length", "abort", "error", "repetition")
SLEEP_STATES: Final = ("awake", "weights_offloaded", "discard_all")
# fmt: off
TTFT_S: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)
ITL_S: Final = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)
E2E_S: Final = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)
# fmt: on


class EngineMetrics:
    """What one engine counts.

    Args:
        model: name of the model it serves.
        running: returns the requests it computes now.
        waiting: returns the requests it has queued.
        cache_used: returns the share of the cache in use, 0 to 1.
        level: returns how deep it sleeps, 0 to 2.
    """

    def __init__(
        self,
        model: str,
        *,
        running: Callable[[], float],
        waiting: Callable[[], float],
        cache_used: Callable[[], float],
        level: Callable[[], int],
    ) -> None:
        self._registry = CollectorRegistry()
        self._of = (model, "0")
        self._gauge(
            "num_requests_running", "Number of requests in model execution batches.", running
        )
        self._gauge("num_requests_waiting", "Number of requests waiting to be processed.", waiting)
        self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", cache_used)
        self._sleep_state(level)
        self.queried = self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."
        )
        self.hits = self._counter(
            "prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens."
        )
        self.preempted = self._counter(
            "num_preemptions", "Cumulative number of preemption from the engine."
        )
        self.prompt = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self.generated = self._counter(
            "generation_tokens", "Number of generation tokens processed."
        )
        finished = Counter(
            "vllm:request_success",
            "Count of successfully processed requests.",
            (*LABELS, "finished_reason"),
            registry=self._registry,
        )
        self.finished = {reason: finished.labels(*self._of, reason) for reason in FINISHED}
        self.first_token = self._histogram(
            "time_to_first_token_seconds", "Histogram of time to first token in seconds.", TTFT_S
        )
        self.between_tokens = self._histogram(
            "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", ITL_S
        )
        self.whole = self._histogram(
            "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", E2E_S
        )

    def page(self) -> str:
        """Return the page."""
        return generate_latest(self._registry).decode()

    def _gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        gauge = Gauge(f"vllm:{name}", text, LABELS, registry=self._registry)
        gauge.labels(*self._of).set_function(value)

    def _sleep_state(self, level: Callable[[], int]) -> None:
        text = (
            "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is "
            "awake; weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2."
        )
        states = Gauge(
            "vllm:engine_sleep_state", text, (*LABELS, "sleep_state"), registry=self._registry
        )
        for depth, state in enumerate(SLEEP_STATES):
            states.labels(*self._of, state).set_function(
                lambda depth=depth: float(level() == depth)  # type: ignore[misc]
            )

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, LABELS, registry=self._registry).labels(*self._of)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(
            f"vllm:{name}", text, LABELS, buckets=buckets, registry=self._registry
        )
        return histogram.labels(*self._of)

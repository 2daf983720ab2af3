"""Pages of metrics: recorded ones, older names, ranks, restarts, and what is none."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.serving.metrics import Histogram, NotVllm, read_metrics
from ebplan.twin.wire.vllm_double import VllmDouble

RECORDINGS = Path(__file__).parent / "recordings"
BUSY = (RECORDINGS / "metrics_vllm_0.32.0_cpu_busy.prom").read_text()
IDLE = (RECORDINGS / "metrics_vllm_0.32.0_cpu_idle.prom").read_text()


def test_a_recorded_page() -> None:
    busy = read_metrics(BUSY)
    assert busy.values["prompt_tokens"] == 682.0
    assert busy.values["generation_tokens"] == 3208.0
    assert busy.values["kv_cache_usage_perc"] == 0.0
    assert busy.finished == 17.0
    assert not any(name.endswith("_created") for name in busy.values)


def test_the_time_to_the_first_token_of_what_came_between_two_pages() -> None:
    name = "time_to_first_token_seconds"
    later = read_metrics(BUSY).histograms[name].since(read_metrics(IDLE).histograms[name])
    assert later.percentile(0.5) == pytest.approx(0.08, abs=0.02)
    assert later.percentile(1.0) == pytest.approx(1.0)
    assert Histogram().percentile(0.5) is None


def test_older_names_are_read_as_todays() -> None:
    old = BUSY.replace("kv_cache_usage_perc", "gpu_cache_usage_perc").replace(
        "vllm:prefix_cache", "vllm:gpu_prefix_cache"
    )
    assert dict(read_metrics(old).values).keys() == dict(read_metrics(BUSY).values).keys()


def test_ranks_are_summed_and_shares_averaged() -> None:
    lines = BUSY.splitlines()
    second = [
        line.replace('engine="0"', 'engine="1"').replace(
            "kv_cache_usage_perc", "kv_cache_usage_perc"
        )
        for line in lines
    ]
    both: list[str] = []
    for one, other in zip(lines, second, strict=True):
        both += [one] if one.startswith("#") or one == other else [one, other]
    page = "\n".join(both).replace(
        'vllm:kv_cache_usage_perc{engine="1",model_name="tiny"} 0.0',
        'vllm:kv_cache_usage_perc{engine="1",model_name="tiny"} 0.5',
    )
    read = read_metrics(page)
    assert read.values["generation_tokens"] == 2 * 3208.0
    assert read.values["kv_cache_usage_perc"] == 0.25


def test_a_restart_shows_in_its_counters() -> None:
    idle, busy = read_metrics(IDLE), read_metrics(BUSY)
    assert not busy.restarted_since(busy)
    assert idle.restarted_since(busy)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("", "without vllm:num_requests_running"),
        ("<html>not found</html>", "no page of metrics|without"),
        ("vllm:num_requests_running", "no page of metrics"),
        (BUSY.replace("num_requests_waiting", "other"), "without vllm:num_requests_waiting"),
    ],
)
def test_what_is_no_page_of_an_engine_is_named(page: str, words: str) -> None:
    with pytest.raises(NotVllm, match=words):
        read_metrics(page)


async def test_the_stand_in_has_the_families_of_a_real_engine() -> None:
    async with VllmDouble() as engine:
        page = engine.page()
    assert _families(page) == _families(BUSY)


def _families(page: str) -> list[str]:
    return sorted(line for line in page.splitlines() if line.startswith("# TYPE vllm:"))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.floats(0.01, 1.0))
def test_a_percentile_lies_in_the_bucket_that_holds_it(counts: list[int], share: float) -> None:
    bounds = [float(i + 1) for i in range(len(counts))]
    upto, total = {}, 0
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        upto[bound] = float(total)
    upto[inf] = float(total)
    value = Histogram(upto).percentile(share)
    if total == 0:
        assert value is None
        return
    assert value is not None
    holding = next(b for b in bounds if upto[b] >= share * total)
    assert holding - 1.0 <= value <= holding

"""The page of metrics: recorded from a real engine, renamed as old versions had it, and broken."""

import contextlib
import re
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.adapters.serving.metrics import (
    ServingMetrics,
    grown,
    percentile,
    read_metrics,
    restarted,
)
from ebplan.errors import InputError

RECORDINGS = Path(__file__).parent / "recordings"
BUSY = (RECORDINGS / "metrics_vllm_0.32.0_cpu_busy.prom").read_text()
IDLE = (RECORDINGS / "metrics_vllm_0.32.0_cpu_idle.prom").read_text()


def test_a_recorded_page() -> None:
    metrics = read_metrics(BUSY)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_used) == (0, 0, 0.0)
    assert metrics.counters == {
        "prompt_tokens": 682.0,
        "generated_tokens": 3208.0,
        "finished": 17.0,
        "cache_hits": 0.0,
        "preempted": 0.0,
    }
    assert metrics.first_token_s[inf] == 17.0
    assert metrics.between_tokens_s[inf] == 3191.0
    assert metrics.awake is True


def test_an_idle_page_has_every_family() -> None:
    metrics = read_metrics(IDLE)
    assert set(metrics.counters.values()) >= {0.0}
    assert metrics.awake is True


def old(page: str) -> str:
    """Name the metrics as 0.9 did."""
    for new, before in (
        ("kv_cache_usage_perc", "gpu_cache_usage_perc"),
        ("vllm:prefix_cache_", "vllm:gpu_prefix_cache_"),
        ("inter_token_latency_seconds", "time_per_output_token_seconds"),
    ):
        page = page.replace(new, before)
    return re.sub(r".*engine_sleep_state.*\n", "", page)


def test_old_names_say_the_same() -> None:
    assert replace(read_metrics(old(BUSY)), awake=True) == read_metrics(BUSY)
    assert read_metrics(old(BUSY)).awake is None


def test_new_names_come_before_old_ones() -> None:
    """A version that shows deprecated names has both: they are not added up."""
    both = BUSY + "\n".join(line for line in old(BUSY).split("\n") if "gpu_" in line)
    assert read_metrics(both).kv_cache_used == read_metrics(BUSY).kv_cache_used


def rows(page: str, engine: str, model: str = "tiny") -> str:
    """Return the samples of another engine of the same server."""
    listed = [line for line in page.split("\n") if line.startswith("vllm:")]
    return "\n".join(listed).replace('engine="0"', f'engine="{engine}"').replace("tiny", model)


def with_engines(page: str) -> str:
    """Give every family a second row, as a server of two engines does."""
    lines: list[str] = []
    for line in page.split("\n"):
        lines.append(line)
        if line.startswith("vllm:") and 'engine="0"' in line:
            lines.append(line.replace('engine="0"', 'engine="1"'))
    return "\n".join(lines)


def test_engines_of_one_server_are_summed_and_shares_are_not() -> None:
    page = BUSY.replace(
        'vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.0',
        'vllm:kv_cache_usage_perc{engine="0",model_name="tiny"} 0.5',
    )
    one, two = read_metrics(page), read_metrics(with_engines(page))
    assert two.counters["prompt_tokens"] == 2 * one.counters["prompt_tokens"]
    assert two.first_token_s[inf] == 2 * one.first_token_s[inf]
    assert two.kv_cache_used == one.kv_cache_used == 0.5


def test_one_model_is_told_from_another() -> None:
    page = BUSY + rows(BUSY, "0", "other") + "\n"
    assert read_metrics(page, model="tiny") == read_metrics(BUSY)
    with pytest.raises(InputError, match="vllm:"):
        read_metrics(page, model="third")


@pytest.mark.parametrize(
    "family",
    [
        "vllm:num_requests_running",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens",
        "vllm:request_success",
        "vllm:prefix_cache_hits",
        "vllm:time_to_first_token_seconds",
        "vllm:inter_token_latency_seconds",
    ],
)
def test_a_missing_family_is_named(family: str) -> None:
    page = re.sub(rf"^(# (TYPE|HELP) )?{family}(_total|_bucket)?[ {{].*\n", "", BUSY, flags=re.M)
    with pytest.raises(InputError) as caught:
        read_metrics(page)
    assert caught.value.field == family


@pytest.mark.parametrize(
    "page",
    ["", "<html>not found</html>", "vllm:num_requests_running{", "vllm:num_requests_running x\n"],
)
def test_what_is_no_page_of_an_engine_is_said(page: str) -> None:
    with pytest.raises(InputError):
        read_metrics(page)


def test_no_number_is_no_reading() -> None:
    page = BUSY.replace(
        'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0',
        'vllm:num_requests_running{engine="0",model_name="tiny"} NaN',
    )
    with pytest.raises(InputError, match="num_requests_running"):
        read_metrics(page)


@given(st.text(max_size=60), st.integers(0, len(BUSY)), st.integers(0, 400))
def test_a_damaged_page_is_read_or_said(noise: str, at: int, lost: int) -> None:
    damaged = BUSY[:at] + noise + BUSY[at + lost :]
    with contextlib.suppress(InputError):
        read_metrics(damaged)


def counted(**counters: float) -> ServingMetrics:
    page = read_metrics(BUSY)
    return replace(page, counters={**page.counters, **counters})


def test_growth_between_two_pages() -> None:
    later = counted(prompt_tokens=700.0)
    assert not restarted(read_metrics(BUSY), later)
    assert grown(read_metrics(BUSY), later)["prompt_tokens"] == 18.0


def test_a_counter_that_goes_down_is_a_restart() -> None:
    """What grew is then what the new engine has counted."""
    later = counted(prompt_tokens=5.0, generated_tokens=9.0)
    assert restarted(read_metrics(BUSY), later)
    assert grown(read_metrics(BUSY), later)["generated_tokens"] == 9.0


def test_percentile_by_hand() -> None:
    """10 before; then 4 more up to 0.1 s and 6 up to 0.2 s: half of those lies at 0.1167 s."""
    before = {0.1: 10.0, 0.2: 10.0, inf: 10.0}
    after = {0.1: 14.0, 0.2: 20.0, inf: 20.0}
    assert percentile(before, after, 0.5) == pytest.approx(0.1 + 0.1 * 1 / 6)
    assert percentile(before, after, 1.0) == pytest.approx(0.2)


def test_percentile_of_nothing_is_none() -> None:
    page = read_metrics(BUSY).first_token_s
    assert percentile(page, page, 0.99) is None
    assert percentile(None, {}, 0.5) is None


def test_percentile_beyond_the_last_bound_is_infinite() -> None:
    assert percentile(None, {0.1: 1.0, inf: 10.0}, 0.99) == inf


def test_percentile_after_a_restart_counts_from_it() -> None:
    assert percentile({0.1: 50.0, inf: 50.0}, {0.1: 2.0, inf: 2.0}, 0.5) == pytest.approx(0.05)


@given(
    st.lists(st.integers(0, 50), min_size=4, max_size=4),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_percentiles_grow_with_their_share(new: list[int], one: float, two: float) -> None:
    bounds = (0.1, 0.2, 0.5, inf)
    after = {bound: float(sum(new[: i + 1])) for i, bound in enumerate(bounds)}
    low, high = (percentile(None, after, s) for s in sorted((one, two)))
    assert (low is None) == (high is None) == (sum(new) == 0)
    if low is not None and high is not None:
        assert low <= high

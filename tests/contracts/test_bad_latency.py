"""Every way to get latency and its limits wrong in a site gives one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_bad_input import GONE, POOL, field_of, put, refusal, whole_case

WORKLOAD = f"{POOL}.latency.short_input"
HARD, PRICED = f"{POOL}.classes.interactive.limits", f"{POOL}.classes.batch.limits"


def case_with_limits() -> dict[str, Any]:
    """Return the example with a latency and limits of both classes, as plain data."""
    data = whole_case()
    known = {"prefill_s": 0.6, "itl_s": 0.035, "provenance": "assumed"}
    data = put(data, f"{POOL}.latency", {"short_input": known})
    data = put(data, HARD, {"ttft_p95_s": 6.0, "itl_s": 0.06})
    return put(data, PRICED, {"ttft_p95_s": 3.0, "price_per_late_request": 0.02})


WRONG: list[tuple[str, object, str, str]] = [
    # (path, value, field named, words)
    (f"{WORKLOAD}.prefill_s", 0.0, f"{WORKLOAD}.prefill_s", "> 0"),
    (f"{WORKLOAD}.prefill_s", -1, f"{WORKLOAD}.prefill_s", "> 0"),
    (f"{WORKLOAD}.prefill_s", "0.6", f"{WORKLOAD}.prefill_s", "a number, not text"),
    (f"{WORKLOAD}.prefill_s", GONE, f"{WORKLOAD}.prefill_s", "add the field"),
    (f"{WORKLOAD}.prefill_s", 600.0, f"{WORKLOAD}.prefill_s", "the time a request is in service"),
    (f"{WORKLOAD}.itl_s", 0.0, f"{WORKLOAD}.itl_s", "> 0"),
    (f"{WORKLOAD}.itl_s", True, f"{WORKLOAD}.itl_s", "a number"),
    (f"{WORKLOAD}.itl_s", None, f"{WORKLOAD}.itl_s", "remove the limit"),
    (f"{WORKLOAD}.provenance", "guessed", f"{WORKLOAD}.provenance", "'measured', 'published'"),
    (f"{WORKLOAD}.provenance", GONE, f"{WORKLOAD}.provenance", "add the field"),
    (f"{WORKLOAD}.ttft_s", 1.0, f"{WORKLOAD}.ttft_s", "remove the field"),
    (f"{HARD}.ttft_p95_s", 0, f"{HARD}.ttft_p95_s", "> 0"),
    (f"{HARD}.ttft_p95_s", "6 s", f"{HARD}.ttft_p95_s", "a number, not text"),
    (f"{HARD}.ttft_p95_s", 0.59, f"{HARD}.ttft_p95_s", "an uncapped instance is sure to keep"),
    (f"{HARD}.itl_s", -0.06, f"{HARD}.itl_s", "> 0"),
    (f"{HARD}.itl_s", 0.034, f"{HARD}.itl_s", "an uncapped instance is sure to keep"),
    (HARD, {}, f"{HARD}.ttft_p95_s", "a limit: ttft_p95_s, itl_s or both"),
    (
        f"{HARD}.price_per_late_request",
        0.01,
        f"{HARD}.price_per_late_request",
        "limits of protected classes are hard",
    ),
    (
        f"{PRICED}.price_per_late_request",
        None,
        f"{PRICED}.price_per_late_request",
        "limits of classes that are not protected are priced",
    ),
    (f"{PRICED}.price_per_late_request", -0.1, f"{PRICED}.price_per_late_request", ">= 0"),
    (f"{PRICED}.ttft_p95_s", 0.5, f"{PRICED}.ttft_p95_s", "is sure to keep"),
    (f"{POOL}.latency", {}, WORKLOAD, "the latency of the workload of class interactive"),
]


@pytest.mark.parametrize(("path", "value", "field", "says"), WRONG)
def test_a_wrong_latency_is_named(
    tmp_path: Path, path: str, value: object, field: str, says: str
) -> None:
    line = refusal(tmp_path, json.dumps(put(case_with_limits(), path, value)).encode())
    assert field_of(line) == field
    assert says in line


@pytest.mark.parametrize(
    "field",
    [
        f"{WORKLOAD}.prefill_s",
        f"{WORKLOAD}.itl_s",
        f"{HARD}.ttft_p95_s",
        f"{HARD}.itl_s",
        f"{PRICED}.price_per_late_request",
    ],
)
def test_what_is_not_a_number_is_refused(tmp_path: Path, field: str) -> None:
    content = json.dumps(put(case_with_limits(), field, float("nan"))).encode()
    assert "finite numbers" in refusal(tmp_path, content)

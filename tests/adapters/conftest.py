"""What the tests of adapters share lies beside them: the contract's scenarios."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "contract"))

HERE = Path(__file__).parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """Where everything is said to be installed, a test of a real component may not be left out."""
    report = yield
    needed = os.environ.get("EBPLAN_NOTHING_LEFT_OUT") and HERE in item.path.parents
    if (
        needed
        and report.skipped
        and item.get_closest_marker("real")
        and "make test-adapters" in str(report.longrepr)
    ):
        report.outcome = "failed"
    return report

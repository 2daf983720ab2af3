"""What all tests share: no law is held to a clock, and a browser for what a person looks at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from hypothesis import settings

# matrices are small: threads that wait for each other cost ten times what they do; before numpy
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a busy machine fails no law; one that decides on a change looks at the same examples each time
same = "EBPLAN_SAME_EXAMPLES" in os.environ
settings.register_profile("ebplan", deadline=None, derandomize=same)
settings.load_profile("ebplan")

QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""Without a screen, as root, and without a word to anybody."""


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Open headless Chromium; a test fails at its end if a page reported an error."""
    chromium, driver = which("chromium"), which("chromedriver")
    if chromium is None or driver is None:
        if os.environ.get("EBPLAN_NOTHING_LEFT_OUT"):
            pytest.fail("chromium is not installed: make page-tools")
        pytest.skip("chromium is not installed: make page-tools")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in (*QUIET, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    page = webdriver.Chrome(options, Service(driver))
    page.set_window_size(1280, 1000)
    try:
        yield page
        severe = [e for e in page.get_log("browser") if e["level"] == "SEVERE"]
        assert not severe, severe
    finally:
        page.quit()

"""The site is built with warnings as errors, and a browser looks at each of its pages."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLACES = re.compile(r'(?:href|src)="([^"]*)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="pip install 'ebplan[docs]'")
    place = tmp_path_factory.mktemp("site") / "site"
    # the notebooks are run by their own test
    command = [sys.executable, "-m", "docs.website", "--no-outputs", "--out", str(place)]
    # a proxy that refuses: whoever asks anything outside fails
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site without a word."""

    def log_message(self, *_: object) -> None: ...


class Unsearched(Quiet):
    """Serves it with few words to search: each page would put all in order again."""

    def do_GET(self) -> None:
        if not self.path.endswith("search_index.json"):
            return super().do_GET()
        index = json.loads((Path(self.directory) / "search" / "search_index.json").read_bytes())
        index["docs"] = index["docs"][:3]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(index).encode())
        return None


@contextmanager
def served(site: Path, handler: type[Quiet]) -> Iterator[str]:
    bound = functools.partial(handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def pages(site: Path) -> list[str]:
    """The pages of the navigation, as it stands in the site that was built."""
    settings = yaml.safe_load((site.parent / "site-pages" / "mkdocs.yml").read_text("utf-8"))

    def leaves(entry: object) -> Iterator[str]:
        if isinstance(entry, str):
            yield re.sub(r"(^|/)README\.md$", r"\1index.md", entry).replace(".md", ".html")
        else:
            for below in entry.values() if isinstance(entry, dict) else entry:  # type: ignore[attr-defined]
                yield from leaves(below)

    found = list(leaves(settings["nav"]))
    assert len(found) > 40
    return found


def test_every_place_named_in_a_page_is_there(site: Path) -> None:
    """Links, pictures, scripts and styles, of the pages outside the navigation too."""
    dead, outside = [], []
    for page in site.rglob("*.html"):
        for link in PLACES.findall(page.read_text("utf-8")):
            parts = urlsplit(link.replace("&amp;", "&"))
            if parts.scheme in ("http", "https"):
                outside.append((page.name, link))
            elif not parts.scheme and parts.path and page.name != "404.html":
                target = (page.parent / unquote(parts.path)).resolve()
                if not target.exists():
                    dead.append((page.relative_to(site).as_posix(), link))
    assert dead == []
    # words may lead elsewhere; nothing is loaded from there
    assert [one for one in outside if one[1].endswith((".js", ".css", ".png", ".woff2"))] == []


def test_every_formula_is_drawn(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert 'class="arithmatex"' not in page.read_text("utf-8"), page
    assert (site / "formulation.html").read_text("utf-8").count("<math ") > 200


def test_a_browser_finds_nothing_wrong_on_any_page(site: Path, pages: list[str], browser) -> None:
    with served(site, Unsearched) as address:
        look_at(address, pages, browser)


def look_at(address: str, pages: list[str], browser: Any) -> None:
    for page in pages:
        browser.get(f"{address}/{page}")
        seen = browser.execute_script(
            """
            const wide = document.documentElement;
            return {
                title: document.querySelector("h1")?.innerText,
                broken: [...document.images].filter(i => !(i.complete && i.naturalWidth > 0))
                    .map(i => i.src),
                asked: performance.getEntriesByType("resource").map(e => new URL(e.name).origin),
                flat: [...document.querySelectorAll("article math")]
                    .filter(m => !(m.getBoundingClientRect().height > 4)).length,
                wider: wide.scrollWidth - wide.clientWidth,
            }
            """
        )
        assert seen["title"], page
        assert seen["broken"] == [], page
        assert set(seen["asked"]) <= {address}, page
        assert (seen["flat"], seen["wider"] <= 0) == (0, True), page
        severe = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
        assert severe == [], page


def test_tabs_lead_on_and_words_are_found(site: Path, browser) -> None:
    with served(site, Quiet) as address:
        look_for_words(address, browser)


def look_for_words(address: str, browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{address}/index.html")
    tabs = [tab.text for tab in browser.find_elements(By.CSS_SELECTOR, ".md-tabs__link")]
    assert tabs[0] == "Start"
    browser.find_element(By.LINK_TEXT, "Mathematics").click()
    assert browser.find_element(By.TAG_NAME, "h1").text.startswith("Formulation")
    browser.find_element(By.CSS_SELECTOR, "input.md-search__input").send_keys("perspective form")
    results = WebDriverWait(browser, 60.0).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, ".md-search-result__item a")
    )
    assert any("formulation.html" in result.get_attribute("href") for result in results)

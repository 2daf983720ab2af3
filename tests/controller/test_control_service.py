"""The example of a control service on a whole site on loopback: its API, its page in a browser."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import which
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

pytest.importorskip("fastapi", reason="the extra 'service' is not installed")

from ebplan.case import load_site
from ebplan.errors import InputError
from ebplan.twin.live import control
from ebplan.twin.live.spec import TwinSpec

APP = Path(__file__).parents[2] / "examples" / "control_service" / "app.py"
TOKEN = "a-token-of-nobody-else-0123"
WIRE = [
    pytest.mark.real,
    pytest.mark.skipif(
        which("haproxy") is None or which("gcc") is None,
        reason="haproxy or gcc is not installed: make test-adapters",
    ),
]


def load_app() -> Any:
    spec = importlib.util.spec_from_file_location("control_service_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Service:
    """The service as a process of its own."""

    def __init__(self, run_file: Path, token_file: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        self.process = subprocess.Popen(
            [
                *(sys.executable, str(APP), str(run_file), "--token-file", str(token_file)),
                *("--port", str(self.port)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": ""},
        )

    def ask(
        self, path: str, body: object = None, method: str | None = None, **headers: str
    ) -> tuple[int, Any]:
        shown = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"} | headers
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, shown, method=method)
        try:
            with urlopen(request, timeout=20.0) as reply:
                return reply.status, json.loads(reply.read() or "null")
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or "null")

    def until(self, true: Callable[[dict[str, Any]], bool], within_s: float = 60.0) -> Any:
        end_s = time.monotonic() + within_s
        while time.monotonic() < end_s:
            assert self.process.poll() is None, self.process.communicate()
            try:
                _, status = self.ask("/status")
            except OSError:
                time.sleep(0.2)
                continue
            if true(status):
                return status
            time.sleep(0.2)
        raise AssertionError(f"not within {within_s} s: {status}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("cs")
    site = load_site("powerd-lab-phase-a", folder=folder)
    control.prepare(folder / "twin", site, TwinSpec())
    control.start(folder / "twin")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    service = Service(folder / "twin" / "run.toml", token)
    try:
        service.until(lambda s: s["plan"] is not None)
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.process.communicate()
        control.down(folder / "twin")


def release(uid: str, kw: float, minutes: float, in_s: float = 1.0) -> dict[str, Any]:
    event = {
        "id": uid,
        "type": "demand_response",
        "start": (datetime.now(UTC) + timedelta(seconds=in_s)).isoformat(),
        "duration_s": 60.0 * minutes,
        "target": {"delta_kw": -kw},
    }
    return {"kind": "grid_event", "uid": uid, "events": [event]}


@WIRE[0]
@WIRE[1]
def test_nobody_is_told_anything_without_the_token(service: Service) -> None:
    _, described = service.ask("/openapi.json", Authorization="")
    assert described["openapi"].startswith("3.")
    guarded = 0
    for path, methods in described["paths"].items():
        for method in methods:
            at = path.replace("{uid}", "x")
            body = {} if method == "post" else None
            for shown in ("", "Bearer wrong", f"Basic {TOKEN}"):
                code, _ = service.ask(at, body, method.upper(), Authorization=shown)
                assert code == 401, (path, method, shown)
            guarded += 1
    assert guarded >= 8
    code, said = service.ask("/login", {"token": "wrong"}, Authorization="")
    assert (code, said["detail"]) == (401, "That is not the token.")


@WIRE[0]
@WIRE[1]
def test_a_wrong_event_is_answered_with_what_is_allowed(service: Service) -> None:
    message = release("bad", 1.0, 1.0)
    message["events"][0]["duration_s"] = -5.0
    code, problem = service.ask("/events", message)
    assert code == 422
    assert problem["field"] == "events.0.duration_s"
    assert {"allowed", "remedy", "value", "detail"} <= set(problem)
    assert service.ask("/events/nobody", method="DELETE")[0] == 404


@WIRE[0]
@WIRE[1]
def test_an_event_becomes_a_plan_and_is_taken_back(service: Service) -> None:
    before = service.until(lambda s: s["event"] is None and s["now"]["grid_kw"] is not None)
    assert service.ask("/events", release("dr-1", 1.0, 5.0))[1]["outcome"] == "new"
    running = service.until(lambda s: s["event"] is not None)
    assert running["event"]["id"] == "dr-1"
    asked_kw = before["now"]["grid_kw"] - 1.0
    service.until(lambda s: abs(s["now"]["grid_kw"] - asked_kw) < 0.4)
    code, plan = service.ask("/plan")
    assert (code, plan["event_id"]) == (200, "dr-1")
    assert plan["check"]["ok"]
    _, timeline = service.ask("/timeline")
    assert timeline["measured"]
    assert any(step["target_kw"] == -1.0 for step in timeline["plan"])
    assert [event["call"] for event in service.ask("/events")[1]] == ["dr-1"]
    assert service.ask("/events/dr-1", method="DELETE")[0] == 202
    service.until(lambda s: s["event"] is None)
    assert service.ask("/events")[1] == []


@WIRE[0]
@WIRE[1]
def test_the_page_shows_what_happens(service: Service, browser) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    wait = WebDriverWait(browser, 60.0)

    def text(name: str) -> str:
        return browser.find_element(By.ID, name).text

    def path(chart: str, series: str) -> str:
        # at once: the page draws itself anew while it is read
        script = "return document.querySelector(arguments[0])?.getAttribute('d') ?? ''"
        return browser.execute_script(script, f"#{chart} path.{series}")

    browser.get(f"{service.url}/")
    wait.until(lambda b: b.find_element(By.ID, "login").is_displayed())
    assert not browser.find_element(By.ID, "room").is_displayed()
    browser.find_element(By.ID, "token").send_keys(TOKEN)
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    wait.until(lambda b: "kW" in text("facts"))
    assert not browser.find_element(By.ID, "login").is_displayed()
    wait.until(lambda b: text("line") == "live")
    before = path("draw", "s-grid")
    wait.until(lambda b: path("draw", "s-grid") != before)

    browser.find_element(By.ID, "minutes").clear()
    browser.find_element(By.ID, "minutes").send_keys("2")
    browser.find_element(By.ID, "delay").clear()
    browser.find_element(By.ID, "delay").send_keys("1")
    browser.find_element(By.CSS_SELECTOR, "#ask button").click()
    assert "Release 1 kW" in text("sure-what")
    browser.find_element(By.CSS_SELECTOR, "#sure button[value=no]").click()
    assert "new" not in text("asked-said")
    browser.find_element(By.CSS_SELECTOR, "#ask button").click()
    browser.find_element(By.CSS_SELECTOR, "#sure button[value=yes]").click()
    wait.until(lambda b: "new" in text("asked-said"))
    wait.until(lambda b: text("doing").startswith("answering page-"))
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, "#carry rect[data-mechanism]"))
    assert path("draw", "s-asked")
    browser.find_element(By.CSS_SELECTOR, "#calls button").click()
    wait.until(lambda b: text("doing") == "between calls")

    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert {name.split("/")[2] for name in asked if "//" in name} == {f"localhost:{service.port}"}
    browser.set_window_size(500, 900)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 500


@WIRE[0]
@WIRE[1]
def test_told_to_end_it_hands_the_site_back_and_the_page_says_so(service: Service, browser) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(f"{service.url}/")
    browser.find_element(By.ID, "token").send_keys(TOKEN)
    browser.find_element(By.CSS_SELECTOR, "#login button").click()
    wait = WebDriverWait(browser, 60.0)
    wait.until(lambda b: b.find_element(By.ID, "line").text == "live")
    service.process.send_signal(signal.SIGTERM)
    out, err = service.process.communicate(timeout=30.0)
    assert service.process.returncode in (0, -signal.SIGTERM), err
    assert "not handed back" not in out
    wait.until(lambda b: "connection lost" in b.find_element(By.ID, "line").text)
    assert "stale" in browser.find_element(By.TAG_NAME, "body").get_attribute("class")
    browser.get_log("browser")  # requests to a service that is gone are errors, as they should be


def test_a_token_that_is_short_or_shared_is_refused(tmp_path: Path) -> None:
    app = load_app()
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text("short")
    with pytest.raises(InputError, match=">= 16 characters"):
        app.read_token(str(file), None)
    file.write_text(TOKEN)
    assert app.read_token(str(file), None) == TOKEN
    file.chmod(0o644)
    with pytest.raises(InputError):
        app.read_token(str(file), None)

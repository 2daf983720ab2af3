"""What HAProxy runs is rendered from a document that refuses what would not hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ebplan.adapters.router.config import RouterConfig, render, render_maps
from ebplan.errors import InputError
from ebplan.twin.wire.haproxy_bench import haproxy_path

DEPLOY = Path(__file__).parents[3] / "examples" / "deploy"
DOCUMENT = json.loads((DEPLOY / "router.json").read_text())


def parsed(**changed: object) -> RouterConfig:
    return RouterConfig.parse(DOCUMENT | changed)


def test_the_example_is_what_is_rendered() -> None:
    assert render(parsed()) == (DEPLOY / "haproxy.cfg").read_text()


def test_the_document_round_trips() -> None:
    config = parsed()
    assert RouterConfig.parse(config.to_json().encode()) == config


def test_maps_begin_in_the_safe_state() -> None:
    maps = {Path(path).name: content for path, content in render_maps(parsed()).items()}
    assert maps["lease.map"] == "until_ms 0\n"
    assert maps["admit.map"] == "interactive -1\nbatch -1\nembedding -1\n"
    assert maps["lower.map"] == "interactive 0\nbatch 0\nembedding 0\n"
    assert maps["paths.map"] == "/batch/ batch\n/embed/ embedding\n"


@pytest.mark.real
@pytest.mark.skipif(haproxy_path() is None, reason="haproxy is not installed")
def test_haproxy_takes_the_example(tmp_path: Path) -> None:
    config = parsed(certificate=None, directory=str(tmp_path), socket=str(tmp_path / "s"))
    for path, content in render_maps(config).items():
        Path(path).write_text(content)
    (tmp_path / "haproxy.cfg").write_text(render(config))
    program = haproxy_path() or ""
    done = subprocess.run(
        [program, "-c", "-f", str(tmp_path / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


def test_each_server_stands_in_one_backend() -> None:
    """With a second backend for the safe state its places would count twice."""
    text = render(parsed())
    assert text.count("    server chat-0 ") == 1
    assert "use-server chat-0" in text


def test_the_socket_is_for_its_owner_only() -> None:
    assert "mode 600 level admin" in render(parsed())


def test_another_configuration_says_so() -> None:
    assert parsed().description != parsed(longest_lease_s=31.0).description


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"socket": "/run/x y"}, "socket"),
        ({"directory": "/etc/x;y"}, "directory"),
        ({"listen": "0.0.0.0:80\n"}, "listen"),
        ({"default_class": "nobody"}, "default_class"),
        ({"pools": {}}, "pools"),
        ({"longest_lease_s": 0.0}, "longest_lease_s"),
    ],
)
def test_what_cannot_be_rendered_is_refused(changed: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        parsed(**changed)
    assert caught.value.field.startswith(field)


def pools_with(**chat: object) -> dict[str, object]:
    return {**DOCUMENT["pools"], "chat": {**DOCUMENT["pools"]["chat"], **chat}}


@pytest.mark.parametrize(
    ("pools", "says"),
    [
        (pools_with(servers={"embed-0": {"address": "h:1"}}), "once in the whole router"),
        (pools_with(lower={"chat-0": {"address": "h:1"}}), "once in the whole router"),
        (pools_with(servers={"a;b": {"address": "h:1"}}), "text that matches"),
        (pools_with(servers={"a": {"address": "h:1 backup"}}), "text that matches"),
        (pools_with(servers={"a": {"address": "h:1", "safe_weight": 0.0}}), "at least one server"),
    ],
)
def test_servers_that_do_not_hold_together_are_refused(pools: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        parsed(pools=pools)


def test_a_class_of_an_unknown_pool_is_refused() -> None:
    classes = {**DOCUMENT["classes"], "batch": {"pool": "none", "protected": False}}
    with pytest.raises(InputError, match="name a pool of this router"):
        parsed(classes=classes)


def test_one_key_belongs_to_one_class() -> None:
    batch = DOCUMENT["classes"]["batch"]
    with pytest.raises(InputError, match="in one class only"):
        parsed(classes={**DOCUMENT["classes"], "other": batch})


def test_reading_the_document_loads_nothing_of_the_wire() -> None:
    code = (
        "import sys, ebplan.adapters, ebplan.adapters.router.haproxy, ebplan.adapters.serving.vllm;"
        "print([m for m in ('aiohttp', 'prometheus_client') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The configuration: what is rendered, what is refused, and that HAProxy takes it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ebplan.adapters.router.__main__ import main
from ebplan.adapters.router.config import RouterConfig, render, render_maps
from ebplan.document import read_toml
from ebplan.errors import InputError
from ebplan.twin.wire.haproxy_bench import can_run

DEPLOY = Path(__file__).parents[3] / "examples" / "deploy"


def document() -> dict[str, Any]:
    return read_toml(DEPLOY / "router.toml")


def test_the_example_is_what_is_rendered() -> None:
    said = CliRunner().invoke(main, [str(DEPLOY / "router.toml")])
    assert said.exit_code == 0
    assert said.output == (DEPLOY / "haproxy.cfg").read_text()


@pytest.mark.real
@pytest.mark.skipif(not can_run(), reason="haproxy is not installed: make test-adapters")
def test_haproxy_takes_the_example(tmp_path: Path) -> None:
    changed = {**document(), "directory": str(tmp_path), "socket": f"{tmp_path}/s.sock"}
    changed.pop("certificate")
    config = RouterConfig.parse(changed)
    for path, content in render_maps(config).items():
        Path(path).write_text(content)
    (tmp_path / "haproxy.cfg").write_text(render(config))
    checked = subprocess.run(
        ["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_everything_is_written_to_a_folder(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, [str(DEPLOY / "router.toml"), "--to", str(tmp_path)])
    assert said.exit_code == 0, said.output
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *("haproxy.cfg", "lease.map", "admit.map", "lower.map"),
        *("priority.map", "keys.map", "paths.map"),
    }


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": "two words"}, "name", "matches"),
        ({"name": "a\n    user root"}, "name", "matches"),
        ({"listen": "0.0.0.0:80 ssl crt /etc/x"}, "listen", "matches"),
        ({"socket": "/run/a.sock level admin"}, "socket", "matches"),
        ({"default_class": "nobody"}, "default_class", "one of"),
        ({"classes": {}}, "classes", "at least 1"),
    ],
)
def test_what_could_say_more_than_it_should_is_refused(
    change: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InputError, match=words) as error:
        RouterConfig.parse({**document(), **change})
    assert error.value.field.startswith(field)


def test_a_site_without_a_safe_server_is_refused() -> None:
    changed = document()
    for server in changed["pools"]["llama70b"]["servers"].values():
        server["safe_weight"] = 0.0
    with pytest.raises(InputError, match="at least one server"):
        RouterConfig.parse(changed)


def test_a_server_in_two_pools_is_refused() -> None:
    changed = document()
    changed["pools"]["other"] = changed["pools"]["llama70b"]
    with pytest.raises(InputError, match="once in the whole router"):
        RouterConfig.parse(changed)


def test_a_bad_file_is_one_red_line(tmp_path: Path) -> None:
    (tmp_path / "router.toml").write_text("kind = 1\n")
    said = CliRunner().invoke(main, [str(tmp_path / "router.toml")])
    assert said.exit_code == 2
    assert said.output.count("\n") == 1
    assert "router.toml" in said.output

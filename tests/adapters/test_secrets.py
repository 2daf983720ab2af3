"""Secrets: from files or the environment, never shown, never a default."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from ebplan.adapters.secrets import Secret, SecretSource
from ebplan.errors import InputError


def test_a_secret_shows_nothing() -> None:
    secret = Secret("hunter2hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == "hunter2hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_KEY", " hunter2hunter2\n")
    assert SecretSource(env="SITE_KEY").read(at="api_key").reveal() == "hunter2hunter2"


@pytest.mark.parametrize("value", ["", "  ", "changeme", "Admin"])
def test_what_everybody_knows_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_KEY", value)
    with pytest.raises(InputError, match="make a new one") as error:
        SecretSource(env="SITE_KEY").read(at="api_key")
    assert error.value.field == "api_key"


def test_a_missing_one_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SITE_KEY", raising=False)
    with pytest.raises(InputError, match="missing"):
        SecretSource(env="SITE_KEY").read(at="api_key")
    with pytest.raises(InputError, match="No such file"):
        SecretSource(file=str(tmp_path / "none")).read(at="api_key")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2hunter2\n")
    path.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600") as error:
        SecretSource(file=str(path)).read(at="api_key")
    assert "hunter2" not in str(error.value)
    path.chmod(0o600)
    assert SecretSource(file=str(path)).read(at="api_key").reveal() == "hunter2hunter2"


@pytest.mark.parametrize("data", [{}, {"file": "a", "env": "B"}, {"value": "hunter2"}])
def test_a_source_is_one_of_two(data: dict[str, str]) -> None:
    with pytest.raises(InputError):
        SecretSource.parse(data)

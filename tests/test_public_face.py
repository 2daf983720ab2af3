"""The public names: few, sorted, each where the table says, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version

import pytest

import ebplan


def test_the_names_are_sorted_and_about_a_dozen() -> None:
    assert list(ebplan.__all__) == sorted(set(ebplan.__all__))
    assert 10 <= len(ebplan.__all__) <= 15


def test_the_names_are_those_of_the_table() -> None:
    assert set(ebplan.__all__) == set(ebplan._HOME)
    assert list(ebplan._HOME) == sorted(ebplan._HOME)


@pytest.mark.parametrize("name", ebplan.__all__)
def test_each_name_is_what_its_home_defines(name: str) -> None:
    home = import_module(f"ebplan.{ebplan._HOME[name]}")
    thing = getattr(ebplan, name)
    assert thing is getattr(home, name)
    assert thing.__module__ == home.__name__
    assert thing.__doc__


def test_nothing_else_leaks() -> None:
    code = (
        "import ebplan\n"
        "before = {n for n in vars(ebplan) if not n.startswith('_')}\n"
        "from ebplan import *\n"
        "got = {n for n in dir() if not n.startswith('_')} - {'ebplan', 'before'}\n"
        "assert got == set(ebplan.__all__), got ^ set(ebplan.__all__)\n"
        "print(*sorted(before - {'annotations', 'import_module', 'TYPE_CHECKING'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Weather'"):
        ebplan.Weather  # noqa: B018
    with pytest.raises(ImportError):
        exec("from ebplan import Weather")


def test_dir_shows_the_names() -> None:
    assert set(ebplan.__all__) <= set(dir(ebplan))


def test_the_version_is_that_of_the_installed_package() -> None:
    assert ebplan.__version__ == version("ebplan")

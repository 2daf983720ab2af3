"""These tests need what ``pip install ebplan[adapters]`` brings."""

from importlib.util import find_spec

collect_ignore_glob = (
    [] if all(find_spec(name) for name in ("pymodbus", "sunspec2", "trustme")) else ["test_*.py"]
)

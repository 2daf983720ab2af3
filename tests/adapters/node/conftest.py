"""Meters of nodes need their libraries; without them nothing here is collected."""

from importlib.util import find_spec

collect_ignore_glob = (
    [] if all(find_spec(name) for name in ("pyghmi", "redfish", "trustme")) else ["test_*.py"]
)

"""What is imported when: documents and roles are read without the libraries of the wire."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "ebplan.adapters",
        "ebplan.adapters.modbus",
        "ebplan.adapters.modbus.commission",
        "ebplan.adapters.modbus.register_map",
        "ebplan.adapters.modbus.sunspec_battery",
        "ebplan.adapters.modbus.legacy_battery",
        "ebplan.adapters.modbus.meter",
    ],
)
def test_the_wire_is_not_imported_before_it_is_used(module: str) -> None:
    script = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.decode().split()}
    assert not loaded & {"pymodbus", "sunspec2", "serial", "aiohttp"}

"""A controller that follows one plan under leases: ``python -m benchmarks.kills.controller``.

It prints a line once the leases are held, and hands the site back on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from ebplan.adapters.devices import DevicesSpec
from ebplan.adapters.lease import LeaseKeeper
from ebplan.adapters.open_devices import open_devices
from ebplan.disaggregate import Instance
from ebplan.dispatch import Dispatcher, PoolInstances, follow_leased
from ebplan.document import read_data, read_json
from ebplan.plan import Plan


def _say_ready(keeper: LeaseKeeper) -> None:
    answers = {name: str(answer) for name, answer in keeper.last.items()}
    print(json.dumps({"leased": sorted(keeper.leases), "answers": answers}), flush=True)


async def main(devices_file: Path, plan_file: Path) -> None:
    """Follow the plan on the devices of the file."""
    spec = DevicesSpec.parse(read_data(devices_file), file=str(devices_file))
    devices = open_devices(spec, folder=devices_file.parent)
    plan = Plan.parse(read_json(plan_file), file=str(plan_file))
    pools = {
        pool: PoolInstances(
            [Instance(name, "active") for name, e in spec.engines.items() if e.pool == pool]
        )
        for pool in plan.pools
    }
    following = asyncio.create_task(
        follow_leased(
            plan,
            pools,
            devices,
            lease_s=spec.lease_s,
            dispatcher=Dispatcher(
                devices,
                cycle_s=0.2,
                listen=lambda note: print(str(note.answer), file=sys.stderr, flush=True),
            ),
            ready=_say_ready,
        )
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, following.cancel)
    try:
        await following
    except asyncio.CancelledError:
        pass
    finally:
        await devices.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))

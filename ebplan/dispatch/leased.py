"""Following a plan under leases: hold them first, beat while it is followed, hand the site back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ebplan.adapters.answers import Answer
from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.lease import RENEWALS_PER_TERM, LeaseKeeper
from ebplan.adapters.site_devices import SiteDevices
from ebplan.dispatch.dispatcher import Dispatcher, PoolInstances
from ebplan.dispatch.to_the_end import to_the_end
from ebplan.plan import Plan


async def follow_leased(
    plan: Plan,
    pools: Mapping[str, PoolInstances],
    devices: SiteDevices,
    *,
    lease_s: float,
    dispatcher: Dispatcher | None = None,
    clock: Clock | None = None,
    ready: Callable[[LeaseKeeper], None] | None = None,
) -> dict[str, Answer]:
    """Follow a plan to its end, or until cancelled; then hand every device back.

    Args:
        plan: what to do.
        pools: the instances of each pool as they are when the plan starts.
        devices: the site's devices, open.
        lease_s: term of the leases; so long after this process is gone the site is safe.
        dispatcher: who tells the devices; a new one if absent.
        clock: what time it is.
        ready: called once every device has been asked for its lease.

    Returns:
        What each device answered when it was handed back.

    Raises:
        InputError: the plan's counts do not follow from the instances, or one has no engine.
        asyncio.CancelledError: it was cancelled; the devices have been handed back.
    """
    clock = clock or MonotonicClock()
    dispatcher = dispatcher or Dispatcher(devices, clock=clock)
    keeper = LeaseKeeper(devices.actuators(), lease_s, clock)
    working: list[asyncio.Task[None]] = []
    try:
        answers = await asyncio.gather(*(keeper.renew(name) for name in devices.actuators()))
        for answer in answers:
            dispatcher.notes(answer)  # who refuses its lease is told nothing, and that is said
        if ready is not None:
            ready(keeper)
        working = [
            asyncio.create_task(dispatcher.follow(plan, pools)),
            asyncio.create_task(keeper.run()),
            asyncio.create_task(_beat(keeper, clock)),
        ]
        # leases that nobody keeps any more, or a loop that fails, end the plan: loudly
        done, _ = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        # cancelled once more, a device might stay commanded until its lease ends
        released = await to_the_end(_hand_back(working, keeper))
    return released


async def _hand_back(working: list[asyncio.Task[None]], keeper: LeaseKeeper) -> dict[str, Answer]:
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    return await keeper.release()


async def _beat(keeper: LeaseKeeper, clock: Clock) -> None:
    """Beat with the event loop that follows the plan: where one hangs, so does the other."""
    while True:
        keeper.beat()
        await clock.sleep(keeper.ttl_s / RENEWALS_PER_TERM / 2.0)

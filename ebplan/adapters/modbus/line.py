"""The line to one device: polls on one connection, set-points and their read-back on another.

Requests on a connection follow one another, so a slow poll would delay a set-point. A device that
takes one client only gets one connection for both.
"""

from __future__ import annotations

from ebplan.adapters.answers import Refused, Setting, Unreachable
from ebplan.adapters.clock import Clock
from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.connection import (
    Connection,
    Denied,
    Failure,
    Greeting,
    Lost,
    ModbusAddress,
    Stranger,
)


class Line:
    """Both connections to one device, greeted the same way.

    Args:
        address: where the device is.
        greeting: asked after each opening of either connection, before anything else.
        policy: how often one tries again.
        clock: what time it is.
    """

    def __init__(
        self,
        address: ModbusAddress,
        greeting: Greeting | None = None,
        *,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.address = address
        self.polls = Connection(address, policy=policy, clock=clock)
        """For readings."""
        self.set_points = (
            Connection(address, policy=policy, clock=clock)
            if address.two_connections
            else self.polls
        )
        """For set-points and what confirms them."""
        self.polls.greeting = self.set_points.greeting = greeting

    async def close(self) -> None:
        """Close both."""
        await self.polls.close()
        await self.set_points.close()


def answered_by(
    failure: Failure, *, device: str, command: str, asked: Setting
) -> Refused | Unreachable:
    """Return what a failed request means as the answer to a command."""
    if isinstance(failure, Lost):
        return Unreachable(
            device=device,
            command=command,
            asked=asked,
            why=failure.why,
            executed=failure.executed,
        )
    return Refused(device=device, command=command, asked=asked, why=failure.why)


def unreadable(failure: Failure, *, device: str) -> Unreachable:
    """Return what a failed request means as the answer to a reading."""
    match failure:
        case Lost() | Stranger() | Denied():
            return Unreachable(
                device=device, command="read", asked=None, why=failure.why, executed=False
            )

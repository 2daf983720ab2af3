"""Devices in memory that keep the contract of their role; for tests of whatever stands on it.

Each obeys its range, counts its lease on a clock that may be a ``ManualClock``, goes to its safe
state when it lapses, and fails on cue: ``device.fault = "silent"``. ``replay`` records any device
and plays the recording back.

    clock = ManualClock()
    battery = FakeBattery(Range(-7.0, 7.0, "kW"), clock=clock)
    await battery.renew(3.0)
    answer = await battery.hold(9.0)      # AppliedInPart: 7 kW
"""

from ebplan.adapters.clock import ManualClock
from ebplan.adapters.fake.battery import FakeBattery
from ebplan.adapters.fake.faults import FAULTS, Fault
from ebplan.adapters.fake.gpu import FakeGpus
from ebplan.adapters.fake.meter import FakeMeter
from ebplan.adapters.fake.node_power import FakeNodePower
from ebplan.adapters.fake.replay import Recording, record, replay
from ebplan.adapters.fake.router import FakeRouter
from ebplan.adapters.fake.serving import FakeServing

__all__ = [
    "FAULTS",
    "FakeBattery",
    "FakeGpus",
    "FakeMeter",
    "FakeNodePower",
    "FakeRouter",
    "FakeServing",
    "Fault",
    "ManualClock",
    "Recording",
    "record",
    "replay",
]

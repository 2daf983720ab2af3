"""The record of a commissioning: what a device was seen to do, and whether it may be armed.

A device that acknowledges a timer and does not count it obeys a dead controller for ever. So
nothing is held on a device until a record of its own serial number says that the timer is real,
or somebody has stated what else puts it into its safe state.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from ebplan.document import Document, FieldFault, NonNegative, Part, Timestamp

Outcome = Literal["passed", "failed", "not possible"]
ProbeName = Literal["set-point", "sign", "timer", "renewal", "droop"]

NEEDED: tuple[ProbeName, ...] = ("set-point", "sign", "timer", "renewal")
"""Probes that must have passed; where there is a guardian, the timer and its renewal need not."""
OF_THE_TIMER: tuple[ProbeName, ...] = ("timer", "renewal")


class Probe(Part):
    """One thing that was tried."""

    name: ProbeName
    """What was tried."""
    outcome: Outcome
    """How it came out."""
    seen: str
    """What was seen, in words."""
    measured_s: NonNegative | None = None
    """How long it took, where that tells something."""


class Commissioning(Document):
    """What one device was seen to do."""

    kind: Literal["commissioning"] = "commissioning"
    device: str
    """Maker and model on its nameplate."""
    serial: str
    """Serial number on its nameplate; the record holds for no other device."""
    at: Timestamp
    """When it was tried."""
    guardian: str | None = None
    """Who else puts the device into its safe state, as stated; nobody has tried that."""
    probes: tuple[Probe, ...]
    """What was tried, in this order."""
    may_arm: bool
    """Whether set-points and a droop may be left to this device."""

    @model_validator(mode="after")
    def _follows_from_the_probes(self) -> Commissioning:
        if self.may_arm != passed(self.probes, self.guardian):
            raise FieldFault(
                field="may_arm",
                value=self.may_arm,
                allowed="what follows from the probes",
                remedy="commission the device again; the record is not to be edited",
            )
        return self

    @property
    def timer_is_real(self) -> bool:
        """Whether the device was seen to revert by itself, and to go on when renewed."""
        outcome = {probe.name: probe.outcome for probe in self.probes}
        return all(outcome.get(name) == "passed" for name in OF_THE_TIMER)

    def __str__(self) -> str:
        head = f"{self.device}, serial {self.serial}: "
        head += "may be armed" if self.may_arm else "must NOT be armed"
        lines = [
            f"  {probe.name:<10} {probe.outcome:<13} "
            f"{'' if probe.measured_s is None else f'{probe.measured_s:.2f} s':>8}  {probe.seen}"
            for probe in self.probes
        ]
        if self.guardian is not None:
            lines.append(f"  guardian   stated                  {self.guardian}")
        return "\n".join([head, *lines])


def passed(probes: tuple[Probe, ...], guardian: str | None) -> bool:
    """Whether what was seen is enough to arm a device."""
    outcome = {probe.name: probe.outcome for probe in probes}
    needed = [name for name in NEEDED if guardian is None or name not in OF_THE_TIMER]
    return all(outcome.get(name) == "passed" for name in needed)


def why_not(serial: str, record: Commissioning | None, guardian: str | None) -> str | None:
    """Return why nothing may be left to a device; None where it may.

    Args:
        serial: on the nameplate of the device that answers; empty where it says none.
        record: of its commissioning.
        guardian: who else puts it into its safe state, where that is stated.
    """
    if record is None:
        return None if guardian is not None else "it was not commissioned"
    if not serial or record.serial != serial:
        return f"serial {serial or '(none)'} was not commissioned, {record.serial} was"
    if not record.timer_is_real and guardian is None:
        return "it was not seen to revert by itself, and no guardian is stated"
    if not passed(record.probes, guardian):
        return "it did not pass its commissioning"
    return None

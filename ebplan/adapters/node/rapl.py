"""Power of the processors of this machine by RAPL: energy counters that the kernel shows in sysfs.

It sees processor packages and, where there is such a domain, memory; GPUs, fans, network, disks and
power supplies are not in it. So it is never a node's reading: ``covers`` says ``processors``, and
there is no measurement point that it could be carried from to another.

Summed are the domains ``package-N``, each once (the same package may be shown by two interfaces),
and the ``dram`` domains under them. ``core`` and ``uncore`` are parts of a package and ``psys``
holds packages: none of these is added. That ``dram`` is not in its package's counter holds for
server processors (Intel SDM 3B, 16.10); on others it is assumed.

The counters are read by root only since Linux 5.10, because they leak what a processor computes
(CVE-2020-8694, PLATYPUS); in most virtual machines there are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from ebplan.adapters.clock import Clock, MonotonicClock
from ebplan.adapters.health import BackOff
from ebplan.adapters.lane import Lane, LaneError
from ebplan.adapters.node.polled import NoReadingError, PolledNode
from ebplan.adapters.roles import NodePowerReading
from ebplan.document import FieldFault, Part, Positive

ZONE = re.compile(r"(?P<parent>(?P<interface>[a-z-]*rapl[a-z-]*):\d+)(?P<part>:\d+)?")
"""Folder of a domain, e.g. intel-rapl:0 or intel-rapl:0:1."""
PACKAGE = re.compile(r"package-\d+(-die-\d+)?")
J_PER_KWH = 3.6e6
J_PER_UJ = 1e-6
DENIED = (
    "it may not read energy_uj, which belongs to root: run the reader as root, or let systemd give "
    "it CAP_DAC_READ_SEARCH; others who can read it can learn secrets (CVE-2020-8694)"
)


class RaplAddress(Part):
    """Energy counters of the processors of the machine that the controller runs on."""

    driver: Literal["rapl"]
    """RAPL by sysfs."""
    root: str = "/sys/class/powercap"
    """Where the kernel shows them."""
    window_s: Positive = 0.5
    """Shortest time that a power is the mean of; counters move every millisecond."""
    timeout_s: Positive = 2.0
    """Deadline of a reading."""
    most_kw: Positive = 2.0
    """More than this is no reading. It also tells how long a counter may go unread: until it could
    have wrapped twice."""

    @model_validator(mode="after")
    def _ends_in_time(self) -> RaplAddress:
        if self.window_s >= self.timeout_s:
            raise FieldFault(
                field="window_s",
                value=self.window_s,
                allowed=f"less than timeout_s = {self.timeout_s:g}",
                remedy="shorten the window, or wait longer",
            )
        return self


@dataclass(frozen=True)
class Domain:
    """A counter."""

    name: str
    """``package-0``, or ``package-0/dram``."""
    folder: Path
    """Where it is."""
    range_uj: int
    """It counts from 0 to this."""


@dataclass(frozen=True)
class Sample:
    """The counters at one time."""

    at_s: float
    counts_uj: dict[Domain, int]


class RaplPower(PolledNode):
    """The processors of this machine.

    Args:
        name: what they are called in answers.
        address: where the counters are.
        policy: how long they are left alone after they could not be read.
        clock: what time it is.
    """

    def __init__(
        self,
        name: str,
        address: RaplAddress,
        *,
        policy: BackOff | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or MonotonicClock()
        super().__init__(
            name, timeout_s=address.timeout_s, most_kw=address.most_kw, policy=policy, clock=clock
        )
        self.address = address
        self._lane = Lane(f"rapl {name}")
        self._last: Sample | None = None
        self._energy_j = 0.0

    async def close(self) -> None:
        """Nothing is open."""
        self._lane.close()

    async def _ask(self) -> NodePowerReading:
        """Return the mean power since the last reading, or over the shortest window."""
        before = self._last
        if before is None or self._may_have_wrapped(before):
            before = await self._sample()
        passed_s = self._clock.now_s() - before.at_s
        if passed_s < self.address.window_s:
            await self._clock.sleep(self.address.window_s - passed_s)
        after = await self._sample()
        if after.counts_uj.keys() != before.counts_uj.keys():
            raise NoReadingError("the domains are others than before")
        joules = J_PER_UJ * sum(
            (after.counts_uj[domain] - count) % (domain.range_uj + 1)
            for domain, count in before.counts_uj.items()
        )
        window_s = after.at_s - before.at_s
        kw = self._kw_of(joules / window_s if window_s > 0.0 else None)
        self._last = after
        self._energy_j += joules
        memory = any(domain.name.endswith("/dram") for domain in after.counts_uj)
        return NodePowerReading(
            power_kw=kw,
            energy_kwh=self._energy_j / J_PER_KWH,
            covers="processors_and_memory" if memory else "processors",
            measurement_point=None,
            age_s=window_s,
        )

    def _may_have_wrapped(self, before: Sample) -> bool:
        """Whether a counter may have gone round since, so that a difference says nothing."""
        most_uj = (self._clock.now_s() - before.at_s) * self._most_kw * 1e3 / J_PER_UJ
        return any(most_uj >= domain.range_uj for domain in before.counts_uj)

    async def _sample(self) -> Sample:
        try:
            counts = await self._lane.run(
                lambda: read_counters(Path(self.address.root)), self.address.timeout_s
            )
        except LaneError as error:
            raise NoReadingError(str(error)) from None
        return Sample(self._clock.now_s(), counts)

    def _drop(self) -> None:
        self._last = None


def read_counters(root: Path) -> dict[Domain, int]:
    """Return the counters that add up, in microjoules.

    Raises:
        NoReadingError: there is none, or one cannot be read.
    """
    domains = find_domains(root)
    if not domains:
        raise NoReadingError(
            f"no RAPL package under {root}: another processor, or a virtual machine"
        )
    return {domain: _count(domain.folder / "energy_uj") for domain in domains}


def find_domains(root: Path) -> tuple[Domain, ...]:
    """Return packages, each once, and the memory under them.

    Raises:
        NoReadingError: what is there cannot be read.
    """
    try:
        folders = sorted(root.iterdir())
    except OSError:
        return ()
    zones = [(zone, folder) for folder in folders if (zone := ZONE.fullmatch(folder.name))]
    # a package that is shown by a second interface (mmio) as well counts once, by the first
    zones.sort(key=lambda one: "mmio" in one[0]["interface"])
    owners: dict[str, str] = {}
    found: dict[str, Domain] = {}
    for zone, folder in zones:
        name = "" if zone["part"] else _text(folder / "name")
        if PACKAGE.fullmatch(name) and name not in found:
            found[name] = Domain(name, folder, _count(folder / "max_energy_range_uj"))
            owners[zone["parent"]] = name
    for zone, folder in zones:
        owner = owners.get(zone["parent"])
        if zone["part"] and owner is not None and _text(folder / "name") == "dram":
            name = f"{owner}/dram"
            found[name] = Domain(name, folder, _count(folder / "max_energy_range_uj"))
    return tuple(found.values())


def _count(path: Path) -> int:
    text = _text(path)
    # int() takes signs, blanks and underscores as well
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise NoReadingError(f"{path.parent.name}/{path.name} holds no count")
    return int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except PermissionError:
        raise NoReadingError(DENIED) from None
    except (OSError, UnicodeDecodeError):
        raise NoReadingError(f"{path.parent.name}/{path.name} cannot be read") from None

"""The GPUs of a node: limits and clocks set through NVIDIA's library act on the plant's engines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ebplan.twin.live.named_pool import NamedPool
from ebplan.twin.wire.nvml_stub import GPUS, StubGpus

LIMIT_W = 600.0
"""Limit before anybody sets one: the board's default (H200 NVL)."""


class PlantGpus:
    """The GPUs of the engines of one node, in the file that the stub library maps.

    Args:
        path: the file; it is made.
        engines: the engines on the node: their pool, their place in it, and GPUs each.
    """

    def __init__(self, path: Path, engines: Sequence[tuple[NamedPool, int, int]]) -> None:
        self._engines = tuple(engines)
        count = sum(each for _, _, each in engines)
        assert count <= GPUS, f"a node has {GPUS} GPUs at most"
        self.stub = StubGpus.create(path, count, demand_w=0.0, limit_w=LIMIT_W)
        self.exchange()

    def exchange(self) -> None:
        """Hand limits and clocks to the engines, and their power to the library."""
        slot = 0
        for pool, index, each in self._engines:
            mine = range(slot, slot + each)
            cap_w = sum(self.stub.limit_w(i) for i in mine) / each
            clocks = [mhz for i in mine if (mhz := self.stub.locked_mhz(i)) is not None]
            capped = None if cap_w >= LIMIT_W else cap_w
            pool.limit(index, capped, min(clocks) if clocks else None)
            watts = pool.gpu_w(index)
            for i in mine:
                self.stub.drive_w(i, watts)
            slot += each

    def node_w(self) -> float:
        """Return what the GPUs of the node draw together."""
        return sum(each * pool.gpu_w(index) for pool, index, each in self._engines)

    def close(self) -> None:
        """Let go of the file."""
        self.stub.close()

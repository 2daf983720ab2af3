"""Registers of a simulated SunSpec device, laid out by the standard's own model definitions.

The layout comes from pysunspec2's model classes, not from the adapter's reader: a fault of one
shows against the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sunspec2 import mb
from sunspec2.device import Model, get_model_def

MARK = (0x5375, 0x6E53)
END = (0xFFFF, 0)

Image = Mapping[int, Mapping[str, int | str]]
"""Raw values by model number and point; points that are not named are not implemented."""


class Memory:
    """Registers of a device from a base address on.

    Args:
        base: register of the mark.
        image: raw values of its models; groups are named e.g. ``Ctl.0.DbOf``.
    """

    def __init__(self, base: int, image: Image) -> None:
        self.base = base
        self.words: list[int] = list(MARK)
        self.writable: set[int] = set()
        self._points: dict[tuple[int, str], tuple[int, Any]] = {}
        for number, values in image.items():
            self._lay(number, values)
        self.words.extend(END)

    def get(self, number: int, name: str) -> int:
        """Return a raw value."""
        at, point = self._points[number, name]
        raw = b"".join(word.to_bytes(2, "big") for word in self.words[at : at + point.len])
        return int(point.info.data_to(raw))

    def put(self, number: int, name: str, raw: int | str) -> None:
        """Write a raw value, whether the outside may or not."""
        at, point = self._points[number, name]
        data: bytes = point.info.to_data(raw, 2 * point.len)
        self.words[at : at + point.len] = _words(data)

    def has(self, number: int, name: str) -> bool:
        """Whether there is such a point."""
        return (number, name) in self._points

    def at(self, number: int, name: str) -> int:
        """Return the register at which a point begins."""
        return self.base + self._points[number, name][0]

    def touches(self, number: int, name: str, address: int, count: int) -> bool:
        """Whether registers from outside cover a point."""
        if not self.has(number, name):
            return False
        at, point = self._points[number, name]
        start = address - self.base
        return start < at + point.len and at < start + count

    def may_write(self, address: int, count: int) -> bool:
        """Whether all these registers may be written from outside."""
        start = address - self.base
        return all(at in self.writable for at in range(start, start + count))

    def write(self, address: int, values: list[int]) -> None:
        """Write registers from outside."""
        start = address - self.base
        self.words[start : start + len(values)] = values

    def _lay(self, number: int, values: Mapping[str, int | str]) -> None:
        start = len(self.words)
        groups = {name.rsplit(".", 1)[0] for name in values if "." in name}
        length = _length(get_model_def(number)["group"], len(groups))
        head = bytearray(2 * length)
        head[:4] = number.to_bytes(2, "big") + (length - 2).to_bytes(2, "big")
        counted = Model(model_id=number) if not groups else _counted(number, head, len(groups))
        self.words.extend([0] * length)
        for name, point in _flat(counted):
            self._points[number, name] = (start + point.offset, point)
            self._first(number, name, point, values, length)
        for name in values:
            if not self.has(number, name):
                raise KeyError(f"model {number} has no {name}")

    def _first(
        self, number: int, name: str, point: Any, values: Mapping[str, int | str], length: int
    ) -> None:
        at = self._points[number, name][0]
        kind = point.pdef["type"]
        if point.pdef.get("access") == "RW":
            self.writable.update(range(at, at + point.len))
        if name == "ID":
            self.put(number, name, number)
        elif name == "L":
            self.put(number, name, length - 2)
        elif name in values:
            self.put(number, name, values[name])
        else:
            data = mb.create_unimpl_value(kind, len=2 * point.len)
            self.words[at : at + point.len] = _words(data)


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def _length(group: Mapping[str, Any], repeated: int) -> int:
    length = sum(int(point["size"]) for point in group["points"])
    for inner in group.get("groups", ()):
        times = 1 if inner.get("count") is None else repeated
        length += times * _length(inner, 0)
    return length


def _counted(number: int, head: bytearray, groups: int) -> Any:
    """Return a model whose count of repeated groups is set before it is laid out."""
    offset = 0
    group = get_model_def(number)["group"]
    count = next(g["count"] for g in group["groups"] if g.get("count") is not None)
    for point in group["points"]:
        if point["name"] == count:
            head[2 * offset : 2 * offset + 2] = groups.to_bytes(2, "big")
        offset += int(point["size"])
    return Model(model_id=number, data=bytes(head), model_len=len(head) // 2 - 2)


def _flat(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, point in group.points.items():
        yield prefix + name, point
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for i, one in enumerate(inner):
                yield from _flat(one, f"{prefix}{name}.{i}.")
        else:
            yield from _flat(inner, f"{prefix}{name}.")

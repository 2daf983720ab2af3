"""What a SunSpec device is: its models, where they lie, their scale factors, and whose it is.

A device describes itself by a chain of models behind the mark ``SunS``. The chain is walked once
per connection, and scale factors are read with it: they never change while a device is up. A point
that a device does not implement reads as None, whatever sentinel it says that with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite, isnan
from typing import Any, Final

from ebplan.adapters.modbus.connection import Denied, Failure, Reply, Stranger, Words

Value = float | str | None
Read = Callable[[int, int], Awaitable[Reply]]

BASES: Final = (40000, 0, 50000)
"""Where the mark may lie."""
MARK: Final = (0x5375, 0x6E53)
"""``SunS``."""
END: Final = 0xFFFF
MOST_MODELS: Final = 100
"""A chain that is longer does not end."""
ONE_READ: Final = 120
"""Registers of one read; some devices take fewer than the protocol allows."""
COMMON: Final = 1


@dataclass(frozen=True)
class Point:
    """One point of a model as the standard defines it."""

    name: str
    kind: str
    """Type in the words of the standard, e.g. ``int32``."""
    offset: int
    """Registers from the beginning of the model, its number included."""
    length: int
    """In registers."""
    scale: str | int | None
    """Name of its scale factor, or the factor."""
    symbols: Mapping[int, str]
    """Names of values, or of bits."""
    group: str
    """Group it lies in, with a dot at the end; empty at the top."""


@dataclass(frozen=True)
class Model:
    """One model of a device, as it lies there."""

    number: int
    address: int
    """Register at which it begins."""
    length: int
    """Registers, its number and length included."""
    points: Mapping[str, Point]
    """Points within that length; those of repeated groups are called e.g. ``Ctl.0.DbOf``."""
    scales: Mapping[str, int | None]
    """Scale factors by name, as read; None where a device does not implement one."""
    words: tuple[int, ...]
    """Registers as they were when the connection was opened."""

    def at(self, name: str) -> int:
        """Return the register at which a point begins."""
        return self.address + self.points[name].offset

    def registers(self, first: str, last: str) -> range:
        """Return the registers from one point to another, both included."""
        return range(self.at(first), self.at(last) + self.points[last].length)

    def value(self, name: str, words: Sequence[int], start: int = 0) -> Value:
        """Return a point in its unit, or None where it is not there or not implemented.

        Args:
            name: of the point.
            words: registers that were read.
            start: offset of the first of them within the model.
        """
        point = self.points.get(name)
        if point is None:
            return None
        raw = decode(point.kind, words[point.offset - start : point.offset - start + point.length])
        if raw is None or isinstance(raw, str) or point.scale is None:
            return raw
        exponent = self._exponent(point)
        # division, because 10 ** -1 is no number of this machine, and 1e-1 * 3 is not 0.3
        if exponent is None:
            return None
        return raw * 10.0**exponent if exponent >= 0 else raw / 10.0**-exponent

    def number_of(self, name: str, words: Sequence[int], start: int = 0) -> float | None:
        """Return a point that is a number."""
        value = self.value(name, words, start)
        return None if isinstance(value, str) else value

    def encoded(self, name: str, value: float) -> tuple[int, ...]:
        """Return the registers of a value in the unit of its point, rounded to what it can say.

        Raises:
            ValueError: the point is not there, has no scale factor, or cannot hold the value.
        """
        point = self.points.get(name)
        exponent = 0 if point is None or point.scale is None else self._exponent(point)
        if point is None or exponent is None:
            raise ValueError(f"model {self.number} of this device has no {name}")
        return encode(point.kind, round(value / 10.0**exponent))

    def names(self, name: str, words: Sequence[int], start: int = 0) -> tuple[str, ...]:
        """Return the names of the bits that are set."""
        bits = int(self.number_of(name, words, start) or 0)
        known = self.points[name].symbols if name in self.points else {}
        set_bits = [bit for bit in range(32) if bits >> bit & 1]
        return tuple(known.get(bit, f"{name} bit {bit}") for bit in set_bits)

    def is_there(self, name: str) -> bool:
        """Whether a point is implemented, as it was when the connection was opened."""
        return self.value(name, self.words) is not None

    def _exponent(self, point: Point) -> int | None:
        if isinstance(point.scale, int):
            return point.scale
        within = self.scales.get(f"{point.group}{point.scale}")
        return within if within is not None else self.scales.get(str(point.scale))


@dataclass(frozen=True)
class Nameplate:
    """Who a device says it is."""

    maker: str
    model: str
    serial: str

    def __str__(self) -> str:
        return f"{self.maker} {self.model}, serial {self.serial}"


@dataclass(frozen=True)
class Chain:
    """A device as it describes itself."""

    nameplate: Nameplate
    models: Mapping[int, Model]
    """The first of each number."""

    def first(self, *numbers: int) -> Model | None:
        """Return the first of these models that the device has."""
        return next((self.models[n] for n in numbers if n in self.models), None)


async def walk(read: Read, wanted: frozenset[int], *, serial: str | None = None) -> Chain | Failure:
    """Return what a device says of itself.

    Args:
        read: returns registers, by address and count.
        wanted: models to be read; the others are only passed.
        serial: the device that is meant; another one is a stranger.
    """
    base = await _find(read)
    if not isinstance(base, int):
        return base
    models: dict[int, Model] = {}
    address = base + len(MARK)
    for _ in range(MOST_MODELS):
        head = await read(address, 2)
        if not isinstance(head, Words):
            return head
        number, length = head.values
        if number == END:
            return _known(models, serial)
        if length == 0 or address + 2 + length > 0xFFFF:
            break
        if number not in models and (number in wanted or number == COMMON):
            model = await _model(read, number, address, length + 2)
            if not isinstance(model, Model):
                return model
            models[number] = model
            if number == COMMON and isinstance(who := _known(models, serial), Stranger):
                return who
        address += 2 + length
    return Denied(0, "its chain of models does not end")


async def _find(read: Read) -> int | Failure:
    for base in BASES:
        mark = await read(base, len(MARK))
        if isinstance(mark, Words):
            if mark.values == MARK:
                return base
        elif not isinstance(mark, Denied):
            return mark
    return Stranger("it is no SunSpec device: no mark where one may be")


def _known(models: Mapping[int, Model], serial: str | None) -> Chain | Stranger:
    common = models.get(COMMON)
    if common is None:
        return Stranger("it does not say who it is")
    maker, model, number = (str(common.value(n, common.words) or "") for n in ("Mn", "Md", "SN"))
    nameplate = Nameplate(maker, model, number)
    if serial is not None and number != serial:
        return Stranger(f"another device answers: {nameplate}; serial {serial} is meant")
    return Chain(nameplate, models)


async def _model(read: Read, number: int, address: int, length: int) -> Model | Failure:
    words: list[int] = []
    while len(words) < length:
        part = await read(address + len(words), min(ONE_READ, length - len(words)))
        if not isinstance(part, Words):
            return part
        words.extend(part.values)
    points = layout(number, words)
    scales: dict[str, int | None] = {}
    for name, point in points.items():
        if point.kind == "sunssf":
            raw = decode(point.kind, words[point.offset : point.offset + point.length])
            scales[name] = int(raw) if isinstance(raw, float) and -10 <= raw <= 10 else None
    return Model(number, address, length, points, scales, tuple(words))


def layout(number: int, words: Sequence[int]) -> dict[str, Point]:
    """Return the points of a model within its registers; counts of groups are read from them."""
    points: dict[str, Point] = {}

    def lay(group: Mapping[str, Any], offset: int, prefix: str) -> int:
        for point in group["points"]:
            size = int(point["size"])
            if offset + size <= len(words) and point["type"] != "pad":
                points[prefix + point["name"]] = Point(
                    prefix + point["name"],
                    point["type"],
                    offset,
                    size,
                    _scale(point.get("sf")),
                    {s["value"]: s["name"] for s in point.get("symbols", ())},
                    prefix,
                )
            offset += size
        for inner in group.get("groups", ()):
            count = inner.get("count")
            if count is None:
                offset = lay(inner, offset, f"{prefix}{inner['name']}.")
                continue
            for i in range(_count(count, points, words, prefix)):
                if offset >= len(words):
                    break
                offset = lay(inner, offset, f"{prefix}{inner['name']}.{i}.")
        return offset

    lay(_definition(number), 0, "")
    return points


def _scale(factor: str | int | None) -> str | int | None:
    if isinstance(factor, str) and factor.lstrip("-").isdigit():
        return int(factor)
    return factor


def _count(count: str | int, points: Mapping[str, Point], words: Sequence[int], prefix: str) -> int:
    if isinstance(count, int):
        return count if count else len(words)
    point = points.get(prefix + count) or points.get(count)
    if point is None:
        return 0
    raw = decode(point.kind, words[point.offset : point.offset + point.length])
    return int(raw) if isinstance(raw, float) else 0


@cache
def _definition(number: int) -> Mapping[str, Any]:
    """Return the standard's definition of a model, without looking into the working folder."""
    import json
    from importlib.resources import files

    text = files("sunspec2").joinpath(f"models/json/model_{number}.json").read_text("utf-8")
    group: Mapping[str, Any] = json.loads(text)["group"]
    return group


def decode(kind: str, words: Sequence[int]) -> Value:
    """Return what registers say, or None where they say that there is nothing."""
    from sunspec2 import mb

    raw = b"".join(word.to_bytes(2, "big") for word in words)
    if kind == "string":
        text = raw.split(b"\0")[0].decode("utf-8", "replace").strip()
        return text or None
    info = mb.point_type_info[kind]
    if len(raw) < 2 * (info.len or 1):
        return None
    value = info.data_to(raw)
    if value is None or not info.is_impl(value):
        return None
    if isinstance(value, str):
        return value
    return float(value) if isfinite(value) else None


def encode(kind: str, value: float) -> tuple[int, ...]:
    """Return the registers that say a number.

    Raises:
        ValueError: it does not fit, or would say that there is nothing.
    """
    import struct

    from sunspec2 import mb

    if isnan(value):
        raise ValueError(f"{value:g} means nothing as {kind}")
    info = mb.point_type_info[kind]
    try:
        number = value if kind.startswith("float") else int(value)
        raw: bytes = info.to_data(number)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{value:g} does not fit into {kind} ({error})") from None
    if not info.is_impl(number):
        raise ValueError(f"{value:g} means nothing as {kind}")
    return tuple(int.from_bytes(raw[i : i + 2], "big") for i in range(0, len(raw), 2))

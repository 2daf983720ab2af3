"""The Merkle tree of RFC 6962: its root over any number of lines, in memory of their logarithm.

    MTH({})     = SHA-256()
    MTH({d0})   = SHA-256(0x00 || d0)
    MTH(D[n])   = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n])),  k the largest power of two < n

Only the roots of the complete subtrees, one for each bit set in n, are needed to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_BYTES = 32


def leaf_hash(line: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that only grows.

    Args:
        size: leaves that it has already.
        peaks: roots of its complete subtrees, the largest first.

    Raises:
        ValueError: a tree of this size has another number of complete subtrees.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size, self._peaks = size, list(peaks)
        if size < 0 or len(self._peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees")
        if any(len(peak) != HASH_BYTES for peak in self._peaks):
            raise ValueError(f"a hash has {HASH_BYTES} bytes")

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, the largest first."""
        return tuple(self._peaks)

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        peaks, size = self._peaks, self.size
        while size & 1:
            leaf = node_hash(peaks.pop(), leaf)
            size >>= 1
        peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root."""
        if not self._peaks:
            return sha256().digest()
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


class Prover:
    """All hashes of a tree, so that each leaf can be shown to be in it.

    Args:
        leaves: hashes of the leaves.
        before: roots of the complete subtrees that stand before them, the largest first; no leaf
            of those is shown.
        first: how many leaves those hold.
    """

    def __init__(
        self, leaves: Iterable[bytes], before: Iterable[bytes] = (), first: int = 0
    ) -> None:
        peaks = list(before)
        level, place = bytearray().join(leaves), first
        self._first, self._size = first, first + len(level) // HASH_BYTES
        self._levels: list[tuple[int, bytearray]] = []
        """By height: the place of the first node kept, and the nodes' hashes one after the other.
        Place p at height h covers leaves p 2^h to (p + 1) 2^h - 1."""
        while level or peaks:
            if place & 1:
                level[:0], place = peaks.pop(), place - 1
            self._levels.append((place, level))
            pairs = range(0, len(level) - 2 * HASH_BYTES + 1, 2 * HASH_BYTES)
            above = bytearray()
            for at in pairs:
                above += sha256(b"\x01" + level[at : at + 2 * HASH_BYTES]).digest()
            level, place = above, place >> 1

    def root(self, size: int) -> bytes:
        """Return the root over the first ``size`` leaves."""
        return self._range(0, size)

    def path(self, leaf: int, size: int) -> tuple[bytes, ...]:
        """Return PATH(leaf, D[size]) of RFC 6962, 2.1.1: what is needed to reach the root.

        Raises:
            KeyError: the leaf is not among those given.
        """
        if not self._first <= leaf < size <= self._size:
            raise KeyError(leaf)
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if leaf < middle:
                path.append(self._range(middle, high))
                high = middle
            else:
                path.append(self._range(low, middle))
                low = middle
        return tuple(reversed(path))

    def _range(self, low: int, high: int) -> bytes:
        """Return the hash of leaves low to high - 1, where low is a multiple of the larger half."""
        size = high - low
        if size == 0:
            return sha256().digest()
        if size & (size - 1) == 0:
            height = size.bit_length() - 1
            first, nodes = self._levels[height]
            at = ((low >> height) - first) * HASH_BYTES
            return bytes(nodes[at : at + HASH_BYTES])
        middle = low + _split(size)
        return node_hash(self._range(low, middle), self._range(middle, high))


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a leaf and its path lead to; None where the path has a wrong length.

    RFC 9162, 2.1.3.2, which is the same tree.
    """
    if not 0 <= index < size:
        return None
    place, last, root = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return None
        if place & 1 or place == last:
            root = node_hash(sibling, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        place, last = place >> 1, last >> 1
    return root if last == 0 else None


def _split(size: int) -> int:
    """Return the largest power of two below ``size``."""
    return 1 << (size - 1).bit_length() - 1

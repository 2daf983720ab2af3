"""The tree against the definition of RFC 6962, written down as it stands there."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebplan.audit.tree import Prover, Tree, leaf_hash, root_from_path

LEAVES = [leaf_hash(b"%d" % n) for n in range(70)]
SIZES = st.integers(0, len(LEAVES))


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, over leaves that are hashed already."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else sha256(b"").digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def grown(size: int) -> Tree:
    tree = Tree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    return tree


@given(SIZES)
def test_root_is_the_one_of_the_definition(size: int) -> None:
    assert grown(size).root() == mth(LEAVES[:size])


def test_roots_of_the_vectors_that_certificate_transparency_publishes() -> None:
    # https://github.com/google/certificate-transparency, merkle tree tests: the first two inputs
    tree = Tree()
    assert tree.root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree.append(leaf_hash(b""))
    assert tree.root().hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    tree.append(leaf_hash(b"\x00"))
    assert tree.root().hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


@given(SIZES, SIZES)
def test_a_tree_goes_on_from_its_peaks(size: int, more: int) -> None:
    begun = grown(min(size, more))
    tree = Tree(begun.size, begun.peaks)
    for leaf in LEAVES[begun.size : max(size, more)]:
        tree.append(leaf)
    assert tree.root() == mth(LEAVES[: max(size, more)])


@pytest.mark.parametrize(("size", "peaks"), [(-1, []), (1, []), (2, [b"x" * 32] * 2), (1, [b"x"])])
def test_peaks_that_are_none_are_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"leaves|bytes"):
        Tree(size, peaks)


@given(st.data())
def test_each_leaf_is_proven_and_no_other(data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 40), "moved away")
    end = data.draw(st.integers(first + 1, len(LEAVES)), "there")
    size = data.draw(st.integers(first + 1, end), "signed")
    leaf = data.draw(st.integers(first, size - 1), "leaf")
    prover = Prover(LEAVES[first:end], grown(first).peaks, first)
    assert prover.root(size) == mth(LEAVES[:size])
    path = prover.path(leaf, size)
    assert root_from_path(LEAVES[leaf], leaf, size, path) == mth(LEAVES[:size])
    other = data.draw(st.integers(0, size - 1), "other place")
    if other != leaf:
        assert root_from_path(LEAVES[leaf], other, size, path) != mth(LEAVES[:size])
    assert root_from_path(LEAVES[leaf], leaf, size, [*path, LEAVES[0]]) is None
    if path:
        assert root_from_path(LEAVES[leaf], leaf, size, path[:-1]) != mth(LEAVES[:size])


def test_a_leaf_that_is_not_there_has_no_path() -> None:
    prover = Prover(LEAVES[8:16], grown(8).peaks, 8)
    for leaf, size in ((7, 16), (16, 16), (12, 12), (12, 17)):
        with pytest.raises(KeyError):
            prover.path(leaf, size)

"""The KV cache of an engine, in blocks: what running requests hold, and prefixes kept for others.

A running request holds blocks of its own and may share those of its prefix, which stay pinned while
anyone uses them. Blocks grow with the answers: each running request has one block more than its
whole tokens fill, so the count is nowhere below the true one. When blocks are needed, prefixes that
nobody uses go first, the one unused for longest before the others.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

PrefixKey = tuple[str, int]
"""Request class and number of the prefix."""


@dataclass(slots=True)
class _Kept:
    blocks: int
    users: int = 0


@dataclass(slots=True)
class Hold:
    """What one running request holds."""

    own: int
    """Blocks of its own, without those of its growing answer."""
    key: PrefixKey | None
    """The prefix that it shares, if any."""
    shared: int
    """Blocks of that prefix."""


class KvCache:
    """Blocks of one engine."""

    def __init__(self, blocks: int, block_tokens: int, *, keep: bool) -> None:
        self.blocks, self.block_tokens, self._keep = blocks, block_tokens, keep
        self._kept: OrderedDict[PrefixKey, _Kept] = OrderedDict()
        self.held = 0
        """Blocks of running requests' own, without their growing answers."""
        self.kept = 0
        """Blocks of prefixes."""
        self.hit_tokens = self.asked_tokens = 0.0
        """Tokens of prompts that were found, and all tokens of prompts, since the plant began."""

    @property
    def free(self) -> int:
        """Blocks that nobody holds, growing answers left out."""
        return self.blocks - self.held - self.kept

    def prefixes(self) -> list[PrefixKey]:
        """Return the prefixes kept, the one used last first."""
        return list(reversed(self._kept))

    def kept_blocks(self, key: PrefixKey) -> int:
        """Return the blocks kept of a prefix."""
        return self._kept[key].blocks if key in self._kept else 0

    def found(self, key: PrefixKey | None, prefix_tokens: float) -> int:
        """Return how many blocks of a prompt's prefix are kept."""
        if key is None:
            return 0
        return min(self.kept_blocks(key), int(prefix_tokens) // self.block_tokens)

    def needed(self, tokens: float, found: int) -> int:
        """Return the blocks that a prompt needs of its own, one for its answer included."""
        return max(math.ceil(tokens / self.block_tokens) - found, 0) + 1

    def room(self, key: PrefixKey | None) -> int:
        """Return the blocks that could be had without touching a prefix, if prefixes go."""
        unused = sum(k.blocks for name, k in self._kept.items() if not k.users and name != key)
        return self.free + unused

    def take(self, key: PrefixKey | None, prompt_tokens: float, prefix_tokens: float) -> Hold:
        """Hold the blocks of a prompt; there must be room."""
        found = self.found(key, prefix_tokens)
        if key is not None and found:
            self._kept[key].users += 1
            self._kept.move_to_end(key)
        own = self.needed(prompt_tokens, found)
        while self.free < own and self.drop_one():
            pass
        self.held += own
        self.asked_tokens += prompt_tokens
        self.hit_tokens += min(found * self.block_tokens, prompt_tokens)
        return Hold(own, key if found else None, found)

    def give_back(self, hold: Hold) -> None:
        """Let go of a request's blocks, kept by nobody."""
        self.held -= hold.own
        if hold.key is not None:
            self._kept[hold.key].users -= 1

    def keep(self, hold: Hold, key: PrefixKey | None, tokens: float) -> None:
        """Let go of an answered request's blocks, and keep them for the next with its prefix."""
        self.give_back(hold)
        if key is not None and self._keep:
            self.put(key, int(tokens) // self.block_tokens)

    def put(self, key: PrefixKey, blocks: int) -> None:
        """Keep so many blocks of a prefix, as far as they fit into what is free."""
        kept = self._kept.setdefault(key, _Kept(0))
        grown = min(max(blocks - kept.blocks, 0), max(self.free, 0))
        kept.blocks += grown
        self.kept += grown
        self._kept.move_to_end(key)
        if not kept.blocks:
            del self._kept[key]

    def drop_one(self) -> bool:
        """Drop the prefix unused for longest; return whether there was one."""
        for key, kept in self._kept.items():
            if not kept.users:
                self.kept -= kept.blocks
                del self._kept[key]
                return True
        return False

    def clear(self) -> None:
        """Lose everything; nothing may run."""
        self._kept.clear()
        self.held = self.kept = 0

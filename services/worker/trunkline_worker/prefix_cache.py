"""Which blocks of prompt tokens are kept, and where: chained hashes, least recently used first out. Pure bookkeeping.

A block's hash covers every token before it and the tenant's salt, so a block is found only under the same beginning and
by the same tenant. The memory itself belongs to the runtime; here are only the places in it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from trunkline_worker.runtimes.base import DecoderRuntime

_HASH_BYTES = 16


class BlockIndex:
    """Block hash to place, for `places` places. Law: a block is never dropped before the blocks that follow it."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._places: OrderedDict[bytes, int] = OrderedDict()
        """Least recently used first."""

    def __len__(self) -> int:
        return len(self._places)

    def match(self, chain: Sequence[bytes]) -> int:
        """How many blocks of the chain are here, from its start."""
        for count, block in enumerate(chain):
            if block not in self._places:
                return count
        return len(chain)

    def use(self, chain: Sequence[bytes]) -> list[int]:
        """Places of blocks that are all here; they become the last to be dropped."""
        places = [self._places[block] for block in chain]
        # The end of the chain first, so that it is older than its beginning.
        for block in reversed(chain):
            self._places.move_to_end(block)
        return places

    def place(self, block: bytes) -> int | None:
        """A place for a block that is to be kept, the least recently used one's if all are taken; None: it is here."""
        if block in self._places:
            return None
        place = len(self._places) if len(self._places) < self.places else self._places.popitem(last=False)[1]
        self._places[block] = place
        return place


class PrefixCache:
    """Keeps prompts' keys and values block by block and puts them back into slots. For the engine's thread."""

    def __init__(self, runtime: DecoderRuntime, key: bytes) -> None:
        self.block_tokens = runtime.block_tokens
        self._runtime = runtime
        self._key = key
        """Secret of this process: without it nobody can make two prompts of one hash on purpose."""
        self._index = BlockIndex(runtime.blocks)

    @property
    def usage(self) -> float:
        """Share of the places that are taken, 0 to 1."""
        return len(self._index) / self._index.places if self._index.places else 0.0

    def chain(self, prompt_ids: Sequence[int], salt: bytes) -> tuple[bytes, ...]:
        """Hashes of the prompt's whole blocks, in order; none without a salt, or where nothing can be kept.

        What lies beyond the memory has no hash: it could only push out its own beginning.
        """
        if not salt or not self._index.places:
            return ()
        ids = np.asarray(prompt_ids, np.uint32)
        size = self.block_tokens
        blocks: list[bytes] = []
        before = salt
        for begin in range(0, min(len(ids) // size, self._index.places) * size, size):
            digest = blake2b(before, digest_size=_HASH_BYTES, key=self._key)
            digest.update(ids[begin : begin + size].tobytes())
            before = digest.digest()
            blocks.append(before)
        return tuple(blocks)

    def known_tokens(self, chain: Sequence[bytes], prompt_tokens: int) -> int:
        """Tokens of a prompt that need no prefill now."""
        return self._usable(chain, prompt_tokens) * self.block_tokens

    def restore(self, chain: Sequence[bytes], prompt_tokens: int, slot: int) -> int:
        """Put the longest known beginning of a prompt into a slot; return its length in tokens."""
        places = self._index.use(chain[: self._usable(chain, prompt_tokens)])
        for number, place in enumerate(places):
            self._runtime.restore(place, slot, number * self.block_tokens)
        return len(places) * self.block_tokens

    def keep(self, chain: Sequence[bytes], begin: int, end: int, slot: int) -> None:
        """Keep the whole blocks among the tokens `begin` … `end` of a slot that are not here yet."""
        blocks = range(begin // self.block_tokens, min(end // self.block_tokens, len(chain)))
        if not blocks or self._index.match(chain[: blocks.start]) < blocks.start:
            # Its beginning was pushed out meanwhile; without that it could never be found.
            return
        self._index.use(chain[: blocks.start])
        for number in blocks:
            place = self._index.place(chain[number])
            if place is not None:
                self._runtime.keep(slot, number * self.block_tokens, place)
        self._index.use(chain[: blocks.stop])

    def _usable(self, chain: Sequence[bytes], prompt_tokens: int) -> int:
        """Blocks that are here and leave two tokens to prefill: a run of one would take a kernel that rounds apart."""
        return self._index.match(chain[: max(0, prompt_tokens - 2) // self.block_tokens])

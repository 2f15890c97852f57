"""What prompts begin with, and which of those beginnings a replica should still have in its prefix cache.

A prompt is cut into blocks of bytes, and each block's hash covers everything before it and the tenant's salt, as in the
worker's own cache: two prompts share as many hashes as they begin alike. Bytes stand for tokens, since the gateway does
not have every worker's tokenizer; what is lost is less than a block.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

BLOCK_BYTES = 256
"""About 64 tokens."""
BLOCKS_MAX = 1024
"""Of one prompt; what is longer counts as new from there on."""
_HASH_BYTES = 8

Chain = tuple[bytes, ...]


def chain_of(salt: bytes, head: bytes, prompt: bytes) -> Chain:
    """Hashes of a prompt's whole blocks, in order. None without a salt: workers share nothing then.

    `head` is what else decides how the prompt begins, tools for example.
    """
    if not salt:
        return ()
    before = blake2b(head, digest_size=_HASH_BYTES, key=blake2b(salt).digest()).digest()
    blocks = []
    for begin in range(0, min(len(prompt) // BLOCK_BYTES, BLOCKS_MAX) * BLOCK_BYTES, BLOCK_BYTES):
        before = blake2b(prompt[begin : begin + BLOCK_BYTES], digest_size=_HASH_BYTES, key=before).digest()
        blocks.append(before)
    return tuple(blocks)


class PrefixIndex:
    """Of one replica: the blocks it was sent last, at most `blocks_max` of them.

    Law: a block is never dropped before those that follow it, so what is here of a chain is always its beginning.
    """

    def __init__(self, blocks_max: int) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()
        """Least recently used first."""
        self._blocks_max = blocks_max

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def blocks_max(self) -> int:
        return self._blocks_max

    @blocks_max.setter
    def blocks_max(self, blocks: int) -> None:
        self._blocks_max = blocks
        self._trim()

    def match(self, chain: Chain) -> int:
        """How many blocks of the chain should be there, from its start. O(log blocks)."""
        return bisect_left(_Missing(chain, self._blocks), True)

    def add(self, chain: Chain) -> None:
        """A prompt goes there now."""
        # The end first, so that it is older than its beginning.
        for block in reversed(chain[: self._blocks_max]):
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        self._trim()

    def clear(self) -> None:
        """Its memory is gone."""
        self._blocks.clear()

    def _trim(self) -> None:
        while len(self._blocks) > self._blocks_max:
            self._blocks.popitem(last=False)


class _Missing(Sequence[bool]):
    """Whether each block of a chain is missing: never, then always."""

    def __init__(self, chain: Chain, blocks: OrderedDict[bytes, None]) -> None:
        self._chain = chain
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._chain)

    def __getitem__(self, index: int) -> bool:  # type: ignore[override]  # bisect takes no slices
        return self._chain[index] not in self._blocks

"""The mempool as the blocks it would fill: chunks in the order of mining, cut where a block is full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pybitcoind.chain.consensus.limits import MAX_BLOCK_WEIGHT
from pybitcoind.chain.mempool.clusters import Chunk
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings

BLOCK_ROOM = 4_000_000 - 8_000
"""Weight that fits besides header and coinbase by default (-blockmaxweight, -blockreservedweight)."""
SHOWN_BLOCKS = 8
STEPS = (2, 5, 10, 25, 100)
"""Feerates in satoshis per vbyte at which a new colour begins."""


def step_of(fee: int, weight: int) -> int:
    """Which colour a feerate has, 0 for the lowest."""
    return sum(fee * 4 >= bound * weight for bound in STEPS)


@dataclass(slots=True)
class BlockToBe:
    """chunks: in order of mining, so the last has the lowest feerate. room: weight that fits."""

    number: int
    room: int
    chunks: list[Chunk] = field(default_factory=list)
    weight: int = 0
    fee: int = 0
    txs: int = 0

    def take(self, chunk: Chunk) -> None:
        self.chunks.append(chunk)
        self.weight += chunk.weight
        self.fee += chunk.fee
        self.txs += len(chunk.txids)

    def middle(self) -> Chunk:
        """The chunk at half of the weight: its feerate is the median."""
        seen = 0
        for chunk in self.chunks:
            seen += chunk.weight
            if seen * 2 >= self.weight:
                return chunk
        return self.chunks[-1]

    @property
    def best(self) -> Chunk:
        return self.chunks[0]

    @property
    def worst(self) -> Chunk:
        return self.chunks[-1]

    @property
    def fill(self) -> float:
        return min(1.0, self.weight / max(self.room, 1))


def block_room(settings: PolicySettings) -> int:
    """Weight of transactions in a block of ours."""
    return max(0, min(settings.block_max_weight, MAX_BLOCK_WEIGHT) - settings.block_reserved_weight)


def blocks_to_be(
    chunks: Iterable[Chunk], room: int = BLOCK_ROOM, shown: int = SHOWN_BLOCKS
) -> list[BlockToBe]:
    """The next blocks as far as the mempool fills them; the last one shown holds all the rest."""
    blocks: list[BlockToBe] = []
    for chunk in chunks:
        full = blocks and blocks[-1].weight + chunk.weight > room
        if not blocks or (full and len(blocks) < shown):
            blocks.append(BlockToBe(len(blocks) + 1, room))
        blocks[-1].take(chunk)
    return blocks


class MempoolView:
    """Worked out once for each state of the mempool, however many look."""

    def __init__(self, pool: Mempool) -> None:
        self._pool = pool
        self._updates = -1
        self._blocks: list[BlockToBe] = []
        self._place: dict[bytes, int] = {}

    def blocks(self) -> list[BlockToBe]:
        if self._pool.updates != self._updates:
            self._blocks = blocks_to_be(self._pool.chunks(), block_room(self._pool.settings))
            self._updates = self._pool.updates
            self._place = {}
        return self._blocks

    def place_of(self, txid: bytes) -> int | None:
        """Number of the block to be that would take txid."""
        blocks = self.blocks()
        if not self._place:
            self._place = {
                other: block.number for block in blocks for chunk in block.chunks for other in chunk.txids
            }
        return self._place.get(txid)

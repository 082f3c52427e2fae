"""Bloom filters of light clients (BIP 37): which transactions a peer wants to hear of.

Source of the rules: Bitcoin Core src/common/bloom.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.merkle import PartialMerkleTree
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction
from pybitcoind.chain.script.script import ScriptParseError, iter_ops
from pybitcoind.chain.script.solver import solve

from .messages import FilterLoad

_SEED_STEP = 0xFBA4C795
_MASK = 0xFFFFFFFF


class Update(IntEnum):
    """What matching an output adds to the filter, so that its spender matches too."""

    NONE = 0
    ALL = 1
    P2PUBKEY_ONLY = 2


def murmur3(seed: int, data: bytes) -> int:
    """MurmurHash3, x86, 32 bits."""
    h, whole = seed & _MASK, len(data) // 4 * 4
    for i in range(0, whole, 4):
        h ^= _mix(int.from_bytes(data[i : i + 4], "little"))
        h = (h << 13 | h >> 19) & _MASK
        h = (h * 5 + 0xE6546B64) & _MASK
    if whole < len(data):
        h ^= _mix(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & _MASK
    return h ^ h >> 16


def _mix(k: int) -> int:
    k = k * 0xCC9E2D51 & _MASK
    return (k << 15 | k >> 17) * 0x1B873593 & _MASK


def _pushes(script: bytes) -> Iterator[bytes]:
    """What a script pushes, as far as it can be read."""
    try:
        for _, data, _ in iter_ops(script):
            if data:
                yield data
    except ScriptParseError:
        return


class BloomFilter:
    def __init__(self, data: bytes, hash_funcs: int, tweak: int, flags: int) -> None:
        self.data = bytearray(data)
        self._hash_funcs, self._tweak, self._flags = hash_funcs, tweak, flags

    @classmethod
    def of(cls, message: FilterLoad) -> BloomFilter:
        return cls(message.data, message.hash_funcs, message.tweak, message.flags)

    def _bits(self, item: bytes) -> Iterator[int]:
        size = len(self.data) * 8
        for n in range(self._hash_funcs):
            yield murmur3(n * _SEED_STEP + self._tweak, item) % size

    def insert(self, item: bytes) -> None:
        if self.data:  # an empty one must not divide by zero (CVE-2013-5700)
            for bit in self._bits(item):
                self.data[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, item: bytes) -> bool:
        return not self.data or all(self.data[bit >> 3] >> (bit & 7) & 1 for bit in self._bits(item))

    def matches(self, tx: Transaction) -> bool:
        """Whether tx is wanted: by its txid, or by something that its outputs or inputs push or spend.
        A matched output's outpoint is added, as the filter's flags say."""
        if not self.data:
            return True
        found = tx.txid in self
        for vout, (_, script) in enumerate(tx.vout):
            if any(data in self for data in _pushes(script)):
                found = True
                if self._updates(script):
                    self.insert(OutPoint(tx.txid, vout).serialize())
        return found or any(
            txin.prevout.serialize() in self or any(data in self for data in _pushes(txin.script_sig))
            for txin in tx.vin
        )

    def _updates(self, script: bytes) -> bool:
        mode = self._flags & 3
        if mode == Update.P2PUBKEY_ONLY:
            return solve(script)[0] in ("pubkey", "multisig")
        return mode == Update.ALL


def filtered(block: Block, bloom: BloomFilter) -> tuple[PartialMerkleTree, list[Transaction]]:
    """The proof of the transactions of block that match, for a merkleblock, and those transactions."""
    match = [bloom.matches(tx) for tx in block.vtx]
    tree = PartialMerkleTree.build(block.txids(), match)
    return tree, [tx for tx, wanted in zip(block.vtx, match, strict=True) if wanted]

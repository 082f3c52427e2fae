"""What the UTXO set adds up to: its hash, the number and value of its coins (gettxoutsetinfo).

Source: Bitcoin Core src/kernel/coinstats.cpp (31.99).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .ports import Workers
from .primitives.serialize import compact_size
from .primitives.transaction import Coin
from .storage.coin_store import CoinRow, CoinStore
from .storage.records import unpack_coin

if TYPE_CHECKING:
    from .muhash import MuHash3072

BOGO_OVERHEAD = 32 + 4 + 4 + 8 + 2
"""Bytes that bogosize counts for a coin besides its script."""

_U32_LE, _CODE_AND_VALUE = struct.Struct("<I"), struct.Struct("<Iq")

Progress = Callable[[float], None]
"""Told the fraction that is done. What it raises ends the scan."""


class UtxoHashType(Enum):
    """Which hash is asked for; values as in gettxoutsetinfo."""

    HASH_SERIALIZED_3 = "hash_serialized_3"
    MUHASH = "muhash"
    NONE = "none"


class UtxoSetStats(NamedTuple):
    """best_block: the block the coins stand for. hash: internal order; None if none was asked for.

    transactions: those with an unspent output. bogosize: a size that depends on no database.
    """

    best_block: bytes | None
    hash: bytes | None
    transactions: int
    txouts: int
    bogosize: int
    total_amount: int
    disk_size: int


def bogosize(script_pubkey: bytes) -> int:
    """A coin's share of the bogosize."""
    return BOGO_OVERHEAD + len(script_pubkey)


def serialize_coin(txid: bytes, vout: int, coin: Coin) -> bytes:
    """A coin as both hashes see it: outpoint, height and coinbase flag in 4 bytes, output."""
    value, script, height, coinbase = coin
    code_and_value = _CODE_AND_VALUE.pack(height << 1 | coinbase, value)
    return b"".join((txid, _U32_LE.pack(vout), code_and_value, compact_size(len(script)), script))


class UtxoSetHasher:
    """Adds up coins that come in the order of their keys. Pure; fed on the workers."""

    def __init__(self, hash_type: UtxoHashType) -> None:
        self._sha256 = hashlib.sha256() if hash_type is UtxoHashType.HASH_SERIALIZED_3 else None
        self._muhash = _empty_muhash() if hash_type is UtxoHashType.MUHASH else None
        self.transactions = self.txouts = self.bogosize = self.total_amount = 0
        self._last_txid = b""

    def add(self, rows: Sequence[CoinRow]) -> None:
        """The next coins, as they are stored; RecordError if one is damaged."""
        for key, value in rows:
            coin = unpack_coin(value)
            txid = key[:32]
            if txid != self._last_txid:
                self._last_txid = txid
                self.transactions += 1
            self.bogosize += BOGO_OVERHEAD + len(coin.script_pubkey)
            self.total_amount += coin.value
            if self._sha256 is not None:
                self._sha256.update(serialize_coin(txid, int.from_bytes(key[32:], "big"), coin))
            elif self._muhash is not None:
                self._muhash.insert(serialize_coin(txid, int.from_bytes(key[32:], "big"), coin))
        self.txouts += len(rows)

    def digest(self) -> bytes | None:
        """The hash of all coins so far; None if none is computed."""
        if self._sha256 is not None:
            return hashlib.sha256(self._sha256.digest()).digest()
        return None if self._muhash is None else self._muhash.finalize()


def _empty_muhash() -> MuHash3072:
    from .muhash import MuHash3072  # brings a library for its one cipher, which most nodes never need

    return MuHash3072()


class CoinPages(Protocol):
    """Coins in the order of their keys, some at a time."""

    def scan(self) -> AsyncIterator[list[CoinRow]]: ...


async def add_up(
    coins: CoinPages, hash_type: UtxoHashType, workers: Workers, progress: Progress | None = None
) -> UtxoSetHasher:
    """A hasher that was given all coins. progress is called after each page; what it raises ends it."""
    hasher = UtxoSetHasher(hash_type)
    async for rows in coins.scan():
        await workers.run(hasher.add, rows)
        if progress is not None:
            progress(int.from_bytes(rows[-1][0][:4], "big") / 2**32)  # txids are spread evenly
    return hasher


async def utxo_set_stats(
    store: CoinStore, hash_type: UtxoHashType, workers: Workers, progress: Progress | None = None
) -> UtxoSetStats:
    """Statistics over the coins as last flushed (flush first, to have those at the tip).

    Reads a snapshot page by page, so the node goes on meanwhile. It ends early when its task is cancelled or
    progress raises; progress is called after each page.
    """
    async with store.snapshot() as view:
        best_block = await view.best_block()
        hasher = await add_up(view, hash_type, workers, progress)
        digest = await workers.run(hasher.digest)
    return UtxoSetStats(
        best_block,
        digest,
        hasher.transactions,
        hasher.txouts,
        hasher.bogosize,
        hasher.total_amount,
        store.disk_size(),
    )

"""The regtest chain whose block 200 is among the snapshots that Core has built in, and as many blocks more.

Empty blocks, one a second from the genesis block on; each coinbase pays all it may to P2WSH of OP_TRUE.
"""

from __future__ import annotations

import io
from functools import cache

from scene import SCRIPT_PUBKEY, height_push, solved

from pybitcoind.chain.params import AssumeUtxo, regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, Coin, Transaction, TxIn, TxOut
from pybitcoind.chain.snapshot import SnapshotMetadata, SnapshotWriter
from pybitcoind.chain.storage.coin_store import CoinRow
from pybitcoind.chain.storage.records import coin_key, pack_coin
from pybitcoind.chain.utxo_set_hash import UtxoHashType, UtxoSetHasher

BASE_HEIGHT = 200
BASE_HASH = "385901ccbd69dff6bbd00065d01fb8a9e464dede7cfe0372443884f9b1dcf6b9"
UTXO_HASH = "17dcc016d188d16068907cdeb38b75691a118d43053b8cd6a25969419381d13a"


def base() -> AssumeUtxo:
    """What the parameters say of block 200."""
    return next(known for known in regtest().assume_utxo if known.height == BASE_HEIGHT)


@cache
def snapshot_chain(length: int = 230) -> tuple[Block, ...]:
    """The blocks from height 1 on."""
    blocks: list[Block] = []
    prev, time = regtest().genesis.header, regtest().genesis.header.time
    for height in range(1, length + 1):
        coinbase = Transaction.make(
            [TxIn(NULL_OUTPOINT, height_push(height) + b"\x00", 0xFFFFFFFE)],
            [TxOut(50 * COIN >> height // 150, SCRIPT_PUBKEY)],
            version=2,
            locktime=height - 1,
        )
        header = solved(BlockHeader(4, prev.hash, coinbase.txid, time + height, prev.bits, 0))
        blocks.append(Block(header, [coinbase]))
        prev = header
    return tuple(blocks)


def coin_rows(length: int) -> list[CoinRow]:
    """The UTXO set at that height: the coinbases."""
    rows = []
    for height, block in enumerate(snapshot_chain(length), 1):
        tx = block.vtx[0]
        rows.append((coin_key((tx.txid, 0)), pack_coin(Coin(*tx.vout[0], height, True))))
    return sorted(rows)


def utxo_hash_at(length: int) -> bytes:
    """hash_serialized_3 at that height, internal order."""
    hasher = UtxoSetHasher(UtxoHashType.HASH_SERIALIZED_3)
    hasher.add(coin_rows(length))
    return hasher.digest() or b""


@cache
def snapshot_file() -> bytes:
    """The snapshot of block 200."""
    file = Kept()
    writer = SnapshotWriter(file, SnapshotMetadata(base().block_hash, BASE_HEIGHT), regtest())
    writer.add(coin_rows(BASE_HEIGHT))
    writer.finish()
    return file.content


class Kept(io.BytesIO):
    """A file in memory whose content outlives its end."""

    content = b""

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.content = self.content or self.getvalue()
        super().close()

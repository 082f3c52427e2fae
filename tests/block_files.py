"""Files of blocks in Core's -loadblock form, and branches of empty blocks to make chains reorganise."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from scene import height_push, solved

from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script.sighash import TxDigests

BITS = 0x207FFFFF


def read_blocks(path: Path) -> Iterator[bytes]:
    """The blocks of a file, as they stand there."""
    data, pos = path.read_bytes(), 0
    while pos < len(data):
        magic, size = struct.unpack_from("<4sI", data, pos)
        assert magic == regtest().magic
        yield data[pos + 8 : pos + 8 + size]
        pos += 8 + size


def read_spends(path: Path) -> list[TxDigests]:
    """The transactions of the blocks of a file, coinbases aside, with the outputs they spend."""
    coins: dict[OutPoint, TxOut] = {}
    found = []
    for raw in read_blocks(path):
        for tx in Block.decode(raw).vtx:
            if not tx.is_coinbase:
                found.append(TxDigests(tx, [coins.pop(txin.prevout) for txin in tx.vin]))
            coins.update((OutPoint(tx.txid, n), output) for n, output in enumerate(tx.vout))
    return found


def write_blocks(path: Path, blocks: Iterable[Block]) -> Path:
    path.write_bytes(
        b"".join(regtest().magic + struct.pack("<I", len(block.raw)) + block.raw for block in blocks)
    )
    return path


def empty_branch(tip: BlockHeader, height: int, count: int, *, salt: int = 0) -> list[Block]:
    """count blocks on top of the block with header tip at height. salt makes different ones."""
    blocks = []
    for at in range(height + 1, height + 1 + count):
        script = height_push(at) + bytes((4,)) + struct.pack("<I", salt)
        coinbase = Transaction.make(
            [TxIn(NULL_OUTPOINT, script)],
            [TxOut(50 * COIN >> at // 150, b"\x51" + bytes((salt % 16 + 0x51,)))],
        )
        header = BlockHeader(0x20000000, tip.hash, coinbase.txid, tip.time + 1, BITS, 0)
        blocks.append(Block(solved(header), [coinbase]))
        tip = blocks[-1].header
    return blocks

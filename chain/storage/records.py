"""Coins and undo data as msgpack records.

A coin is [value, script_pubkey, height, coinbase]; the undo record of a block is, for each of its
transactions but the coinbase, the list of the coins it spends, in the order of its inputs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgpack

from ..primitives.transaction import Coin, OutPoint

_VOUT = struct.Struct(">I").pack
_new = tuple.__new__

TxUndo = list[Coin]
"""The coins one transaction spends, in the order of its inputs."""


class RecordError(ValueError):
    """Bytes that are no record of ours: the file they come from is damaged."""


def coin_key(outpoint: tuple[bytes, int]) -> bytes:
    """The key of a coin, 36 bytes: txid in internal order, then vout big-endian, so that both sort."""
    return outpoint[0] + _VOUT(outpoint[1])


def outpoint_of(key: bytes) -> OutPoint:
    """The inverse of coin_key."""
    return _new(OutPoint, (key[:32], int.from_bytes(key[32:], "big")))


def coin_packer() -> Callable[[Coin], bytes]:
    """A function that packs coins and reuses its buffer: for one thread, for one batch."""
    pack: Callable[[Coin], bytes] = msgpack.Packer().pack
    return pack


def pack_coin(coin: Coin) -> bytes:
    data: bytes = msgpack.packb(coin)
    return data


def unpack_coin(data: bytes) -> Coin:
    """RecordError if data is no coin."""
    try:
        parts = msgpack.unpackb(data, use_list=False)
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise RecordError(f"no coin record: {error}") from None
    if type(parts) is not tuple or len(parts) != 4:
        raise RecordError("no coin record")
    return _new(Coin, parts)


@dataclass(frozen=True, slots=True)
class BlockUndo:
    """What disconnecting a block needs. txs: one entry per transaction of the block but the coinbase."""

    txs: Sequence[TxUndo] = ()

    def pack(self) -> bytes:
        data: bytes = msgpack.packb(self.txs)
        return data

    @classmethod
    def unpack(cls, data: bytes) -> BlockUndo:
        """RecordError if data is no undo record."""
        try:
            txs = msgpack.unpackb(data, use_list=False)
            return cls([[_new(Coin, coin) for coin in tx] for tx in txs])
        except (ValueError, TypeError, msgpack.exceptions.UnpackException) as error:
            raise RecordError(f"no undo record: {error}") from None

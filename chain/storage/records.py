"""Coins and undo data as msgpack records.

A coin is [value, script_pubkey, height, coinbase]; the undo record of a block is, for each of its
transactions but the coinbase, the list of the coins it spends, in the order of its inputs.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgpack

from .. import native
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


def coin_rows(
    cache: Mapping[OutPoint, Coin | None], outpoints: list[OutPoint]
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    """The keys of outpoints in cache, a dictionary: with their coins as records, and those of spent ones."""
    rows: tuple[list[tuple[bytes, bytes]], list[bytes]] | None = None
    if native.part is not None:
        rows = native.part.coin_rows(cache, outpoints)
    return _coin_rows(cache, outpoints) if rows is None else rows


def _coin_rows(
    cache: Mapping[OutPoint, Coin | None], outpoints: list[OutPoint]
) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
    pack = coin_packer()
    put: list[tuple[bytes, bytes]] = []
    gone: list[bytes] = []
    for outpoint in outpoints:
        coin = cache[outpoint]
        if coin is None:
            gone.append(coin_key(outpoint))
        else:
            put.append((coin_key(outpoint), pack(coin)))
    return put, gone


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
        packed: bytes | None = None if native.part is None else native.part.pack_undo(self.txs)
        return self._pack() if packed is None else packed

    def _pack(self) -> bytes:
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

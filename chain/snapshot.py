"""Files with the UTXO set at one block, as dumptxoutset writes and loadtxoutset reads them.

Before all: magic, version, the network's magic, hash of the base block, number of coins. Then, in the order
of txids, for each transaction: txid, number of its coins, and the coins, each behind its output number.

Reader and writer do no more than a piece at a time and belong on the workers. Source: Bitcoin Core
src/node/utxo_snapshot.h, src/rpc/blockchain.cpp, src/validation.cpp (31.99).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO, NamedTuple

from .compressor import compress_coin, read_coin, varint
from .consensus.limits import MAX_MONEY
from .params import NETWORKS, ChainParams
from .primitives.serialize import DecodeError, compact_size, read_compact_size
from .storage.coin_store import CoinRow
from .storage.records import coin_packer, unpack_coin

MAGIC = b"utxo\xff"
VERSION = 2
_METADATA = struct.Struct("<5sH4s32sQ")
METADATA_SIZE = _METADATA.size
_LARGEST_ENTRY = 4_100_000
"""Bytes of a coin with the longest script, txid and counts: with so many at hand one is whole or broken."""
_ONE_BYTE_ORDER = 16_512
"""From this output number on, Core's order of coins (by VARINT) is no longer that of the numbers."""
_TESTNET3_MAGIC = bytes.fromhex("0b110907")


class SnapshotError(Exception):
    """A snapshot cannot be used; the text is Core's."""


class MetadataError(SnapshotError):
    """What a file begins with is no snapshot of this network."""


class SnapshotMetadata(NamedTuple):
    """base_hash: of the block whose UTXO set it is, internal order."""

    base_hash: bytes
    coins_count: int

    def encode(self, params: ChainParams) -> bytes:
        return _METADATA.pack(MAGIC, VERSION, params.magic, self.base_hash, self.coins_count)

    @classmethod
    def decode(cls, data: bytes, params: ChainParams) -> SnapshotMetadata:
        """From the first METADATA_SIZE bytes of a file. MetadataError in Core's words."""
        head, data = data, data.ljust(METADATA_SIZE, b"\0")
        magic, version, network, base_hash, count = _METADATA.unpack(data[:METADATA_SIZE])
        _require(head, 5)
        if magic != MAGIC:
            raise MetadataError(
                "Invalid UTXO set snapshot magic bytes. Please check if this is indeed a snapshot file or if "
                "you are using an outdated snapshot format.: iostream error"
            )
        _require(head, 7)
        if version != VERSION:
            raise MetadataError(
                f"Version of snapshot {version} does not match any of the supported versions.: iostream error"
            )
        _require(head, 11)
        if network != params.magic:
            raise MetadataError(f"{_wrong_network(network, params)}: iostream error")
        _require(head, METADATA_SIZE)
        return cls(base_hash, count)


def _require(head: bytes, size: int) -> None:
    if len(head) < size:
        raise MetadataError("AutoFile::read: end of file: iostream error")


def _wrong_network(magic: bytes, params: ChainParams) -> str:
    names = {make().magic: name for name, make in NETWORKS.items()} | {_TESTNET3_MAGIC: "test"}
    if magic in names:
        return (
            f"The network of the snapshot ({names[magic]}) does not match the network of this node "
            f"({params.name})."
        )
    return (
        "This snapshot has been created for an unrecognized network. This could be a custom signet, a new "
        "testnet or possibly caused by data corruption."
    )


class SnapshotReader:
    """Coins from an open file, which it closes. read, then more until it gives nothing; then `finish`."""

    def __init__(self, file: BinaryIO, params: ChainParams) -> None:
        self._file = file
        self.metadata = SnapshotMetadata.decode(file.read(METADATA_SIZE), params)
        self.processed = 0
        """Coins read so far."""
        self._left = self.metadata.coins_count
        self._txid, self._of_txid = b"", 0
        self._data, self._pos, self._ended = b"", 0, False

    def read(self, limit: int, base_height: int) -> list[CoinRow]:
        """Some limit coins as the coin store has them, [] at the end. SnapshotError for what is not right.

        base_height: no coin is from above it.
        """
        rows: list[CoinRow] = []
        pack, vout_bytes = coin_packer(), struct.Struct(">I").pack
        while len(rows) < limit and self._left:
            try:
                self._fill()
                while not self._of_txid:
                    self._next_txid()
                vout, pos = read_compact_size(self._data, self._pos)
                coin, self._pos = read_coin(self._data, pos)
            except (DecodeError, IndexError):
                raise SnapshotError(
                    f"Bad snapshot format or truncated snapshot after deserializing {self.processed} coins"
                ) from None
            if coin.height > base_height:
                raise SnapshotError(f"Bad snapshot data after deserializing {self.processed} coins")
            if not 0 <= coin.value <= MAX_MONEY:
                raise SnapshotError(
                    f"Bad snapshot data after deserializing {self.processed} coins - bad tx out value"
                )
            rows.append((self._txid + vout_bytes(vout), pack(coin)))
            self._of_txid -= 1
            self._left -= 1
            self.processed += 1
        return rows

    def _next_txid(self) -> None:
        end = self._pos + 32
        self._txid = self._data[self._pos : end]
        count, self._pos = read_compact_size(self._data, end)
        if count > self._left:
            raise SnapshotError("Mismatch in coins count in snapshot metadata and actual snapshot data")
        self._of_txid = count

    def _fill(self) -> None:
        """Has whole entries at hand, unless the file ends."""
        while not self._ended and len(self._data) - self._pos < _LARGEST_ENTRY:
            more = self._file.read(_LARGEST_ENTRY)
            self._ended = not more
            self._data, self._pos = self._data[self._pos :] + more, 0

    def finish(self) -> None:
        """SnapshotError if there is more in the file than it said."""
        if self._pos < len(self._data) or self._file.read(1):
            raise SnapshotError(
                f"Bad snapshot - coins left over after deserializing {self.metadata.coins_count} coins"
            )

    def close(self) -> None:
        self._file.close()


class SnapshotWriter:
    """Coins into an open file, which it closes. `add` takes them in the order of their keys."""

    def __init__(self, file: BinaryIO, metadata: SnapshotMetadata, params: ChainParams) -> None:
        self._file = file
        self.written = 0
        self._txid, self._coins = b"", list[tuple[int, bytes]]()
        file.write(metadata.encode(params))

    def add(self, rows: Sequence[CoinRow]) -> None:
        """The next coins, as they are stored; RecordError if one is damaged."""
        for key, value in rows:
            if key[:32] != self._txid:
                self._end_txid()
                self._txid = key[:32]
            self._coins.append((int.from_bytes(key[32:], "big"), compress_coin(unpack_coin(value))))

    def _end_txid(self) -> None:
        coins = self._coins
        if not coins:
            return
        if coins[-1][0] >= _ONE_BYTE_ORDER:
            coins.sort(key=_by_varint)
        parts = [self._txid, compact_size(len(coins))]
        for vout, coin in coins:
            parts += (compact_size(vout), coin)
        self._file.write(b"".join(parts))
        self.written += len(coins)
        self._coins = []

    def finish(self) -> None:
        """Everything is on the disk when this returns, and the file is closed."""
        self._end_txid()
        self._file.flush()
        if self._file.seekable():  # no pipe
            os.fsync(self._file.fileno())
        self._file.close()

    def close(self) -> None:
        """Closes the file as it is."""
        self._file.close()


def _by_varint(coin: tuple[int, bytes]) -> bytes:
    return varint(coin[0])

"""Headers and blocks, and asking for them by locator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from pybitcoind.chain.primitives.block import HEADER_SIZE, Block, BlockHeader
from pybitcoind.chain.primitives.merkle import PartialMerkleTree
from pybitcoind.chain.primitives.serialize import Reader, Writer, compact_size
from pybitcoind.chain.primitives.transaction import Transaction

from .message import PROTOCOL_VERSION, Disconnect, Misbehaviour, hash_list

MAX_LOCATOR_SZ = 101
"""Hashes of a locator; a longer one ends the connection."""
MAX_HEADERS_RESULTS = 2_000
"""Headers of one message; fewer mean that there are no more."""


@dataclass(slots=True)
class _LocatorMessage:
    """Asks for what follows the first block of locator that you know, up to the hash stop (zero: no end)."""

    COMMAND: ClassVar[str]
    locator: list[bytes]
    stop: bytes = bytes(32)
    version: int = PROTOCOL_VERSION

    def encode(self, w: Writer) -> None:
        w.u32(self.version & 0xFFFFFFFF)
        w.list(self.locator, Writer.hash)
        w.hash(self.stop)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        version = r.u32()
        complaint = f"{cls.COMMAND} locator size {{}} > {MAX_LOCATOR_SZ}"
        locator = hash_list(r, MAX_LOCATOR_SZ, complaint, Disconnect)
        return cls(locator, r.hash(), version)


@dataclass(slots=True)
class GetHeaders(_LocatorMessage):
    """The headers there, as many as fit."""

    COMMAND: ClassVar[str] = "getheaders"
    V2_ID: ClassVar[int | None] = 12


@dataclass(slots=True)
class GetBlocks(_LocatorMessage):
    """An inv of the blocks there, at most 500."""

    COMMAND: ClassVar[str] = "getblocks"
    V2_ID: ClassVar[int | None] = 9


@dataclass(slots=True)
class Headers:
    """Headers in the order of their chain. On the wire each is followed by a transaction count of zero."""

    COMMAND: ClassVar[str] = "headers"
    V2_ID: ClassVar[int | None] = 13
    headers: list[BlockHeader]

    def encode(self, w: Writer) -> None:
        w.bytes(compact_size(len(self.headers)))
        for header in self.headers:
            w.bytes(header.raw + b"\x00")

    @classmethod
    def decode(cls, r: Reader) -> Self:
        count = r.compact_size()
        if count > MAX_HEADERS_RESULTS:
            raise Misbehaviour(f"headers message size = {count}")
        headers = []
        for _ in range(count):
            headers.append(BlockHeader.decode(r.bytes(HEADER_SIZE)))
            r.compact_size()  # not looked at, as in Core
        return cls(headers)


@dataclass(slots=True)
class BlockMessage:
    """A block, as an answer to getdata. witness: write it with its witnesses (MSG_WITNESS_BLOCK)."""

    COMMAND: ClassVar[str] = "block"
    V2_ID: ClassVar[int | None] = 2
    block: Block
    witness: bool = True

    def encode(self, w: Writer) -> None:
        w.bytes(self.block.raw if self.witness else self.block.stripped)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        buf, start = r.buf, r.pos
        header = BlockHeader.decode(r.bytes(HEADER_SIZE))
        count, parse = r.compact_size(), Transaction.parse
        vtx, pos = [], r.pos
        for _ in range(count):
            tx, pos = parse(buf, pos)
            vtx.append(tx)
        r.pos = pos
        return cls(Block(header, vtx, buf if start == 0 and pos == len(buf) else buf[start:pos]))


@dataclass(slots=True)
class MerkleBlockMessage:
    """A header and which transactions of its block match the receiver's bloom filter (BIP 37)."""

    COMMAND: ClassVar[str] = "merkleblock"
    V2_ID: ClassVar[int | None] = 16
    header: BlockHeader
    tree: PartialMerkleTree

    def encode(self, w: Writer) -> None:
        w.bytes(self.header.raw)
        self.tree.encode(w)

    @classmethod
    def decode(cls, r: Reader) -> Self:
        return cls(BlockHeader.decode(r.bytes(HEADER_SIZE)), PartialMerkleTree.decode(r))

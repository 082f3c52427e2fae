"""Blocks made by the test itself, the faucet's key, and the ready chain of 101 blocks.

The ready chain comes as package data, chain101.dat, which scripts/testing_chain.py makes: blocks as in Core's
blk files (magic, size, block), so that any node can load it. Its coinbases pay to the faucet's key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib.resources import files

from pybitcoind.chain.block_template import make_coinbase, with_nonce
from pybitcoind.chain.consensus.blocks import block_subsidy
from pybitcoind.chain.consensus.pow import bits_to_target
from pybitcoind.chain.consensus.witness_commitment import generate_commitment
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.params import ChainParams, regtest
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.serialize import var_bytes
from pybitcoind.chain.primitives.transaction import COIN, OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import decode_address, encode_address, extract_destination
from pybitcoind.chain.script.sighash import TxDigests, segwit_v0_sighash
from pybitcoind.chain.storage.database import MemoryStorage

READY_FILE = "chain101.dat"
READY_HEIGHT = 101
READY_START = 1_735_689_600
"""2025-01-01: time of the first block of the ready chain."""
SPACING = 600
READY_END = READY_START + READY_HEIGHT * SPACING
"""When clocks that are not real begin: one block interval after the last block of the ready chain."""
MATURITY = 100
VERSION = 0x20000000
FAUCET_SECRET = sha256(b"the faucet of pybitcoind's test kit")
FAUCET_PUBKEY = secp.pubkey_of(FAUCET_SECRET)
FAUCET_SCRIPT = b"\x00\x14" + hash160(FAUCET_PUBKEY)
_SIGHASH_ALL = 1


@cache
def params() -> ChainParams:
    """Regtest, which all of the kit is about."""
    return regtest()


def address_of(script_pubkey: bytes) -> str:
    destination = extract_destination(script_pubkey)
    assert destination is not None
    return encode_address(destination, params())


def script_of(address: str) -> bytes:
    """Raises AddressError."""
    return decode_address(address, params()).script_pubkey


@cache
def faucet_address() -> str:
    return address_of(FAUCET_SCRIPT)


def satoshis(amount: Decimal | int | float | str) -> int:
    """BTC as satoshis. ValueError for what is no amount."""
    try:
        value = Decimal(str(amount)) * COIN
        if value == value.to_integral_value() and 0 <= value <= 21_000_000 * COIN:
            return int(value)
    except InvalidOperation:
        pass
    raise ValueError(f"{amount!r} is no amount in BTC")


def make_block(
    prev_hash: bytes,
    height: int,
    time: int,
    bits: int,
    *,
    script_pubkey: bytes = FAUCET_SCRIPT,
    txs: Sequence[Transaction] = (),
    tail: bytes = b"\x00",
) -> Block:
    """A solved block; fees are not claimed. tail: in the coinbase behind the height, as branches differ."""
    subsidy = block_subsidy(height, params())
    vtx = [make_coinbase(height, script_pubkey, subsidy, tail=tail), *txs]
    vtx[0] = generate_commitment(vtx)
    root, _ = merkle_root([tx.txid for tx in vtx])
    block = Block(BlockHeader(VERSION, prev_hash, root, time, bits, 0), vtx)
    nonce, _ = grind(block.header.raw, bits_to_target(bits)[0])
    assert nonce is not None, "regtest is easy"
    return with_nonce(block, nonce)


def sign_faucet(tx: Transaction, values: Sequence[int]) -> Transaction:
    """tx with the faucet's signatures; values: satoshis of the coins it spends, all the faucet's."""
    witness = _faucet_witness(tx, values, TxDigests(tx))
    return Transaction.make(tx.vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=witness)


def _faucet_witness(tx: Transaction, values: Sequence[int], digests: TxDigests) -> list[tuple[bytes, bytes]]:
    code = b"\x76\xa9" + FAUCET_SCRIPT[1:] + b"\x88\xac"
    witness = []
    for index, value in enumerate(values):
        digest = segwit_v0_sighash(code, tx, index, _SIGHASH_ALL, value, digests)
        witness.append((secp.sign_ecdsa(FAUCET_SECRET, digest) + bytes((_SIGHASH_ALL,)), FAUCET_PUBKEY))
    return witness


def spend_faucet(
    coins: Sequence[tuple[OutPoint, int]], outputs: Sequence[TxOut], *, sequence: int = 0xFFFFFFFD
) -> Transaction:
    """A signed spend of coins of the faucet (outpoint, satoshis); what outputs leave over is the fee."""
    tx = Transaction.make([TxIn(outpoint, b"", sequence) for outpoint, _ in coins], outputs, version=2)
    return sign_faucet(tx, [value for _, value in coins])


def spend_alike(coins: Sequence[tuple[OutPoint, int]], outputs: Sequence[TxOut]) -> Iterator[str]:
    """For each coin of the faucet a signed spend (hex) of it, all with the same outputs. These may be long:
    they are hashed once, and turned into hex once."""
    first, between = None, ""
    for outpoint, value in coins:
        tx = Transaction.make([TxIn(outpoint, b"", 0xFFFFFFFD)], outputs, version=2)
        digests = TxDigests(tx)
        if first is None:
            first, between = digests, tx.output_bytes.hex()
        else:
            digests.take_outputs_of(first)
        ((signature, key),) = _faucet_witness(tx, [value], digests)
        witness = b"\x02" + var_bytes(signature) + var_bytes(key)
        head, tail = tx.raw[: tx.vout_at], tx.raw[-4:]
        yield f"{head[:4].hex()}0001{head[4:].hex()}{between}{witness.hex()}{tail.hex()}"


def build_ready_chain() -> list[Block]:
    """The ready chain's blocks, the first on top of the genesis block; the same every time."""
    blocks: list[Block] = []
    prev = params().genesis
    for height in range(1, READY_HEIGHT + 1):
        time = READY_START + (height - 1) * SPACING
        prev = make_block(prev.hash, height, time, params().genesis.header.bits)
        blocks.append(prev)
    return blocks


def pack_blocks(blocks: Sequence[Block]) -> bytes:
    """As in a blk file."""
    return b"".join(params().magic + len(block.raw).to_bytes(4, "little") + block.raw for block in blocks)


@cache
def ready_blocks() -> tuple[Block, ...]:
    """The blocks of the package's file."""
    data = files(__package__).joinpath(READY_FILE).read_bytes()
    blocks, pos = [], 0
    while pos < len(data):
        size = int.from_bytes(data[pos + 4 : pos + 8], "little")
        blocks.append(Block.decode(data[pos + 8 : pos + 8 + size]))
        pos += 8 + size
    return tuple(blocks)


_ready_images: dict[str, bytes] = {}


async def ready_images() -> dict[str, bytes]:
    """The databases of a node that has the ready chain: made once a process, in some milliseconds."""
    if not _ready_images:
        from pybitcoind.chain.events import EventBus
        from pybitcoind.chain.manager import ChainManager

        from .hosted import bare_ports

        storage = MemoryStorage()
        chain = await ChainManager.open(bare_ports(storage, READY_END), params(), None, EventBus())
        owner = asyncio.ensure_future(chain.run_owner())
        for block in ready_blocks():
            await chain.accept_block(block, requested=True)
        await chain.activate_best()
        chain.stop_owner()
        await owner
        await chain.close()
        _ready_images.update(storage.images())
    return _ready_images

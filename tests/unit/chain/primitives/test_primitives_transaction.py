"""Transactions and blocks: bytes to parts and back, cut anywhere, and real ones."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.merkle import merkle_root
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import (
    NULL_OUTPOINT,
    Coin,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)

BLOCKS = (300025, 928828)
"""Of the main chain, and of testnet3."""
IN = TxIn(OutPoint(b"\x01" * 32, 5), b"\x51\x52", 0xFFFFFFFD)
OUT = TxOut(123, b"\x6a")


def samples() -> list[Transaction]:
    return [
        Transaction.make([IN], [OUT]),
        Transaction.make([IN], [OUT], witness=[[b"a", b"", b"b" * 300]]),
        Transaction.make([IN, IN], [OUT, OUT], witness=[[], [b"x"]], version=2**32 - 1, locktime=2**32 - 1),
        Transaction.make([TxIn(NULL_OUTPOINT, bytes(300))], [TxOut(-1, bytes(70000)), TxOut(2**62, b"")]),
    ]


def remade(tx: Transaction) -> Transaction:
    return Transaction.make(tx.vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=tx.witness)


def test_parts_come_back() -> None:
    for tx in samples():
        again = Transaction.decode(tx.raw)
        assert again == tx and hash(again) == hash(tx)
        for name in ("version", "vin", "vout", "witness", "locktime", "txid", "wtxid"):
            assert getattr(again, name) == getattr(tx, name)
        for name in ("base_size", "size", "weight", "vsize", "stripped", "has_witness", "is_coinbase"):
            assert getattr(again, name) == getattr(tx, name)


def test_sizes_and_hashes() -> None:
    for tx in samples():
        assert len(tx.stripped) == tx.base_size and len(tx.raw) == tx.size
        assert tx.weight == 3 * tx.base_size + tx.size
        assert tx.vsize == -(-tx.weight // 4)
        assert (tx.txid, tx.wtxid) == (sha256d(tx.stripped), sha256d(tx.raw))
        assert (tx.txid == tx.wtxid) is not tx.has_witness
        assert Transaction.decode(tx.stripped).txid == tx.txid
        assert Transaction.decode(tx.stripped, allow_witness=False).txid == tx.txid


def test_every_truncation_and_a_byte_too_much() -> None:
    for tx in samples():
        cuts = range(tx.size) if tx.size < 2000 else [*range(1000), *range(tx.size - 100, tx.size)]
        for size in cuts:
            with pytest.raises(DecodeError):
                Transaction.decode(tx.raw[:size])
        with pytest.raises(DecodeError, match="1 trailing bytes"):
            Transaction.decode(tx.raw + b"\x00")


def test_changed_bytes_give_an_error_or_another_transaction() -> None:
    seed = 144
    print("seed", seed)
    rng = random.Random(seed)
    good = 0
    for _ in range(5000):
        raw = bytearray(rng.choice(samples()[:3]).raw)
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.choice((0, 1, 2, 252, 253, 254, 255, rng.randrange(256)))
        try:
            tx = Transaction.decode(bytes(raw))
        except DecodeError:
            continue
        good += 1
        if tx.vin:
            assert remade(tx).raw == bytes(raw)
    assert good > 1000


def test_in_the_middle_of_a_buffer() -> None:
    buffer = b"".join(tx.raw for tx in samples()) + b"rest"
    pos = 0
    for tx in samples():
        found, pos = Transaction.parse(buffer, pos)
        assert found == tx and found.raw == tx.raw and found.txid == tx.txid
    assert buffer[pos:] == b"rest"


def test_witness_marks() -> None:
    tx = samples()[1]
    with pytest.raises(DecodeError):
        Transaction.decode(tx.raw, allow_witness=False)
    body, tail = tx.stripped[4:-4], bytes(4)
    with pytest.raises(DecodeError, match="Superfluous witness record"):
        Transaction.decode(bytes(4) + b"\x00\x01" + body + b"\x00" + tail)
    with pytest.raises(DecodeError, match="Unknown transaction optional data"):
        Transaction.decode(bytes(4) + b"\x00\x02" + body + tail)
    with pytest.raises(DecodeError, match="Unknown transaction optional data"):
        Transaction.decode(bytes(4) + b"\x00\x03" + body + b"\x01\x01a" + tail)
    nothing = Transaction.decode(bytes(4) + b"\x00\x00" + tail)
    assert (nothing.vin, nothing.vout) == ((), ())
    no_inputs = Transaction.decode(bytes(4) + b"\x00\x01" + OUT.serialize() + tail, allow_witness=False)
    assert (no_inputs.vin, no_inputs.vout) == ((), (OUT,))


def test_lengths_longer_than_needed() -> None:
    raw = samples()[0].raw
    with pytest.raises(DecodeError, match="non-canonical"):
        Transaction.decode(raw[:4] + b"\xfd\x01\x00" + raw[5:])
    with pytest.raises(DecodeError, match="non-canonical"):
        Transaction.decode(raw[:41] + b"\xfd\x02\x00" + raw[42:])


def test_making_wants_a_stack_per_input() -> None:
    with pytest.raises(ValueError, match="one witness stack per input"):
        Transaction.make([IN, IN], [OUT], witness=[[b"a"]])
    assert Transaction.make([IN], [OUT], witness=[[]]) == Transaction.make([IN], [OUT])


def test_small_parts() -> None:
    assert NULL_OUTPOINT.is_null and not IN.prevout.is_null
    assert not OutPoint(bytes(32), 0).is_null and not OutPoint(b"\x01" * 32, 0xFFFFFFFF).is_null
    assert Coin(5, b"\x51", 7, True).txout == TxOut(5, b"\x51")
    assert IN.serialize().hex() == "01" * 32 + "05000000" + "025152" + "fdffffff"
    assert samples()[2].witness_of(0) == () and samples()[0].witness_of(0) == ()


def test_core_vectors(shared: Path) -> None:
    rows = json.loads((shared / "vectors" / "core" / "tx_valid.json").read_text())
    for raw in (bytes.fromhex(row[1]) for row in rows if len(row) == 3):
        tx = Transaction.decode(raw)
        assert remade(tx).raw == raw


@pytest.mark.parametrize("height", BLOCKS)
def test_real_blocks(shared: Path, height: int) -> None:
    raw = (shared / "data" / "mainnet" / f"block-{height}.raw").read_bytes()
    block = Block.decode(raw)
    assert int.from_bytes(block.hash, "little") < 1 << 224
    assert merkle_root(block.txids()) == (block.header.merkle_root, False)
    assert block.size == len(raw) and block.base_size == len(block.stripped)
    assert block.weight == 3 * block.base_size + block.size
    assert Block(block.header, block.vtx).raw == raw
    assert Block.decode(block.stripped).txids() == block.txids()
    rng = random.Random(height)
    for size in [0, 79, 80, 81, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(20))]:
        with pytest.raises(DecodeError):
            Block.decode(raw[:size])
    with pytest.raises(DecodeError, match="trailing"):
        Block.decode(raw + b"\x00")


def test_header() -> None:
    header = BlockHeader(-1, b"\x01" * 32, b"\x02" * 32, 2**32 - 1, 0x1D00FFFF, 7)
    again = BlockHeader.decode(header.raw)
    assert again == header and hash(again) == hash(header) and again.hash == sha256d(header.raw)
    for name in ("version", "prev_hash", "merkle_root", "time", "bits", "nonce"):
        assert getattr(again, name) == getattr(header, name)
    for size in (0, 79, 81):
        with pytest.raises(DecodeError):
            BlockHeader.decode(bytes(size))

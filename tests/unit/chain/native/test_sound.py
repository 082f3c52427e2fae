"""What C finds sound is no coinbase, and check_transaction takes it; the other way round."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from oracle.spends import make_spend

from pybitcoind.chain import native
from pybitcoind.chain.consensus.blocks import check_block
from pybitcoind.chain.consensus.errors import BlockInvalid, TxInvalid
from pybitcoind.chain.consensus.transactions import check_transaction
from pybitcoind.chain.params import main
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import ZERO_HASH
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import (
    MAX_MONEY,
    NULL_OUTPOINT,
    OutPoint,
    Transaction,
    TxIn,
    TxOut,
)

SEED = 20261127
TXID = bytes(range(1, 33))
FIRST = OutPoint(TXID, 0)
MOST = 1_000_000
"""Bytes without witness."""
in_c = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


def spending(outpoints: Sequence[OutPoint]) -> Transaction:
    return Transaction.make([TxIn(outpoint) for outpoint in outpoints], [TxOut(1, b"\x51")])


def paying(values: Sequence[int], script: bytes = b"") -> Transaction:
    return Transaction.make([TxIn(FIRST)], [TxOut(value, script) for value in values])


def by_the_rule(raw: bytes, allow_witness: bool = True) -> bool:
    """Whether Python's rule takes it, read by Python, and it is no coinbase."""
    tx, _ = Transaction._parse(raw, 0, allow_witness)
    assert not tx.sound
    try:
        check_transaction(tx)
    except TxInvalid:
        return False
    return not tx.is_coinbase


def is_sound(raw: bytes, allow_witness: bool = True) -> bool:
    """What C finds where it reads the transaction; as the rule has it."""
    assert native.part is not None
    tx, _ = Transaction.parse(raw, 0, allow_witness=allow_witness)
    if native.part.transaction(raw, 0, allow_witness) is None:
        assert not tx.sound, raw.hex()
    else:
        assert tx.sound is by_the_rule(raw, allow_witness), raw[:1000].hex()
    return tx.sound


SOUND_VALUES = [
    [0],
    [1],
    [MAX_MONEY],
    [MAX_MONEY - 1, 1, 0],
    [0, MAX_MONEY, 0],
    [MAX_MONEY // 21] * 21,
    [0] * 300,
]
UNSOUND_VALUES = [
    [],
    [-1],
    [MAX_MONEY + 1],
    [2**63 - 1],
    [-(2**63)],
    [-1, 1],
    [1, -1],
    [MAX_MONEY, -1],
    [-(2**63), 2**63 - 1, 1],
    [-(2**63), -(2**63)],
    [2**63 - 1, 2**63 - 1, 2],
    [1, 2**63 - 1],  # a sum that is taken before the look comes round below zero
    [MAX_MONEY, 1],
    [1, MAX_MONEY],
    [MAX_MONEY, MAX_MONEY],
    [MAX_MONEY + 1, 0],
    [0, MAX_MONEY + 1],
    [MAX_MONEY // 21] * 21 + [1],
    [0] * 300 + [-1],
    [MAX_MONEY] * 4393,  # the sum is more than an int64 holds
    [MAX_MONEY] * 8785,  # and here it would come round to less than MAX_MONEY
]


@in_c
@pytest.mark.parametrize("script", [b"", bytes(76), bytes(252), bytes(253), bytes(65_536)], ids=len)
def test_values(script: bytes) -> None:
    """With scripts of all widths of length before the value that counts."""
    for values in SOUND_VALUES:
        assert is_sound(paying(values[:15], script).raw), values
    assert is_sound(paying([0] * 300).raw)
    for values in UNSOUND_VALUES:
        assert not is_sound(paying(values, script if len(values) < 15 else b"").raw), values[:30]


def by_vout(n: int) -> OutPoint:
    return OutPoint(TXID, n)


def by_high_vout(n: int) -> OutPoint:
    return OutPoint(TXID, (n & 0xFF) << 24 | n >> 8)


def by_first_bytes(n: int) -> OutPoint:
    return OutPoint(n.to_bytes(2, "little") + TXID[2:], 7)


def by_last_bytes(n: int) -> OutPoint:
    return OutPoint(TXID[:30] + n.to_bytes(2, "big"), 7)


@in_c
@pytest.mark.parametrize("kind", [by_vout, by_high_vout, by_first_bytes, by_last_bytes])
@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 18, 40, 3000])
def test_duplicates(count: int, kind: object) -> None:
    """Wherever the two are, in whatever order the others."""
    assert callable(kind)
    rng = random.Random(SEED + count)
    rising = [kind(n) for n in range(count)]
    for order in (rising, rising[::-1], rng.sample(rising, count)):
        assert is_sound(spending(order).raw)
        last = count - 1
        for a, b in {(0, 1), (0, last), (last - 1, last), (count // 2, 0), (count // 2, last)}:
            if a != b and 0 <= a <= last and b <= last:
                twice = list(order)
                twice[b] = twice[a]
                assert not is_sound(spending(twice).raw), (a, b)
        if count > 1:
            assert not is_sound(spending(order[:1] * count).raw)


@in_c
@pytest.mark.parametrize("count", [1, 2, 16, 17, 40])
def test_the_null_outpoint(count: int) -> None:
    others = [by_vout(n) for n in range(count)]
    for place in {0, count // 2, count - 1}:
        odd = list(others)
        odd[place] = NULL_OUTPOINT
        assert not is_sound(spending(odd).raw), place
        for like_it in (
            OutPoint(ZERO_HASH, 0xFFFFFFFE),
            OutPoint(ZERO_HASH, 0x7FFFFFFF),
            OutPoint(ZERO_HASH, 0xFFFFFF00),
            OutPoint(ZERO_HASH, 0),
            OutPoint(b"\xff" * 32, 0xFFFFFFFF),
            *(OutPoint(bytes(n) + b"\1" + bytes(31 - n), 0xFFFFFFFF) for n in range(32)),
        ):
            odd[place] = like_it
            assert is_sound(spending(odd).raw), like_it


@in_c
@pytest.mark.parametrize("size", [0, 1, 2, 50, 100, 101])
def test_coinbases(size: int) -> None:
    """None is sound, be it a good one."""
    coinbase = Transaction.make([TxIn(NULL_OUTPOINT, bytes(size))], [TxOut(0, b"")], witness=[[bytes(32)]])
    assert not is_sound(coinbase.raw)
    assert not is_sound(coinbase.stripped)


@in_c
@pytest.mark.parametrize("witness", [[], [[b""], []], [[], [bytes(72), bytes(33)]], [[bytes(3_500_000)], []]])
def test_sizes(witness: list[list[bytes]]) -> None:
    """Without witness, whatever there is of it."""
    vin = [TxIn(by_vout(n), bytes(n)) for n in range(2)]

    def of(size: int) -> Transaction:
        room = size - Transaction.make(vin, [TxOut(0, bytes(900_000))]).size
        tx = Transaction.make(vin, [TxOut(0, bytes(900_000 + room))], witness=witness)
        assert tx.base_size == size
        return tx

    assert is_sound(of(MOST - 1).raw) and is_sound(of(MOST).raw)
    assert not is_sound(of(MOST + 1).raw) and not is_sound(of(MOST + 4).raw)


@in_c
def test_no_inputs() -> None:
    raw = Transaction.make([], [TxOut(0, b"")]).raw
    assert not is_sound(raw, allow_witness=False)


def changed(rng: random.Random, tx: Transaction) -> bytes:
    """With values, outpoints and bytes near the edges of the rule; may be no transaction."""
    vin, vout = list(tx.vin), list(tx.vout)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        n = rng.randrange(len(vin))
        outpoint = rng.choice((NULL_OUTPOINT, OutPoint(ZERO_HASH, 0), rng.choice(vin).prevout))
        vin[n] = vin[n]._replace(prevout=outpoint)
    for _ in range(rng.choice((0, 0, 1, 2))):
        value = rng.choice((0, MAX_MONEY, MAX_MONEY // 2, 2**63 - 1, -(2**63))) + rng.choice((-1, 0, 1))
        value = min(max(value, -(2**63)), 2**63 - 1)
        vout.insert(rng.randrange(len(vout) + 1), TxOut(value, bytes(rng.choice((0, 1, 253)))))
    if rng.random() < 0.05:
        vout = []
    odd = bytearray(Transaction.make(vin, vout, witness=tx.witness).raw)
    for _ in range(rng.choice((0, 0, 0, 1, 2))):
        odd[rng.randrange(len(odd))] = rng.choice((0, 1, 253, 255, rng.randrange(256)))
    return bytes(odd)


@in_c
def test_spends_changed_by_lot() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    told = {True: 0, False: 0}
    for _ in range(200):
        tx = make_spend(rng)[1]
        is_sound(tx.raw)
        for _ in range(15):
            try:
                told[is_sound(changed(rng, tx), rng.random() < 0.9)] += 1
            except DecodeError:
                continue
    assert min(told.values()) > 500, told


@in_c
@pytest.mark.parametrize("name", ["tx_valid.json", "tx_invalid.json"])
def test_core_vectors(shared: Path, name: str) -> None:
    rows = json.loads((shared / "vectors" / "core" / name).read_text())
    raws = [bytes.fromhex(row[1]) for row in rows if len(row) == 3]
    found = [is_sound(raw) for raw in raws]
    assert sum(found) > 80 and found.count(False) >= (2 if name == "tx_valid.json" else 9)


@in_c
@pytest.mark.parametrize("height", [300_025, 928_828])
def test_blocks_of_mainnet(shared: Path, height: int) -> None:
    """All but the coinbase is sound; and so says the rule of the block, with it and without."""
    path = shared / "data" / "mainnet" / f"block-{height}.raw"
    if not path.exists():
        pytest.skip(f"no {path}")
    block = Block.decode(path.read_bytes())
    assert [is_sound(tx.raw) for tx in block.vtx] == [tx.sound for tx in block.vtx]
    assert [tx.sound for tx in block.vtx] == [False] + [True] * (len(block.vtx) - 1)
    check_block(block, main())
    for tx in block.vtx:
        tx.sound = False
    check_block(block, main())


def test_python_finds_nothing() -> None:
    made = spending([FIRST])
    assert not made.sound
    read, _ = Transaction._parse(made.raw, 0, True)
    assert not read.sound and read == made and hash(read) == hash(made)
    assert Transaction.decode(made.raw).sound is (native.part is not None)
    assert Transaction.decode(made.raw) == made


def test_what_is_sound_is_not_looked_at_again() -> None:
    """The rules rely on it: with it set by hand they take what they would not."""
    header = Block.decode(bytes(80) + b"\0").header
    coinbases = [Transaction.make([TxIn(NULL_OUTPOINT, bytes([n] * 2))], [TxOut(0, b"")]) for n in range(2)]
    block, bad = Block(header, tuple(coinbases)), paying([-1])
    with pytest.raises(BlockInvalid, match="bad-cb-multiple"):
        check_block(block, main(), check_pow=False, check_merkle=False)
    with pytest.raises(TxInvalid, match="bad-txns-vout-negative"):
        check_transaction(bad)
    coinbases[1].sound = bad.sound = True
    check_block(block, main(), check_pow=False, check_merkle=False)
    check_transaction(bad)

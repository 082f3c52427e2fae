"""Transaction rules: Core's vectors, locks at their edges, amounts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from scene import make_scene

from pybitcoind.chain.consensus.errors import TxFault, TxInvalid
from pybitcoind.chain.consensus.transactions import (
    check_transaction,
    check_tx_inputs,
    format_money,
    is_final,
    locks_passed,
    sequence_locks,
)
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import BlockHeader
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Coin, OutPoint, Transaction, TxIn, TxOut

MAX_MONEY = 2_100_000_000_000_000
FIRST = OutPoint(b"\x01" * 32, 0)


def vectors(shared: Path, name: str) -> list[list[object]]:
    rows = json.loads((shared / "vectors" / "core" / name).read_text())
    return [row for row in rows if len(row) == 3]


def read_in_python(raw: bytes) -> Transaction:
    """So that nothing is known to be sound, and the rule in Python is asked."""
    return Transaction._parse(raw, 0, True)[0]


Read = Callable[[bytes], Transaction]
in_both_ways = pytest.mark.parametrize(
    "read", [Transaction.decode, read_in_python], ids=["read", "in Python"]
)


@in_both_ways
def test_core_vectors_of_valid_transactions(shared: Path, read: Read) -> None:
    rows = vectors(shared, "tx_valid.json")
    assert len(rows) > 100
    for _, raw, _ in rows:
        check_transaction(read(bytes.fromhex(str(raw))))


@in_both_ways
def test_core_vectors_of_invalid_transactions(shared: Path, read: Read) -> None:
    rows = vectors(shared, "tx_invalid.json")
    reasons = []
    for _, raw, flags in rows:
        tx = read(bytes.fromhex(str(raw)))
        if flags == "BADTX":
            with pytest.raises(TxInvalid) as caught:
                check_transaction(tx)
            assert caught.value.fault is TxFault.CONSENSUS
            reasons.append(caught.value.reason)
        else:
            check_transaction(tx)  # these fail in their scripts
    assert sorted(reasons) == [
        "bad-cb-length",
        "bad-cb-length",
        "bad-txns-inputs-duplicate",
        "bad-txns-prevout-null",
        "bad-txns-prevout-null",
        "bad-txns-txouttotal-toolarge",
        "bad-txns-vout-empty",
        "bad-txns-vout-negative",
        "bad-txns-vout-toolarge",
    ]


@pytest.mark.parametrize("template", INVALID_TRANSACTIONS, ids=lambda t: t.name)
def test_templates(template: InvalidTransaction) -> None:
    scene = make_scene()
    made = template.build(scene)
    read = [Transaction.decode(made.raw)] if template.on_wire else []
    for tx in (made, *read):
        assert tx == made
        if template.stage == "check" and template.reason != "bad-cb-multiple":
            with pytest.raises(TxInvalid) as caught:
                check_transaction(tx)
            assert (caught.value.reason, caught.value.fault) == (template.reason, TxFault.CONSENSUS)
        else:
            check_transaction(tx)


def money_out(*values: int) -> Transaction:
    return Transaction.make([TxIn(FIRST)], [TxOut(value, b"") for value in values])


def test_the_largest_amounts() -> None:
    check_transaction(money_out(MAX_MONEY))
    check_transaction(money_out(MAX_MONEY - 1, 1, 0))


def test_the_size_counts_without_witness() -> None:
    script = bytes(1_000_000 - 60)
    fits = Transaction.make([TxIn(FIRST)], [TxOut(0, script)], witness=[[bytes(5_000_000)]])
    over = Transaction.make([TxIn(FIRST)], [TxOut(0, bytes(1_000_000 - 63))])
    assert fits.base_size > 1_000_000 > over.base_size - 3
    check_transaction(
        Transaction.make([TxIn(FIRST)], [TxOut(0, bytes(999_900))], witness=[[bytes(5_000_000)]])
    )
    with pytest.raises(TxInvalid, match="bad-txns-oversize"):
        check_transaction(fits)


@pytest.mark.parametrize(("size", "good"), [(0, False), (1, False), (2, True), (100, True), (101, False)])
def test_coinbase_script_sizes(size: int, good: bool) -> None:
    tx = Transaction.make([TxIn(NULL_OUTPOINT, bytes(size))], [TxOut(0, b"")])
    if good:
        check_transaction(tx)
    else:
        with pytest.raises(TxInvalid, match="bad-cb-length"):
            check_transaction(tx)


def test_fee_and_amounts_in() -> None:
    tx = money_out(5, 6)
    assert check_tx_inputs(tx, [Coin(20, b"", 1, False)], 2) == 9
    assert check_tx_inputs(tx, [Coin(11, b"", 1, False)], 2) == 0
    cases = [
        ([Coin(10, b"", 1, False)], "bad-txns-in-belowout, value in (0.0000001) < value out (0.00000011)"),
        ([Coin(MAX_MONEY + 1, b"", 1, False)], "bad-txns-inputvalues-outofrange"),
        ([Coin(-1, b"", 1, False)], "bad-txns-inputvalues-outofrange"),
        ([Coin(MAX_MONEY, b"", 1, False), Coin(1, b"", 1, False)], "bad-txns-inputvalues-outofrange"),
    ]
    for coins, text in cases:
        with pytest.raises(TxInvalid) as caught:
            check_tx_inputs(tx, coins, 2)
        assert str(caught.value) == text and caught.value.fault is TxFault.CONSENSUS


def test_missing_inputs_come_first() -> None:
    young = Coin(20, b"", 1, True)
    with pytest.raises(TxInvalid) as caught:
        check_tx_inputs(money_out(1), [young, None], 2)
    assert str(caught.value) == "bad-txns-inputs-missingorspent, CheckTxInputs: inputs missing/spent"
    assert caught.value.fault is TxFault.MISSING_INPUTS


def test_maturity() -> None:
    coin = Coin(20, b"", 7, True)
    assert check_tx_inputs(money_out(1), [coin], 107) == 19
    with pytest.raises(TxInvalid) as caught:
        check_tx_inputs(money_out(1), [coin], 106)
    assert caught.value.fault is TxFault.PREMATURE_SPEND
    assert str(caught.value) == "bad-txns-premature-spend-of-coinbase, tried to spend coinbase at depth 99"


def locked(locktime: int, *sequences: int) -> Transaction:
    return Transaction.make([TxIn(FIRST, b"", s) for s in sequences], [TxOut(0, b"")], locktime=locktime)


@pytest.mark.parametrize(
    ("locktime", "sequences", "height", "time", "final"),
    [
        (0, (0,), 0, 0, True),
        (100, (0,), 100, 10**9, False),
        (100, (0,), 101, 0, True),
        (100, (0xFFFFFFFF, 0xFFFFFFFF), 1, 0, True),
        (100, (0xFFFFFFFF, 0xFFFFFFFE), 1, 0, False),
        (499_999_999, (0,), 500_000_000, 0, True),
        (500_000_000, (0,), 10**9, 500_000_000, False),
        (500_000_000, (0,), 1, 500_000_001, True),
    ],
)
def test_locktime(locktime: int, sequences: tuple[int, ...], height: int, time: int, final: bool) -> None:
    assert is_final(locked(locktime, *sequences), height, time) is final


def chain(length: int) -> HeaderNode:
    """Headers 1000 s apart from time 1000 on."""
    node = None
    for i in range(length):
        prev_hash = bytes(32) if node is None else node.hash
        header = BlockHeader(4, prev_hash, bytes(32), 1000 * (i + 1), 0x207FFFFF, 0)
        node = HeaderNode(header, node, 2)
    assert node is not None
    return node


DISABLED, BY_TIME = 1 << 31, 1 << 22


def relative(*sequences: int, version: int = 2) -> Transaction:
    return Transaction.make([TxIn(FIRST, b"", s) for s in sequences], [TxOut(0, b"")], version=version)


def test_relative_locks() -> None:
    prev = chain(31)  # heights 0 to 30
    assert sequence_locks(relative(5, version=1), [10], prev) == (-1, -1)
    assert sequence_locks(relative(DISABLED | 5), [10], prev) == (-1, -1)
    assert sequence_locks(relative(5), [10], prev) == (14, -1)
    assert sequence_locks(relative(0), [10], prev) == (9, -1)
    assert sequence_locks(relative(5, 7, DISABLED), [10, 2, 30], prev) == (14, -1)
    assert sequence_locks(relative(0xFFFF | 1 << 16), [10], prev) == (10 + 0xFFFF - 1, -1)
    # Time counts from the median of the block below the coin's: height 19, median at height 14.
    assert sequence_locks(relative(BY_TIME | 2), [20], prev) == (-1, 15_000 + 1024 - 1)
    assert sequence_locks(relative(BY_TIME | 2, 25), [20, 3], prev) == (27, 15_000 + 1024 - 1)
    assert sequence_locks(relative(BY_TIME), [0], prev) == (-1, 999)
    assert sequence_locks(relative(5, version=2**32 - 1), [10], prev) == (14, -1)  # versions have no sign


def test_when_relative_locks_end() -> None:
    prev = chain(31)  # the next block is 31, the median below it 26,000
    assert locks_passed((-1, -1), prev)
    assert locks_passed((30, -1), prev) and not locks_passed((31, -1), prev)
    assert locks_passed((-1, 25_999), prev) and not locks_passed((-1, 26_000), prev)
    assert not locks_passed((31, 0), prev)


@pytest.mark.parametrize(
    ("satoshis", "text"),
    [
        (0, "0.00"),
        (1, "0.00000001"),
        (10, "0.0000001"),
        (100_000_000, "1.00"),
        (110_000_000, "1.10"),
        (123_456_789, "1.23456789"),
        (101_000_000, "1.01"),
        (-150_000_000, "-1.50"),
        (MAX_MONEY, "21000000.00"),
    ],
)
def test_money_in_messages(satoshis: int, text: str) -> None:
    assert format_money(satoshis) == text

"""Counting signature operations: the quick ways count as the long way does."""

from __future__ import annotations

import random

from pybitcoind.chain.consensus.sigops import legacy_sigops, sigop_cost
from pybitcoind.chain.primitives.transaction import NULL_OUTPOINT, Coin, OutPoint, Transaction, TxIn, TxOut

PREVOUT = OutPoint(b"\x01" * 32, 0)
KEY_HASH = bytes(20)
MULTISIG_2_OF_3 = b"\x52" + (b"\x21" + b"\x02" * 33) * 3 + b"\x53\xae"
P2PKH = b"\x76\xa9\x14" + KEY_HASH + b"\x88\xac"
P2WPKH, P2WSH, P2TR = b"\x00\x14" + KEY_HASH, b"\x00\x20" + bytes(32), b"\x51\x20" + bytes(32)
P2SH_SCRIPT = b"\xa9\x14" + KEY_HASH + b"\x87"


def flags(*names: str) -> int:
    from pybitcoind.chain.script.flags import ScriptFlags

    return sum(int(ScriptFlags[name]) for name in names)


ALL = flags("P2SH", "WITNESS", "TAPROOT")


def outputs(*scripts: bytes) -> Transaction:
    return Transaction.make([TxIn(PREVOUT)], [TxOut(0, script) for script in scripts])


def spending(script_sig: bytes, witness: tuple[bytes, ...] = ()) -> Transaction:
    return Transaction.make([TxIn(PREVOUT, script_sig)], [TxOut(0, b"")], witness=[witness])


def coin(script: bytes) -> Coin:
    return Coin(1, script, 1, False)


def push(data: bytes) -> bytes:
    return (bytes((len(data),)) if len(data) < 76 else b"\x4c" + bytes((len(data),))) + data


def test_outputs() -> None:
    assert legacy_sigops(outputs(P2PKH, P2PKH)) == 2
    assert legacy_sigops(outputs(P2WPKH, P2WSH, P2TR, P2SH_SCRIPT, b"", b"\x6a\x04data")) == 0
    assert legacy_sigops(outputs(b"\x21" + b"\x02" * 33 + b"\xac")) == 1
    assert legacy_sigops(outputs(MULTISIG_2_OF_3)) == 20  # inaccurate
    assert legacy_sigops(outputs(b"\xac\xad\xae\xaf")) == 42
    assert legacy_sigops(outputs(b"\xac\x4b\xac\xac")) == 1  # up to a push cut short
    assert legacy_sigops(outputs(b"\x02\xac\xac\xac")) == 1


def test_inputs() -> None:
    signature, key = b"\x30" * 71, b"\x02" * 33
    assert legacy_sigops(spending(push(signature) + push(key))) == 0
    assert legacy_sigops(spending(b"\xac")) == 1
    assert legacy_sigops(spending(push(signature) + b"\xac")) == 1
    assert legacy_sigops(spending(push(signature) + push(key) + b"\xad")) == 1
    assert legacy_sigops(spending(b"\x4b\xac\xac")) == 0
    assert legacy_sigops(spending(push(signature) + b"\xae")) == 20


def slow_count(script: bytes) -> int:
    """Core's words: walk ops, stop where one is cut short."""
    count = pos = 0
    while pos < len(script):
        op = script[pos]
        pos += 1
        if op <= 78:
            size = op
            if op >= 76:
                width = 1 << op - 76
                if pos + width > len(script):
                    break
                size = int.from_bytes(script[pos : pos + width], "little")
                pos += width
            pos += size
            if pos > len(script):
                break
        count += {0xAC: 1, 0xAD: 1, 0xAE: 20, 0xAF: 20}.get(op, 0)
    return count


def test_any_script() -> None:
    seed = 20261120
    rng = random.Random(seed)
    print("seed", seed)
    shapes = [P2PKH, P2WPKH, P2WSH, P2TR, P2SH_SCRIPT, push(bytes(71)) + push(bytes(33))]
    for _ in range(3000):
        script = bytearray(rng.choice(shapes))
        for _ in range(rng.randrange(3)):
            script[rng.randrange(len(script))] = rng.choice((0, 0x14, 0x20, 0x4C, 0x51, 0xAC, 0xAE, 0xAD))
        if rng.random() < 0.3:
            script = bytearray(rng.choices(range(256), k=rng.randrange(40)))
        raw = bytes(script)
        expected = slow_count(raw)
        assert legacy_sigops(outputs(raw)) == expected, raw.hex()
        assert legacy_sigops(spending(raw)) == expected, raw.hex()


def test_cost_of_plain_spends() -> None:
    tx = outputs(P2PKH)
    assert sigop_cost(tx, [coin(P2PKH)], ALL) == 4
    assert sigop_cost(tx, [coin(P2TR)], ALL) == 4


def test_cost_of_p2sh() -> None:
    redeem = spending(b"\x00" + push(b"\x30" * 71) * 2 + push(MULTISIG_2_OF_3))
    assert sigop_cost(redeem, [coin(P2SH_SCRIPT)], ALL) == 12
    assert sigop_cost(redeem, [coin(P2SH_SCRIPT)], 0) == 0
    assert sigop_cost(spending(push(b"\xae")), [coin(P2SH_SCRIPT)], ALL) == 80
    assert sigop_cost(spending(push(b"\x60\xae")), [coin(P2SH_SCRIPT)], ALL) == 64
    assert sigop_cost(spending(b""), [coin(P2SH_SCRIPT)], ALL) == 0
    assert sigop_cost(spending(b"\x61" + push(b"\xac")), [coin(P2SH_SCRIPT)], ALL) == 0  # not only pushes
    assert sigop_cost(spending(push(b"\xac") + b"\x51"), [coin(P2SH_SCRIPT)], ALL) == 0  # OP_1 on top
    assert sigop_cost(spending(push(b"\xac") + b"\x05"), [coin(P2SH_SCRIPT)], ALL) == 0  # cut short


def test_cost_of_witnesses() -> None:
    assert sigop_cost(spending(b"", (b"\x30", b"\x02")), [coin(P2WPKH)], ALL) == 1
    assert sigop_cost(spending(b""), [coin(P2WPKH)], ALL) == 1
    assert sigop_cost(spending(b"", (b"", MULTISIG_2_OF_3)), [coin(P2WSH)], ALL) == 3
    assert sigop_cost(spending(b"", (b"", b"\xae")), [coin(P2WSH)], ALL) == 20
    assert sigop_cost(spending(b""), [coin(P2WSH)], ALL) == 0
    assert sigop_cost(spending(b"", (b"", b"\xac")), [coin(P2TR)], ALL) == 0
    assert sigop_cost(spending(b"", (b"\xac",)), [coin(P2WPKH)], flags("P2SH")) == 0
    assert sigop_cost(spending(b"", (b"\xac",)), [coin(b"\x51\x14" + KEY_HASH)], ALL) == 0
    assert sigop_cost(spending(b"", (b"\xac",)), [coin(b"\x00\x15" + KEY_HASH + b"\x00")], ALL) == 0


def test_cost_of_nested_witnesses() -> None:
    assert sigop_cost(spending(push(P2WPKH), (b"", b"")), [coin(P2SH_SCRIPT)], ALL) == 1
    assert sigop_cost(spending(push(P2WSH), (MULTISIG_2_OF_3,)), [coin(P2SH_SCRIPT)], ALL) == 3
    assert sigop_cost(spending(push(P2TR), (b"\xac",)), [coin(P2SH_SCRIPT)], ALL) == 0


def test_a_coinbase_has_no_coins() -> None:
    tx = Transaction.make([TxIn(NULL_OUTPOINT, b"\xac\xac")], [TxOut(0, P2PKH)])
    assert sigop_cost(tx, [], ALL) == 12

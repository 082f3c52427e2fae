"""One small template per way a block can be invalid, with Core's tokens (31.99).

Each is made on a Scene (scene.py); those of invalid_transactions.py come along, each inside of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from scene import COMMITMENT_HEADER, SCRIPT_PUBKEY, Scene, height_push

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import COIN, Transaction, TxIn, TxOut


@dataclass(frozen=True)
class InvalidBlock:
    name: str
    reason: str
    stage: str
    """Where it fails: header, contextual header, check, contextual, connect or scripts."""
    fault: str
    """Name of the BlockFault."""
    build: Callable[[Scene], Block]
    detail: str = ""
    on_wire: bool = True
    """Not set: its serialization reads as something else."""
    by_rpc: bool = True
    """Not set: submitblock refuses it before it is looked at as a block."""


def _p2sh(redeem: bytes) -> bytes:
    from pybitcoind.chain.primitives.hashes import hash160

    return b"\xa9\x14" + hash160(redeem) + b"\x87"


def _duplicate_last(s: Scene) -> Block:
    """CVE-2012-2459."""
    a, b = s.spend(s.mature[0]), s.spend(s.mature[1])
    good = s.block(a, b)
    return Block(good.header, [*good.vtx, b])


def _empty(s: Scene) -> Block:
    good = s.block(root=bytes(32))
    return Block(good.header, [])


def _no_coinbase(s: Scene) -> Block:
    tx = s.spend(s.mature[0], witness=[])
    return s.block(coinbase=tx)


def _too_long(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0], outputs=[TxOut(0, b"\x6a" + bytes(1_000_000))]))


def _plain_sigops(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0], outputs=[TxOut(0, b"\xac" * 20_001)]))


def _p2sh_sigops(s: Scene) -> Block:
    redeem = b"\xae" * 500  # 10,000 signature operations
    outputs = [TxOut(COIN, _p2sh(redeem))] * 3
    make = s.spend(s.mature[0], outputs=outputs)
    script_sig = b"\x4d" + len(redeem).to_bytes(2, "little") + redeem
    spend = Transaction.make(
        [TxIn(s.output(make, n)[0], script_sig) for n in range(3)], [TxOut(COIN, SCRIPT_PUBKEY)]
    )
    return s.block(make, spend)


def _witness_sigops(s: Scene) -> Block:
    from pybitcoind.chain.primitives.hashes import sha256

    script = b"\xae" * 4_001
    make = s.spend(s.mature[0], outputs=[TxOut(COIN, b"\x00\x20" + sha256(script))])
    return s.block(make, s.spend(s.output(make), witness=[[script]]))


def _witness_without_commitment(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0]), commit=False)


def _reserved_value(stack: list[bytes]) -> Callable[[Scene], Block]:
    def build(s: Scene) -> Block:
        good = s.block(s.spend(s.mature[0]))
        coinbase = good.vtx[0]
        coinbase = Transaction.make(coinbase.vin, coinbase.vout, witness=[stack] if stack else [])
        return Block(good.header, [coinbase, *good.vtx[1:]])

    return build


def _other_witness(s: Scene) -> Block:
    tx = s.spend(s.mature[0])
    good = s.block(tx)
    other = Transaction.make(tx.vin, tx.vout, witness=[[b"\x01", b"\x51"]])
    return Block(good.header, [good.vtx[0], other])


def _last_commitment_counts(s: Scene) -> Block:
    good = s.block(s.spend(s.mature[0]))
    coinbase = good.vtx[0]
    wrong = TxOut(0, COMMITMENT_HEADER + sha256d(b""))
    coinbase = Transaction.make(coinbase.vin, [*coinbase.vout, wrong], witness=coinbase.witness)
    return s.block(*good.vtx[1:], coinbase=coinbase, commit=False)


def _too_heavy(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0], witness=[[bytes(4_000_000), b"\x51"]]))


def _double_spend(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0]), s.spend(s.mature[0], fee=2000))


def _wrong_order(s: Scene) -> Block:
    first = s.spend(s.mature[0])
    return s.block(s.spend(s.output(first)), first)


def _own_coinbase(s: Scene) -> Block:
    coinbase = s.coinbase()
    spend = s.spend(s.output(coinbase), witness=[])
    return s.block(spend, coinbase=coinbase)


def _fees_not_enough(s: Scene) -> Block:
    return s.block(s.spend(s.mature[0], fee=1000), coinbase=s.coinbase(fees=1001))


def _spend_op_return(s: Scene) -> Block:
    make = s.spend(s.mature[0], outputs=[TxOut(COIN, b"\x6a")])
    return s.block(make, s.spend(s.output(make), witness=[]))


def _false_script(s: Scene) -> Block:
    make = s.spend(s.mature[0], outputs=[TxOut(COIN, b"\x00")])
    return s.block(make, s.spend(s.output(make), witness=[]))


def _script_and_amount(s: Scene) -> Block:
    """Two things wrong: scripts are told last."""
    return s.block(s.spend(s.mature[0], witness=[[b"\x52"]], fee=0), coinbase=s.coinbase(fees=1))


def _duplicate_two(s: Scene) -> Block:
    txs = [s.spend(coin) for coin in s.mature[:5]]
    good = s.block(*txs)
    return Block(good.header, [*good.vtx, *txs[3:]])


def _twice_inside(s: Scene) -> Block:
    a, b, c = (s.spend(coin) for coin in s.mature[:3])
    return s.block(a, a, b, c)


def _other_order(s: Scene) -> Block:
    good = s.block(*(s.spend(coin) for coin in s.mature[:3]))
    return Block(good.header, [good.vtx[0], *good.vtx[:0:-1]])


def _coinbase_of_two(s: Scene) -> Block:
    first = s.coinbase()
    return s.block(coinbase=Transaction.make([*first.vin, TxIn(s.mature[0][0])], first.vout))


def _locked_coinbase(s: Scene) -> Block:
    first = s.coinbase()
    vin = [first.vin[0]._replace(sequence=0)]
    return s.block(coinbase=Transaction.make(vin, first.vout, locktime=s.height))


def _mixed_sigops(s: Scene) -> Block:
    """Half by the price of a witness, half by the other, and one more."""
    from pybitcoind.chain.primitives.hashes import sha256

    script = b"\xac" * 40_001
    make = s.spend(s.mature[0], outputs=[TxOut(COIN, b"\x00\x20" + sha256(script))])
    plain = s.spend(s.mature[1], outputs=[TxOut(0, b"\xac" * 10_000)])
    return s.block(make, plain, s.spend(s.output(make), witness=[[script]]))


def _late_excess(s: Scene) -> Block:
    first = s.spend(s.mature[0])
    second = s.spend(s.output(first))
    return s.block(first, second, s.spend(s.output(second), fee=-1))


def _locked_in_the_same_block(s: Scene) -> Block:
    first = s.spend(s.mature[0])
    return s.block(first, s.spend(s.output(first), sequence=1))


def _with_witness(tx: Transaction, stack: list[bytes]) -> Transaction:
    return Transaction.make(tx.vin, tx.vout, witness=[stack])


def _one_too_heavy(s: Scene) -> Block:
    def block(size: int) -> Block:
        return s.block(s.spend(s.mature[0], witness=[[bytes(size), b"\x51"]]))

    return block(3_900_000 + 4_000_001 - block(3_900_000).weight)


def _in_block(template: InvalidTransaction) -> InvalidBlock:
    return InvalidBlock(
        f"transaction: {template.name}",
        template.reason if template.name != "too large" else "bad-blk-length",
        template.stage,
        "CONSENSUS",
        lambda s: s.block(template.build(s)),
        template.detail,
        template.on_wire,
    )


INVALID_BLOCKS = (
    InvalidBlock(
        "work missing",
        "high-hash",
        "header",
        "INVALID_HEADER",
        lambda s: s.block(meet_target=False),
        "proof of work failed",
    ),
    InvalidBlock(
        "other difficulty",
        "bad-diffbits",
        "contextual header",
        "INVALID_HEADER",
        lambda s: s.block(bits=0x207FFFFE),
        "incorrect proof of work",
    ),
    InvalidBlock(
        "time not after median",
        "time-too-old",
        "contextual header",
        "INVALID_HEADER",
        lambda s: s.block(time=s.tip.mtp()),
        "block's timestamp is too early",
    ),
    InvalidBlock(
        "time far ahead",
        "time-too-new",
        "contextual header",
        "TIME_FUTURE",
        lambda s: s.block(time=s.now + 7201),
        "block timestamp too far in the future",
    ),
    *(
        InvalidBlock(
            f"version {version}",
            f"bad-version(0x{version & 0xFFFFFFFF:08x})",
            "contextual header",
            "INVALID_HEADER",
            lambda s, version=version: s.block(version=version),
            f"rejected nVersion=0x{version & 0xFFFFFFFF:08x} block",
        )
        for version in (3, 2, 1, 0, -1)
    ),
    InvalidBlock(
        "other transactions",
        "bad-txnmrklroot",
        "check",
        "MUTATED",
        lambda s: s.block(root=b"\x01" * 32),
        "hashMerkleRoot mismatch",
    ),
    InvalidBlock(
        "last transaction repeated",
        "bad-txns-duplicate",
        "check",
        "MUTATED",
        _duplicate_last,
        "duplicate transaction",
    ),
    InvalidBlock(
        "no transactions",
        "bad-blk-length",
        "check",
        "CONSENSUS",
        _empty,
        "size limits failed",
        by_rpc=False,
    ),
    InvalidBlock("too long", "bad-blk-length", "check", "CONSENSUS", _too_long, "size limits failed"),
    InvalidBlock(
        "no coinbase",
        "bad-cb-missing",
        "check",
        "CONSENSUS",
        _no_coinbase,
        "first tx is not coinbase",
        by_rpc=False,
    ),
    *(
        InvalidBlock(
            f"coinbase script of {len(script)}",
            "bad-cb-length",
            "check",
            "CONSENSUS",
            lambda s, script=script: s.block(coinbase=s.coinbase(script_sig=script)),
        )
        for script in (b"\x51", bytes(101))
    ),
    InvalidBlock(
        "signature operations in outputs",
        "bad-blk-sigops",
        "check",
        "CONSENSUS",
        _plain_sigops,
        "out-of-bounds SigOpCount",
    ),
    InvalidBlock(
        "wrong height in coinbase",
        "bad-cb-height",
        "contextual",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(height=s.height + 1)),
        "block height mismatch in coinbase",
    ),
    InvalidBlock(
        "height not minimally pushed",
        "bad-cb-height",
        "contextual",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(script_sig=b"\x4c" + height_push(s.height))),
        "block height mismatch in coinbase",
    ),
    InvalidBlock(
        "witness without commitment",
        "unexpected-witness",
        "contextual",
        "MUTATED",
        _witness_without_commitment,
        "CheckWitnessMalleation : unexpected witness data found",
    ),
    *(
        InvalidBlock(
            f"reserved value: {name}",
            "bad-witness-nonce-size",
            "contextual",
            "MUTATED",
            _reserved_value(stack),
            "CheckWitnessMalleation : invalid witness reserved value size",
            by_rpc=bool(stack),  # submitblock fills in one that is missing
        )
        for name, stack in (
            ("missing", []),
            ("short", [bytes(31)]),
            ("two", [bytes(32), bytes(32)]),
        )
    ),
    InvalidBlock(
        "other reserved value",
        "bad-witness-merkle-match",
        "contextual",
        "MUTATED",
        _reserved_value([b"\x01" * 32]),
        "CheckWitnessMalleation : witness merkle commitment mismatch",
    ),
    InvalidBlock(
        "other witness",
        "bad-witness-merkle-match",
        "contextual",
        "MUTATED",
        _other_witness,
        "CheckWitnessMalleation : witness merkle commitment mismatch",
    ),
    InvalidBlock(
        "last commitment wrong",
        "bad-witness-merkle-match",
        "contextual",
        "MUTATED",
        _last_commitment_counts,
        "CheckWitnessMalleation : witness merkle commitment mismatch",
    ),
    InvalidBlock(
        "too heavy",
        "bad-blk-weight",
        "contextual",
        "CONSENSUS",
        _too_heavy,
        "ContextualCheckBlock : weight limit failed",
    ),
    InvalidBlock("coin spent twice", "bad-txns-inputs-missingorspent", "connect", "CONSENSUS", _double_spend),
    InvalidBlock(
        "output spent before it is made",
        "bad-txns-inputs-missingorspent",
        "connect",
        "CONSENSUS",
        _wrong_order,
    ),
    InvalidBlock(
        "output that is never kept",
        "bad-txns-inputs-missingorspent",
        "connect",
        "CONSENSUS",
        _spend_op_return,
    ),
    InvalidBlock(
        "own coinbase spent",
        "bad-txns-premature-spend-of-coinbase",
        "connect",
        "CONSENSUS",
        _own_coinbase,
        "tried to spend coinbase at depth 0",
    ),
    InvalidBlock(
        "signature operations in P2SH",
        "bad-blk-sigops",
        "connect",
        "CONSENSUS",
        _p2sh_sigops,
        "too many sigops",
    ),
    InvalidBlock(
        "signature operations in witnesses",
        "bad-blk-sigops",
        "connect",
        "CONSENSUS",
        _witness_sigops,
        "too many sigops",
    ),
    InvalidBlock(
        "coinbase takes one too much",
        "bad-cb-amount",
        "connect",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(fees=1)),
        "coinbase pays too much (actual=5000000001 vs limit=5000000000)",
    ),
    InvalidBlock(
        "coinbase takes more than the fees",
        "bad-cb-amount",
        "connect",
        "CONSENSUS",
        _fees_not_enough,
        "coinbase pays too much (actual=5000001001 vs limit=5000001000)",
    ),
    InvalidBlock("amount before scripts", "bad-cb-amount", "connect", "CONSENSUS", _script_and_amount),
    InvalidBlock(
        "script that is false",
        "block-script-verify-flag-failed "
        "(Script evaluated without error but finished with a false/empty top stack element)",
        "scripts",
        "CONSENSUS",
        _false_script,
    ),
    *(
        InvalidBlock(
            f"target {bits:08x}",
            "high-hash",
            "header",
            "INVALID_HEADER",
            lambda s, bits=bits: s.block(bits=bits),
            "proof of work failed",
        )
        for bits in (0, 0x20FFFFFF, 0x21010000, 0x01003456, 0x2100FFFF, 0x1D00FFFF)
    ),
    InvalidBlock(
        "time of genesis",
        "time-too-old",
        "contextual header",
        "INVALID_HEADER",
        lambda s: s.block(time=s.params.genesis.header.time),
    ),
    InvalidBlock(
        "time at the end of time",
        "time-too-new",
        "contextual header",
        "TIME_FUTURE",
        lambda s: s.block(time=0xFFFFFFFF),
    ),
    InvalidBlock(
        "two transactions repeated",
        "bad-txns-duplicate",
        "check",
        "MUTATED",
        _duplicate_two,
        "duplicate transaction",
    ),
    InvalidBlock(
        "same transaction twice, not at the end",
        "bad-txns-inputs-missingorspent",
        "connect",
        "CONSENSUS",
        _twice_inside,
    ),
    InvalidBlock(
        "transactions in another order",
        "bad-txnmrklroot",
        "check",
        "MUTATED",
        _other_order,
        "hashMerkleRoot mismatch",
    ),
    InvalidBlock(
        "coinbase of two inputs", "bad-cb-missing", "check", "CONSENSUS", _coinbase_of_two, by_rpc=False
    ),
    InvalidBlock(
        "coinbase without outputs",
        "bad-txns-vout-empty",
        "check",
        "CONSENSUS",
        lambda s: s.block(coinbase=Transaction.make(s.coinbase().vin, [])),
    ),
    InvalidBlock(
        "coinbase with a negative output",
        "bad-txns-vout-negative",
        "check",
        "CONSENSUS",
        lambda s: s.block(coinbase=Transaction.make(s.coinbase().vin, [TxOut(-1, SCRIPT_PUBKEY)])),
    ),
    InvalidBlock(
        "coinbase pays all there is",
        "bad-cb-amount",
        "connect",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(fees=2_100_000_000_000_000 - s.subsidy)),
    ),
    InvalidBlock(
        "coinbase that is not final", "bad-txns-nonfinal", "contextual", "CONSENSUS", _locked_coinbase
    ),
    InvalidBlock(
        "no height in coinbase",
        "bad-cb-height",
        "contextual",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(script_sig=b"\x51\x51")),
        "block height mismatch in coinbase",
    ),
    InvalidBlock(
        "other height of the same size",
        "bad-cb-height",
        "contextual",
        "CONSENSUS",
        lambda s: s.block(coinbase=s.coinbase(script_sig=height_push(s.height)[:-1] + b"\x01\x51")),
        "block height mismatch in coinbase",
    ),
    InvalidBlock(
        "signature operations in the coinbase",
        "bad-blk-sigops",
        "check",
        "CONSENSUS",
        lambda s: s.block(
            coinbase=Transaction.make(s.coinbase().vin, [TxOut(s.subsidy, b"\xae" * 1_000 + b"\xac")])
        ),
        "out-of-bounds SigOpCount",
    ),
    InvalidBlock(
        "signature operations of both prices",
        "bad-blk-sigops",
        "connect",
        "CONSENSUS",
        _mixed_sigops,
        "too many sigops",
    ),
    InvalidBlock("chain that pays out more", "bad-txns-in-belowout", "connect", "CONSENSUS", _late_excess),
    InvalidBlock(
        "coin of the same block locked by height",
        "bad-txns-nonfinal",
        "connect",
        "CONSENSUS",
        _locked_in_the_same_block,
        "contains a non-BIP68-final transaction",
    ),
    InvalidBlock(
        "witness of the coinbase without commitment",
        "unexpected-witness",
        "contextual",
        "MUTATED",
        lambda s: s.block(coinbase=_with_witness(s.coinbase(), [bytes(32)])),
        "CheckWitnessMalleation : unexpected witness data found",
    ),
    InvalidBlock(
        "weight of 4,000,001",
        "bad-blk-weight",
        "contextual",
        "CONSENSUS",
        _one_too_heavy,
        "ContextualCheckBlock : weight limit failed",
    ),
    *(_in_block(template) for template in INVALID_TRANSACTIONS),
)

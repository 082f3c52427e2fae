"""One small template per way a transaction can be invalid, with Core's tokens (31.99).

Each is made on a Scene (scene.py) and may be sent alone, to a mempool or an RPC method, or inside of a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from failing_scripts import FAILING_SCRIPTS, FailingScript
from scene import ODD_COINS_HEIGHT, SCRIPT_PUBKEY, WITNESS, Scene

from pybitcoind.chain.primitives.transaction import COIN, NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut

MAX_MONEY = 2_100_000_000_000_000


@dataclass(frozen=True)
class InvalidTransaction:
    name: str
    reason: str
    """The token in a block."""
    stage: str
    """Where a block that holds it fails: check, contextual, connect or scripts."""
    build: Callable[[Scene], Transaction]
    mempool_reason: str = ""
    """The token of testmempoolaccept, where it differs."""
    detail: str = ""
    """What stands behind the token, as far as it is the transaction's own."""
    on_wire: bool = True
    """Not set: its serialization reads as something else."""

    @property
    def in_mempool(self) -> str:
        return self.mempool_reason or self.reason


def _outputs(*values: int) -> Callable[[Scene], Transaction]:
    return lambda s: s.spend(s.mature[0], outputs=[TxOut(value, SCRIPT_PUBKEY) for value in values])


def _duplicate_input(s: Scene) -> Transaction:
    return s.spend(s.mature[0], s.mature[0])


def _null_prevout(s: Scene) -> Transaction:
    (outpoint, _), out = s.mature[0], TxOut(COIN, SCRIPT_PUBKEY)
    return Transaction.make([TxIn(outpoint), TxIn(NULL_OUTPOINT)], [out], witness=[WITNESS, ()])


def _coinbase_script(size: int) -> Callable[[Scene], Transaction]:
    return lambda s: Transaction.make([TxIn(NULL_OUTPOINT, b"\x51" * size)], [TxOut(COIN, SCRIPT_PUBKEY)])


def _oversize(s: Scene) -> Transaction:
    return s.spend(s.mature[0], outputs=[TxOut(COIN, b"\x6a" + bytes(1_000_000))])


def _missing(s: Scene) -> Transaction:
    _, coin = s.mature[0]
    return s.spend((OutPoint(b"\x07" * 32, 0), coin))


def _missing_index(s: Scene) -> Transaction:
    outpoint, coin = s.mature[0]
    return s.spend((OutPoint(outpoint.txid, 7), coin))


def _duplicate_input_apart(s: Scene) -> Transaction:
    return s.spend(s.mature[0], s.mature[1], s.mature[2], s.mature[0])


def _one_missing(s: Scene) -> Transaction:
    outpoint, coin = s.mature[3]
    return s.spend(*s.mature[:3], (OutPoint(outpoint.txid[::-1], 0), coin))


def _spent_in_the_chain(s: Scene) -> Transaction:
    spent = s.blocks[ODD_COINS_HEIGHT - 1].vtx[1].vin[0].prevout
    return s.spend((spent, s.mature[0][1]))


def _one_input_not_final(s: Scene) -> Transaction:
    tx = s.spend(*s.mature[:2], locktime=s.height)
    vin = [tx.vin[0], tx.vin[1]._replace(sequence=0xFFFFFFFE)]
    return Transaction.make(vin, tx.vout, version=2, locktime=s.height, witness=tx.witness)


def _more_out_than_in(s: Scene) -> Transaction:
    return s.spend(s.mature[0], fee=-1)


def _locked_by_height(s: Scene) -> Transaction:
    return s.spend(s.mature[0], sequence=0xFFFFFFFE, locktime=s.height)


def _locked_by_time(s: Scene) -> Transaction:
    return s.spend(s.mature[0], sequence=0xFFFFFFFE, locktime=s.tip.mtp())


def _relative_blocks(s: Scene) -> Transaction:
    outpoint, coin = s.mature[-1]
    return s.spend((outpoint, coin), sequence=s.height - coin.height + 1)


def _relative_time(s: Scene) -> Transaction:
    return s.spend(s.mature[-1], sequence=1 << 22 | 0xFFFF)


def _wrong_witness_script(s: Scene) -> Transaction:
    return s.spend(s.mature[0], witness=[[b"\x52"]])


def _no_witness(s: Scene) -> Transaction:
    return s.spend(s.mature[0], witness=[])


def _extra_stack_item(s: Scene) -> Transaction:
    return s.spend(s.mature[0], witness=[[b"\x01", b"\x51"]])


def _failing(failing: FailingScript) -> InvalidTransaction:
    def build(s: Scene) -> Transaction:
        outpoint, coin = s.odd[failing.script_pubkey]
        witness = [failing.witness] if failing.witness else []
        out = TxOut(coin.value - 100_000, SCRIPT_PUBKEY)
        return Transaction.make([TxIn(outpoint, failing.script_sig, 1)], [out], witness=witness)

    in_mempool = failing.in_mempool or failing.message
    if " " in in_mempool:  # a message, not a token
        in_mempool = f"mempool-script-verify-flag-failed ({in_mempool})"
    token = f"block-script-verify-flag-failed ({failing.message})"
    return InvalidTransaction(f"script: {failing.name}", token, "scripts", build, in_mempool)


INVALID_TRANSACTIONS = (
    InvalidTransaction(
        "no inputs",
        "bad-txns-vin-empty",
        "check",
        lambda s: Transaction.make([], [TxOut(COIN, SCRIPT_PUBKEY)]),
        on_wire=False,
    ),
    InvalidTransaction("no outputs", "bad-txns-vout-empty", "check", _outputs()),
    InvalidTransaction("too large", "bad-txns-oversize", "check", _oversize),
    InvalidTransaction("negative output", "bad-txns-vout-negative", "check", _outputs(-1)),
    InvalidTransaction("too much in an output", "bad-txns-vout-toolarge", "check", _outputs(MAX_MONEY + 1)),
    InvalidTransaction(
        "too much in all outputs", "bad-txns-txouttotal-toolarge", "check", _outputs(MAX_MONEY, 1)
    ),
    InvalidTransaction("same input twice", "bad-txns-inputs-duplicate", "check", _duplicate_input),
    InvalidTransaction("null prevout", "bad-txns-prevout-null", "check", _null_prevout),
    InvalidTransaction(
        "second coinbase", "bad-cb-multiple", "check", _coinbase_script(2), mempool_reason="coinbase"
    ),
    InvalidTransaction(
        "unknown transaction spent",
        "bad-txns-inputs-missingorspent",
        "connect",
        _missing,
        mempool_reason="missing-inputs",
        detail="CheckTxInputs: inputs missing/spent",
    ),
    InvalidTransaction(
        "unknown output spent",
        "bad-txns-inputs-missingorspent",
        "connect",
        _missing_index,
        mempool_reason="missing-inputs",
        detail="CheckTxInputs: inputs missing/spent",
    ),
    InvalidTransaction(
        "coinbase spent too early",
        "bad-txns-premature-spend-of-coinbase",
        "connect",
        lambda s: s.spend(s.young[0]),
        detail="tried to spend coinbase at depth 99",
    ),
    InvalidTransaction(
        "more out than in",
        "bad-txns-in-belowout",
        "connect",
        _more_out_than_in,
        detail="value in (50.00) < value out (50.00000001)",
    ),
    InvalidTransaction(
        "locked by height",
        "bad-txns-nonfinal",
        "contextual",
        _locked_by_height,
        mempool_reason="non-final",
    ),
    InvalidTransaction(
        "locked by time", "bad-txns-nonfinal", "contextual", _locked_by_time, mempool_reason="non-final"
    ),
    InvalidTransaction(
        "locked by relative height",
        "bad-txns-nonfinal",
        "connect",
        _relative_blocks,
        mempool_reason="non-BIP68-final",
    ),
    InvalidTransaction(
        "locked by relative time",
        "bad-txns-nonfinal",
        "connect",
        _relative_time,
        mempool_reason="non-BIP68-final",
    ),
    InvalidTransaction(
        "wrong witness script",
        "block-script-verify-flag-failed (Witness program hash mismatch)",
        "scripts",
        _wrong_witness_script,
        mempool_reason="mempool-script-verify-flag-failed (Witness program hash mismatch)",
    ),
    InvalidTransaction(
        "no witness",
        "block-script-verify-flag-failed (Witness program was passed an empty witness)",
        "scripts",
        _no_witness,
        mempool_reason="mempool-script-verify-flag-failed (Witness program was passed an empty witness)",
    ),
    InvalidTransaction(
        "item left on the stack",
        "block-script-verify-flag-failed (Stack size must be exactly one after execution)",
        "scripts",
        _extra_stack_item,
        mempool_reason="mempool-script-verify-flag-failed (Stack size must be exactly one after execution)",
    ),
    InvalidTransaction("second output too large", "bad-txns-vout-toolarge", "check", _outputs(1, 2**63 - 1)),
    InvalidTransaction("least amount", "bad-txns-vout-negative", "check", _outputs(1, -(2**63))),
    InvalidTransaction(
        "same input three inputs apart", "bad-txns-inputs-duplicate", "check", _duplicate_input_apart
    ),
    InvalidTransaction(
        "all of many inputs but one",
        "bad-txns-inputs-missingorspent",
        "connect",
        _one_missing,
        mempool_reason="missing-inputs",
    ),
    InvalidTransaction(
        "coin of the chain spent again",
        "bad-txns-inputs-missingorspent",
        "connect",
        _spent_in_the_chain,
        mempool_reason="missing-inputs",
    ),
    InvalidTransaction(
        "coinbase of the last block spent",
        "bad-txns-premature-spend-of-coinbase",
        "connect",
        lambda s: s.spend(s.young[-1]),
        detail="tried to spend coinbase at depth 1",
    ),
    InvalidTransaction(
        "one input locked of two",
        "bad-txns-nonfinal",
        "contextual",
        _one_input_not_final,
        mempool_reason="non-final",
    ),
    InvalidTransaction(
        "locked until the last second",
        "bad-txns-nonfinal",
        "contextual",
        lambda s: s.spend(s.mature[0], sequence=0, locktime=0xFFFFFFFF),
        mempool_reason="non-final",
    ),
    *map(_failing, FAILING_SCRIPTS),
)

"""One small template per way in which the mempool refuses a transaction, with Core's tokens (31.99).

What breaks consensus rules by itself is in invalid_transactions.py. Templates are made on a `Stage`: a
regtest chain in memory whose blocks can be sent to any node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mini_wallet import Kind, MemoryChain, MiniWallet, Utxo, outputs_of

from pybitcoind.chain.primitives.hashes import hash160, hash_hex, sha256
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

OP_CHECKSIG, OP_CHECKMULTISIG, OP_IF, OP_ENDIF, OP_DROP = b"\xac", b"\xae", b"\x63", b"\x68", b"\x75"
LARGE_WITNESS_SCRIPT = (b"\x4d\x08\x02" + bytes(520) + OP_DROP) * 7 + b"\x51"
MANY_SIGOPS_SCRIPT = b"\x00" + OP_IF + OP_CHECKMULTISIG * 801 + OP_ENDIF + b"\x51"
TWO_WAYS_SCRIPT = OP_DROP + b"\x51"
P2SH_SIGOPS_SCRIPT = OP_CHECKSIG * 16
PAY_TO_ANCHOR = bytes.fromhex("51024e73")
KEY = bytes.fromhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
MULTISIG_1_OF_4 = b"\x51" + (b"\x21" + KEY) * 4 + b"\x54" + OP_CHECKMULTISIG
MULTISIG_1_OF_1 = b"\x51" + (b"\x21" + KEY) + b"\x51" + OP_CHECKMULTISIG


def p2wsh(script: bytes) -> bytes:
    return b"\x00\x20" + sha256(script)


def p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + hash160(script) + b"\x87"


SPECIAL = {
    "unknown script": b"\x51" + OP_DROP + b"\x51",
    "unknown program": b"\x52\x20" + bytes(32),
    "anchor": PAY_TO_ANCHOR,
    "large witness script": p2wsh(LARGE_WITNESS_SCRIPT),
    "many sigops": p2wsh(MANY_SIGOPS_SCRIPT),
    "two ways": p2wsh(TWO_WAYS_SCRIPT),
    "two ways again": p2wsh(TWO_WAYS_SCRIPT),
    "p2sh sigops": p2sh(P2SH_SIGOPS_SCRIPT),
    "bip54": OP_CHECKSIG * 2501,
    "p2sh": p2sh(b"\x51"),
    "p2pkh": b"\x76\xa9\x14" + hash160(KEY) + b"\x88\xac",
}
SPECIAL_VALUE = 1_000_000
COIN_VALUE = 10_000_000


class Stage:
    """wallet: its coins are P2WSH of OP_TRUE; taproot, keys: coins of the other kinds."""

    def __init__(self) -> None:
        self.chain = MemoryChain()
        self.wallet = MiniWallet()
        self.taproot = MiniWallet(Kind.P2TR_TRUE)
        self.keys = MiniWallet(Kind.P2WPKH)
        self.chain.generate(110, self.wallet)
        self.young = self.wallet.utxos[-1]
        specials = [TxOut(SPECIAL_VALUE, script) for script in SPECIAL.values()]
        coins = [TxOut(COIN_VALUE, self.wallet.script_pubkey)] * 260
        coins += [TxOut(COIN_VALUE, w.script_pubkey) for w in (self.taproot, self.keys) for _ in range(10)]
        fan = self.wallet.spend(self.wallet.take(self.chain.height), outputs=[*specials, *coins], fee=0)
        self.confirmed = self.wallet.spend(self.wallet.take(self.chain.height))
        (block,) = self.chain.generate(1, self.wallet, [fan, self.confirmed])
        for other in (self.taproot, self.keys):
            other.scan_block(block, self.chain.height)
        self.special = {
            name: Utxo(OutPoint(fan.txid, i), SPECIAL_VALUE, self.chain.height)
            for i, name in enumerate(SPECIAL)
        }
        self.fan = fan
        self.chain.generate(3, self.wallet)

    def coin(self, wallet: MiniWallet | None = None) -> Utxo:
        return (wallet or self.wallet).take(self.chain.height, least=1)

    def spend_special(
        self, name: str, witness: Sequence[bytes] = (), script_sig: bytes = b"", fee: int = 10_000
    ) -> Transaction:
        out = TxOut(SPECIAL_VALUE - fee, self.wallet.script_pubkey)
        return Transaction.make(
            [TxIn(self.special[name].outpoint, script_sig)], [out], witness=[witness] if witness else ()
        )

    def pay(self, *outputs: TxOut, **options: int) -> Transaction:
        return self.wallet.spend(self.coin(), outputs=outputs, **options)  # type: ignore[arg-type]

    def child(self, parent: Transaction, index: int = 0, **options: int) -> Transaction:
        utxo = outputs_of(parent, self.wallet.script_pubkey)[index]
        return self.wallet.spend(utxo, **options)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Refused:
    """build gives what is to be in the mempool before, and the transaction that is refused."""

    name: str
    reason: str
    build: Callable[[Stage], tuple[list[Transaction], Transaction]]
    detail: str | Callable[[Sequence[Transaction], Transaction], str] = ""

    def detail_for(self, before: Sequence[Transaction], tx: Transaction) -> str:
        return self.detail if isinstance(self.detail, str) else self.detail(before, tx)


def alone(build: Callable[[Stage], Transaction]) -> Callable[[Stage], tuple[list[Transaction], Transaction]]:
    return lambda s: ([], build(s))


def with_script_sig(tx: Transaction, script_sig: bytes) -> Transaction:
    vin = [TxIn(tx.vin[0].prevout, script_sig, tx.vin[0].sequence), *tx.vin[1:]]
    return Transaction.make(vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=tx.witness)


def stripped(tx: Transaction) -> Transaction:
    return Transaction.decode(tx.stripped)


def _twice(s: Stage) -> tuple[list[Transaction], Transaction]:
    tx = s.pay()
    return [tx], tx


def _other_witness(s: Stage) -> tuple[list[Transaction], Transaction]:
    first, second = (s.spend_special("two ways", [n, TWO_WAYS_SCRIPT]) for n in (b"\x01", b"\x02"))
    return [first], second


def _small(s: Stage) -> Transaction:
    coin = s.coin()
    return s.wallet.sign(Transaction.make([TxIn(coin.outpoint)], [TxOut(0, b"\x6a\x02\x01\x02")]), [coin])


def _replace(
    fee: int, new_fee: int, **options: int
) -> Callable[[Stage], tuple[list[Transaction], Transaction]]:
    def build(s: Stage) -> tuple[list[Transaction], Transaction]:
        coin = s.coin()
        return [s.wallet.spend(coin, fee=fee)], s.wallet.spend(coin, fee=new_fee, **options)  # type: ignore[arg-type]

    return build


def _rejecting(words: str) -> Callable[[Sequence[Transaction], Transaction], str]:
    return lambda before, tx: f"rejecting replacement {hash_hex(tx.txid)}, {words}"


def _worse_diagram(s: Stage) -> tuple[list[Transaction], Transaction]:
    """Pays more in all, but at a lower feerate than the small transaction it replaces."""
    coin = s.coin()
    return [s.wallet.spend(coin, fee=5_000)], s.wallet.spend(coin, change=60, fee=9_000)


def _many_clusters(s: Stage) -> tuple[list[Transaction], Transaction]:
    coins = [s.coin() for _ in range(101)]
    return [s.wallet.spend(coin, fee=200) for coin in coins], s.wallet.spend(*coins, fee=1_000_000)


def _depends_on_replaced(s: Stage) -> tuple[list[Transaction], Transaction]:
    coin = s.coin()
    parent = s.wallet.spend(coin, fee=1_000)
    own = outputs_of(parent, s.wallet.script_pubkey)[0]
    return [parent], s.wallet.spend(coin, own, fee=100_000)


def _chain(s: Stage, length: int) -> list[Transaction]:
    txs = [s.pay(change=1, fee=2_000)]
    while len(txs) < length:
        txs.append(s.child(txs[-1], fee=2_000))
    return txs


def _cluster_count(s: Stage) -> tuple[list[Transaction], Transaction]:
    txs = _chain(s, 64)
    return txs, s.child(txs[-1], fee=2_000)


def _large(s: Stage, *coins: Utxo, size: int, fee: int, version: int = 2) -> Transaction:
    filling = TxOut(0, b"\x6a\x4d" + size.to_bytes(2, "little") + bytes(size))
    return s.wallet.spend(*coins, outputs=[filling], fee=fee, version=version)


def _cluster_size(s: Stage) -> tuple[list[Transaction], Transaction]:
    first = _large(s, s.coin(), size=60_000, fee=100_000)
    own = outputs_of(first, s.wallet.script_pubkey)[0]
    return [first], _large(s, own, size=45_000, fee=100_000)


def _truc_child_of_other(s: Stage) -> tuple[list[Transaction], Transaction]:
    parent = s.pay()
    return [parent], s.child(parent, version=3)


def _other_child_of_truc(s: Stage) -> tuple[list[Transaction], Transaction]:
    parent = s.pay(version=3)
    return [parent], s.child(parent)


def _truc_grandchild(s: Stage) -> tuple[list[Transaction], Transaction]:
    parent = s.pay(version=3)
    child = s.child(parent, version=3)
    return [parent, child], s.child(child, version=3)


def _truc_large(s: Stage) -> Transaction:
    return _large(s, s.coin(), size=10_000, fee=100_000, version=3)


def _truc_large_child(s: Stage) -> tuple[list[Transaction], Transaction]:
    parent = s.pay(version=3)
    own = outputs_of(parent, s.wallet.script_pubkey)[0]
    return [parent], _large(s, own, size=1_000, fee=100_000, version=3)


def _truc_sibling(s: Stage) -> tuple[list[Transaction], Transaction]:
    parent = s.pay(version=3, change=2)
    child = s.child(parent, 0, version=3, fee=1_000)
    return [parent, child], s.child(parent, 1, version=3, fee=900)


def _name(tx: Transaction) -> str:
    return f"{hash_hex(tx.txid)} (wtxid={hash_hex(tx.wtxid)})"


def _input_detail(tx: Transaction, index: int = 0) -> str:
    prevout = tx.vin[index].prevout
    return (
        f"input {index} of {hash_hex(tx.txid)} (wtxid {hash_hex(tx.wtxid)}),"
        f" spending {hash_hex(prevout.txid)}:{prevout.vout}"
    )


def _bad_signature(s: Stage) -> Transaction:
    tx = s.keys.spend(s.coin(s.keys))
    return Transaction.make(tx.vin, [replace_value(tx.vout[0])], witness=tx.witness)


def replace_value(out: TxOut) -> TxOut:
    return TxOut(out.value - 1, out.script_pubkey)


def _with_witness(wallet_tx: Transaction, *stack: bytes) -> Transaction:
    return Transaction.make(wallet_tx.vin, wallet_tx.vout, witness=[stack])


def _annex(s: Stage) -> Transaction:
    tx = s.taproot.spend(s.coin(s.taproot))
    return _with_witness(tx, *tx.witness[0], b"\x50")


def _large_tapscript_item(s: Stage) -> Transaction:
    tx = s.taproot.spend(s.coin(s.taproot))
    return _with_witness(tx, bytes(81), *tx.witness[0])


def _script(words: str) -> str:
    return f"mempool-script-verify-flag-failed ({words})"


REFUSED: tuple[Refused, ...] = (
    Refused("version 0", "version", alone(lambda s: s.pay(version=0))),
    Refused("version 4", "version", alone(lambda s: s.pay(version=4))),
    Refused("too large", "tx-size", alone(lambda s: s.pay(TxOut(0, b"\x6a" + bytes(100_000))))),
    Refused("long script_sig", "scriptsig-size", alone(lambda s: with_script_sig(s.pay(), b"\x51" * 1651))),
    Refused(
        "script_sig with an operation",
        "scriptsig-not-pushonly",
        alone(lambda s: with_script_sig(s.pay(), b"\x51\x75")),
    ),
    Refused("unknown output script", "scriptpubkey", alone(lambda s: s.pay(TxOut(1000, b"\x51\x75")))),
    Refused("1 of 4 multisig", "scriptpubkey", alone(lambda s: s.pay(TxOut(10_000, MULTISIG_1_OF_4)))),
    Refused("two dust outputs", "dust", alone(lambda s: s.pay(*[TxOut(329, s.wallet.script_pubkey)] * 2))),
    Refused(
        "dust and a fee",
        "dust",
        alone(lambda s: s.pay(TxOut(329, s.wallet.script_pubkey))),
        "tx with dust output must be 0-fee",
    ),
    Refused("64 bytes", "tx-size-small", alone(_small)),
    Refused(
        "locked by height",
        "non-final",
        alone(lambda s: s.pay(locktime=s.chain.height + 1, sequence=0xFFFFFFFE)),
    ),
    Refused("locked by time", "non-final", alone(lambda s: s.pay(locktime=s.chain.tip.mtp(), sequence=0))),
    Refused("locked to its coin", "non-BIP68-final", alone(lambda s: s.pay(sequence=0xFFFF))),
    Refused("the same again", "txn-already-in-mempool", _twice),
    Refused("the same with another witness", "txn-same-nonwitness-data-in-mempool", _other_witness),
    Refused("in the chain already", "txn-already-known", alone(lambda s: s.confirmed)),
    Refused(
        "a young coinbase",
        "bad-txns-premature-spend-of-coinbase",
        alone(lambda s: s.wallet.spend(s.young)),
        lambda before, tx: "tried to spend coinbase at depth 5",
    ),
    Refused(
        "an unknown script",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("unknown script")),
        "input 0 script unknown",
    ),
    Refused(
        "an unknown witness program",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("unknown program", [b"\x01"])),
        "input 0 witness program is undefined",
    ),
    Refused(
        "a redeem script with 16 sigops",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("p2sh sigops", script_sig=b"\x10" + P2SH_SIGOPS_SCRIPT)),
        "p2sh redeemscript sigops exceed limit (input 0: 16 > 15)",
    ),
    Refused(
        "no redeem script",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("p2sh")),
        "input 0 P2SH redeemscript missing",
    ),
    Refused(
        "a malformed script_sig",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("p2sh", script_sig=b"\x50")),
        "p2sh scriptsig malformed (input 0: Opcode missing or not understood)",
    ),
    Refused(
        "2,501 sigops outside of witnesses",
        "bad-txns-nonstandard-inputs",
        alone(lambda s: s.spend_special("bip54")),
        "non-witness sigops exceed bip54 limit",
    ),
    Refused(
        "a witness for an anchor",
        "bad-witness-nonstandard",
        alone(lambda s: s.spend_special("anchor", [b"\x01"])),
    ),
    Refused(
        "a witness for P2PKH", "bad-witness-nonstandard", alone(lambda s: s.spend_special("p2pkh", [b"\x01"]))
    ),
    Refused(
        "a large witness script",
        "bad-witness-nonstandard",
        alone(lambda s: s.spend_special("large witness script", [LARGE_WITNESS_SCRIPT])),
    ),
    Refused(
        "a large witness item",
        "bad-witness-nonstandard",
        alone(lambda s: s.spend_special("two ways again", [bytes(81), TWO_WAYS_SCRIPT])),
    ),
    Refused(
        "101 witness items",
        "bad-witness-nonstandard",
        alone(lambda s: s.spend_special("two ways again", [*[b"\x01"] * 101, TWO_WAYS_SCRIPT])),
    ),
    Refused("an annex", "bad-witness-nonstandard", alone(_annex)),
    Refused("a large tapscript item", "bad-witness-nonstandard", alone(_large_tapscript_item)),
    Refused(
        "16,020 sigops in a witness",
        "bad-txns-too-many-sigops",
        alone(lambda s: s.spend_special("many sigops", [MANY_SIGOPS_SCRIPT], fee=100_000)),
        "16020",
    ),
    Refused(
        "no fee",
        "min relay fee not met",
        alone(lambda s: s.pay(fee=0)),
        lambda before, tx: f"0 < {-(-tx.vsize // 10)}",
    ),
    Refused(
        "a fee one short",
        "min relay fee not met",
        alone(lambda s: s.pay(fee=9)),
        lambda before, tx: f"9 < {-(-tx.vsize // 10)}",
    ),
    Refused(
        "less fee than the replaced one",
        "insufficient fee",
        _replace(5_000, 4_999),
        _rejecting("less fees than conflicting txs; 0.00004999 < 0.00005"),
    ),
    Refused(
        "too little more than the replaced one",
        "insufficient fee",
        _replace(5_000, 5_009),
        _rejecting("not enough additional fees to relay; 0.00000009 < 0.0000001"),
    ),
    Refused(
        "a lower feerate than the replaced one",
        "replacement-failed",
        _worse_diagram,
        "insufficient feerate: does not improve feerate diagram",
    ),
    Refused(
        "101 clusters replaced",
        "too many potential replacements",
        _many_clusters,
        lambda before, tx: (
            f"rejecting replacement {hash_hex(tx.txid)}; too many conflicting clusters (101 > 100)"
        ),
    ),
    Refused(
        "spends what it replaces",
        "bad-txns-spends-conflicting-tx",
        _depends_on_replaced,
        lambda before, tx: f"{hash_hex(tx.txid)} spends conflicting transaction {hash_hex(before[0].txid)}",
    ),
    Refused("65 in a cluster", "too-large-cluster", _cluster_count),
    Refused("105 kvB in a cluster", "too-large-cluster", _cluster_size),
    Refused(
        "version 3 spends version 2",
        "TRUC-violation",
        _truc_child_of_other,
        lambda before, tx: f"version=3 tx {_name(tx)} cannot spend from non-version=3 tx {_name(before[0])}",
    ),
    Refused(
        "version 2 spends version 3",
        "TRUC-violation",
        _other_child_of_truc,
        lambda before, tx: f"non-version=3 tx {_name(tx)} cannot spend from version=3 tx {_name(before[0])}",
    ),
    Refused(
        "version 3 with a grandparent",
        "TRUC-violation",
        _truc_grandchild,
        lambda before, tx: f"tx {_name(tx)} would have too many ancestors",
    ),
    Refused(
        "version 3 too large",
        "TRUC-violation",
        alone(_truc_large),
        lambda before, tx: f"version=3 tx {_name(tx)} is too big: {tx.vsize} > 10000 virtual bytes",
    ),
    Refused(
        "version 3 child too large",
        "TRUC-violation",
        _truc_large_child,
        lambda before, tx: f"version=3 child tx {_name(tx)} is too big: {tx.vsize} > 1000 virtual bytes",
    ),
    Refused(
        "version 3 sibling that pays less",
        "insufficient fee (including sibling eviction)",
        _truc_sibling,
        _rejecting("less fees than conflicting txs; 0.000009 < 0.00001"),
    ),
    Refused(
        "a signature of something else",
        _script("Signature must be zero for failed CHECK(MULTI)SIG operation"),
        alone(_bad_signature),
        lambda before, tx: _input_detail(tx),
    ),
    Refused(
        "a witness stripped off",
        _script("Witness program was passed an empty witness"),
        alone(lambda s: stripped(s.pay())),
        lambda before, tx: _input_detail(tx),
    ),
    Refused(
        "another witness script",
        _script("Witness program hash mismatch"),
        alone(lambda s: _with_witness(s.pay(), b"\x52")),
        lambda before, tx: _input_detail(tx),
    ),
    Refused(
        "something left on the stack",
        _script("Stack size must be exactly one after execution"),
        alone(lambda s: s.spend_special("two ways again", [b"\x01", b"\x01", TWO_WAYS_SCRIPT])),
        lambda before, tx: _input_detail(tx),
    ),
)

__all__ = ["MULTISIG_1_OF_1", "PAY_TO_ANCHOR", "REFUSED", "Refused", "Stage"]

"""createmultisig, combinerawtransaction, signed messages: Core's answers and ours, to the letter."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from rpc_pair import Pair

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut
from pybitcoind.chain.script import secp

pytestmark = pytest.mark.interop

START = 1_700_000_000
WIFS = [
    "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA",
    "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87K7XCyj5v",
    "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87KcLPVfXz",
]
"""Of the keys 1, 2, 3."""
KEYS = [secp.pubkey_of(bytes(31) + bytes([n])).hex() for n in range(1, 24)]
LONG = [secp.pubkey_of(bytes(31) + bytes([n]), False).hex() for n in range(1, 24)]
HYBRID = ("06" if int(LONG[0][-1], 16) % 2 == 0 else "07") + LONG[0][2:]
TYPES = ("legacy", "p2sh-segwit", "bech32")


@pytest.fixture(scope="module")
def pair(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    both = Pair(bitcoind, tmp_path_factory.mktemp("pair"), "-rpcdoccheck")
    yield both
    both.close()


def test_help(pair: Pair) -> None:
    for name in ("createmultisig", "combinerawtransaction", "verifymessage", "signmessagewithprivkey"):
        pair.same("help", name)
        pair.same(name)
    pair.same("help", "signmessage")
    pair.check()


def test_createmultisig(pair: Pair) -> None:
    for output_type in (*TYPES, "bech32m", "unknown", "", None, 1):
        pair.same("createmultisig", 2, KEYS[:3], output_type)
        pair.same("createmultisig", 1, [KEYS[0], LONG[1]], output_type)
        pair.same("createmultisig", 1, [HYBRID, KEYS[1]], output_type)
    for count in (1, 3, 15, 16, 17, 20, 21):
        for output_type in TYPES:
            pair.same("createmultisig", count, KEYS[:count], output_type)
    pair.same("createmultisig", 1, LONG[:7])
    pair.same("createmultisig", 1, LONG[:8], "bech32")
    for required in (0, -1, 4, 2**31, 1.5, "1", None):
        pair.same("createmultisig", required, KEYS[:3])
    for key in ("", "zz", KEYS[0][:-2], KEYS[0] + "00", "05" + KEYS[0][2:], "02" + "ff" * 32, 5, None):
        pair.same("createmultisig", 1, [key])
    for key in ("03" + LONG[0][2:], "04" + KEYS[0][2:], LONG[0][:-2] + "00", KEYS[0].upper()):
        pair.same("createmultisig", 1, [key])
    pair.same("createmultisig", 1, [KEYS[0], KEYS[0]])
    pair.same("createmultisig", 1, [])
    pair.same("createmultisig", 1, KEYS[0])
    pair.check()


def test_messages(pair: Pair) -> None:
    address = "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"
    signed = [
        (text, pair.same("signmessagewithprivkey", WIFS[0], text))
        for text in ("", "hello", "ü" * 300, "a\x00b")
    ]
    for text, signature in signed:
        assert pair.same("verifymessage", address, signature, text) is True
        assert pair.same("verifymessage", address, signature, text + " ") is False
        pair.same("verifymessage", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", signature, text)
    signature = signed[1][1]
    wrong = [
        signature[:-1],
        signature + "=",
        signature[:-4],
        signature + "AAAA",
        " " + signature,
        "",
        "=",
        "====",
    ]
    wrong += ["A", "AA==", "AB==", "AAA=", "AAB=", "AAAA", "A===", "AA=A", "-_-_", "ü", signature[:4] + "\n"]
    for text in wrong:
        pair.same("verifymessage", address, text, "hello")
    for first in range(0, 256, 9):
        raw = bytes([first]) + b64decode(signature)[1:]
        pair.same("verifymessage", address, b64encode(raw).decode(), "hello")
    for other in (
        "",
        "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202",
        "bogus",
        "2N2JD6wb56AfK4tfmM6PwdVmoYk2dCKf4Br",
    ):
        pair.same("verifymessage", other, signature, "hello")
        pair.same("verifymessage", other, "bogus", "hello")
    for wif in ("", "bogus", WIFS[0][:-1], "5HpHagT65TZzG1PH3CSu63k8DbpvD8s5ip4nEB3kEsreAnchuDf"):
        pair.same("signmessagewithprivkey", wif, "hello")
    pair.same("verifymessage", address, signature, 5)
    pair.check()


def test_combinerawtransaction(pair: Pair) -> None:
    """A transaction that spends one output of every kind, signed by one key, by two, by the wrong one."""
    pair.same("setmocktime", START)
    pair.same("generatetodescriptor", 101, f"combo({WIFS[0]})")
    pair.check()
    multi = f"multi(2,{','.join(KEYS[:3])})"
    kinds = [multi, f"sh({multi})", f"wsh({multi})", f"sh(wsh({multi}))"]
    kinds += [f"{kind}({KEYS[0]})" for kind in ("pk", "pkh", "wpkh")]
    kinds += [f"sh(wpkh({KEYS[0]}))", f"sh(pk({KEYS[0]}))", f"wsh(pkh({KEYS[0]}))"]
    scripts = [_script(pair, kind) for kind in kinds]
    scripts.append(_script(pair, f"tr({KEYS[19]})"))  # we sign taproot with the bare key, Core does not
    scripts += [b"\x51\x02\x4e\x73", b"\x51", b"\x51\x51\x93\x52\x88", b"\x52\x03abc"]
    fund = _fund(pair, scripts)
    inputs = [{"txid": hash_hex(fund.txid), "vout": vout} for vout in range(len(scripts))]
    address = "bcrt1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqdku202"
    raw = pair.same("createrawtransaction", inputs, {address: 1})
    other = pair.same("createrawtransaction", inputs, {address: 2})
    prevouts = _prevouts(pair, kinds, scripts, fund)

    def signed(raw: str, *wifs: str, hash_type: str = "ALL") -> str:
        return pair.core.call("signrawtransactionwithkey", raw, wifs, prevouts, hash_type)["hex"]

    copies = [raw, *(signed(raw, wif) for wif in WIFS), signed(raw, *WIFS[1:]), signed(other, WIFS[1])]
    copies.append(signed(raw, WIFS[2], hash_type="NONE|ANYONECANPAY"))
    copies.append(signed(raw, WIFS[0], hash_type="SINGLE"))
    for one in copies:
        pair.same("combinerawtransaction", [one])
        for wifs in ([], WIFS[:1], WIFS[1:2], WIFS[1:], WIFS):
            pair.same("signrawtransactionwithkey", one, wifs, prevouts)
            pair.same("signrawtransactionwithkey", one, wifs)
    for two in permutations(copies, 2):
        pair.same("combinerawtransaction", two)
    for three in permutations(copies[:4], 3):
        pair.same("combinerawtransaction", three)
    fewer = pair.same("createrawtransaction", inputs[:3], {address: 1})
    pair.same("combinerawtransaction", [copies[1], signed(fewer, WIFS[1])])
    pair.same("combinerawtransaction", [signed(fewer, WIFS[1]), copies[1]])
    _damaged(pair, [Transaction.decode(bytes.fromhex(copy)) for copy in copies[1:5]])
    unknown = pair.same("createrawtransaction", [{"txid": "ab" * 32, "vout": 0}], {address: 1})
    no_input = pair.core.call("createrawtransaction", [], {address: 1})
    pair.same("signrawtransactionwithkey", no_input, WIFS)
    for txs in ([], [""], ["00"], [raw, "zz"], [unknown], [raw, unknown], [5], [None], raw, None, {}):
        pair.same("combinerawtransaction", txs)
    pair.same("combinerawtransaction", [no_input])
    pair.check()


def _script(pair: Pair, kind: str) -> bytes:
    """The output script of a descriptor, from the coinbase of a block that is not submitted."""
    descriptor = pair.core.call("getdescriptorinfo", kind)["descriptor"]
    raw = pair.core.call("generateblock", descriptor, [], False)["hex"]
    return Block.decode(bytes.fromhex(raw)).vtx[0].vout[0].script_pubkey


def _fund(pair: Pair, scripts: list[bytes]) -> Transaction:
    """A confirmed transaction with one output of a bitcoin per script."""
    coinbase = pair.core.call("getblock", pair.core.call("getblockhash", 1))["tx"][0]
    outpoint = OutPoint(bytes.fromhex(coinbase)[::-1], 0)
    made = Transaction.make([TxIn(outpoint, b"", 0xFFFFFFFD)], [TxOut(10**8, script) for script in scripts])
    signed = pair.core.call("signrawtransactionwithkey", made.raw.hex(), [WIFS[0]])
    assert signed["complete"], signed
    assert pair.same("generateblock", "raw(51)#8lvh9jxk", [signed["hex"]]) is not None
    pair.check()
    return Transaction.decode(bytes.fromhex(signed["hex"]))


def _prevouts(pair: Pair, kinds: list[str], scripts: list[bytes], fund: Transaction) -> list[dict[str, Any]]:
    """What signrawtransactionwithkey must be told of outputs behind script hashes."""
    multi = pair.core.call("createmultisig", 2, KEYS[:3])["redeemScript"]
    hashed = {1: multi, 2: multi, 3: multi}
    for index, kind in enumerate(kinds):
        if kind.startswith(("sh(", "wsh(")) and index not in hashed:
            inner = kind.partition("(")[2][:-1]
            hashed[index] = _script(pair, inner).hex()
    out = []
    for index, script in sorted(hashed.items()):
        row = {"txid": hash_hex(fund.txid), "vout": index, "scriptPubKey": scripts[index].hex()}
        row |= {"redeemScript": script} if kinds[index].startswith("sh(") else {"witnessScript": script}
        if kinds[index].startswith("sh(wsh("):
            del row["redeemScript"]
            row["witnessScript"] = script
        out.append(row | {"amount": 1})
    return out


def _damaged(pair: Pair, copies: list[Transaction]) -> None:
    """One input of a copy at a time is changed; the copy alone, and with the first one."""
    for tx in copies:
        for index, txin in enumerate(tx.vin):
            for script_sig, stack in _broken(txin.script_sig, tx.witness_of(index)):
                vin = list(tx.vin)
                vin[index] = txin._replace(script_sig=script_sig)
                witness = [stack if i == index else tx.witness_of(i) for i in range(len(vin))]
                made = Transaction.make(vin, tx.vout, witness=witness).raw.hex()
                pair.same("combinerawtransaction", [made])
                pair.same("combinerawtransaction", [made, copies[0].raw.hex()])


def _broken(script_sig: bytes, stack: tuple[bytes, ...]) -> Iterator[tuple[bytes, tuple[bytes, ...]]]:
    """Cut, with one item too many, with a bit turned inside the signature."""
    yield script_sig[:-1], stack
    yield b"\x51" + script_sig, stack
    yield script_sig[:20] + b"\xff" + script_sig[21:], stack
    yield script_sig, stack[:-1]
    yield script_sig, (b"", *stack)
    yield b"", stack
    for i, item in enumerate(stack):
        yield script_sig, (*stack[:i], item[:9] + b"\xff" + item[10:], *stack[i + 1 :])

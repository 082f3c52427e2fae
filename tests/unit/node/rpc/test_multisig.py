"""createmultisig and signed messages as methods: addresses worked out here, and Core's refusals."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.primitives.hashes import hash160
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.address import encode_address, extract_destination
from pybitcoind.node.rpc.errors import RpcError
from pybitcoind.node.rpc.messages import signmessagewithprivkey, verifymessage
from pybitcoind.node.rpc.multisig import createmultisig

PARAMS = networks.regtest()
KEYS = [secp.pubkey_of(bytes(31) + bytes([n])).hex() for n in range(1, 22)]
LONG = secp.pubkey_of(bytes(31) + b"\x01", False).hex()
WIF = "cMahea7zqjxrtgAbB7LSGbcQUr1uX1ojuat9jZodMN87JcbXMTcA"
"""Of the key 1."""
ADDRESS = "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"


def call(method: Any, *params: Any) -> Any:
    ctx: Any = SimpleNamespace(params=PARAMS)
    return asyncio.run(method(ctx, *params))


def address(script: bytes) -> str:
    destination = extract_destination(script)
    assert destination is not None
    return encode_address(destination, PARAMS)


def p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + hash160(script) + b"\x87"


def test_addresses() -> None:
    script = bytes.fromhex("52" + "".join("21" + key for key in KEYS[:3]) + "53ae")
    witness = b"\x00\x20" + sha256(script).digest()
    inner = f"multi(2,{','.join(KEYS[:3])})"
    expected = {
        "legacy": (p2sh(script), f"sh({inner})"),
        "p2sh-segwit": (p2sh(witness), f"sh(wsh({inner}))"),
        "bech32": (witness, f"wsh({inner})"),
    }
    for output_type, (script_pubkey, descriptor) in expected.items():
        made = call(createmultisig, 2, KEYS[:3], output_type)
        assert made["address"] == address(script_pubkey)
        assert made["redeemScript"] == script.hex() and "warnings" not in made
        assert made["descriptor"].partition("#")[0] == descriptor


def test_uncompressed_key_makes_it_legacy() -> None:
    made = call(createmultisig, 1, [KEYS[1], LONG], "bech32")
    assert made["address"] == address(p2sh(bytes.fromhex(made["redeemScript"])))
    assert made["warnings"][0].startswith("Unable to make chosen address type")


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ((0, KEYS[:1], "legacy"), -8, "a multisignature address must require at least one key to redeem"),
        ((2, KEYS[:1], "legacy"), -8, "not enough keys supplied (got 1 keys, but need at least 2 to redeem)"),
        ((1, KEYS[:16], "legacy"), -8, "redeemScript exceeds size limit: 547 > 520"),
        ((1, ["zz"], "legacy"), -5, 'Pubkey "zz" must be a hex string'),
        ((1, ["02" * 32], "legacy"), -5, f'Pubkey "{"02" * 32}" must have a length of either 33 or 65 bytes'),
        ((1, KEYS[:1], "bech32m"), -5, "createmultisig cannot create bech32m multisig addresses"),
        ((1, KEYS[:1], "p2tr"), -5, "Unknown address type 'p2tr'"),
    ],
)
def test_refusals(params: tuple[Any, ...], code: int, message: str) -> None:
    with pytest.raises(RpcError) as caught:
        call(createmultisig, *params)
    assert (caught.value.code, caught.value.message) == (code, message)


def test_more_than_twenty_keys() -> None:
    assert call(createmultisig, 20, KEYS[:20], "bech32")["redeemScript"].startswith("0114")
    with pytest.raises(RpcError, match="> 20\nReduce the number"):
        call(createmultisig, 1, KEYS, "bech32")


def test_messages() -> None:
    signature = call(signmessagewithprivkey, WIF, "hello")
    assert call(verifymessage, ADDRESS, signature, "hello") is True
    assert call(verifymessage, ADDRESS, signature, "hello ") is False
    assert call(verifymessage, ADDRESS, "AAAA", "hello") is False
    for text in (signature[:-1], " " + signature, "AB==", "===="):
        with pytest.raises(RpcError, match="Malformed base64 encoding"):
            call(verifymessage, ADDRESS, text, "hello")
    with pytest.raises(RpcError, match="Address does not refer to key"):
        call(verifymessage, address(b"\x00\x14" + bytes(20)), signature, "hello")
    with pytest.raises(RpcError, match="Invalid private key"):
        call(signmessagewithprivkey, WIF[:-1], "hello")

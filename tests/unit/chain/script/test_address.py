"""Addresses: Core's key_io and base58 vectors, and the messages of rpc_invalid_address_message.py."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pybitcoind.chain.params import NETWORKS, regtest
from pybitcoind.chain.script.address import (
    AddressError,
    PayToAnchor,
    decode_address,
    encode_address,
    extract_destination,
)
from pybitcoind.chain.script.base58check import decode_base58, decode_base58check, encode_base58check
from pybitcoind.chain.script.bech32 import (
    CHARSET,
    Encoding,
    bech32_decode,
    bech32_encode,
    convert_bits,
    locate_errors,
)


def test_valid_addresses(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/key_io_valid.json").read_text())
    addresses = 0
    for text, payload, meta in cases:
        params = NETWORKS[meta["chain"]]()
        if meta["isPrivkey"]:
            with pytest.raises(AddressError):
                decode_address(text, params)
            secret = decode_base58check(text, 34)
            assert secret is not None and secret[:1] == params.secret_prefix
            assert secret[1:33].hex() == payload
            continue
        addresses += 1
        script = bytes.fromhex(payload)
        destination = decode_address(text, params)
        assert destination.script_pubkey == script
        assert extract_destination(script) == destination
        assert encode_address(destination, params) == text
        flipped = text.swapcase()
        if meta.get("tryCaseFlip"):
            assert decode_address(flipped, params) == destination
        else:
            with pytest.raises(AddressError):
                decode_address(flipped, params)
        for other in NETWORKS.values():
            if other().bech32_hrp != params.bech32_hrp and (
                meta["chain"] == "main" or other().name == "main" or text.startswith(params.bech32_hrp + "1")
            ):
                with pytest.raises(AddressError):
                    decode_address(text, other())
    ran("core/key_io_valid.json", f"{addresses} addresses, {len(cases) - addresses} keys")
    assert addresses > 50


def test_invalid_addresses(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/key_io_invalid.json").read_text())
    for (text,) in cases:
        for params in NETWORKS.values():
            with pytest.raises(AddressError):
                decode_address(text, params())
    ran("core/key_io_invalid.json", f"{len(cases)} texts on {len(NETWORKS)} networks")


def test_base58(shared: Path, ran: Callable[[str, object], None]) -> None:
    cases = json.loads((shared / "vectors/core/base58_encode_decode.json").read_text())
    ran("core/base58_encode_decode.json", f"{len(cases)} texts")
    for payload, text in cases:
        data = bytes.fromhex(payload)
        assert decode_base58(text, 256) == data
        assert decode_base58(f" \t{text}\n", 256) == data
        if data:
            assert decode_base58(text, len(data) - 1) is None
        checked = encode_base58check(data)
        assert decode_base58check(checked, len(data)) == data
        assert decode_base58check(checked + "z", 300) is None
    for bad in ("bad0IOl", "1\x00", "12 3", "é", "1" * 10_000):
        assert decode_base58(bad, 100) is None


LONG = "bcrt1q" + 2 * "049edschfnwystcqnsvyfpj23mpsg3jcedq9xv" + "049edschfnwystcqnsvyfpj23m"
BASE58_OR_BECH32 = "Invalid or unsupported Segwit (Bech32) or Base58 encoding."
BAD_BASE58 = "Invalid checksum or length of Base58 address (P2PKH or P2SH)"


@pytest.mark.parametrize(
    ("text", "message", "places"),
    [
        (
            "bcrt1s0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav25430mtr",
            "Invalid Bech32 address program size (41 bytes)",
            [],
        ),
        (
            "bc1pw508d6qejxtdg4y5r3zarvary0c5xw7kw508d6qejxtdg4y5r3zarvary0c5xw7k7grplx",
            BASE58_OR_BECH32,
            [],
        ),
        (
            "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqdmchcc",
            "Version 1+ witness address must use Bech32m checksum",
            [],
        ),
        (
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7k35mrzd",
            "Version 0 witness address must use Bech32 checksum",
            [],
        ),
        (
            "bcrt130xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqynjegk",
            "Invalid Bech32 address witness version",
            [],
        ),
        (
            "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kqqq5k3my",
            "Invalid Bech32 v0 address program size (21 bytes), per BIP141",
            [],
        ),
        (LONG, "Bech32 string too long", list(range(90, 108))),
        ("bcrt1q049edschfnwystcqnsvyfpj23mpsg3jcedq9xv", "Invalid Bech32 checksum", [9]),
        ("bcrt1qax9suht3qv95sw33xavx8crpxduefdrsvgsklu", "Invalid Bech32 checksum", [22, 43]),
        ("BCRT1QPLMTZKC2XHARPPZDLNPAQL78RSHJ68U32RAH7R", "Invalid Bech32 checksum", [38]),
        ("bcrtq049ldschfnwystcqnsvyfpj23mpsg3jcedq9xv", "Missing separator", []),
        ("bcrt1q04oldschfnwystcqnsvyfpj23mpsg3jcedq9xv", "Invalid Base 32 character", [8]),
        (
            "bcrt1qdg3myrgvzw7ml8q0ejxhlkyxn7vl9r56yzkfgvzclrf4hkpx9yfqhpsuks",
            "Invalid Bech32 checksum",
            [19, 30],
        ),
        ("bcrt1ptmp74ayg7p24uslctssvjm06q5phz4yrxucgnv", "Invalid Bech32 checksum", [5]),
        ("bcrt1Qtmp74ayg7p24uslctssvjm06q5phz4yrxucgnv", "Invalid character or mixed case", [5]),
        ("bcrt1qtmp\u00e974", "Invalid character or mixed case", [9, 10]),
        ("bcrt1qqqqq", "Invalid separator position", [4]),
        ("17VZNX1SN5NtKa8UQFxwQbFeFc3iqRYhem", "Invalid or unsupported Base58-encoded address.", []),
        ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJJfn", BAD_BASE58, []),
        ("2VKf7XKMrp4bVNVmuRbyCewkP8FhGLP2E54LHDPakr9Sq5mtU2", BAD_BASE58, []),
        ("asfah14i8fajz0123f", BASE58_OR_BECH32, []),
        ("1q049ldschfnwystcqnsvyfpj23mpsg3jcedq9xv", BASE58_OR_BECH32, []),
        ("", BAD_BASE58, []),
    ],
)
def test_messages(text: str, message: str, places: list[int]) -> None:
    with pytest.raises(AddressError) as caught:
        decode_address(text, regtest())
    assert caught.value.message == message
    assert caught.value.error_locations == places


@pytest.mark.parametrize(
    "text",
    [
        "bcrt1qtmp74ayg7p24uslctssvjm06q5phz4yrxucgnv",
        "bcrt1p424qxxyd0r",
        "BCRT1QPLMTZKC2XHARPPZDLNPAQL78RSHJ68U33RAH7R",
        "bcrt1qdg3myrgvzw7ml9q0ejxhlkyxm7vl9r56yzkfgvzclrf4hkpx9yfqhpsuks",
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
    ],
)
def test_valid_on_regtest(text: str) -> None:
    assert encode_address(decode_address(text, regtest()), regtest()) in (text, text.lower())


def test_anchor() -> None:
    address = encode_address(PayToAnchor(), regtest())
    assert address == "bcrt1pfeesnyr2tx"
    assert decode_address(address, regtest()) == PayToAnchor()


def test_no_data_and_bad_padding() -> None:
    with pytest.raises(AddressError, match="Empty Bech32 data section"):
        decode_address(bech32_encode(Encoding.BECH32, "bcrt", []), regtest())
    with pytest.raises(AddressError, match="Invalid padding in Bech32 data section"):
        decode_address(bech32_encode(Encoding.BECH32, "bcrt", [0, 1]), regtest())
    with pytest.raises(AddressError, match=r"\(expected bcrt, got bcrtx\)"):
        decode_address(bech32_encode(Encoding.BECH32, "bcrtx", [0, 1]), regtest())


def test_errors_are_found() -> None:
    """Any one or two wrong characters behind the separator are named, whatever the encoding."""
    rng = random.Random(20261120)
    for _ in range(60):
        encoding = rng.choice(list(Encoding))
        data = [rng.randrange(32) for _ in range(rng.randrange(1, 70))]
        text = bech32_encode(encoding, "bcrt", data)
        assert bech32_decode(text) == (encoding, "bcrt", data)
        assert locate_errors(text) == ("", [])
        count = rng.choice((1, 2))
        places = sorted(rng.sample(range(5, len(text)), count))
        wrong = list(text)
        for place in places:
            wrong[place] = rng.choice([char for char in CHARSET if char != text[place]])
        message, found = locate_errors("".join(wrong))
        if len(found) < count:  # closer to a word of the other encoding
            continue
        assert (message, found) == (
            "Invalid Bech32m checksum" if encoding is Encoding.BECH32M else "Invalid Bech32 checksum",
            places,
        ) or len(found) == count


def test_bits() -> None:
    assert convert_bits(b"\xff", 8, 5, True) == [31, 28]
    assert convert_bits([31, 28], 5, 8, False) == [255]
    assert convert_bits([31, 29], 5, 8, False) is None
    assert convert_bits([0, 0, 0], 5, 8, False) is None

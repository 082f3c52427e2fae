"""HD keys against BIP 32's vectors, WIF against Core's key_io vectors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.descriptors import parse_descriptor
from pybitcoind.chain.descriptors.hd import HARDENED, DerivationError, ExtPubKey
from pybitcoind.wallet.hd import ExtKey, KeyStore, decode_wif, encode_wif

MAIN = networks.main()


def steps(path: str) -> list[int]:
    """ "m/0'/1" as numbers."""
    return [int(s.rstrip("'hH")) + (HARDENED if s[-1] in "'hH" else 0) for s in path.split("/")[1:]]


def test_bip32_vectors(shared: Path, ran: Callable[[str, object], None]) -> None:
    """shared/vectors/bips/bip-0032-hd.json: every chain of each seed."""
    text = (shared / "vectors/bips/bip-0032-hd.json").read_text()
    count = 0
    for vector in [v for v in json.loads(text).values() if isinstance(v, dict)]:
        master = ExtKey.from_seed(bytes.fromhex(vector["seed"]))
        for path, keys in _chains(vector):
            key = master.derive_path(steps(path))
            assert key.encode(MAIN) == keys[1]
            assert key.neuter().encode(MAIN) == keys[0]
            assert ExtKey.decode(keys[1], MAIN) == key
            assert ExtPubKey.decode(keys[0], MAIN) == key.neuter()
            count += 1
    ran("bips/bip-0032-hd.json", f"{count} keys")
    assert count


def _chains(vector: dict[str, object]) -> list[tuple[str, tuple[str, str]]]:
    """(path, (xpub, xprv)) whatever the names of the fields."""
    rows = []
    for key, value in vector.items():
        if re.match(r"^m(/|$)", key):
            assert isinstance(value, dict)
            found = sorted(v for v in value.values() if isinstance(v, str) and v[:4] in ("xpub", "xprv"))
            rows.append((key, (found[1], found[0])))
        elif isinstance(value, dict):
            rows += _chains(value)
    return rows


def test_public_and_private_derivation_agree() -> None:
    key = ExtKey.from_seed(bytes(range(16)))
    assert key.neuter().derive(5) == key.derive(5).neuter()
    with pytest.raises(DerivationError):
        key.neuter().derive(HARDENED)


def test_wif_vectors(shared: Path, ran: Callable[[str, object], None]) -> None:
    count = 0
    by_name = {"main": networks.main(), "testnet4": networks.testnet4(), "regtest": networks.regtest()}
    for text, payload, about in json.loads((shared / "vectors/core/key_io_valid.json").read_text()):
        if about["isPrivkey"] and about["chain"] in by_name:
            params = by_name[about["chain"]]
            assert decode_wif(text, params) == (bytes.fromhex(payload), about["isCompressed"])
            assert encode_wif(bytes.fromhex(payload), params, compressed=about["isCompressed"]) == text
            count += 1
    for (text,) in json.loads((shared / "vectors/core/key_io_invalid.json").read_text()):
        assert all(decode_wif(text, params) is None for params in by_name.values())
        count += 1
    ran("core/key_io_valid.json", f"{count} private keys, those of key_io_invalid.json included")


def test_descriptor_with_private_keys_goes_through_the_store() -> None:
    """The store keeps the secret; the text that comes back has none."""
    store = KeyStore()
    master = ExtKey.from_seed(bytes(range(32)))
    text = f"wpkh({master.encode(MAIN)}/84h/0h/0h/0/*)"
    descriptor = parse_descriptor(text, MAIN, sink=store)
    assert descriptor.has_private_keys
    expansion = descriptor.expand(3)
    (pubkey,) = expansion.keys
    path = (84 | HARDENED, HARDENED, HARDENED, 0, 3)
    assert master.derive_path(path).pubkey == pubkey
    assert expansion.keys[pubkey].path == path
    assert "xprv" not in str(descriptor)
    normalized = parse_descriptor(descriptor.normalized(), MAIN)
    assert normalized.expand(3).scripts == expansion.scripts
    assert normalized.expand(3).keys == expansion.keys

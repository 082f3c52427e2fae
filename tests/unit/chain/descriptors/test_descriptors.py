"""Descriptors against Core's published examples (doc/descriptors.md) and BIP 380 to 386."""

from __future__ import annotations

import pytest

from pybitcoind.chain import params as networks
from pybitcoind.chain.descriptors import (
    DescriptorError,
    add_checksum,
    descriptor_checksum,
    infer_descriptor,
    parse_descriptor,
    parse_descriptors,
)
from pybitcoind.chain.descriptors.hd import DerivationError, ExtPubKey

MAIN, REGTEST = networks.main(), networks.regtest()
KEY = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
KEY2 = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
UNCOMPRESSED = (
    "04a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"
    "5b8dec5235a0fa8722476c7709c02559e3aa73aa03918ba2d492eea75abea235"
)
XPUB = (
    "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2"
    "gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
)


@pytest.mark.parametrize(
    ("text", "scripts"),
    [
        (f"pk({KEY})", ["21" + KEY + "ac"]),
        (f"pkh({KEY})", ["76a914751e76e8199196d454941c45d1b3a323f1433bd688ac"]),
        (f"wpkh({KEY})", ["0014751e76e8199196d454941c45d1b3a323f1433bd6"]),
        (f"sh(wpkh({KEY}))", ["a914bcfeb728b584253d5f3f70bcb780e9ef218a68f487"]),
        (f"multi(1,{KEY},{KEY2})", ["5121" + KEY + "21" + KEY2 + "52ae"]),
        (f"sortedmulti(1,{KEY2},{KEY})", ["5121" + KEY + "21" + KEY2 + "52ae"]),
        (
            "tr(a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd)",
            ["512077aab6e066f8a7419c5ab714c12c67d25007ed55a43cadcacb4d7a970a093f11"],
        ),
        (
            "rawtr(a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd)",
            ["5120a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"],
        ),
        ("raw(deadbeef)", ["deadbeef"]),
        (
            "addr(bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4)",
            ["0014751e76e8199196d454941c45d1b3a323f1433bd6"],
        ),
        (f"pk({UNCOMPRESSED})", ["41" + UNCOMPRESSED + "ac"]),
    ],
)
def test_fixed_descriptors(text: str, scripts: list[str]) -> None:
    descriptor = parse_descriptor(text, MAIN)
    assert [script.hex() for script in descriptor.expand().scripts] == scripts
    assert str(descriptor) == add_checksum(text)
    assert str(parse_descriptor(str(descriptor), MAIN, require_checksum=True)) == str(descriptor)
    assert not descriptor.is_range


def test_combo_has_four_scripts() -> None:
    scripts = parse_descriptor(f"combo({KEY})", MAIN).expand().scripts
    assert [len(script) for script in scripts] == [35, 25, 22, 23]


def test_published_checksum() -> None:
    assert descriptor_checksum("raw(deadbeef)") == "89f8spxm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raw(deadbeef)#", "Expected 8 character checksum, not 0 characters"),
        ("raw(deadbeef)#89f8spxmx", "Expected 8 character checksum, not 9 characters"),
        ("raw(deedbeef)#89f8spxm", "Provided checksum '89f8spxm' does not match computed checksum"),
        ("raw(deadbeef)##9f8spxm", "Multiple '#' symbols"),
        ("raw(Ü)#00000000", "Invalid characters in payload"),
        ("raw(dead)x", "is not a valid descriptor function"),
        ("raw(xy)", "Raw script is not hex"),
        (f"wpkh({UNCOMPRESSED})", "wpkh(): Uncompressed keys are not allowed"),
        (f"wsh(pk({UNCOMPRESSED}))", "pk(): Uncompressed keys are not allowed"),
        (f"sh(sh(pk({KEY})))", "Can only have sh() at top level"),
        (f"wsh(wpkh({KEY}))", "Can only have wpkh() at top level or inside sh()"),
        (f"wsh(wsh(pk({KEY})))", "Can only have wsh() at top level or inside sh()"),
        (f"multi(3,{KEY},{KEY2})", "threshold is 3 but only 2 keys specified"),
        (f"multi(0,{KEY})", "Multisig threshold cannot be 0, must be at least 1"),
        (f"multi(a,{KEY})", "Multi threshold 'a' is not valid"),
        (f"multi(1,{KEY},{KEY},{KEY},{KEY})", "Cannot have 4 pubkeys in bare multisig"),
        (f"pkh([aaaaaaaa][aaaaaaaa]{KEY})", "Multiple ']' characters found for a single pubkey"),
        (f"pkh(aaaaaaaa]{KEY})", "Key origin start '[ character expected but not found, got 'a' instead"),
        (f"pkh([aaaaaaa]{KEY})", "Fingerprint is not 4 bytes (7 characters instead of 8 characters)"),
        (f"pkh([gaaaaaaa]{KEY})", "Fingerprint 'gaaaaaaa' is not hex"),
        ("pkh()", "No key provided"),
        (f"pkh({XPUB}/2147483648)", "Key path value 2147483648 is out of range"),
        (f"pkh({XPUB}/1aa)", "Key path value '1aa' is not a valid uint32"),
        ("addr(nonsense)", "Address is not valid"),
        ("", "is not a valid descriptor function"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        parse_descriptor(text, MAIN)
    assert message in str(caught.value)


def test_checksum_may_be_required() -> None:
    with pytest.raises(DescriptorError, match="Missing checksum"):
        parse_descriptor("raw(deadbeef)", MAIN, require_checksum=True)


def test_ranged_descriptor_follows_bip32() -> None:
    """BIP 32 test vector 1: m is public here, so only unhardened steps go."""
    descriptor = parse_descriptor(f"pkh([d34db33f/44h/0h]{XPUB}/1/*)", MAIN)
    assert descriptor.is_range
    root = ExtPubKey.decode(XPUB, MAIN)
    assert root is not None and root.encode(MAIN) == XPUB
    child = root.derive(1).derive(7).pubkey
    expansion = descriptor.expand(7)
    assert child in expansion.keys
    assert str(expansion.keys[child]) == "d34db33f/44h/0h/1/7"
    assert descriptor.expand(7).scripts != descriptor.expand(8).scripts


def test_hardened_steps_need_the_private_key() -> None:
    with pytest.raises(DerivationError):
        parse_descriptor(f"pkh({XPUB}/1h/*)", MAIN).expand(0)


def test_multipath_gives_several() -> None:
    receive, change = parse_descriptors(f"wpkh({XPUB}/<0;1>/*)", MAIN)
    assert receive.text() == f"wpkh({XPUB}/0/*)"
    assert change.text() == f"wpkh({XPUB}/1/*)"
    with pytest.raises(DescriptorError, match="Duplicated key path value 1 in multipath specifier"):
        parse_descriptors(f"wpkh({XPUB}/<1;1>/*)", MAIN)


def test_other_networks_key_is_refused() -> None:
    with pytest.raises(DescriptorError, match="is not valid"):
        parse_descriptor(f"pkh({XPUB})", REGTEST)


@pytest.mark.parametrize("text", [f"pk({KEY})", f"multi(1,{KEY},{KEY2})", "raw(6a)", f"rawtr({KEY[2:]})"])
def test_inferred_without_a_provider(text: str) -> None:
    script = parse_descriptor(text, MAIN).expand().scripts[0]
    assert infer_descriptor(script, MAIN).text() == text


def test_inferred_address() -> None:
    script = parse_descriptor(f"pkh({KEY})", MAIN).expand().scripts[0]
    assert infer_descriptor(script, MAIN).text() == "addr(1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH)"

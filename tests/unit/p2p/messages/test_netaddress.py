"""Addresses: text, both wire forms, what is routable, and groups (values as in Core's net_tests.cpp)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer
from pybitcoind.p2p.messages import NetAddress, NetworkId
from pybitcoind.p2p.messages.netaddress import split_host_port

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
I2P = "ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p"


def v2(address: NetAddress) -> bytes:
    w = Writer()
    address.encode_v2(w)
    return w.getvalue()


def from_v2(text: str) -> NetAddress:
    return NetAddress.decode_v2(Reader(bytes.fromhex(text) + b"\x20\x8d"))


@pytest.mark.parametrize(
    ("text", "printed", "network"),
    [
        ("127.0.0.1", "127.0.0.1:8333", NetworkId.IPV4),
        ("1.2.3.4:5", "1.2.3.4:5", NetworkId.IPV4),
        ("[1.2.3.4]:5", "1.2.3.4:5", NetworkId.IPV4),
        ("::1", "[::1]:8333", NetworkId.IPV6),
        ("[::1]:9", "[::1]:9", NetworkId.IPV6),
        ("[2001:0db8:0:0:1:0:0:1]", "[2001:db8::1:0:0:1]:8333", NetworkId.IPV6),
        ("1:0:2:0:3:0:4:0", "[1:0:2:0:3:0:4:0]:8333", NetworkId.IPV6),
        ("1:2:3:4:5:6:0:0", "[1:2:3:4:5:6::]:8333", NetworkId.IPV6),
        ("::102:304", "[::102:304]:8333", NetworkId.IPV6),
        ("::ffff:1.2.3.4", "1.2.3.4:8333", NetworkId.IPV4),
        ("fe80::1%3", "[fe80::1]:8333", NetworkId.IPV6),
        (ONION, ONION + ":8333", NetworkId.TORV3),
        (ONION + ":1", ONION + ":1", NetworkId.TORV3),
        (I2P + ":0x", None, None),
        (I2P, I2P + ":8333", NetworkId.I2P),
        (I2P.upper(), I2P + ":8333", NetworkId.I2P),
        ("fd6b:88c0:8724:102:304:506:708:90a", None, None),
        ("localhost", None, None),
        ("", None, None),
        ("1.2.3", "1.2.0.3:8333", NetworkId.IPV4),
        ("1.2.3.4.5", None, None),
        ("1.2.3.4:0", None, None),
        ("1.2.3.4:65536", None, None),
        ("1.2.3.4:+5", None, None),
        ("[::1", None, None),
        ("1.2.3.4\x00", None, None),
        (ONION.replace("p", "q", 1), None, None),
        ("5wyqrzbvrdsumnok.onion", None, None),
        ("x" * 52 + ".b32.i2", None, None),
        ("0" * 52 + ".b32.i2p", None, None),
    ],
)
def test_text(text: str, printed: str | None, network: NetworkId | None) -> None:
    if printed is None:
        with pytest.raises(ValueError):
            NetAddress.parse(text, 8333)
    else:
        address = NetAddress.parse(text, 8333)
        assert (str(address), address.network) == (printed, network)
        assert NetAddress.parse(str(address), 1) == address
        assert NetAddress.from_host(*address.endpoint) == address
        assert NetAddress.from_key(address.key) == address


def test_split_host_port() -> None:
    assert split_host_port("www.bitcoin.org:80", 1) == ("www.bitcoin.org", 80)
    assert split_host_port("[www.bitcoin.org]", 1) == ("www.bitcoin.org", 1)
    assert split_host_port("::8333", 1) == ("::8333", 1)
    assert split_host_port("[::]:8333", 1) == ("::", 8333)
    assert split_host_port(":8333", 1) == ("", 8333)


@pytest.mark.parametrize(
    ("wire", "printed"),
    [
        ("010401020304", "1.2.3.4:8333"),
        ("0210" + "0102030405060708090a0b0c0d0e0f10", "[102:304:506:708:90a:b0c:d0e:f10]:8333"),
        ("0210" + "fd6b88c08724" + "0102030405060708090a", "aebagbafaydqqcik.internal:8333"),
        ("0420" + "79bcc625184b05194975c28b66b66b0469f7f6556fb1ac3189a79b40dda32f1f", ONION + ":8333"),
        ("0520" + "a2894dabaec08c0051a481a6dac88b64f98232ae42d4b6fd2fa81952dfe36a87", I2P + ":8333"),
        ("0610" + "fc000001000200030004000500060007", "[fc00:1:2:3:4:5:6:7]:8333"),
    ],
)
def test_bip_155(wire: str, printed: str) -> None:
    address = from_v2(wire)
    assert str(address) == printed
    assert v2(address) == bytes.fromhex(wire) + b"\x20\x8d"


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        ("0105" + "00" * 5, "BIP155 IPv4 address with length 5 (should be 4)"),
        ("0204" + "00" * 4, "BIP155 IPv6 address with length 4 (should be 16)"),
        ("0400", "BIP155 TORv3 address with length 0 (should be 32)"),
        ("0503" + "00" * 3, "BIP155 I2P address with length 3 (should be 32)"),
        ("0601" + "00", "BIP155 CJDNS address with length 1 (should be 16)"),
        ("02fd0102" + "00" * 513, "Address too long: 513 > 512"),
        ("aafe00000002" + "00" * 9, "Address too long: 33554432 > 512"),
        ("0410" + "00" * 16, "BIP155 TORv3 address with length 16 (should be 32)"),
    ],
)
def test_wrong_lengths(wire: str, text: str) -> None:
    with pytest.raises(DecodeError) as raised:
        from_v2(wire)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    "wire",
    [
        "aa0401020304",
        "aa00",
        "030a" + "f1" * 10,
        "0210" + "00" * 10 + "ffff01020304",
        "0210" + "fd87d87eeb43" + "01" * 10,
    ],
)
def test_what_cannot_be_kept_becomes_invalid_and_the_next_is_read(wire: str) -> None:
    r = Reader(bytes.fromhex(wire) + b"\x00\x01" + bytes.fromhex("010401020304") + b"\x00\x02")
    first, second = NetAddress.decode_v2(r), NetAddress.decode_v2(r)
    assert (first.host, first.is_valid) == ("::", False)
    assert str(second) == "1.2.3.4:2"


def test_old_form() -> None:
    for text, wire in (
        ("1.2.3.4:1", "00" * 10 + "ffff01020304" + "0001"),
        ("[102::1]:1", "0102" + "00" * 13 + "01" + "0001"),
        (ONION + ":1", "00" * 16 + "0001"),
    ):
        w = Writer()
        NetAddress.parse(text).encode_v1(w)
        assert w.getvalue().hex() == wire
    tor_v2 = NetAddress.decode_v1(Reader(bytes.fromhex("fd87d87eeb43" + "01" * 10 + "0001")))
    assert not tor_v2.is_valid and tor_v2.host == "::"
    name = NetAddress.internal("seed.bitcoin.sipa.be")
    assert NetAddress.from_ipv6(name.legacy_bytes, 0) == name and name.network_name == "internal"


@pytest.mark.parametrize(
    ("text", "valid", "routable", "network", "group"),
    [
        ("127.0.0.1", True, False, "not_publicly_routable", "00"),
        ("::1", True, False, "not_publicly_routable", "00"),
        ("10.0.0.1", True, False, "not_publicly_routable", "00"),
        ("172.16.1.1", True, False, "not_publicly_routable", "00"),
        ("172.32.1.1", True, True, "ipv4", "01ac20"),
        ("192.168.1.1", True, False, "not_publicly_routable", "00"),
        ("169.254.1.1", True, False, "not_publicly_routable", "00"),
        ("100.64.0.1", True, False, "not_publicly_routable", "00"),
        ("198.18.0.1", True, False, "not_publicly_routable", "00"),
        ("192.0.2.1", True, False, "not_publicly_routable", "00"),
        ("1.2.3.4", True, True, "ipv4", "010102"),
        ("0.0.0.0", False, False, "not_publicly_routable", "00"),
        ("255.255.255.255", False, False, "not_publicly_routable", "00"),
        ("2001:db8::1", False, False, "not_publicly_routable", "00"),
        ("fe80::1", True, False, "not_publicly_routable", "00"),
        ("fc00::1", True, False, "not_publicly_routable", "00"),
        ("2001:10::1", True, False, "not_publicly_routable", "00"),
        ("64:ff9b::102:304", True, True, "ipv6", "010102"),
        ("::ffff:0:102:304", True, True, "ipv6", "010102"),
        ("2002:102:304:9999:9999:9999:9999:9999", True, True, "ipv6", "010102"),
        ("2001:0:9999:9999:9999:9999:fefd:fcfb", True, True, "ipv6", "010102"),
        ("2001:470:abcd:9999:9999:9999:9999:9999", True, True, "ipv6", "0220010470af"),
        ("2001:2001:9999:9999:9999:9999:9999:9999", True, True, "ipv6", "0220012001"),
        (ONION, True, True, "onion", "037f"),
        (I2P, True, True, "i2p", "04af"),
    ],
)
def test_kinds(text: str, valid: bool, routable: bool, network: str, group: str) -> None:
    address = NetAddress.parse(text, 8333)
    assert (address.is_valid, address.is_routable, address.network_name) == (valid, routable, network)
    assert address.group.hex() == group


def test_cjdns() -> None:
    address = NetAddress(NetworkId.CJDNS, bytes.fromhex("fc000001000200030004000500060007"), 8333)
    assert address.is_routable and address.network_name == "cjdns" and address.group.hex() == "05fc0f"
    assert not NetAddress(NetworkId.CJDNS, bytes(16), 8333).is_valid


@given(st.binary(min_size=18, max_size=18))
def test_any_old_form_round_trips_or_is_tor(raw: bytes) -> None:
    address = NetAddress.decode_v1(Reader(raw))
    w = Writer()
    address.encode_v1(w)
    assert w.getvalue() == raw or raw.startswith(bytes.fromhex("fd87d87eeb43"))
    assert address.group[0] <= 6
    if address.port and address.network is not NetworkId.INTERNAL:
        assert NetAddress.parse(str(address)) == address

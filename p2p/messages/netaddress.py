"""Addresses of nodes: IPv4, IPv6, Tor, I2P, CJDNS (BIP 155).

Source: Bitcoin Core src/netaddress.cpp, netgroup.cpp.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from enum import IntEnum
from hashlib import sha3_256
from ipaddress import ip_address
from typing import NamedTuple

from pybitcoind.chain.primitives.hashes import sha256
from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer


class NetworkId(IntEnum):
    """BIP 155's numbers. TORV2 is no longer in use; INTERNAL is ours: a name's hash, never gossiped."""

    IPV4 = 1
    IPV6 = 2
    TORV2 = 3
    TORV3 = 4
    I2P = 5
    CJDNS = 6
    INTERNAL = 255


_SIZES = {
    NetworkId.IPV4: 4,
    NetworkId.IPV6: 16,
    NetworkId.TORV3: 32,
    NetworkId.I2P: 32,
    NetworkId.CJDNS: 16,
}
_BIP155_NAMES = {1: "IPv4", 2: "IPv6", 4: "TORv3", 5: "I2P", 6: "CJDNS"}
_NAMES = {
    NetworkId.IPV4: "ipv4",
    NetworkId.IPV6: "ipv6",
    NetworkId.TORV3: "onion",
    NetworkId.I2P: "i2p",
    NetworkId.CJDNS: "cjdns",
    NetworkId.INTERNAL: "internal",
}
_GROUP_CLASS = {
    "not_publicly_routable": 0,
    "ipv4": 1,
    "ipv6": 2,
    "onion": 3,
    "i2p": 4,
    "cjdns": 5,
    "internal": 6,
}

MAX_ADDRV2_SIZE = 512
"""Bytes of an address of a network of the future (BIP 155)."""
INTERNAL_SIZE = 10
_IPV4_MAPPED = bytes(10) + b"\xff\xff"
_ONIONCAT = bytes.fromhex("fd87d87eeb43")
_INTERNAL = bytes.fromhex("fd6b88c08724")  # fd, then the start of sha256("bitcoin")
_TORV3_VERSION = b"\x03"


def _torv3_checksum(pubkey: bytes) -> bytes:
    return sha3_256(b".onion checksum" + pubkey + _TORV3_VERSION).digest()[:2]


def _ipv6_text(raw: bytes) -> str:
    """RFC 5952: the first longest run of two or more zero groups becomes "::"."""
    groups = [int.from_bytes(raw[i : i + 2], "big") for i in range(0, 16, 2)]
    best = (0, 0)  # length, start
    run = 0
    for i, group in enumerate(groups):
        run = run + 1 if group == 0 else 0
        if run > best[0]:
            best = (run, i - run + 1)
    length, start = best
    words = [f"{group:x}" for group in groups]
    if length < 2:
        return ":".join(words)
    return ":".join(words[:start]) + "::" + ":".join(words[start + length :])


_NUMBER = re.compile("0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*")


def split_host_port(text: str, default_port: int) -> tuple[str, int]:
    """ "host", "host:port", "[v6]:port" or a bare IPv6 address in two; ValueError over a bad port."""
    host, colon, port_text = text.rpartition(":")
    port = default_port
    if colon and (not host or (host[0] == "[" and host[-1] == "]") or ":" not in host):
        if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) <= 0xFFFF):
            raise ValueError(f"invalid port in {text!r}")
        port = int(port_text)
    else:
        host = text
    if len(host) >= 2 and host[0] == "[" and host[-1] == "]":
        host = host[1:-1]
    return host, port


class NetAddress(NamedTuple):
    """An address and TCP port. raw: 4 bytes for IPv4, 16 for IPv6 and CJDNS, 32 for Tor (the public key) and
    I2P, 10 for INTERNAL. `UNKNOWN` (IPv6 ::, port 0) stands for what we cannot name."""

    network: NetworkId
    raw: bytes
    port: int

    # -- text

    @classmethod
    def parse(cls, text: str, default_port: int = 0) -> NetAddress:
        """From "1.2.3.4", "1.2.3.4:8333", "::1", "[::1]:8333", "….onion:8333", "….b32.i2p:0"; no names are
        looked up. ValueError if it is none of these."""
        host, port = split_host_port(text, default_port)
        return cls.from_host(host, port)

    @classmethod
    def from_host(cls, host: str, port: int) -> NetAddress:
        """From a numeric address without port, brackets allowed; ValueError otherwise."""
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if host.endswith(".onion"):
            return cls(NetworkId.TORV3, _torv3_pubkey(host), port)
        if host[-8:].lower() == ".b32.i2p":
            return cls(NetworkId.I2P, _i2p_hash(host), port)
        if (short := _ipv4_shorthand(host)) is not None:
            return cls(NetworkId.IPV4, short, port)
        try:
            raw = ip_address(host).packed  # a link-local zone ("%3") is not part of the address
        except ValueError:
            raise ValueError(f"not a network address: {host!r}") from None
        if len(raw) == 4:
            return cls(NetworkId.IPV4, raw, port)
        address = cls.from_ipv6(raw, port)
        if address.network is NetworkId.INTERNAL:
            raise ValueError(f"not a network address: {host!r}")
        return address

    @classmethod
    def internal(cls, name: str) -> NetAddress:
        """What stands for a name (a DNS seed) as the source of addresses."""
        return cls(NetworkId.INTERNAL, sha256(name.encode())[:INTERNAL_SIZE], 0)

    @property
    def host(self) -> str:
        """The address without port or brackets, as Core prints it."""
        match self.network:
            case NetworkId.IPV4:
                return ".".join(map(str, self.raw))
            case NetworkId.IPV6 | NetworkId.CJDNS:
                return _ipv6_text(self.raw)
            case NetworkId.TORV3:
                whole = self.raw + _torv3_checksum(self.raw) + _TORV3_VERSION
                return b32encode(whole).decode().lower() + ".onion"
            case NetworkId.I2P:
                return b32encode(self.raw).decode().lower().rstrip("=") + ".b32.i2p"
            case _:
                return b32encode(self.raw).decode().lower() + ".internal"

    def __str__(self) -> str:
        if self.network in (NetworkId.IPV6, NetworkId.CJDNS):
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> tuple[str, int]:
        """What ports.Network dials."""
        return self.host, self.port

    # -- wire

    @classmethod
    def from_ipv6(cls, raw: bytes, port: int) -> NetAddress:
        """From 16 bytes that may hold an IPv4 or an INTERNAL address; a Tor v2 one becomes unknown (Core
        SetLegacyIPv6)."""
        if raw.startswith(_IPV4_MAPPED):
            return cls(NetworkId.IPV4, raw[12:], port)
        if raw.startswith(_ONIONCAT):
            return cls(NetworkId.IPV6, bytes(16), port)
        if raw.startswith(_INTERNAL):
            return cls(NetworkId.INTERNAL, raw[6:], port)
        return cls(NetworkId.IPV6, raw, port)

    @property
    def legacy_bytes(self) -> bytes:
        """16 bytes of the addr and version messages; all zero for networks they cannot express."""
        match self.network:
            case NetworkId.IPV6:
                return self.raw
            case NetworkId.IPV4:
                return _IPV4_MAPPED + self.raw
            case NetworkId.INTERNAL:
                return _INTERNAL + self.raw
            case _:
                return bytes(16)

    def encode_v1(self, w: Writer) -> None:
        w.bytes(self.legacy_bytes)
        w.u16_be(self.port)

    @classmethod
    def decode_v1(cls, r: Reader) -> NetAddress:
        raw = r.bytes(16)
        return cls.from_ipv6(raw, r.u16_be())

    def encode_v2(self, w: Writer) -> None:
        """BIP 155: network, length, address, port."""
        if self.network is NetworkId.INTERNAL:
            w.u8(NetworkId.IPV6)
            w.var_bytes(self.legacy_bytes)
        else:
            w.u8(self.network)
            w.var_bytes(self.raw)
        w.u16_be(self.port)

    @classmethod
    def decode_v2(cls, r: Reader) -> NetAddress:
        """An unknown network, or IPv6 that hides another one, becomes ::, which is not valid."""
        number = r.u8()
        size = r.compact_size()
        if size > MAX_ADDRV2_SIZE:
            raise DecodeError(f"Address too long: {size} > {MAX_ADDRV2_SIZE}")
        if number in _BIP155_NAMES and size != _SIZES[NetworkId(number)]:
            raise DecodeError(
                f"BIP155 {_BIP155_NAMES[number]} address with length {size} "
                f"(should be {_SIZES[NetworkId(number)]})"
            )
        raw = r.bytes(size)
        port = r.u16_be()
        if number not in _BIP155_NAMES:
            return cls(NetworkId.IPV6, bytes(16), port)
        if number == NetworkId.IPV6:
            if raw.startswith(_INTERNAL):
                return cls(NetworkId.INTERNAL, raw[6:], port)
            if raw.startswith((_IPV4_MAPPED, _ONIONCAT)):
                return cls(NetworkId.IPV6, bytes(16), port)
        return cls(NetworkId(number), raw, port)

    # -- kinds

    def _v4(self, *prefixes: bytes) -> bool:
        return self.network is NetworkId.IPV4 and self.raw.startswith(prefixes)

    def _v6(self, *prefixes: bytes) -> bool:
        return self.network is NetworkId.IPV6 and self.raw.startswith(prefixes)

    @property
    def is_v1_compatible(self) -> bool:
        """Whether the addr message can carry it."""
        return self.network in (NetworkId.IPV4, NetworkId.IPV6, NetworkId.INTERNAL)

    @property
    def is_local(self) -> bool:
        """Loopback: 127.0.0.0/8, 0.0.0.0/8, ::1."""
        return self._v4(b"\x7f", b"\x00") or (
            self.network is NetworkId.IPV6 and self.raw == bytes(15) + b"\x01"
        )

    @property
    def is_bind_any(self) -> bool:
        """0.0.0.0 or ::."""
        return self.network in (NetworkId.IPV4, NetworkId.IPV6) and not any(self.raw)

    @property
    def is_valid(self) -> bool:
        """Whether it could name a host, routable or not."""
        if self.network is NetworkId.INTERNAL or self.is_bind_any:
            return False
        if self.network is NetworkId.CJDNS:
            return self.raw[0] == 0xFC
        return not (self._v4(b"\xff\xff\xff\xff") or self._v6(b"\x20\x01\x0d\xb8"))

    @property
    def is_routable(self) -> bool:
        """Valid, and of the public internet or an overlay network."""
        if not self.is_valid or self.is_local:
            return False
        raw = self.raw
        if self.network is NetworkId.IPV4:
            return not (
                self._v4(b"\x0a", b"\xc0\xa8", b"\xa9\xfe", b"\xc6\x12", b"\xc6\x13")
                or self._v4(b"\xc0\x00\x02", b"\xc6\x33\x64", b"\xcb\x00\x71")
                or (raw[0] == 172 and 16 <= raw[1] <= 31)
                or (raw[0] == 100 and 64 <= raw[1] <= 127)
            )
        if self.network is NetworkId.IPV6:
            return not (
                raw.startswith(b"\xfe\x80" + bytes(6))  # RFC 4862
                or raw[0] & 0xFE == 0xFC  # RFC 4193
                or (raw.startswith(b"\x20\x01\x00") and raw[3] & 0xF0 in (0x10, 0x20))  # RFC 4843, 7343
            )
        return True

    @property
    def network_name(self) -> str:
        """As in getpeerinfo's network: ipv4, ipv6, onion, i2p, cjdns, internal, not_publicly_routable."""
        if self.network is NetworkId.INTERNAL or self.is_routable:
            return _NAMES[self.network]
        return "not_publicly_routable"

    @property
    def linked_ipv4(self) -> bytes | None:
        """The IPv4 address in it or behind its tunnel (RFC 6145, 6052, 6to4, Teredo), if it is routable."""
        if not self.is_routable:
            return None
        if self.network is NetworkId.IPV4:
            return self.raw
        if self._v6(bytes(8) + b"\xff\xff\x00\x00", b"\x00\x64\xff\x9b" + bytes(8)):
            return self.raw[12:]
        if self._v6(b"\x20\x02"):
            return self.raw[2:6]
        if self._v6(b"\x20\x01\x00\x00"):
            return bytes(byte ^ 0xFF for byte in self.raw[12:])
        return None

    @property
    def group(self) -> bytes:
        """What one operator is taken to hold as a whole, so that no table or set of peers is filled from one
        place: /16 of IPv4, /32 of IPv6 (/36 of he.net), four bits of a key; all local ones are one group."""
        linked = self.linked_ipv4
        name = "ipv4" if linked is not None else self.network_name
        head = bytes((_GROUP_CLASS[name],))
        if self.is_local:
            return head
        if self.network is NetworkId.INTERNAL:
            return head + self.raw
        if linked is not None:
            return head + linked[:2]
        if not self.is_routable:
            return head
        bits = {NetworkId.TORV3: 4, NetworkId.I2P: 4, NetworkId.CJDNS: 12}.get(self.network, 32)
        if self._v6(b"\x20\x01\x04\x70"):
            bits = 36
        whole, rest = divmod(bits, 8)
        tail = bytes((self.raw[whole] | ((1 << (8 - rest)) - 1),)) if rest else b""
        return head + self.raw[:whole] + tail

    @property
    def key(self) -> bytes:
        """Identifies address and port in a hash or a database."""
        return bytes((self.network,)) + self.raw + self.port.to_bytes(2, "big")

    @classmethod
    def from_key(cls, key: bytes) -> NetAddress:
        """The inverse of key; ValueError if it is none."""
        network, raw = NetworkId(key[0]), key[1:-2]
        if len(raw) != _SIZES.get(network, INTERNAL_SIZE):
            raise ValueError("not the key of an address")
        return cls(network, raw, int.from_bytes(key[-2:], "big"))

    def with_port(self, port: int) -> NetAddress:
        return NetAddress(self.network, self.raw, port)


UNKNOWN_ADDRESS = NetAddress(NetworkId.IPV6, bytes(16), 0)
"""Written where an address must stand and we have or tell none."""


def _ipv4_shorthand(text: str) -> bytes | None:
    """An IPv4 address as inet_aton reads it, which numeric look-ups of Core go through; None if it is none.

    One to four numbers, decimal, octal (0...) or hexadecimal (0x...); the last fills the bytes that are left.
    """
    parts = text.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    values = [int(p, 16 if p[:2].lower() == "0x" else 8 if p[0] == "0" else 10) for p in parts]
    left = 5 - len(values)
    if values[-1] >= 256**left or any(value > 255 for value in values[:-1]):
        return None
    return bytes(values[:-1]) + values[-1].to_bytes(left, "big")


def _torv3_pubkey(host: str) -> bytes:
    try:
        whole = b32decode(host.removesuffix(".onion").upper())
    except (Base32Error, ValueError):
        whole = b""
    pubkey = whole[:32]
    if len(whole) != 35 or whole[34:] != _TORV3_VERSION or whole[32:34] != _torv3_checksum(pubkey):
        raise ValueError(f"not a Tor v3 address: {host!r}")
    return pubkey


def _i2p_hash(host: str) -> bytes:
    text = host[:-8]
    try:
        if len(text) != 52:
            raise ValueError
        raw = b32decode(text.upper() + "====")
    except (Base32Error, ValueError):
        raise ValueError(f"not an I2P address: {host!r}") from None
    return raw

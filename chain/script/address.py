"""Addresses: destinations, their scripts and their text. Messages as in Core 31.99 src/key_io.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..params import ChainParams
from ..primitives.hashes import hash160, sha256
from .base58check import decode_base58, decode_base58check, encode_base58check
from .bech32 import Bech32, Encoding, bech32_decode, bech32_encode, convert_bits, locate_errors
from .opcodes import OP_1
from .script import push_data
from .solver import match_multisig, multisig_script, solve


class AddressError(ValueError):
    """Text that is no address of the network.

    message: Core's words; error_locations: offsets of wrong characters, in bytes.
    """

    def __init__(self, message: str, error_locations: list[int] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_locations = error_locations or []


@dataclass(frozen=True, slots=True)
class PubKeyHash:
    """P2PKH. hash: HASH160 of the key."""

    hash: bytes

    @property
    def script_pubkey(self) -> bytes:
        return b"\x76\xa9\x14" + self.hash + b"\x88\xac"


@dataclass(frozen=True, slots=True)
class ScriptHash:
    """P2SH. hash: HASH160 of the redeem script."""

    hash: bytes

    @classmethod
    def of(cls, redeem_script: bytes) -> ScriptHash:
        return cls(hash160(redeem_script))

    @property
    def script_pubkey(self) -> bytes:
        return b"\xa9\x14" + self.hash + b"\x87"


@dataclass(frozen=True, slots=True)
class WitnessV0KeyHash:
    """P2WPKH. hash: HASH160 of the compressed key."""

    hash: bytes

    @property
    def script_pubkey(self) -> bytes:
        return b"\x00\x14" + self.hash


@dataclass(frozen=True, slots=True)
class WitnessV0ScriptHash:
    """P2WSH. hash: SHA-256 of the witness script."""

    hash: bytes

    @classmethod
    def of(cls, witness_script: bytes) -> WitnessV0ScriptHash:
        return cls(sha256(witness_script))

    @property
    def script_pubkey(self) -> bytes:
        return b"\x00\x20" + self.hash


@dataclass(frozen=True, slots=True)
class WitnessV1Taproot:
    """P2TR. output_key: 32 bytes, x only."""

    output_key: bytes

    @property
    def script_pubkey(self) -> bytes:
        return b"\x51\x20" + self.output_key


@dataclass(frozen=True, slots=True)
class PayToAnchor:
    """Spendable by anyone."""

    @property
    def script_pubkey(self) -> bytes:
        return b"\x51\x02\x4e\x73"


@dataclass(frozen=True, slots=True)
class WitnessUnknown:
    """A witness program that has no meaning yet. version: 1 to 16; program: 2 to 40 bytes."""

    version: int
    program: bytes

    @property
    def script_pubkey(self) -> bytes:
        return bytes((OP_1 + self.version - 1,)) + push_data(self.program)


Destination: TypeAlias = (
    PubKeyHash
    | ScriptHash
    | WitnessV0KeyHash
    | WitnessV0ScriptHash
    | WitnessV1Taproot
    | PayToAnchor
    | WitnessUnknown
)
"""What an address stands for."""


def extract_destination(script: bytes) -> Destination | None:
    """What script pays to, None where that has no address (P2PK, bare multisig, data, nonstandard)."""
    kind, solutions = solve(script)
    if kind == "pubkeyhash":
        return PubKeyHash(solutions[0])
    if kind == "scripthash":
        return ScriptHash(solutions[0])
    if kind == "witness_v0_keyhash":
        return WitnessV0KeyHash(solutions[0])
    if kind == "witness_v0_scripthash":
        return WitnessV0ScriptHash(solutions[0])
    if kind == "witness_v1_taproot":
        return WitnessV1Taproot(solutions[0])
    if kind == "anchor":
        return PayToAnchor()
    if kind == "witness_unknown":
        return WitnessUnknown(solutions[0][0], solutions[1])
    return None


def encode_address(destination: Destination, params: ChainParams) -> str:
    """The address of destination on the network."""
    if isinstance(destination, PubKeyHash):
        return encode_base58check(params.pubkey_prefix + destination.hash)
    if isinstance(destination, ScriptHash):
        return encode_base58check(params.script_prefix + destination.hash)
    script = destination.script_pubkey
    version = 0 if script[0] == 0 else script[0] - OP_1 + 1
    bits = convert_bits(script[2:], 8, 5, True)
    assert bits is not None
    encoding = Encoding.BECH32 if version == 0 else Encoding.BECH32M
    return bech32_encode(encoding, params.bech32_hrp, [version, *bits])


def decode_address(text: str, params: ChainParams) -> Destination:
    """The destination of an address of the network; AddressError with Core's message otherwise."""
    text = text.encode("utf-8", "surrogatepass").decode("latin-1")  # offsets count bytes, as Core's do
    hrp = params.bech32_hrp
    if _lower(text[: len(hrp)]) == hrp:
        decoded = bech32_decode(text)
        if decoded is None:
            raise AddressError(*locate_errors(text))
        return _decode_witness(decoded, hrp)
    return _decode_base58(text, params)


def _lower(text: str) -> str:
    return "".join(char.lower() if char.isascii() else char for char in text)


def _decode_base58(text: str, params: ChainParams) -> Destination:
    data = decode_base58check(text, 21)
    if data is None:
        if decode_base58(text, 100) is None:
            raise AddressError("Invalid or unsupported Segwit (Bech32) or Base58 encoding.")
        raise AddressError("Invalid checksum or length of Base58 address (P2PKH or P2SH)")
    for prefix, kind in ((params.pubkey_prefix, PubKeyHash), (params.script_prefix, ScriptHash)):
        if len(data) == 20 + len(prefix) and data.startswith(prefix):
            return kind(data[len(prefix) :])
    if data.startswith((params.pubkey_prefix, params.script_prefix)):
        raise AddressError("Invalid length for Base58 address (P2PKH or P2SH)")
    raise AddressError("Invalid or unsupported Base58-encoded address.")


def _decode_witness(decoded: Bech32, hrp: str) -> Destination:
    if not decoded.data:
        raise AddressError("Empty Bech32 data section")
    if decoded.hrp != hrp:
        raise AddressError(
            f"Invalid or unsupported prefix for Segwit (Bech32) address (expected {hrp}, got {decoded.hrp})."
        )
    version = decoded.data[0]
    if version == 0 and decoded.encoding is not Encoding.BECH32:
        raise AddressError("Version 0 witness address must use Bech32 checksum")
    if version != 0 and decoded.encoding is not Encoding.BECH32M:
        raise AddressError("Version 1+ witness address must use Bech32m checksum")
    bits = convert_bits(decoded.data[1:], 5, 8, False)
    if bits is None:
        raise AddressError("Invalid padding in Bech32 data section")
    program = bytes(bits)
    size = f"{len(program)} {'byte' if len(program) == 1 else 'bytes'}"
    if version == 0:
        if len(program) == 20:
            return WitnessV0KeyHash(program)
        if len(program) == 32:
            return WitnessV0ScriptHash(program)
        raise AddressError(f"Invalid Bech32 v0 address program size ({size}), per BIP141")
    if version == 1 and len(program) == 32:
        return WitnessV1Taproot(program)
    if version == 1 and program == b"\x4e\x73":
        return PayToAnchor()
    if version > 16:
        raise AddressError("Invalid Bech32 address witness version")
    if not 2 <= len(program) <= 40:
        raise AddressError(f"Invalid Bech32 address program size ({size})")
    return WitnessUnknown(version, program)


__all__ = [
    "AddressError",
    "Destination",
    "PayToAnchor",
    "PubKeyHash",
    "ScriptHash",
    "WitnessUnknown",
    "WitnessV0KeyHash",
    "WitnessV0ScriptHash",
    "WitnessV1Taproot",
    "decode_address",
    "encode_address",
    "extract_destination",
    "match_multisig",
    "multisig_script",
    "solve",
]

"""Descriptors: what scripts they stand for, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..params import ChainParams
from ..primitives.hashes import hash160, sha256
from ..script.address import (
    Destination,
    ScriptHash,
    WitnessV0KeyHash,
    WitnessV0ScriptHash,
    decode_address,
    encode_address,
    extract_destination,
)
from ..script.opcodes import OP_1, OP_CHECKMULTISIG, OP_CHECKSIG, OP_DUP, OP_EQUALVERIFY, OP_HASH160
from ..script.script import push_data, push_int
from ..script.solver import solve
from ..script.taproot import output_key
from .checksum import add_checksum
from .keys import KeyExpression, KeyOrigin, SingleKey
from .miniscript import Node


class DescriptorError(ValueError):
    """A text that is no descriptor; the message is Core's."""


@dataclass(slots=True)
class Expansion:
    """What a descriptor gives at one index.

    scripts: output scripts, in order. keys: every public key with its origin. redeem_scripts and
    witness_scripts: by HASH160 and by SHA-256. taproot: output key (32 bytes) to its internal key.
    """

    scripts: list[bytes] = field(default_factory=list)
    keys: dict[bytes, KeyOrigin] = field(default_factory=dict)
    redeem_scripts: dict[bytes, bytes] = field(default_factory=dict)
    witness_scripts: dict[bytes, bytes] = field(default_factory=dict)
    taproot: dict[bytes, bytes] = field(default_factory=dict)


class Descriptor:
    """Base of all kinds: a function name over keys, an inner descriptor or a literal."""

    name = ""
    is_solvable = True
    is_single_type = True
    """One script at each index; combo() has several."""

    def __init__(
        self, params: ChainParams, keys: list[KeyExpression] | None = None, inner: Descriptor | None = None
    ) -> None:
        self.params, self.keys, self.inner = params, keys or [], inner

    @property
    def is_range(self) -> bool:
        return any(key.is_range for key in self.keys) or (self.inner is not None and self.inner.is_range)

    @property
    def has_private_keys(self) -> bool:
        """The text that it was parsed from held at least one private key."""
        return any(key.private for key in self.keys) or (
            self.inner is not None and self.inner.has_private_keys
        )

    @property
    def output_type(self) -> str | None:
        """legacy, p2sh-segwit, bech32, bech32m, or None where it is none of these."""
        return None

    def expand(self, index: int = 0) -> Expansion:
        """Scripts and keys at index (of the wildcard); DerivationError if a private key is needed."""
        out = Expansion()
        pubkeys = []
        for key in self.keys:
            pubkey, origin = key.at(index)
            out.keys[pubkey] = origin
            pubkeys.append(pubkey)
        self._build(out, pubkeys, index)
        return out

    def text(self, *, normalized: bool = False) -> str:
        """Without checksum; private keys never show."""
        return f"{self.name}({self._arguments(normalized)})"

    def normalized(self) -> str:
        """With checksum, and xpubs behind the hardened steps (listdescriptors)."""
        return add_checksum(self.text(normalized=True))

    def __str__(self) -> str:
        return add_checksum(self.text())

    def _arguments(self, normalized: bool) -> str:
        if self.inner is not None:
            return self.inner.text(normalized=normalized)
        return ",".join(key.text(self.params, normalized=normalized) for key in self.keys)

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        raise NotImplementedError


def p2pk_script(pubkey: bytes) -> bytes:
    return push_data(pubkey) + bytes((OP_CHECKSIG,))


def p2pkh_script(pubkey: bytes) -> bytes:
    head, tail = bytes((OP_DUP, OP_HASH160)), bytes((OP_EQUALVERIFY, OP_CHECKSIG))
    return head + push_data(hash160(pubkey)) + tail


class Pk(Descriptor):
    name = "pk"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(p2pk_script(pubkeys[0]))


class Pkh(Descriptor):
    name = "pkh"

    @property
    def output_type(self) -> str:
        return "legacy"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(p2pkh_script(pubkeys[0]))


class Wpkh(Descriptor):
    name = "wpkh"

    @property
    def output_type(self) -> str:
        return "bech32"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(WitnessV0KeyHash(hash160(pubkeys[0])).script_pubkey)


class Combo(Descriptor):
    """P2PK and P2PKH, and for a compressed key P2WPKH and P2SH-P2WPKH."""

    name = "combo"
    is_single_type = False

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        pubkey = pubkeys[0]
        out.scripts += [p2pk_script(pubkey), p2pkh_script(pubkey)]
        if len(pubkey) == 33:
            witness = WitnessV0KeyHash(hash160(pubkey)).script_pubkey
            out.redeem_scripts[hash160(witness)] = witness
            out.scripts += [witness, ScriptHash(hash160(witness)).script_pubkey]


class Multi(Descriptor):
    """multi and sortedmulti: required of the keys."""

    def __init__(
        self, params: ChainParams, required: int, keys: list[KeyExpression], is_sorted: bool
    ) -> None:
        super().__init__(params, keys)
        self.required, self.is_sorted = required, is_sorted
        self.name = "sortedmulti" if is_sorted else "multi"

    def _arguments(self, normalized: bool) -> str:
        return f"{self.required},{super()._arguments(normalized)}"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        ordered = sorted(pubkeys) if self.is_sorted else pubkeys
        keys = b"".join(push_data(pubkey) for pubkey in ordered)
        out.scripts.append(
            push_int(self.required) + keys + push_int(len(ordered)) + bytes((OP_CHECKMULTISIG,))
        )


class Sh(Descriptor):
    name = "sh"

    @property
    def output_type(self) -> str:
        return "p2sh-segwit" if isinstance(self.inner, Wpkh | Wsh) else "legacy"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        assert self.inner is not None
        inner = self.inner.expand(index)
        out.keys, out.witness_scripts = inner.keys, inner.witness_scripts
        redeem = inner.scripts[0]
        out.redeem_scripts[hash160(redeem)] = redeem
        out.scripts.append(ScriptHash(hash160(redeem)).script_pubkey)


class Wsh(Descriptor):
    name = "wsh"

    @property
    def output_type(self) -> str:
        return "bech32"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        assert self.inner is not None
        inner = self.inner.expand(index)
        out.keys = inner.keys
        witness = inner.scripts[0]
        out.witness_scripts[sha256(witness)] = witness
        out.scripts.append(WitnessV0ScriptHash(sha256(witness)).script_pubkey)


class Tr(Descriptor):
    """Taproot with a key path only (BIP 386 without a tree)."""

    name = "tr"

    @property
    def output_type(self) -> str:
        return "bech32m"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        internal = pubkeys[0][1:]
        tweaked = output_key(internal)
        if tweaked is None:
            raise DescriptorError("invalid taproot internal key")
        out.taproot[tweaked[0]] = internal
        out.scripts.append(bytes((OP_1,)) + push_data(tweaked[0]))


class RawTr(Descriptor):
    """An output key as it stands, with what is behind it unknown."""

    name = "rawtr"

    @property
    def output_type(self) -> str:
        return "bech32m"

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(bytes((OP_1,)) + push_data(pubkeys[0][1:]))


class Raw(Descriptor):
    name = "raw"
    is_solvable = False

    def __init__(self, params: ChainParams, script: bytes) -> None:
        super().__init__(params)
        self.script = script

    @property
    def output_type(self) -> str | None:
        destination = extract_destination(self.script)
        return output_type_of(destination) if destination else None

    def _arguments(self, normalized: bool) -> str:
        return self.script.hex()

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(self.script)


class MiniscriptOf(Descriptor):
    """A witness script that reads as miniscript, inside wsh(); found by inference only."""

    def __init__(self, params: ChainParams, script: bytes, node: Node) -> None:
        super().__init__(params, [SingleKey(key) for key in node.all_keys()])
        self.script, self.node = script, node

    def text(self, *, normalized: bool = False) -> str:
        return self.node.text(bytes.hex)

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(self.script)


class Addr(Descriptor):
    name = "addr"
    is_solvable = False

    def __init__(self, params: ChainParams, destination: Destination) -> None:
        super().__init__(params)
        self.destination = destination

    @classmethod
    def of(cls, params: ChainParams, address: str) -> Addr:
        """AddressError if address is none of this network."""
        return cls(params, decode_address(address, params))

    @property
    def output_type(self) -> str | None:
        return output_type_of(self.destination)

    def _arguments(self, normalized: bool) -> str:
        return encode_address(self.destination, self.params)

    def _build(self, out: Expansion, pubkeys: list[bytes], index: int) -> None:
        out.scripts.append(self.destination.script_pubkey)


def output_type_of(destination: Destination) -> str | None:
    """The output type that an address of this kind belongs to."""
    return {
        "pubkeyhash": "legacy",
        "scripthash": "legacy",
        "witness_v0_keyhash": "bech32",
        "witness_v0_scripthash": "bech32",
        "witness_v1_taproot": "bech32m",
        "witness_unknown": "bech32m",
    }.get(solve(destination.script_pubkey)[0])


__all__ = [
    "Addr",
    "Combo",
    "Descriptor",
    "DescriptorError",
    "Expansion",
    "MiniscriptOf",
    "Multi",
    "Pk",
    "Pkh",
    "Raw",
    "RawTr",
    "Sh",
    "SingleKey",
    "Tr",
    "Wpkh",
    "Wsh",
    "output_type_of",
    "p2pk_script",
    "p2pkh_script",
]

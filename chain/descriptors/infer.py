"""From an output script back to a descriptor, with what is known of its keys."""

from __future__ import annotations

from typing import Protocol

from ..params import ChainParams
from ..script import secp
from ..script.address import extract_destination
from ..script.solver import solve
from ..script.taproot import output_key as tweaked_key
from .descriptor import Addr, Descriptor, MiniscriptOf, Multi, Pk, Pkh, Raw, RawTr, Sh, Tr, Wpkh, Wsh
from .keys import KeyExpression, KeyOrigin, SingleKey
from .miniscript import infer_miniscript


class ScriptProvider(Protocol):
    """Who may know more of a script than its bytes say: a wallet, or nobody."""

    def pubkey(self, key_hash: bytes) -> bytes | None:
        """The public key with this HASH160."""

    def redeem_script(self, script_hash: bytes) -> bytes | None:
        """The script with this HASH160."""

    def witness_script(self, script_hash: bytes) -> bytes | None:
        """The script with this SHA-256."""

    def origin(self, pubkey: bytes) -> KeyOrigin | None: ...

    def internal_key(self, output_key: bytes) -> bytes | None:
        """The internal key (32 bytes) that a taproot output key hides."""


def infer_descriptor(
    script: bytes, params: ChainParams, provider: ScriptProvider | None = None
) -> Descriptor:
    """The most telling descriptor of script: addr() or raw() where nothing more is known."""
    found = _infer(script, params, provider, inside="")
    if found is not None:
        return found
    destination = extract_destination(script)
    if destination is not None and destination.script_pubkey == script:
        return Addr(params, destination)
    return Raw(params, script)


def _key(pubkey: bytes, provider: ScriptProvider | None, *, x_only: bool = False) -> KeyExpression:
    return SingleKey(pubkey, x_only, provider.origin(pubkey) if provider else None)


def _infer(
    script: bytes, params: ChainParams, provider: ScriptProvider | None, inside: str
) -> Descriptor | None:
    kind, solutions = solve(script)
    if kind == "pubkey" and _usable(solutions[0], inside):
        return Pk(params, [_key(solutions[0], provider)])
    if kind == "multisig":
        pubkeys = solutions[1:-1]
        if all(_usable(pubkey, inside) for pubkey in pubkeys) and (inside or len(pubkeys) <= 3):
            keys = [_key(pubkey, provider) for pubkey in pubkeys]
            return Multi(params, solutions[0][0], keys, is_sorted=False)
    if kind == "witness_v1_taproot" and not inside:
        return _infer_taproot(solutions[0], params, provider)
    if provider is None:
        return None
    if kind == "pubkeyhash":
        pubkey = provider.pubkey(solutions[0])
        if pubkey is not None and _usable(pubkey, inside):
            return Pkh(params, [_key(pubkey, provider)])
    elif kind == "witness_v0_keyhash" and inside != "wsh":
        pubkey = provider.pubkey(solutions[0])
        if pubkey is not None and len(pubkey) == 33:
            return Wpkh(params, [_key(pubkey, provider)])
    elif kind == "scripthash" and not inside:
        redeem = provider.redeem_script(solutions[0])
        inner = _infer(redeem, params, provider, "sh") if redeem is not None else None
        return Sh(params, inner=inner) if inner else None
    elif kind == "witness_v0_scripthash" and inside != "wsh":
        witness = provider.witness_script(solutions[0])
        inner = _infer_witness(witness, params, provider) if witness is not None else None
        return Wsh(params, inner=inner) if inner else None
    return None


def _infer_witness(script: bytes, params: ChainParams, provider: ScriptProvider) -> Descriptor | None:
    found = _infer(script, params, provider, "wsh")
    if found is not None:
        return found
    node = infer_miniscript(script, provider.pubkey)
    return None if node is None else MiniscriptOf(params, script, node)


def _infer_taproot(
    output_key: bytes, params: ChainParams, provider: ScriptProvider | None
) -> Descriptor | None:
    internal = provider.internal_key(output_key) if provider else None
    tweaked = tweaked_key(internal) if internal is not None else None
    if internal is not None and tweaked is not None and tweaked[0] == output_key:
        return Tr(params, [_tap_key(internal, provider)])
    if secp.is_valid_pubkey(b"\x02" + output_key):
        return RawTr(params, [_tap_key(output_key, provider)])
    return None


def _tap_key(x_only: bytes, provider: ScriptProvider | None) -> KeyExpression:
    for prefix in (b"\x02", b"\x03"):  # an x-only key's origin is kept under its full key
        if provider is not None and provider.origin(prefix + x_only) is not None:
            return _key(prefix + x_only, provider, x_only=True)
    return _key(b"\x02" + x_only, provider, x_only=True)


def _usable(pubkey: bytes, inside: str) -> bool:
    """By its form: as in Core, whether it is a point of the curve is not looked at."""
    return pubkey[:1] in (b"\x02", b"\x03", b"\x04") and (inside != "wsh" or len(pubkey) == 33)

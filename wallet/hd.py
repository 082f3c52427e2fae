"""Private keys: extended ones (BIP 32), their text form (WIF), and the store that keeps and derives them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pybitcoind.chain.descriptors.hd import (
    EXTENDED_KEY_SIZE,
    HARDENED,
    DerivationError,
    ExtPubKey,
    hmac_sha512,
)
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.script import secp
from pybitcoind.chain.script.base58check import decode_base58check, encode_base58check

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def new_seed() -> bytes:
    """For the keys of a new wallet: 32 bytes, fresh from the operating system."""
    return os.urandom(32)


def is_valid_secret(secret: bytes) -> bool:
    return len(secret) == 32 and 0 < int.from_bytes(secret, "big") < CURVE_ORDER


def encode_wif(secret: bytes, params: ChainParams, *, compressed: bool = True) -> str:
    return encode_base58check(params.secret_prefix + secret + (b"\x01" if compressed else b""))


def decode_wif(text: str, params: ChainParams) -> tuple[bytes, bool] | None:
    """(secret, compressed) of a WIF text of this network; None if text is none."""
    data = decode_base58check(text, 34)
    if data is None or data[:1] != params.secret_prefix:
        return None
    if len(data) == 34 and data[33] == 1:
        secret, compressed = data[1:33], True
    elif len(data) == 33:
        secret, compressed = data[1:], False
    else:
        return None
    return (secret, compressed) if is_valid_secret(secret) else None


@dataclass(frozen=True, slots=True)
class ExtKey:
    """An extended private key. secret: 32 bytes, big-endian. Never shown by repr."""

    secret: bytes
    chain_code: bytes
    depth: int = 0
    parent_fingerprint: bytes = bytes(4)
    child: int = 0

    @classmethod
    def from_seed(cls, seed: bytes) -> ExtKey:
        """The master key of a seed of 16 to 64 bytes. DerivationError if it is unusable (2^-127)."""
        digest = hmac_sha512(b"Bitcoin seed", seed)
        if not is_valid_secret(digest[:32]):
            raise DerivationError("invalid master key")
        return cls(digest[:32], digest[32:])

    @property
    def pubkey(self) -> bytes:
        return secp.pubkey_of(self.secret)

    def neuter(self) -> ExtPubKey:
        return ExtPubKey(self.pubkey, self.chain_code, self.depth, self.parent_fingerprint, self.child)

    def derive(self, step: int) -> ExtKey:
        """The child at a step; with HARDENED added, a hardened one."""
        if self.depth == 255:
            raise DerivationError("the tree has no more than 255 levels")
        pubkey = self.pubkey
        head = b"\x00" + self.secret if step & HARDENED else pubkey
        digest = hmac_sha512(self.chain_code, head + step.to_bytes(4, "big"))
        secret = secp.seckey_tweak_add(self.secret, digest[:32])
        if secret is None:
            raise DerivationError("invalid child key")
        fingerprint = ExtPubKey(pubkey, self.chain_code).fingerprint
        return ExtKey(secret, digest[32:], self.depth + 1, fingerprint, step)

    def derive_path(self, path: Sequence[int]) -> ExtKey:
        key = self
        for step in path:
            key = key.derive(step)
        return key

    def encode(self, params: ChainParams) -> str:
        place = bytes((self.depth,)) + self.parent_fingerprint + self.child.to_bytes(4, "big")
        return encode_base58check(params.xprv_prefix + place + self.chain_code + b"\x00" + self.secret)

    @classmethod
    def decode(cls, text: str, params: ChainParams) -> ExtKey | None:
        """From an xprv of this network; None if text is none."""
        data = decode_base58check(text, EXTENDED_KEY_SIZE)
        if data is None or len(data) != EXTENDED_KEY_SIZE or data[:4] != params.xprv_prefix:
            return None
        depth, parent, child = data[4], data[5:9], int.from_bytes(data[9:13], "big")
        if (depth == 0 and (child or parent != bytes(4))) or data[45] or not is_valid_secret(data[46:]):
            return None
        return cls(data[46:], data[13:45], depth, parent, child)

    def __repr__(self) -> str:
        return f"ExtKey({self.neuter().fingerprint.hex()}, depth {self.depth})"


class KeyStore:
    """Keeps the private keys that descriptors name, and derives those below them.

    It is the `KeySink` of chain/descriptors: public keys go there, secrets stay here.
    """

    def __init__(self) -> None:
        self.secrets: dict[bytes, bytes] = {}
        """Public key as used (33 or 65 bytes) to secret."""
        self.roots: dict[bytes, ExtKey] = {}
        """Public key of each extended private key to it."""
        self._derived: dict[tuple[bytes, tuple[int, ...]], ExtKey] = {}

    def wif(self, text: str, params: ChainParams) -> bytes | None:
        found = decode_wif(text, params)
        return self.add_secret(*found) if found else None

    def add_secret(self, secret: bytes, compressed: bool = True) -> bytes:
        """Keeps secret; its public key."""
        pubkey = secp.pubkey_of(secret, compressed)
        self.secrets[pubkey] = secret
        return pubkey

    def xprv(self, text: str, params: ChainParams) -> ExtPubKey | None:
        key = ExtKey.decode(text, params)
        return self.add_root(key) if key else None

    def add_root(self, key: ExtKey) -> ExtPubKey:
        public = key.neuter()
        self.roots[public.pubkey] = key
        return public

    def derive(self, root: ExtPubKey, path: tuple[int, ...]) -> ExtPubKey | None:
        key = self.derive_private(root, path)
        return key.neuter() if key else None

    def derive_private(self, root: ExtPubKey, path: tuple[int, ...]) -> ExtKey | None:
        """The private key below root along path; None where root's is not kept. Its parent is cached."""
        key = self.roots.get(root.pubkey)
        if key is None or key.chain_code != root.chain_code:
            return None
        if not path:
            return key
        parent = self._derived.get((root.pubkey, path[:-1]))
        if parent is None:
            parent = self._derived[root.pubkey, path[:-1]] = key.derive_path(path[:-1])
        return parent.derive(path[-1])

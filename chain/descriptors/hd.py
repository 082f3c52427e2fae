"""Extended public keys and key paths (BIP 32)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..params import ChainParams
from ..primitives.hashes import hash160
from ..script import secp
from ..script.base58check import decode_base58check, encode_base58check

HARDENED = 0x80000000
EXTENDED_KEY_SIZE = 78


class DerivationError(ValueError):
    """A key that cannot be derived: a hardened step without the private key, or an invalid one (2^-127)."""


def format_path(path: Iterable[int], *, apostrophe: bool = False) -> str:
    """ "/84h/1h/0" from steps; empty for none."""
    mark = "'" if apostrophe else "h"
    return "".join(f"/{step & ~HARDENED}{mark if step & HARDENED else ''}" for step in path)


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha512)


@dataclass(frozen=True, slots=True)
class ExtPubKey:
    """A compressed public key with its chain code and place in the tree."""

    pubkey: bytes
    chain_code: bytes
    depth: int = 0
    parent_fingerprint: bytes = bytes(4)
    child: int = 0

    @property
    def fingerprint(self) -> bytes:
        return hash160(self.pubkey)[:4]

    def derive(self, step: int) -> ExtPubKey:
        """The child at an unhardened step; DerivationError otherwise."""
        if step & HARDENED:
            raise DerivationError("a hardened step needs the private key")
        if self.depth == 255:
            raise DerivationError("the tree has no more than 255 levels")
        digest = hmac_sha512(self.chain_code, self.pubkey + step.to_bytes(4, "big"))
        pubkey = secp.pubkey_tweak_add(self.pubkey, digest[:32])
        if pubkey is None:
            raise DerivationError("invalid child key")
        return ExtPubKey(pubkey, digest[32:], self.depth + 1, self.fingerprint, step)

    def derive_path(self, path: Sequence[int]) -> ExtPubKey:
        key = self
        for step in path:
            key = key.derive(step)
        return key

    def payload(self, prefix: bytes) -> bytes:
        """The 78 bytes behind an xpub."""
        place = bytes((self.depth,)) + self.parent_fingerprint + self.child.to_bytes(4, "big")
        return prefix + place + self.chain_code + self.pubkey

    def encode(self, params: ChainParams) -> str:
        return encode_base58check(self.payload(params.xpub_prefix))

    @classmethod
    def decode(cls, text: str, params: ChainParams) -> ExtPubKey | None:
        """From an xpub of this network; None if text is none."""
        data = decode_base58check(text, EXTENDED_KEY_SIZE)
        if data is None or len(data) != EXTENDED_KEY_SIZE or data[:4] != params.xpub_prefix:
            return None
        depth, parent, child = data[4], data[5:9], int.from_bytes(data[9:13], "big")
        if depth == 0 and (child or parent != bytes(4)):
            return None
        if not secp.is_valid_pubkey(data[45:]) or data[45] not in (2, 3):
            return None
        return cls(data[45:], data[13:45], depth, parent, child)

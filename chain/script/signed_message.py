"""Messages signed by the key of an address: what is signed, and who signed. Base64 is for the callers."""

from __future__ import annotations

from ..primitives.hashes import hash160, sha256d
from ..primitives.serialize import var_bytes
from . import secp

_MAGIC = b"Bitcoin Signed Message:\n"
"""So that what is signed can never be the hash of a transaction."""


def message_hash(text: str) -> bytes:
    """The 32 bytes that a signature of text signs. text is hashed as UTF-8."""
    return sha256d(var_bytes(_MAGIC) + var_bytes(text.encode()))


def sign_message(text: str, secret: bytes, compressed: bool = True) -> bytes:
    """65 bytes from which the public key can be recovered. compressed: the form the address hashes."""
    return secp.sign_recoverable(secret, message_hash(text), compressed)


def is_signed_by(text: str, signature: bytes, key_hash: bytes) -> bool:
    """Whether the key with this HASH160 made signature (any bytes) of text."""
    pubkey = secp.recover(signature, message_hash(text))
    return pubkey is not None and hash160(pubkey) == key_hash

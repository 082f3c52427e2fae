"""Taproot's tree of scripts and its commitment in the output key (BIP 341)."""

from __future__ import annotations

import hashlib

from ..primitives.hashes import tagged_hash
from ..primitives.serialize import var_bytes
from .secp import tweak_check, xonly_tweak_add

LEAF_MASK = 0xFE
LEAF_TAPSCRIPT = 0xC0
CONTROL_BASE_SIZE, CONTROL_NODE_SIZE, CONTROL_MAX_NODES = 33, 32, 128
CONTROL_MAX_SIZE = CONTROL_BASE_SIZE + CONTROL_NODE_SIZE * CONTROL_MAX_NODES


def _tagged_hasher(tag: str) -> hashlib._Hash:
    return hashlib.sha256(hashlib.sha256(tag.encode()).digest() * 2)


_TAPBRANCH = _tagged_hasher("TapBranch")


def tapleaf_hash(leaf_version: int, script: bytes) -> bytes:
    return tagged_hash("TapLeaf", bytes((leaf_version,)) + var_bytes(script))


def tapbranch_hash(a: bytes, b: bytes) -> bytes:
    """Parent of two nodes, in either order."""
    hasher = _TAPBRANCH.copy()
    hasher.update(a + b if a < b else b + a)
    return hasher.digest()


def is_control_size(size: int) -> bool:
    """33 bytes and up to 128 nodes of 32."""
    return (
        CONTROL_BASE_SIZE <= size <= CONTROL_MAX_SIZE and (size - CONTROL_BASE_SIZE) % CONTROL_NODE_SIZE == 0
    )


def merkle_root_of(control: bytes, leaf_hash: bytes) -> bytes:
    """The root that leaf_hash and the path of a control block of right size lead to."""
    node = leaf_hash
    for pos in range(CONTROL_BASE_SIZE, len(control), CONTROL_NODE_SIZE):
        node = tapbranch_hash(node, control[pos : pos + CONTROL_NODE_SIZE])
    return node


def taptweak(internal_key: bytes, merkle_root: bytes = b"") -> bytes:
    """What is added to the internal key, x only. merkle_root: b"" for a key without scripts."""
    return tagged_hash("TapTweak", internal_key + merkle_root)


def output_key(internal_key: bytes, merkle_root: bytes = b"") -> tuple[bytes, int] | None:
    """(output key, parity of its Y); None if internal_key is no point."""
    return xonly_tweak_add(internal_key, taptweak(internal_key, merkle_root))


def commits_to(program: bytes, control: bytes, leaf_hash: bytes) -> bool:
    """Whether the output key is the control block's internal key tweaked by a tree that holds leaf_hash."""
    internal_key = control[1:CONTROL_BASE_SIZE]
    tweak = taptweak(internal_key, merkle_root_of(control, leaf_hash))
    return tweak_check(program, control[0] & 1, internal_key, tweak)

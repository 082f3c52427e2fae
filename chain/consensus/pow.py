"""Proof of work: compact targets, work, and the difficulty that comes next.

Source: Bitcoin Core src/pow.cpp, src/chain.cpp, src/arith_uint256.cpp. Core counts in 256 bits, so products
wrap around there; where that could show (made-up networks only) it is done here as well.
"""

from __future__ import annotations

from functools import lru_cache

from ..params import ChainParams
from .context import HeaderContext

_MASK_256 = (1 << 256) - 1


def bits_to_target(bits: int) -> tuple[int, bool, bool]:
    """(target, negative, overflow) of a compact uint32: 8 bits of length in bytes, a sign, 23 of mantissa.

    The target is cut to 256 bits; with negative or overflow set it stands for nothing.
    """
    size, word = bits >> 24, bits & 0x007FFFFF
    if size <= 3:
        word >>= 8 * (3 - size)
        target = word
    else:
        target = (word << 8 * (size - 3)) & _MASK_256
    negative = word != 0 and bits & 0x00800000 != 0
    overflow = word != 0 and (size > 34 or (word > 0xFF and size > 33) or (word > 0xFFFF and size > 32))
    return target, negative, overflow


def target_to_bits(target: int) -> int:
    """Compact form of a target, 0 to 2^256 - 1; its lower digits are cut off."""
    size = (target.bit_length() + 7) // 8
    word = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if word & 0x00800000:  # this bit is the sign
        word >>= 8
        size += 1
    return word | size << 24


def derive_target(bits: int, pow_limit: int) -> int | None:
    """The target bits stands for, None if it is none: negative, zero, overflown, or above pow_limit."""
    target, negative, overflow = bits_to_target(bits)
    if negative or overflow or target == 0 or target > pow_limit:
        return None
    return target


@lru_cache(maxsize=4096)
def block_work(bits: int) -> int:
    """Hashes that a block with these bits takes on average: 2^256 / (target + 1); 0 for an invalid target."""
    target, negative, overflow = bits_to_target(bits)
    if negative or overflow or target == 0:
        return 0
    return (1 << 256) // (target + 1)


def check_proof_of_work(block_hash: bytes, bits: int, params: ChainParams) -> bool:
    """Whether block_hash (internal order) meets the target of bits, and that is a possible one."""
    target = derive_target(bits, params.pow_limit)
    return target is not None and int.from_bytes(block_hash, "little") <= target


def next_work_required(prev: HeaderContext, header_time: int, params: ChainParams) -> int:
    """The bits that the block after prev must have; header_time is its own timestamp.

    Once per period (2016 blocks) the target is scaled by the time that the period took, by at most four
    either way. The period is measured from its first to its last block, one interval short: the off-by-one
    is consensus.
    """
    interval = params.difficulty_interval
    if (prev.height + 1) % interval == 0:
        first = prev.ancestor(prev.height - (interval - 1))
        return _retarget(prev, first, params)
    if not params.pow_allow_min_difficulty:
        return prev.bits
    # Test networks: a block that comes more than 20 minutes after the last may have least difficulty ...
    limit = target_to_bits(params.pow_limit)
    if params.pow_no_retargeting and params.genesis.header.bits == limit:
        return limit  # which all blocks have then: to look back for another one would be in vain
    if header_time > prev.time + params.pow_target_spacing * 2:
        return limit
    # ... and the next one has that of the last block which made no use of this.
    node = prev
    while node.prev is not None and node.height % interval != 0 and node.bits == limit:
        node = node.prev
    return node.bits


def _retarget(last: HeaderContext, first: HeaderContext, params: ChainParams) -> int:
    if params.pow_no_retargeting:
        return last.bits
    timespan = params.pow_target_timespan
    actual = min(max(last.time - first.time, timespan // 4), timespan * 4)
    # BIP 94: the first block of a period cannot have used the exception for late blocks, so its difficulty
    # is the true one.
    base = first.bits if params.enforce_bip94 else last.bits
    return target_to_bits(_scaled(base, actual, params))


def _scaled(bits: int, timespan: int, params: ChainParams) -> int:
    target, _, _ = bits_to_target(bits)
    return min((target * timespan & _MASK_256) // params.pow_target_timespan, params.pow_limit)


def permitted_difficulty_transition(height: int, old_bits: int, new_bits: int, params: ChainParams) -> bool:
    """Whether the block at height may have new_bits on top of one with old_bits, whatever their times.

    Headers are measured by it before they are stored (headers presync): difficulty may change at the end of a
    period only, by at most four either way. Networks with the rule for late blocks cannot be measured.
    """
    if params.pow_allow_min_difficulty:
        return True
    if height % params.difficulty_interval != 0:
        return old_bits == new_bits
    target, _, _ = bits_to_target(new_bits)
    timespan = params.pow_target_timespan
    # Both bounds are rounded as a retarget rounds, by a turn through the compact form.
    largest, _, _ = bits_to_target(target_to_bits(_scaled(old_bits, timespan * 4, params)))
    smallest, _, _ = bits_to_target(target_to_bits(_scaled(old_bits, timespan // 4, params)))
    return smallest <= target <= largest


def proof_equivalent_time(to_work: int, from_work: int, tip_bits: int, params: ChainParams) -> int:
    """Seconds that the work between two chainworks takes at the tip's difficulty; negative if to has less.

    At most 2^63 - 1 either way (Core GetBlockProofEquivalentTime).
    """
    work = abs(to_work - from_work) * params.pow_target_spacing & _MASK_256
    seconds = min(work // block_work(tip_bits), 2**63 - 1)
    return seconds if to_work > from_work else -seconds

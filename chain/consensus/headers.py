"""The rules of block headers. Source: Bitcoin Core 31.99 src/validation.cpp."""

from __future__ import annotations

from ..params import ChainParams
from ..primitives.block import BlockHeader
from .context import HeaderContext
from .deployments import is_active
from .errors import BlockFault, BlockInvalid
from .limits import MAX_FUTURE_BLOCK_TIME, MAX_TIMEWARP
from .pow import check_proof_of_work, next_work_required


def check_header(header: BlockHeader, params: ChainParams) -> None:
    """What a header must keep whatever stands below it; raises BlockInvalid (Core CheckBlockHeader)."""
    if not check_proof_of_work(header.hash, header.bits, params):
        raise BlockInvalid(BlockFault.INVALID_HEADER, "high-hash", "proof of work failed")


def contextual_check_header(
    header: BlockHeader, prev: HeaderContext, now: float, params: ChainParams
) -> None:
    """What a header must keep on top of prev; now in seconds. Raises BlockInvalid."""
    if header.bits != next_work_required(prev, header.time, params):
        raise BlockInvalid(BlockFault.INVALID_HEADER, "bad-diffbits", "incorrect proof of work")

    if header.time <= prev.mtp():
        raise BlockInvalid(BlockFault.INVALID_HEADER, "time-too-old", "block's timestamp is too early")

    height = prev.height + 1
    if (
        params.enforce_bip94
        and height % params.difficulty_interval == 0
        and header.time < prev.time - MAX_TIMEWARP
    ):
        raise BlockInvalid(
            BlockFault.INVALID_HEADER,
            "time-timewarp-attack",
            "block's timestamp is too early on diff adjustment block",
        )

    if header.time > now + MAX_FUTURE_BLOCK_TIME:
        raise BlockInvalid(BlockFault.TIME_FUTURE, "time-too-new", "block timestamp too far in the future")

    version = header.version
    if version < 4 and (
        (version < 2 and is_active("bip34", prev.height, params))
        or (version < 3 and is_active("bip66", prev.height, params))
        or is_active("bip65", prev.height, params)
    ):
        text = f"0x{version & 0xFFFFFFFF:08x}"
        raise BlockInvalid(
            BlockFault.INVALID_HEADER, f"bad-version({text})", f"rejected nVersion={text} block"
        )

"""The rules of blocks, up to those that need coins (connect.py has those).

Source: Bitcoin Core 31.99 src/validation.cpp. Whatever may be wrong with the body alone, while the header is
fine, is a MUTATED fault and comes first: somebody may have damaged the body to have a good block refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..params import ChainParams
from ..primitives.block import Block, BlockHeader
from ..primitives.hashes import sha256d
from ..primitives.merkle import merkle_root
from ..script.script import push_int
from .context import HeaderContext
from .deployments import is_active
from .errors import BlockFault, BlockInvalid, TxInvalid
from .headers import check_header
from .limits import (
    INITIAL_SUBSIDY,
    MAX_BLOCK_SIGOPS_COST,
    MAX_BLOCK_WEIGHT,
    WITNESS_SCALE_FACTOR,
)
from .signet import check_signet_solution
from .transactions import check_transaction, is_final, legacy_sigops
from .witness_commitment import witness_commitment_index, witness_root


def check_block(block: Block, params: ChainParams, check_pow: bool = True, check_merkle: bool = True) -> None:
    """What a block must keep whatever stands below it; raises BlockInvalid (Core CheckBlock).

    Nothing here looks at a witness: until contextual_check_block nobody knows that it is the right one.
    """
    if check_pow:
        check_header(block.header, params)
        if params.signet_challenge and not check_signet_solution(block, params):
            raise BlockInvalid(
                BlockFault.CONSENSUS,
                "bad-signet-blksig",
                "signet block signature validation failure",
            )
    if check_merkle:
        check_merkle_root(block)

    vtx = block.vtx
    if (
        not vtx
        or len(vtx) * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT
        or block.base_size * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT
    ):
        raise BlockInvalid(BlockFault.CONSENSUS, "bad-blk-length", "size limits failed")

    if not vtx[0].is_coinbase:
        raise BlockInvalid(BlockFault.CONSENSUS, "bad-cb-missing", "first tx is not coinbase")
    unsure = [tx for tx in vtx if not tx.sound]
    if sum(tx.is_coinbase for tx in unsure) > 1:
        raise BlockInvalid(BlockFault.CONSENSUS, "bad-cb-multiple", "more than one coinbase")

    for tx in unsure:
        try:
            check_transaction(tx)
        except TxInvalid as error:
            raise BlockInvalid(
                BlockFault.CONSENSUS,
                error.reason,
                f"Transaction check failed (tx hash {tx.txid[::-1].hex()}) {error.detail}",
            ) from error

    # Less than the true count: what P2SH and witnesses hide is counted when coins are at hand.
    if sum(map(legacy_sigops, vtx)) * WITNESS_SCALE_FACTOR > MAX_BLOCK_SIGOPS_COST:
        raise BlockInvalid(BlockFault.CONSENSUS, "bad-blk-sigops", "out-of-bounds SigOpCount")


def check_merkle_root(block: Block) -> None:
    """That the header commits to the block's transactions, and to them only; raises BlockInvalid, MUTATED."""
    root, mutated = merkle_root(block.txids())
    if root != block.header.merkle_root:
        raise BlockInvalid(BlockFault.MUTATED, "bad-txnmrklroot", "hashMerkleRoot mismatch")
    if mutated:  # CVE-2012-2459: transactions repeated at the end give the same root
        raise BlockInvalid(BlockFault.MUTATED, "bad-txns-duplicate", "duplicate transaction")


def check_witness_commitment(block: Block, expected: bool) -> None:
    """That the block's witnesses are those its coinbase commits to; raises BlockInvalid, MUTATED (BIP 141).

    expected: segwit is active. Without it, or without a commitment, there may be no witness at all: it would
    be room for data that nobody pays for. With it, the block must begin with a coinbase.
    """
    index = witness_commitment_index(block) if expected else None
    if index is not None:
        coinbase = block.vtx[0]
        stack = coinbase.witness_of(0)
        if len(stack) != 1 or len(stack[0]) != 32:
            raise BlockInvalid(
                BlockFault.MUTATED,
                "bad-witness-nonce-size",
                "CheckWitnessMalleation : invalid witness reserved value size",
            )
        # Repeated leaves need no look here: the txids above them have already been checked.
        commitment = sha256d(witness_root(block.vtx) + stack[0])
        if commitment != coinbase.vout[index].script_pubkey[6:38]:
            raise BlockInvalid(
                BlockFault.MUTATED,
                "bad-witness-merkle-match",
                "CheckWitnessMalleation : witness merkle commitment mismatch",
            )
        return
    for tx in block.vtx:
        if tx.has_witness:
            raise BlockInvalid(
                BlockFault.MUTATED,
                "unexpected-witness",
                "CheckWitnessMalleation : unexpected witness data found",
            )


def check_block_mutated(block: Block, check_witness_root: bool) -> None:
    """Raises BlockInvalid, MUTATED, if the body is not the one the header commits to (Core IsBlockMutated).

    Asked before anything of a block from the network is kept, so that its sender and not the block is blamed.
    check_witness_root: segwit is active in this block.
    """
    check_merkle_root(block)
    if not block.vtx or not block.vtx[0].is_coinbase:
        # A transaction of 64 bytes may be two hashes, an inner node of another tree passed off as a leaf. The
        # block is invalid in any case; only whether its header may be blamed is decided here.
        if any(tx.base_size == 64 for tx in block.vtx):
            raise BlockInvalid(BlockFault.MUTATED, "bad-cb-missing", "64-byte transaction")
        return
    check_witness_commitment(block, check_witness_root)


def is_block_mutated(block: Block, check_witness_root: bool) -> bool:
    """Whether `check_block_mutated` raises."""
    try:
        check_block_mutated(block, check_witness_root)
    except BlockInvalid:
        return True
    return False


def contextual_check_block(block: Block, prev: HeaderContext | None, params: ChainParams) -> None:
    """What a block must keep on top of prev (None: it is genesis), coins aside; raises BlockInvalid.

    check_block comes first.
    """
    below = -1 if prev is None else prev.height
    height = below + 1
    if prev is not None and is_active("csv", below, params):
        cutoff = prev.mtp()  # BIP 113
    else:
        cutoff = block.header.time
    for tx in block.vtx:
        if tx.locktime and not is_final(tx, height, cutoff):
            raise BlockInvalid(BlockFault.CONSENSUS, "bad-txns-nonfinal", "non-final transaction")

    if is_active("bip34", below, params):
        script_sig = block.vtx[0].vin[0].script_sig
        if not script_sig.startswith(push_int(height)):
            raise BlockInvalid(BlockFault.CONSENSUS, "bad-cb-height", "block height mismatch in coinbase")

    check_witness_commitment(block, is_active("segwit", below, params))

    # Not before: the coinbase's witness could have been stuffed without changing the block's hash.
    if block.weight > MAX_BLOCK_WEIGHT:
        raise BlockInvalid(
            BlockFault.CONSENSUS, "bad-blk-weight", "ContextualCheckBlock : weight limit failed"
        )


def block_subsidy(height: int, params: ChainParams) -> int:
    """New satoshis that the coinbase at height may take."""
    halvings = height // params.halving_interval
    return INITIAL_SUBSIDY >> halvings if halvings < 64 else 0


def has_valid_proof_of_work(headers: Sequence[BlockHeader], params: ChainParams) -> bool:
    """Whether each header has the work it claims."""
    try:
        for header in headers:
            check_header(header, params)
    except BlockInvalid:
        return False
    return True

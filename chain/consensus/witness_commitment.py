"""The witness commitment: an output of the coinbase that commits to every witness of the block (BIP 141)."""

from __future__ import annotations

from collections.abc import Sequence

from ..params import ChainParams
from ..primitives.block import Block
from ..primitives.hashes import ZERO_HASH, sha256d
from ..primitives.merkle import merkle_root
from ..primitives.transaction import Transaction, TxOut
from .context import HeaderContext
from .deployments import is_active
from .limits import MIN_WITNESS_COMMITMENT_SIZE, WITNESS_COMMITMENT_HEADER

RESERVED_VALUE = bytes(32)
"""What our own coinbases carry in their witness; the rule allows any 32 bytes."""


def witness_commitment_index(block: Block) -> int | None:
    """Number of the coinbase output with the commitment, the last that looks like one; None without."""
    return _commitment_index(block.vtx[0]) if block.vtx else None


def _commitment_index(coinbase: Transaction) -> int | None:
    for index in range(len(coinbase.vout) - 1, -1, -1):
        script = coinbase.vout[index].script_pubkey
        if len(script) >= MIN_WITNESS_COMMITMENT_SIZE and script.startswith(WITNESS_COMMITMENT_HEADER):
            return index
    return None


def witness_root(vtx: Sequence[Transaction]) -> bytes:
    """Root of the tree of wtxids, with zero in place of the coinbase's."""
    root, _ = merkle_root([ZERO_HASH, *(tx.wtxid for tx in vtx[1:])])
    return root


def commitment_script(vtx: Sequence[Transaction], reserved: bytes = RESERVED_VALUE) -> bytes:
    """The script of the output that commits to the witnesses of vtx, coinbase first."""
    return WITNESS_COMMITMENT_HEADER + sha256d(witness_root(vtx) + reserved)


def generate_commitment(vtx: Sequence[Transaction], segwit: bool = True) -> Transaction:
    """The coinbase of vtx with the reserved value and, if it has none, an output with the commitment.

    segwit: it is active; before, the output is there just so, but no witness may be.
    """
    coinbase = vtx[0]
    if _commitment_index(coinbase) is not None:
        return fill_reserved_value(coinbase) if segwit else coinbase
    return Transaction.make(
        coinbase.vin,
        (*coinbase.vout, TxOut(0, commitment_script(vtx))),
        version=coinbase.version,
        locktime=coinbase.locktime,
        witness=[[RESERVED_VALUE]] if segwit else (),
    )


def fill_reserved_value(coinbase: Transaction) -> Transaction:
    """coinbase with the reserved value as its witness, where it has a commitment but no witness."""
    if coinbase.has_witness or _commitment_index(coinbase) is None:
        return coinbase
    return Transaction.make(
        coinbase.vin,
        coinbase.vout,
        version=coinbase.version,
        locktime=coinbase.locktime,
        witness=[[RESERVED_VALUE]],
    )


def complete_block(block: Block, prev: HeaderContext, params: ChainParams) -> Block:
    """block with the reserved value filled in where a miner left it out: nothing commits to it.

    submitblock takes blocks so (Core UpdateUncommittedBlockStructures).
    """
    if not block.vtx or not is_active("segwit", prev.height, params):
        return block
    coinbase = fill_reserved_value(block.vtx[0])
    return block if coinbase is block.vtx[0] else Block(block.header, (coinbase, *block.vtx[1:]))

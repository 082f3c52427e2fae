"""Blocks to mine: chosen transactions, a coinbase byte for byte as Core's, and the search for a nonce.

Source: Core 31.99 node/miner.cpp. Plain functions over the tip, the mempool and the time; ChainManager's
create_template calls `assemble` on the owner task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .consensus.blocks import block_subsidy
from .consensus.context import HeaderContext
from .consensus.deployments import compute_block_version, is_active
from .consensus.limits import MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, MAX_TIMEWARP
from .consensus.pow import bits_to_target, next_work_required
from .consensus.transactions import is_final
from .consensus.witness_commitment import generate_commitment, witness_commitment_index
from .mempool.clusters import Chunk
from .mempool.entry import MempoolEntry
from .mempool.pool import Mempool
from .nonce_search import grind
from .params import ChainParams
from .policy.settings import PolicySettings
from .primitives.block import Block, BlockHeader
from .primitives.merkle import merkle_root
from .primitives.transaction import NULL_OUTPOINT, WITNESS_SCALE_FACTOR, Transaction, TxIn, TxOut
from .script.script import push_data, push_int

RESERVED_SIGOPS = 400
"""Kept for the outputs of the coinbase."""
MIN_RESERVED_WEIGHT = 2_000
MAX_FAILURES, NEARLY_FULL = 1000, 4000
"""After so many chunks in a row that do not fit, a block with less weight than this left is full."""
SEQUENCE_NOT_FINAL = 0xFFFFFFFE
_OP_0 = b"\x00"


@dataclass(slots=True)
class BlockTemplate:
    """A block that lacks only its proof of work, and what getblocktemplate tells of it.

    fees, sigops: of each transaction but the coinbase, in order; fees without deltas. weight: with what is
    reserved for header and coinbase. chunk_feerates: (fee, vsize) of the chunks taken, in order.
    """

    block: Block
    prev: HeaderContext
    fees: list[int]
    sigops: list[int]
    weight: int
    chunk_feerates: list[tuple[int, int]]

    @property
    def height(self) -> int:
        return self.prev.height + 1

    @property
    def coinbase(self) -> Transaction:
        return self.block.vtx[0]

    @property
    def total_fees(self) -> int:
        return sum(self.fees)

    @property
    def target(self) -> int:
        return bits_to_target(self.block.header.bits)[0]


def assemble(
    prev: HeaderContext,
    mempool: Mempool | None,
    params: ChainParams,
    script_pubkey: bytes,
    now: int,
    *,
    settings: PolicySettings | None = None,
    extra_nonce: bytes | None = None,
    dummy_extra_nonce: bool = True,
) -> BlockTemplate:
    """A template on top of prev that pays to script_pubkey. mempool None: the coinbase only.

    now: seconds. settings: the block's limits; the mempool's by default. extra_nonce: pushed in the coinbase
    behind the height, so that miners differ; else OP_0 stands there (dummy_extra_nonce) as in what Core's
    generate methods make.
    """
    if settings is None:
        settings = PolicySettings() if mempool is None else mempool.settings
    height = prev.height + 1
    choice = _Selection(settings, height, prev.mtp())
    if mempool is not None:
        choice.fill(mempool)
    tail = _OP_0 if dummy_extra_nonce else b""
    if extra_nonce is not None:
        tail = push_data(extra_nonce)
    coinbase = make_coinbase(
        height, script_pubkey, block_subsidy(height, params) + sum(choice.fees), tail=tail
    )
    txs = [entry.tx for entry in choice.entries]
    segwit = is_active("segwit", prev.height, params)
    vtx = [generate_commitment([coinbase, *txs], segwit), *txs]
    version = compute_block_version(prev, params)
    if params.mockable and settings.block_version is not None:
        version = settings.block_version
    time = max(minimum_time(prev, params), now)
    bits = next_work_required(prev, time, params)
    header = BlockHeader(version, prev.hash, merkle_root([tx.txid for tx in vtx])[0], time, bits, 0)
    return BlockTemplate(
        Block(header, vtx),
        prev,
        choice.fees,
        [entry.sigop_cost for entry in choice.entries],
        choice.weight,
        choice.chunk_feerates,
    )


class _Selection:
    """Takes chunks, best first, as long as they fit."""

    def __init__(self, settings: PolicySettings, height: int, mtp: int) -> None:
        reserved = min(max(settings.block_reserved_weight, MIN_RESERVED_WEIGHT), MAX_BLOCK_WEIGHT)
        self.max_weight = min(max(settings.block_max_weight, reserved), MAX_BLOCK_WEIGHT)
        self.min_feerate = settings.block_min_feerate
        self.height, self.mtp = height, mtp
        self.weight, self.sigops = reserved, RESERVED_SIGOPS
        self.entries: list[MempoolEntry] = []
        self.fees: list[int] = []
        self.chunk_feerates: list[tuple[int, int]] = []

    def fill(self, mempool: Mempool) -> None:
        failures = 0
        skipped: set[bytes] = set()
        for chunk in mempool.chunks():
            vsize = (chunk.weight + WITNESS_SCALE_FACTOR - 1) // WITNESS_SCALE_FACTOR
            if chunk.fee * 1000 < self.min_feerate * vsize:
                return
            entries = [mempool.entries[txid] for txid in chunk.txids]
            # later chunks of a cluster may depend on one that was left out
            blocked = skipped and any(
                parent in skipped for txid in chunk.txids for parent in mempool.graph.parents(txid)
            )
            if blocked or not self._fits(chunk, entries):
                skipped.update(chunk.txids)
                failures += 1
                if failures > MAX_FAILURES and self.weight + NEARLY_FULL > self.max_weight:
                    return
                continue
            failures = 0
            self.entries += entries
            self.fees += [entry.fee for entry in entries]
            self.weight += sum(entry.tx.weight for entry in entries)
            self.sigops += sum(entry.sigop_cost for entry in entries)
            self.chunk_feerates.append((chunk.fee, vsize))

    def _fits(self, chunk: Chunk, entries: Sequence[MempoolEntry]) -> bool:
        return (
            self.weight + chunk.weight < self.max_weight
            and self.sigops + sum(entry.sigop_cost for entry in entries) < MAX_BLOCK_SIGOPS_COST
            and all(is_final(entry.tx, self.height, self.mtp) for entry in entries)
        )


def make_coinbase(height: int, script_pubkey: bytes, value: int, *, tail: bytes = b"") -> Transaction:
    """A coinbase without commitment: its script begins with the height (BIP 34); tail: what follows.

    The locktime makes coinbases of different heights differ for good; the sequence makes it count (BIP 54).
    """
    return Transaction.make(
        [TxIn(NULL_OUTPOINT, push_int(height) + tail, SEQUENCE_NOT_FINAL)],
        [TxOut(value, script_pubkey)],
        version=2,
        locktime=height - 1,
    )


def minimum_time(prev: HeaderContext, params: ChainParams) -> int:
    """The least time of the block after prev. BIP 94's rule is kept everywhere, should it come there."""
    time = prev.mtp() + 1
    if (prev.height + 1) % params.difficulty_interval == 0:
        time = max(time, prev.time - MAX_TIMEWARP)
    return time


def update_time(header: BlockHeader, prev: HeaderContext, params: ChainParams, now: int) -> BlockHeader:
    """header with a time of at least now, and the work that this time asks for on testnets."""
    time = max(header.time, minimum_time(prev, params), now)
    bits = header.bits
    if params.pow_allow_min_difficulty:
        bits = next_work_required(prev, time, params)
    return BlockHeader(header.version, header.prev_hash, header.merkle_root, time, bits, header.nonce)


def with_transactions(block: Block, txs: Sequence[Transaction]) -> Block:
    """block with txs behind its coinbase, and the commitment made anew (Core RegenerateCommitments)."""
    coinbase = block.vtx[0]
    index = witness_commitment_index(block)
    outs = [out for i, out in enumerate(coinbase.vout) if i != index]
    bare = Transaction.make(coinbase.vin, outs, version=coinbase.version, locktime=coinbase.locktime)
    return with_coinbase(block, generate_commitment([bare, *txs], coinbase.has_witness), txs)


def with_coinbase(block: Block, coinbase: Transaction, txs: Sequence[Transaction] | None = None) -> Block:
    """block with another coinbase, and other transactions if given; the merkle root follows."""
    vtx = [coinbase, *(block.vtx[1:] if txs is None else txs)]
    old = block.header
    root, _ = merkle_root([tx.txid for tx in vtx])
    return Block(BlockHeader(old.version, old.prev_hash, root, old.time, old.bits, old.nonce), vtx)


def with_nonce(block: Block, nonce: int) -> Block:
    old = block.header
    header = BlockHeader(old.version, old.prev_hash, old.merkle_root, old.time, old.bits, nonce)
    return Block(header, block.vtx)


def solve(block: Block, max_tries: int) -> tuple[Block | None, int]:
    """(block with its proof of work, tries left); None if tries or nonces ran out.

    With tries left and no block, the nonces ran out: the caller makes a new template (Core GenerateBlock).
    """
    target, _, _ = bits_to_target(block.header.bits)
    nonce, tried = grind(block.header.raw, target, block.header.nonce, max_tries)
    left = max_tries - tried
    return (None if nonce is None else with_nonce(block, nonce)), left

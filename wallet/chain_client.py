"""What a wallet needs of a node. A full node's part is node/wallet_chain.py, an SPV node's node/spv.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from typing import NamedTuple, Protocol

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.policy.fee_calculation import FeeCalculation
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Transaction


class BlockRef(NamedTuple):
    """A block of the header chain. time: of its header; mtp: median time past of it and those below."""

    hash: bytes
    height: int
    time: int
    mtp: int


class ScannedBlock(NamedTuple):
    """One step of a scan. block is None where it touches none of the scripts."""

    ref: BlockRef
    block: Block | None


class MempoolFamily(NamedTuple):
    """What is unconfirmed around a transaction: its ancestors and itself, and its whole cluster."""

    ancestors: int
    ancestor_vsize: int
    ancestor_fees: int
    cluster: int


class NotBroadcast(Exception):
    """The node did not take a transaction; the message says why, in Core's words."""


class BlocksMissing(Exception):
    """A scan needs blocks that cannot be had: pruned away, or no peer gives them."""


class ChainClient(Protocol):
    """A view of the best chain and of the mempool, and the way to send. Plain methods answer at once."""

    @property
    def events(self) -> EventBus:
        """A block that concerns a wallet comes as BlockConnected before the TipChanged that reaches it.

        A full node tells every block so; an SPV node may leave out those whose filter matches no script.
        TxAdded and TxRemoved tell what becomes pending and what no longer is.
        """

    @property
    def has_blocks(self) -> bool:
        """All blocks are at hand, so a scan needs no peer, and RPC may wait for one."""

    @property
    def lowest_block(self) -> int:
        """Height from which on no block up to the tip is pruned away; 0 where none is."""

    @property
    def tip(self) -> BlockRef: ...

    @property
    def is_ibd(self) -> bool: ...

    async def settled(self) -> None:
        """Returns when every block at hand is on the best chain that it can be on.

        After a crash a full node connects its last blocks anew; an SPV node has nothing to wait for.
        """

    def at_height(self, height: int) -> BlockRef | None:
        """On the best chain."""

    def find(self, block_hash: bytes) -> BlockRef | None:
        """Any block whose header is known."""

    def in_chain(self, block_hash: bytes) -> bool:
        """It is on the best chain."""

    def fork_height(self, block_hash: bytes) -> int:
        """Height of the last block that the best chain and the one of block_hash share. LookupError."""

    def find_fork(self, locator: Sequence[bytes]) -> BlockRef:
        """The first block of locator that is on the best chain; else the genesis block."""

    def locator(self, block_hash: bytes) -> list[bytes]:
        """Hashes down from a block, denser near it."""

    def earliest_at_least(self, time: int) -> BlockRef | None:
        """The first block of the best chain that no block above is older than, with at least this time."""

    def scan(
        self, scripts: Callable[[], Collection[bytes]], start: int, stop: int | None = None
    ) -> AsyncIterator[ScannedBlock]:
        """The blocks of the best chain from height start to stop (None: the tip, wherever it is by then).

        scripts is asked again for each block, as look-ahead grows while blocks are read. After a
        reorganisation it goes on at the fork. BlocksMissing if a block cannot be had.
        """

    async def read_block(self, block_hash: bytes) -> Block:
        """BlocksMissing if it cannot be had."""

    async def broadcast(self, tx: Transaction, max_fee: int = 0) -> None:
        """Into the mempool and to the peers; max_fee: satoshis, 0 for no limit. Raises NotBroadcast."""

    def in_mempool(self, txid: bytes) -> bool: ...

    def mempool_transactions(self) -> Sequence[Transaction]:
        """All that is pending, parents first."""

    def mempool_family(self, txid: bytes) -> MempoolFamily | None:
        """None where txid is not in the mempool, or nothing is known."""

    @property
    def min_relay_feerate(self) -> int: ...

    @property
    def mempool_min_feerate(self) -> int:
        """What the mempool asks at the moment, at least min_relay_feerate."""

    @property
    def dust_feerate(self) -> int: ...

    @property
    def max_fee_target(self) -> int:
        """The highest target of `estimate_feerate`; 0 where the node estimates nothing."""

    def estimate_feerate(self, target: int, conservative: bool) -> FeeCalculation:
        """What is to be paid to be confirmed within target blocks."""

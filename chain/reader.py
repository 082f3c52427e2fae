"""What anybody may ask of the chain at any moment, answered at once: nothing here changes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .activation import Activation
from .background import BackgroundSync
from .block_index import BlockIndex
from .chainstate import Chainstate
from .consensus.deployments import StateCache
from .events import EventBus
from .header_tree import HeaderNode, HeaderTree
from .ibd import DEFAULT_MAX_TIP_AGE, Activity, IbdLatch
from .loaded_snapshot import LoadedSnapshot
from .log_lines import verification_progress
from .mempool.acceptance import Acceptance
from .mempool.pool import Mempool
from .params import ChainParams
from .ports import Ports
from .primitives.block import Block
from .primitives.transaction import Coin, OutPoint
from .pruning import first_stored
from .script_checks import ScriptCache
from .storage.records import BlockUndo

DEFAULT_DB_CACHE = 450 << 20
"""Bytes for the coins in memory (-dbcache)."""
FEE_ESTIMATION_TIP_AGE = 3 * 60 * 60
"""Seconds; with an older tip blocks may be missing, and waiting times say nothing."""


class ChainOptions(NamedTuple):
    """How to run the chain. assume_valid, minimum_chainwork: None for the network's own.

    headers_only: an SPV node, with no bodies and no coins; its active chain is that of the best header.
    prune_target: bytes of blocks to keep, 0 to prune by hand only, None to keep all.
    max_file_bytes: of one block file; None for the usual.
    fast_scripts: False checks every script by the interpreter alone, one by one, and remembers none.
    """

    db_cache: int = DEFAULT_DB_CACHE
    max_tip_age: int = DEFAULT_MAX_TIP_AGE
    minimum_chainwork: int | None = None
    assume_valid: bytes | None = None
    stop_at_height: int = 0
    reindex: bool = False
    reindex_chainstate: bool = False
    headers_only: bool = False
    prune_target: int | None = None
    max_file_bytes: int | None = None
    script_cache_entries: int = 200_000
    fast_scripts: bool = True


class ChainReader:
    """The reading half of `ChainManager`."""

    def __init__(
        self,
        ports: Ports,
        params: ChainParams,
        options: ChainOptions,
        events: EventBus,
        index: BlockIndex,
    ) -> None:
        self.ports, self.params, self.options, self.events = ports, params, options, events
        self.index = index
        work = params.minimum_chainwork if options.minimum_chainwork is None else options.minimum_chainwork
        self.minimum_chainwork = work
        self.ibd = IbdLatch(work, options.max_tip_age)
        self.script_cache = ScriptCache(options.script_cache_entries if options.fast_scripts else 0)
        self.deployment_cache: StateCache = {}
        """Version bits states by period, for the functions of consensus/deployments."""
        self._chainstate: Chainstate | None = None
        self._activation: Activation | None = None
        self._acceptance: Acceptance | None = None
        self.loaded_snapshot: LoadedSnapshot | None = None
        """What the active chain is based on, if coins were loaded; until the start after the validation."""
        self._tip_waiters: list[Callable[[], None]] = []

    @property
    def headers(self) -> HeaderTree:
        return self.index.tree

    @property
    def tip(self) -> HeaderNode:
        """The last block of the active chain."""
        tip = self.index.tree.tip
        assert tip is not None, "the genesis block is connected by open"
        return tip

    @property
    def best_header(self) -> HeaderNode:
        """Most work, not known to be invalid."""
        return self.index.tree.best_header or self.tip

    @property
    def is_ibd(self) -> bool:
        """Initial block download; once over it never comes back while the node runs."""
        return self.ibd.active

    @property
    def is_current(self) -> bool:
        """Not behind: how long a transaction waits from now on says something about its feerate."""
        return (
            not self.holds_back(Activity.ESTIMATE_FEES)
            and self.tip.time >= self.ports.clock.time() - FEE_ESTIMATION_TIP_AGE
            and self.tip.height >= self.best_header.height - 1
        )

    def holds_back(self, activity: Activity) -> bool:
        """Initial block download holds this activity back."""
        return self.ibd.holds_back(activity)

    @property
    def chainstate(self) -> Chainstate:
        assert self._chainstate is not None, "an SPV node has no coins"
        return self._chainstate

    @property
    def background(self) -> BackgroundSync | None:
        """What validates the blocks below a loaded snapshot; None without one and when that is done."""
        return None if self.loaded_snapshot is None else self.loaded_snapshot.background

    @property
    def validated_tip(self) -> HeaderNode:
        """The last block of which it is known that all blocks up to it are valid: what indexes follow."""
        return self.tip if self.background is None else self.background.tip

    @property
    def activation(self) -> Activation:
        assert self._activation is not None, "an SPV node connects no blocks"
        return self._activation

    @property
    def mempool(self) -> Mempool | None:
        return self._acceptance.pool if self._acceptance else None

    def progress(self, node: HeaderNode | None = None) -> float:
        """Estimated share of the whole chain's transactions up to node (default: the tip)."""
        return verification_progress(
            node or self.tip, self.index.tree.best_header, self.ports.clock.time(), self.params
        )

    async def read_bytes(self, node: HeaderNode) -> bytes:
        """The block as it came. LookupError where it is not stored."""
        return await self.index.read_bytes(node)

    read_block_bytes = read_bytes

    async def read_block(self, node: HeaderNode) -> Block:
        return await self.index.read_block(node)

    async def read_undo(self, node: HeaderNode) -> BlockUndo:
        return await self.index.read_undo(node)

    async def get_coins(self, outpoints: Iterable[OutPoint]) -> dict[OutPoint, Coin | None]:
        """The unspent outputs at the tip, None for those that are not; the mempool is not looked at."""
        wanted = list(outpoints)
        found = await self.chainstate.coins.peek(wanted)
        return {outpoint: found.get(outpoint) for outpoint in wanted}

    async def wait_for_tip(
        self, predicate: Callable[[HeaderNode], bool], timeout: float | None = None
    ) -> HeaderNode:
        """The tip once predicate holds for it, or whatever it is after timeout seconds (None: no limit)."""
        event = asyncio.Event()
        self._tip_waiters.append(event.set)
        try:
            async with self.ports.clock.timeout(timeout):
                while not predicate(self.tip):
                    event.clear()
                    await event.wait()
        except TimeoutError:
            pass
        finally:
            self._tip_waiters.remove(event.set)
        return self.tip

    @property
    def pruning(self) -> bool:
        """Blocks are subject to pruning."""
        return self.options.prune_target is not None

    @property
    def have_pruned(self) -> bool:
        """Bodies of the active chain that were there have been pruned; the oldest files go first."""
        chain = self.headers.chain
        return len(chain) > 1 and chain[1].tx_count > 0 and not chain[1].have_data

    def first_stored_block(self) -> HeaderNode:
        """The lowest block from which on all bodies up to the tip are there; genesis if none is pruned."""
        return first_stored(self.index) or self.tip

    @property
    def pruned_height(self) -> int:
        """The highest block of the active chain whose body is missing; -1 if none is."""
        return self.first_stored_block().height - 1 if self.tip.have_data else self.tip.height

    @property
    def loading_blocks(self) -> bool:
        """Blocks are being loaded from files (-reindex, -loadblock)."""
        return self.ibd.loading

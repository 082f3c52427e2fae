"""The full node: chain, mempool, indexes, peers and wallets, started and stopped in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.consensus.limits import MAX_FUTURE_BLOCK_TIME
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.manager import MIN_DISK_SPACE, ChainManager, ChainOptions
from pybitcoind.chain.mempool import persistence
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.script.secp import keep_keys
from pybitcoind.chain.storage.block_store import FAST_PRUNE_FILE_BYTES, FilesMissing
from pybitcoind.chain.verify_chain import VerifyResult

from .checks import db_cache_bytes, filter_index_wanted
from .config import ConfigError, RebuildNeeded
from .notify import Notifications
from .peer_side import PeerSide
from .policy_options import policy_settings
from .wallet_side import WalletSide

if TYPE_CHECKING:
    from pybitcoind.chain.indexes.base import Index
    from pybitcoind.chain.indexes.block_filters import BlockFilterIndex
    from pybitcoind.wallet.chain_client import ChainClient

    from .app import Node

_INDEXES = {
    "txindex": ("transactions", "TxIndex"),
    "coinstatsindex": ("coin_stats", "CoinStatsIndex"),
    "txospenderindex": ("spenders", "SpenderIndex"),
    "scriptindex": ("scripts", "ScriptIndex"),
    "blockfilterindex": ("block_filters", "BlockFilterIndex"),
}
"""Option to module and class: only those that are wanted are imported."""
CONNECT_STORED = 20.0
"""Seconds that the start waits with -reindex-chainstate for the blocks that are stored to be connected."""

DISK_SPACE_INTERVAL = 300.0
"""Seconds between two looks at the space that is left."""


class FullNode:
    """`Role` of a full node; the miner builds on it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._acceptance: Acceptance
        self._owner: asyncio.Task[None] | None = None
        self._import: asyncio.Task[None] | None = None
        self._fee_writer: asyncio.Task[None] | None = None
        self._subscribers: list[asyncio.Task[None]] = []
        self._filter_index: BlockFilterIndex | None = None
        self._peer_side = PeerSide(node)
        self._wallet_side = node.wallet_side = WalletSide(node)
        self._mempool_file = node.net_dir / "mempool.dat"
        self._keep_mempool = node.config.flag("persistmempool", True)

    async def open(self, resources: AsyncExitStack) -> None:
        node, config = self.node, self.node.config
        keep_keys(config.flag("fastscripts", True))
        node.status("Loading block index…")
        node.events = EventBus()
        node.debug_log.info("Checking all blk files are present...")
        try:
            node.chain = await ChainManager.open(node.ports, node.params, self._chain_options(), node.events)
        except FilesMissing as error:
            node.debug_log.error(error.what)
            raise RebuildNeeded("Error loading block database") from None
        node.chain.activation.on_stop_height = node.request_stop
        node.chain.activation.look_at_stop_height()
        if node.chain.have_pruned and not node.chain.pruning:
            raise RebuildNeeded(
                "You need to rebuild the database using -reindex to go back to unpruned mode.  This will "
                "redownload the entire blockchain"
            )
        try:
            pool = Mempool(
                policy_settings(config, node.params), node.ports.clock, node.ports.log, node.events
            )
        except ValueError as error:
            raise ConfigError(str(error)) from None
        node.mempool = pool
        self._acceptance = node.chain.attach_mempool(pool)
        if not config.flag("blocksonly"):
            await self._open_fees()
        for name, index in self._wanted_indexes():
            node.indexes[name] = index
            await index.open()
            if index.missing_data() is not None:
                undo = " (including undo data)" if index.NEEDS_UNDO else ""
                raise ConfigError(
                    f"{name} best block of the index goes beyond pruned data{undo}. Please disable the index "
                    "or reindex (which will download the whole blockchain again)"
                )
        for name, handler in Notifications(node).handlers():
            subscription = node.events.subscribe(name, handler)
            self._subscribers.append(node.spawn(name, subscription.run()))
        await self._wallet_side.open(self._wallet_client)
        self._owner = node.spawn("owner", node.chain.run_owner())
        await self._verify()
        await self._peer_side.open(self._filter_index)

    async def _open_fees(self) -> None:
        """Learns of feerates. With -blocksonly there is next to nothing to learn from, and none is wanted."""
        from pybitcoind.chain.mempool.fee_recorder import FeeRecorder

        node = self.node
        fees = node.fees = FeeRecorder(node.ports, node.net_dir / "fee_estimates.dat")
        if not node.is_guest:  # which has no folder
            await fees.load(accept_stale=node.config.flag("acceptstalefeeestimates"))
            self._fee_writer = node.spawn("fee_estimates.dat", fees.run())
        subscription = node.events.subscribe("fee estimates", fees.handle)
        self._subscribers.append(node.spawn("fee estimates", subscription.run()))

    def _chain_options(self) -> ChainOptions:
        config = self.node.config
        return ChainOptions(
            db_cache=db_cache_bytes(config),
            max_tip_age=config.number("maxtipage", 24 * 60 * 60),
            stop_at_height=config.number("stopatheight"),
            reindex=config.flag("reindex"),
            reindex_chainstate=config.flag("reindex-chainstate"),
            prune_target=self._prune_target(),
            max_file_bytes=FAST_PRUNE_FILE_BYTES if config.flag("fastprune") else None,
            fast_scripts=self.node.config.flag("fastscripts", True),
        )

    def _prune_target(self) -> int | None:
        """Bytes of blocks to keep; 0 for -prune=1, pruning by RPC only; None without -prune."""
        wanted = self.node.config.number("prune")
        if wanted <= 0:
            return None
        return 0 if wanted == 1 else wanted << 20

    def _wanted_indexes(self) -> Iterator[tuple[str, Index[Any]]]:
        node = self.node
        for option, (module, name) in _INDEXES.items():
            is_filters = option == "blockfilterindex"
            if filter_index_wanted(node.config) if is_filters else node.config.flag(option):
                made = getattr(import_module(f"pybitcoind.chain.indexes.{module}"), name)
                index = made(node.chain, node.events, node.ports, node.params)
                if is_filters:
                    self._filter_index = index
                yield index.NAME, index

    def _wallet_client(self) -> ChainClient:
        from .wallet_chain import FullNodeChain

        return FullNodeChain(self.node)

    async def _verify(self) -> None:
        """Looks through the last blocks (-checkblocks, -checklevel)."""
        node, config = self.node, self.node.config
        if node.chain.tip.time > node.ports.clock.time() + MAX_FUTURE_BLOCK_TIME:
            raise RebuildNeeded(
                "The block database contains a block which appears to be from the future. This may be due to "
                "your computer's date and time being set incorrectly. Only rebuild the block database if you "
                "are sure that your computer's date and time are correct"
            )
        node.status("Verifying blocks…")
        level, blocks = config.number("checklevel", 3), config.number("checkblocks", 6)
        # In one request of the owner's: between two it may begin with a long reorganisation.
        if await node.chain.verify_all(level, blocks) is VerifyResult.CORRUPTED:
            raise RebuildNeeded("Corrupted block database detected")
        node.debug_log.info("Block index and chainstate loaded")
        if node.chain.background is not None and not node.chain.pruning:
            node.debug_log.info(
                "Running node in NODE_NETWORK_LIMITED mode until snapshot background sync completes"
            )

    async def start(self) -> None:
        node = self.node
        for folder, path in (("", node.net_dir), ("blocks", node.config.blocks_root / "blocks")):
            if node.ports.storage.free_space(folder) < MIN_DISK_SPACE:
                raise ConfigError(f'Error: Disk space is low for "{path}"')  # Core says "Error: " twice
        tip = node.chain.tip
        node.debug_log.info(f"block tree size = {len(node.chain.headers)}")
        node.debug_log.info(f"nBestHeight = {tip.height}")
        self._wallet_side.start()
        for name, index in node.indexes.items():  # before the import, which waits for who is behind
            self._subscribers.append(node.spawn(name, index.run()))
        self._import = node.spawn("import", self._import_and_load())
        if node.config.flag("reindex-chainstate"):
            await self._connect_stored()
        node.spawn("disk space", self._watch_disk_space())
        await self._peer_side.start()

    async def _connect_stored(self) -> None:
        """A short chain is whole again before RPC answers, as with Core, which is quick at it."""
        with suppress(TimeoutError):
            async with self.node.ports.clock.timeout(CONNECT_STORED):
                await self.node.chain.activate_best()

    async def _watch_disk_space(self) -> None:
        node = self.node
        await node.ports.clock.sleep(DISK_SPACE_INTERVAL)
        while node.ports.storage.free_space("blocks") >= 2 * MIN_DISK_SPACE:  # as Core counts it here
            await node.ports.clock.sleep(DISK_SPACE_INTERVAL)
        node.debug_log.error("Shutting down due to lack of disk space!")
        node.request_stop()

    async def _import_and_load(self) -> None:
        """What goes on after the start: -reindex, -loadblock, mempool.dat."""
        node = self.node
        try:
            if node.chain.reindexing:
                await node.chain.reindex()
            paths = node.config.values("loadblock")
            await node.chain.learn_headers(paths)
            for path in paths:
                await node.chain.load_external(path)
            if node.config.flag("stopafterblockimport"):
                node.debug_log.info("Stopping after block import")
                node.request_stop()
                return
            await self._load_mempool()
        except OwnerStopped:
            pass  # the node stops

    async def _load_mempool(self) -> None:
        chain, pool = self.node.chain, self._acceptance.pool
        if self._keep_mempool:

            async def load() -> None:
                await persistence.load(
                    self._acceptance, self._mempool_file, interrupted=lambda: chain.owner.stopping
                )

            await chain.submit(load)
        pool.loaded = not chain.owner.stopping

    async def stop(self) -> None:
        """Peers; the owner drains; mempool.dat; subscribers drain; flush and databases."""
        await self.node.in_order(self._end_import, self._peer_side.stop)
        if hasattr(self.node, "chain"):
            await self.node.in_order(
                self._end_owner,
                self._dump_mempool,
                self._drain_subscribers,
                self._close_fees,
                self._wallet_side.close,
                self._close_indexes,
                self._close_chain,
            )

    async def _end_import(self) -> None:
        if self._import is not None:
            self._import.cancel()
            await asyncio.wait((self._import,))

    async def _end_owner(self) -> None:
        self._wallet_side.stop()
        self.node.chain.stop_owner()
        if self._owner is not None:
            await asyncio.wait((self._owner,))

    async def _dump_mempool(self) -> None:
        mempool = self.node.mempool
        if mempool is not None and mempool.loaded and self._keep_mempool:
            await persistence.dump(self._acceptance, self._mempool_file)

    async def _drain_subscribers(self) -> None:
        for index in self.node.indexes.values():
            index.stop()
        self.node.events.finish()
        if self._subscribers:
            await asyncio.wait(self._subscribers)

    async def _close_fees(self) -> None:
        if self.node.fees is not None and self._fee_writer is not None:
            self.node.fees.stop()
            await asyncio.wait((self._fee_writer,))
            await self.node.fees.close()

    async def _close_indexes(self) -> None:
        for index in self.node.indexes.values():
            await index.close()

    async def _close_chain(self) -> None:
        """Flushes; after a failure of the storage nothing more is written."""
        if self.node.storage_failed:
            await self.node.chain.abandon()
        else:
            await self.node.chain.close()

"""The ChainManager: headers, blocks, coins and the mempool of one node, and the owner task that changes them.

Public coroutines may be awaited from any task: what changes something is handed to the owner and done
there, one request after the other; what only reads is answered at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

from .activation import Activation, ActivationOptions
from .block_import import learn_headers, load_external, reindex
from .block_index import BlockIndex
from .block_template import BlockTemplate, assemble
from .chainstate import Chainstate
from .chainstates import CoinStores, open_stores
from .consensus.blocks import check_block, contextual_check_block
from .consensus.deployments import script_flags_for
from .consensus.errors import BlockFault, BlockInvalid, TxFault, TxInvalid
from .consensus.headers import contextual_check_header
from .consensus.pow import block_work
from .events import BlockChecked, EventBus, HeaderTip, NewPowValidBlock, TipChanged
from .header_tree import HeaderNode
from .intake import BlockAccept, Intake
from .loaded_snapshot import LoadedSnapshot
from .log_lines import block_checked, iso_time
from .mempool.acceptance import Acceptance
from .mempool.package_acceptance import check_dependent, submit_package
from .mempool.pool import Mempool
from .mempool.results import PackageResult, TxAccept
from .owner import Owner
from .params import ChainParams
from .policy.settings import PolicySettings
from .ports import Ports, Timer
from .primitives.block import Block, BlockHeader
from .primitives.hashes import ZERO_HASH
from .primitives.transaction import Transaction
from .pruning import Below, delete_files, files_between, files_over_target, prunable_ranges
from .reader import ChainOptions, ChainReader
from .storage.block_store import BlockStore, Position
from .storage.coin_store import CoinStore
from .storage.database import StorageError
from .verify_chain import VerifyResult, verify_chain

T = TypeVar("T")

WRITE_DELAY = 1.0
"""Seconds from a change until bodies, undo data and headers are written, if nothing else has them written."""
MIN_DISK_SPACE = 50 << 20
"""Bytes that stay free: with less the node stops (Core's CheckDiskSpace)."""
FLUSHED_COIN_BYTES = 48 * 2 * 2
"""Room for a coin in a flush, which may be written twice."""
FLUSH_LOG_INTERVAL = 5.0
"""Seconds between two lines of a flush that takes long."""
COINS_INTERVAL = 600.0
"""Seconds between flushes of the coins; after a crash the blocks since then are connected again."""


UNFLUSHED_COINS = 250_000
"""Changed coins from which they are flushed, however much room the cache has: about a second of work, and no
more than that is left to a stop, or lost to a crash."""


class ChainManager(ChainReader):
    """Made with `open`. The node runs `run_owner` as a task; at the end it calls `stop_owner` and `close`."""

    def __init__(
        self,
        ports: Ports,
        params: ChainParams,
        options: ChainOptions,
        events: EventBus,
        blocks: BlockStore,
        coins: CoinStores | None,
    ) -> None:
        super().__init__(ports, params, options, events, BlockIndex(params, blocks))
        self.owner = Owner(self._step, self._background_step)
        self.prune_locks: dict[str, int] = {}
        """First heights that others still need, by name: blocks from a little below are not pruned."""
        self.last_assembled: tuple[int, int] | None = None
        """Weight, and number of transactions but the coinbase, of the last template that was made."""
        self._intake = Intake(ports, self.index, self.minimum_chainwork)
        self.loading_snapshot = False
        """loadtxoutset is reading one."""
        self._stores = coins
        if coins is not None:
            self.index.keep_within(options.db_cache)
            self._chainstate = self._make_chainstate(coins.loaded or coins.validated)
            self._activation = self._make_activation(self._chainstate)
        self._verdicts: dict[bytes, list[BlockAccept]] = {}
        self._notified_header: HeaderNode | None = None
        self._write_timer: Timer | None = None
        self._pruned_behind: tuple[int, ...] = ()
        self._next_flush = ports.clock.monotonic() + COINS_INTERVAL

    def _make_chainstate(self, store: CoinStore) -> Chainstate:
        return Chainstate(
            self.params,
            self.ports.workers,
            store,
            self.script_cache,
            cache_bytes=self.options.db_cache,
            fast_scripts=self.options.fast_scripts,
        )

    def _make_activation(self, chainstate: Chainstate) -> Activation:
        assume = self.params.assume_valid if self.options.assume_valid is None else self.options.assume_valid
        activation = Activation(
            self.ports,
            self.index,
            chainstate,
            self.events,
            self.ibd,
            ActivationOptions(assume, self.minimum_chainwork, self.options.stop_at_height),
            lambda: self.owner.stopping,
        )
        activation.on_tip = self._tip_moved
        activation.on_checked = self._block_checked
        activation.write_due = self._write_what_is_due
        return activation

    # Opening and closing

    @classmethod
    async def open(
        cls,
        ports: Ports,
        params: ChainParams,
        options: ChainOptions | None = None,
        events: EventBus | None = None,
    ) -> ChainManager:
        """Loads headers and tip; blocks that wait to be connected are connected once the owner runs.

        StorageError if what is stored does not fit together.
        """
        options = options or ChainOptions()
        async with AsyncExitStack() as stack:
            blocks = await BlockStore.open(
                ports.storage,
                params,
                reindex=options.reindex,
                pruning=options.prune_target is not None,
                max_file_bytes=options.max_file_bytes,
            )
            stack.push_async_callback(blocks.close)
            coins = None
            if not options.headers_only:
                wipe = options.reindex or options.reindex_chainstate
                coins = await open_stores(ports.storage, params, ports.log, wipe=wipe)
                stack.push_async_callback(coins.close)
            manager = cls(ports, params, options, events or EventBus(), blocks, coins)
            await manager._load()
            stack.pop_all()
        return manager

    async def _load(self) -> None:
        await self.index.load(bodies=self._chainstate is not None)
        tree = self.index.tree
        if self._chainstate is None:
            tree.set_tip(tree.best_header)
        else:
            await self._load_tip(self._chainstate)
            tree.set_tip(self._chainstate.tip)
        self.index.candidates.load(await self._load_snapshot())
        self._notified_header = tree.best_header
        if tree.tip is None:
            await self._step()  # connects the genesis block
            if tree.tip is None:
                raise StorageError(
                    "The coins are missing, and the blocks to make them from are pruned.",
                    "Restart with -reindex: all blocks are fetched anew.",
                )
        background = self.background
        if background is not None and background.chainstate.tip is None:
            await background.step()
        self.update_ibd()
        tip = self.tip
        self.ports.log.info(
            f"Loaded best chain: hashBestChain={tip.hash[::-1].hex()} height={tip.height} "
            f"date={iso_time(tip.time)} progress={self.progress():f}"
        )
        if not self.reindexing:
            self.owner.want_step()
            self.owner.want_idle_step()

    async def _load_tip(self, chainstate: Chainstate) -> None:
        await chainstate.store.limit_pages(self.options.db_cache)
        best = await chainstate.store.best_block()
        tip = None if best is None else self.index.tree.get(best)
        if best is not None and tip is None and self.reindexing:
            await chainstate.store.clear()  # -reindex was interrupted before it did this
            best = None
        if best is not None and tip is None:
            raise StorageError(
                f"The coins are those of block {best[::-1].hex()}, which is not known.",
                "Restart with -reindex.",
            )
        chainstate.tip, chainstate.flushed = tip, best

    async def _load_snapshot(self) -> tuple[HeaderNode, int] | None:
        """Takes up the chainstate behind a snapshot again, if there is one; for `Candidates.load`."""
        stores = self._stores
        if stores is None or stores.loaded is None or stores.known is None:
            return None
        known, tip = stores.known, self.index.tree.tip
        background = self._make_chainstate(stores.validated)
        await self._load_tip(background)
        if tip is None or tip.height < known.height or tip.ancestor(known.height).hash != known.block_hash:
            raise StorageError(
                "The coins of the snapshot are not those of its chain.", "Restart with -reindex."
            )
        base = tip.ancestor(known.height)
        self.loaded_snapshot = LoadedSnapshot(self, base, known, background)
        return base, known.chain_tx_count

    async def run_owner(self) -> None:
        """The owner task: serves requests until `stop_owner`. Ends with an exception if the storage fails."""
        await self.owner.run()

    def stop_owner(self) -> None:
        """No more requests; `run_owner` ends after those made before. The block in hand is given up."""
        self.owner.stop()
        if self._activation is not None:
            self._activation.stop()
        if self.background is not None:
            self.background.stop()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    async def close(self) -> None:
        """Writes everything and closes the databases; the owner must have ended."""
        self.stop_owner()
        try:
            await self._flush()
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """Closes the databases and writes nothing more: after a failure of the storage."""
        self.stop_owner()
        try:
            await self.index.blocks.close()
        finally:
            if self._chainstate is not None:
                await self._chainstate.close()
            if self.loaded_snapshot is not None:
                await self.loaded_snapshot.close()

    # Asking the owner

    async def submit(
        self, fn: Callable[[], Awaitable[T]], *, expected: tuple[type[BaseException], ...] = ()
    ) -> T:
        """fn's result, run by the owner between other requests. See `Owner.submit`."""
        return await self.owner.submit(fn, expected=expected)

    async def accept_headers(
        self, headers: Sequence[BlockHeader], *, min_pow_checked: bool = True
    ) -> HeaderNode | None:
        """Takes headers, parents first; the node of the last. BlockInvalid at the first bad one."""

        async def accept() -> HeaderNode | None:
            node = None
            try:
                for header in headers:
                    node = self._intake.accept_header(header, min_pow_checked)
            finally:
                self._header_tip_moved(node)
            return node

        return await self.submit(accept)

    async def accept_block(
        self, block: Block, *, requested: bool = False, min_pow_checked: bool = True, checked: bool = False
    ) -> BlockAccept:
        """Stores a block if it is wanted; connecting it, if it leads to the best chain, comes afterwards.

        The answer's error is what the rules without coins say.
        """

        async def accept() -> BlockAccept:
            return self._accept_block(block, requested, min_pow_checked, checked)

        if not checked and len(block.raw) > 50_000:
            try:
                await self.ports.workers.run(check_block, block, self.params)
                checked = True
            except BlockInvalid:
                pass  # the owner finds it again, and tells
        return await self.submit(accept)

    def _accept_block(
        self,
        block: Block,
        requested: bool,
        min_pow_checked: bool,
        checked: bool = False,
        position: Position | None = None,
    ) -> BlockAccept:
        """position: where the body is already; it is connected only when a step is asked for."""
        result = self._intake.accept_block(
            block, requested=requested, min_pow_checked=min_pow_checked, checked=checked
        )
        node = result.node
        if result.error is not None:
            self.ports.log.debug("validation", block_checked(block.hash, result.error))
            self.events.emit(BlockChecked(block.hash, result.error))
            self.ports.log.error(f"ProcessNewBlock: AcceptBlock FAILED ({result.error})")
        elif result.new and node is not None:
            if position is None:
                if not self.ibd.active and node.prev is self.index.tree.tip:
                    self.events.emit(NewPowValidBlock(block, node))
                self.owner.want_step()
            self.index.add_block(block, node, position)
            if self.background is not None:
                self.owner.want_idle_step()
        self._header_tip_moved(node)
        return result

    async def activate_best(self) -> None:
        """Returns when no better tip can be had of what is stored (or the node stops)."""
        await self.owner.steps_done()

    async def process_block(
        self, block: Block, *, requested: bool = False, min_pow_checked: bool = True
    ) -> BlockAccept:
        """accept_block, then activate_best; the answer also says how connecting the block went."""
        verdict = BlockAccept()
        self._verdicts.setdefault(block.hash, []).append(verdict)
        try:
            result = await self.accept_block(block, requested=requested, min_pow_checked=min_pow_checked)
            if result.error is None:
                await self.activate_best()
                while not verdict.checked and self._comes_next_below(result.node):
                    await self.owner.idle_step_taken()
                result.checked, result.error = verdict.checked, verdict.error
        finally:
            waiting = self._verdicts[block.hash]
            waiting.remove(verdict)
            if not waiting:
                del self._verdicts[block.hash]
        return result

    def _comes_next_below(self, node: HeaderNode | None) -> bool:
        """The chainstate behind a snapshot connects node with its next step."""
        background = None if self.owner.stopping else self.background
        return node is not None and background is not None and background.comes_next(node)

    async def invalidate_block(self, block_hash: bytes) -> None:
        """Treats a block as if it broke a rule; the genesis block stays. LookupError if it is unknown."""
        node = self._known(block_hash)
        if node.prev is not None:
            await self.submit(lambda: self.activation.invalidate(node))
        await self.activate_best()

    async def reconsider_block(self, block_hash: bytes) -> None:
        """Forgets that a block, those before and those behind it failed. LookupError if it is unknown."""
        node = self._known(block_hash)

        async def reconsider() -> None:
            self.activation.reconsider(node)
            self._header_tip_moved(node)

        await self.submit(reconsider)
        await self.activate_best()

    async def precious_block(self, block_hash: bytes) -> None:
        """Prefers a block to others of the same work. LookupError if it is unknown."""
        node = self._known(block_hash)

        async def prefer() -> None:
            self.activation.make_precious(node)

        await self.submit(prefer)
        await self.activate_best()

    def _known(self, block_hash: bytes) -> HeaderNode:
        node = self.index.tree.get(block_hash)
        if node is None:
            raise LookupError("Block not found")
        return node

    # Transactions

    def attach_mempool(self, pool: Mempool) -> Acceptance:
        """From now on pool follows the chain, and transactions are accepted into it."""
        fast = self.options.fast_scripts
        self._acceptance = Acceptance(pool, self, self.params, self.ports, fast_scripts=fast)
        self.activation.mempool = pool
        self.activation.mend_mempool = self._acceptance.mend_after_reorg
        return self._acceptance

    async def accept_transaction(
        self,
        tx: Transaction,
        *,
        test_only: bool = False,
        max_feerate: int | None = None,
        bypass_limits: bool = False,
    ) -> TxAccept:
        """Takes tx into the mempool; raises TxInvalid. See `Acceptance.accept`."""

        async def accept() -> TxAccept:
            accepted = await self.need_mempool().accept(
                tx, test_only=test_only, max_feerate=max_feerate, bypass_limits=bypass_limits
            )
            self._remember_scripts([accepted])
            return accepted

        return await self.submit(accept)

    async def test_package(self, txs: Sequence[Transaction]) -> PackageResult:
        """Whether txs, parents first, could all be taken in; nothing is."""
        return await self.submit(lambda: check_dependent(self.need_mempool(), txs))

    async def accept_package(
        self, txs: Sequence[Transaction], max_feerate: int | None = None
    ) -> PackageResult:
        """Takes in a child, which comes last, and its parents."""

        async def accept() -> PackageResult:
            result = await submit_package(self.need_mempool(), txs, max_feerate)
            self._remember_scripts([one for one in result.results.values() if isinstance(one, TxAccept)])
            return result

        return await self.submit(accept)

    def need_mempool(self) -> Acceptance:
        """What takes transactions in; TxInvalid on a node without mempool."""
        if self._acceptance is None:
            raise TxInvalid(TxFault.NO_MEMPOOL, "no-mempool")
        return self._acceptance

    def _remember_scripts(self, accepted: Sequence[TxAccept]) -> None:
        """Scripts that hold by the mempool's stricter rules need no second look in the next block."""
        flags = script_flags_for(self.tip.height, self.tip.hash, self.params)
        for one in accepted:
            self.script_cache.add(one.tx.wtxid, flags)

    # Blocks to be made

    async def create_template(
        self,
        script_pubkey: bytes,
        *,
        settings: PolicySettings | None = None,
        extra_nonce: bytes | None = None,
        use_mempool: bool = True,
        test_validity: bool = True,
    ) -> BlockTemplate:
        """A block on top of the tip that lacks only its proof of work; see block_template.assemble.

        test_validity: BlockInvalid if it would not be accepted, which only a bug of ours makes possible.
        """

        async def create() -> BlockTemplate:
            template = assemble(
                self.tip,
                self.mempool if use_mempool else None,
                self.params,
                script_pubkey,
                self.ports.clock.time(),
                settings=settings,
                extra_nonce=extra_nonce,
            )
            self.last_assembled = template.weight, len(template.fees)
            if test_validity:
                await self.test_block_validity(template.block, check_pow=False, check_merkle=False)
            return template

        return await self.submit(create)

    async def test_block_validity(
        self, block: Block, *, check_pow: bool = True, check_merkle: bool = True
    ) -> None:
        """Whether block, which is not stored, would be valid on top of the tip. Raises BlockInvalid."""

        async def test() -> None:
            tip = self.tip
            if block.header.prev_hash != tip.hash:
                raise BlockInvalid(BlockFault.CONSENSUS, "inconclusive-not-best-prevblk")
            check_block(block, self.params, check_pow, check_merkle)
            contextual_check_header(block.header, tip, self.ports.clock.time(), self.params)
            contextual_check_block(block, tip, self.params)
            node = HeaderNode(block.header, tip, block_work(block.header.bits))
            await self.chainstate.prepare_connect(block, node, check_scripts=True, remember=True)

        await self.submit(test)

    async def verify_chain(self, level: int = 3, blocks: int = 6) -> VerifyResult:
        """Looks through the last blocks of the active chain (0: all) at level 0 to 4."""
        return await self.submit(lambda: self._verify(self.chainstate, level, blocks))

    async def verify_all(self, level: int = 3, blocks: int = 6) -> VerifyResult:
        """As verify_chain, but first for the chainstate behind a snapshot, if there is one."""

        async def verify() -> VerifyResult:
            if self.background is not None:
                result = await self._verify(self.background.chainstate, level, blocks)
                if result is VerifyResult.CORRUPTED:
                    return result
            return await self._verify(self.chainstate, level, blocks)

        return await self.submit(verify)

    async def _verify(self, chainstate: Chainstate, level: int, blocks: int) -> VerifyResult:
        return await verify_chain(
            self.ports, self.index, chainstate, level, blocks, lambda: self.owner.stopping
        )

    async def load_external(self, path: str, progress: Callable[[int], None] | None = None) -> int:
        """Takes the blocks of a file in Core's -loadblock form; how many were new. See block_import.py."""
        return await load_external(self, path, progress)

    async def learn_headers(self, paths: Sequence[str]) -> None:
        """Before `load_external`: takes the headers of the files, if scripts may be assumed valid.

        Not with pruning: there Core, too, connects block by block and knows no further headers.
        """
        if self.activation.options.assume_valid != ZERO_HASH and not self.pruning:
            await learn_headers(self, paths)

    @property
    def reindexing(self) -> bool:
        """`reindex` is to be called: -reindex was given, or was not ended by a process before."""
        return self.index.blocks.reindexing

    async def reindex(self) -> None:
        """Finds the blocks of all block files again; once after opening, if `reindexing` says so."""
        await reindex(self)

    async def end_reindex(self) -> None:
        """All blocks of the files are in the index, and durably so. Runs on the owner task."""
        await self.index.write()
        await self.index.blocks.reindexed()

    async def prune(self, height: int) -> int:
        """Deletes block files with blocks up to height only. The height below the first block left, or -1."""

        async def prune() -> int:
            low, last = prunable_ranges(self.index, height, self.prune_locks, self._below)[-1]
            numbers = files_between(self.index, low, last)
            await self._delete_files(numbers)
            self.ports.log.info(f"Prune (Manual): prune_height={last} removed {len(numbers)} blk/rev pairs")
            return self.pruned_height

        return await self.submit(prune)

    @property
    def _below(self) -> Below | None:
        return None if self.background is None else (self.background.tip, self.background.target)

    async def flush(self) -> None:
        """Everything is on the disk when this returns."""
        await self.submit(self._flush)

    def update_ibd(self) -> None:
        """Looks whether initial block download is over; the tip's every move does it too."""
        if self.ibd.update(self.index.tree.tip, self.ports.clock.time()):
            self.ports.log.info("Leaving InitialBlockDownload (latching to false)")

    # On the owner task

    async def _step(self) -> bool:
        return await self._activation.step() if self._activation else False

    async def _background_step(self) -> bool:
        """The chainstate behind a snapshot, while there is nothing better to do."""
        if self.background is None:
            return False
        more = await self.background.step()
        await self._write_what_is_due()
        return more and self.background is not None

    def _header_tip_moved(self, last: HeaderNode | None) -> None:
        best = self.best_header
        if best is not self._notified_header:
            self._notified_header = best
            self.events.emit(HeaderTip(best, self.ibd.active))
            if self.ibd.active and last is not None:
                left = max(0, (self.ports.clock.time() - last.time) // self.params.pow_target_spacing)
                share = 100 * last.height / max(1, last.height + left)
                self.ports.log.info(f"Synchronizing blockheaders, height: {last.height} (~{share:.2f}%)")
            if self._chainstate is None:
                self._follow_headers(best)
        self._schedule_write()

    def _follow_headers(self, best: HeaderNode) -> None:
        """Without blocks of our own the best header is the tip."""
        tree = self.index.tree
        fork = tree.fork_with_chain(best)
        tree.set_tip(best)
        self.update_ibd()
        self.events.emit(TipChanged(best, fork, self.ibd.active))
        self._tip_moved(best)

    def _tip_moved(self, tip: HeaderNode) -> None:
        if self.loaded_snapshot is not None:
            self.loaded_snapshot.rebalance()
        for wake in self._tip_waiters:
            wake()

    def _block_checked(self, node: HeaderNode, error: BlockInvalid | None) -> None:
        for verdict in self._verdicts.get(node.hash, ()):
            verdict.checked, verdict.error = True, error

    def _schedule_write(self) -> None:
        if self._write_timer is None and self.index.dirty and not self.owner.stopping:
            clock = self.ports.clock
            self._write_timer = clock.call_at(clock.monotonic() + WRITE_DELAY, self._write_soon)

    def _write_soon(self) -> None:
        self._write_timer = None
        self.owner.post(self._write)

    async def _write(self) -> None:
        """Bodies, undo data and headers; after a new block file was begun, old ones may go.

        As often as it takes: blocks that are stored, but not connected yet, keep the files before them.
        """
        await self._write_index()
        current, target = self.index.blocks.current_files, self.options.prune_target
        if target and current != self._pruned_behind:
            numbers = files_over_target(
                self.index, target, self.prune_locks, in_ibd=self.ibd.active, below=self._below
            )
            await self._delete_files(numbers)
            if self.index.blocks.disk_size() < target:
                self._pruned_behind = current

    async def _write_what_is_due(self) -> None:
        caches = [self.chainstate.coins]
        if self.background is not None:
            caches.append(self.background.chainstate.coins)
        full = any(cache.full for cache in caches)
        unflushed = sum(cache.dirty_count for cache in caches)
        if full or unflushed >= UNFLUSHED_COINS or self.ports.clock.monotonic() >= self._next_flush:
            await self._flush()
        elif self.index.blocks.sync_due:
            await self._write()
        self._schedule_write()

    async def _write_index(self) -> None:
        if self.index.dirty:
            self._need_disk_space("blocks", self.index.blocks.pending_bytes)
            await self.index.write()

    def _need_disk_space(self, folder: str, more: int) -> None:
        if self.ports.storage.free_space(folder) < MIN_DISK_SPACE + more:
            raise StorageError(
                "A fatal internal error occurred, see debug.log for details: Disk space is too low!"
            )

    async def _delete_files(self, numbers: list[int]) -> None:
        if numbers:
            debug = self.ports.log.debug
            debug("prune", f"Prune: removing {len(numbers)} block files")
            await self._flush()
            await delete_files(self.index, numbers)
            for number in numbers:
                debug("blockstorage", f"Prune: deleted blk ({number:05})")

    async def _flush(self) -> None:
        await self._write_index()
        if self._chainstate is not None:
            await self._flush_coins(self._chainstate)
        if self.background is not None:
            await self._flush_coins(self.background.chainstate)
        self._next_flush = self.ports.clock.monotonic() + COINS_INTERVAL

    async def _flush_coins(self, chainstate: Chainstate) -> None:
        debug = self.ports.log.debug
        if chainstate.unflushed:
            count, dirty = len(chainstate.coins), chainstate.coins.dirty_count
            self._need_disk_space("chainstate", dirty * FLUSHED_COIN_BYTES)
            debug("coindb", f"Writing chainstate to disk: {dirty} changed transaction outputs")
            with self.ports.long_work("Flushing coins") as show:
                chainstate.store.show_flush = self._flush_shown(show, dirty)
                await chainstate.flush()
            debug(
                "coindb",
                f"Committed {dirty} changed transaction outputs (out of {count}) to coin database...",
            )

    def _flush_shown(self, show: Callable[[float], None], count: int) -> Callable[[float], None]:
        """What is told of a flush: a bar, and a line in the log now and then if it takes long."""
        clock, log = self.ports.clock, self.ports.log
        last = clock.monotonic()

        def shown(share: float) -> None:
            nonlocal last
            show(share)
            if share < 1 and clock.monotonic() - last >= FLUSH_LOG_INTERVAL:
                last = clock.monotonic()
                log.info(f"Flushing {count} coins to disk: {share:.0%}")

        return shown


__all__ = ["BlockAccept", "ChainManager", "ChainOptions"]

"""A Chainstate is coins and the block they stand for: it connects blocks to them and takes blocks off again.

Both go in two halves. `prepare_connect` and `prepare_disconnect` may wait, for coins and for the workers, and
change nothing; `apply` sets what they found in one step without any await, so that the manager can move tip,
coins and mempool together. `begin_connect` is prepare_connect up to where the scripts are under way, and the
next block can be begun meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .coins_cache import CoinsCache, CoinSource
from .consensus.connect import (
    BIP30_EXCEPTIONS,
    BIP30_OVERWRITTEN,
    BlockSpend,
    bip30_applies,
    check_bip30,
    created_outpoints,
    script_failure,
    spend_block,
    spend_block_in_c,
    spent_outpoints,
)
from .consensus.deployments import script_flags_for
from .events import ChainRole
from .header_tree import HeaderNode
from .params import ChainParams
from .ports import Workers
from .primitives.block import Block
from .primitives.transaction import Coin, OutPoint
from .script.flags import ScriptFlags
from .script.script import is_unspendable
from .script.sighash import TxDigests
from .script_checks import ScriptCache, ScriptChecks
from .storage.coin_store import CoinStore
from .storage.database import StorageError
from .storage.records import BlockUndo


@dataclass(slots=True)
class Connection:
    """What a block does to the coins, checked and ready to be applied."""

    node: HeaderNode
    block: Block
    undo: BlockUndo
    changes: dict[OutPoint, Coin | None]
    fees: int


@dataclass(slots=True)
class PendingConnection:
    """A connection of a block that has passed all rules but for the scripts, which are being checked."""

    connection: Connection
    scripts: ScriptChecks | None = None
    passed: Callable[[], None] | None = None
    """Called when all have passed."""

    @property
    def node(self) -> HeaderNode:
        return self.connection.node

    async def finish(self) -> Connection:
        """Waits for the scripts; BlockInvalid if one fails, ChecksDropped after `drop`."""
        failure = None if self.scripts is None else await self.scripts.failure()
        if failure is not None:
            raise script_failure(failure.error, failure.tx, failure.index)
        if self.passed is not None:
            self.passed()
        return self.connection

    def drop(self) -> None:
        """Gives it up, and with it the checks of its scripts."""
        if self.scripts is not None:
            self.scripts.drop()


@dataclass(slots=True)
class Disconnection:
    """What taking a block off does to the coins. clean: its outputs were all there, unspent and unchanged."""

    node: HeaderNode
    block: Block
    undo: BlockUndo
    changes: dict[OutPoint, Coin | None]
    clean: bool


class Chainstate:
    """Coins, their tip, and how blocks change both. Used on the owner task only."""

    def __init__(
        self,
        params: ChainParams,
        workers: Workers,
        store: CoinStore,
        scripts: ScriptCache,
        *,
        cache_bytes: int,
        role: ChainRole = ChainRole.ACTIVE,
        fast_scripts: bool = True,
    ) -> None:
        self.params, self.store, self.role = params, store, role
        self._workers, self._scripts, self._fast_scripts = workers, scripts, fast_scripts
        self.coins = CoinsCache(store, cache_bytes)
        self.tip: HeaderNode | None = None
        self.flushed: bytes | None = None
        """Hash of the block that the stored coins stand for."""

    def overlay(self, source: CoinSource) -> Chainstate:
        """A chainstate at the same tip over other coins, to try things out on; never flushed."""
        copy = Chainstate(
            self.params,
            self._workers,
            self.store,
            self._scripts,
            cache_bytes=0,
            role=self.role,
            fast_scripts=self._fast_scripts,
        )
        copy.coins, copy.tip = CoinsCache(source, 0), self.tip
        return copy

    async def prepare_connect(
        self, block: Block, node: HeaderNode, *, check_scripts: bool, remember: bool = False
    ) -> Connection:
        """The rules that need coins, for block, which node stands for, on top of the tip.

        check_block comes first. node may be outside of the header tree (a template's). remember: keep the
        transactions that pass in the script cache. Raises BlockInvalid.
        """
        pending = await self.begin_connect(block, node, check_scripts=check_scripts, remember=remember)
        return await pending.finish()

    async def begin_connect(
        self,
        block: Block,
        node: HeaderNode,
        *,
        check_scripts: bool,
        remember: bool = False,
        after: PendingConnection | None = None,
    ) -> PendingConnection:
        """As prepare_connect, but the scripts are checked from here on. after: on top of that block, which
        is the next tip if its own scripts hold.
        """
        if node.prev is not (self.tip if after is None else after.node):
            raise ValueError(f"{node} does not follow the tip {self.tip}")
        if node.prev is None:  # the genesis block's coinbase was never spendable
            return PendingConnection(Connection(node, block, BlockUndo(), {}, 0))
        params = self.params
        over = {} if after is None else after.connection.changes
        if bip30_applies(node.height, node.hash, node.prev, params):
            check_bip30(block, await self.coins.fetch(created_outpoints(block), over))
        elif BIP30_EXCEPTIONS.get(node.height) == node.hash:
            await self.coins.fetch(created_outpoints(block))  # the cache must know what is overwritten
        flags = script_flags_for(node.height, node.hash, params)
        spend = await self._spend(block, over, node.prev, flags)
        connection = Connection(node, block, BlockUndo(spend.undo), spend.changes, spend.fees)
        if not check_scripts:
            return PendingConnection(connection)
        known = self._scripts.contains if len(self._scripts) else None
        checks = [
            TxDigests(tx, spent)
            for tx, spent in zip(block.vtx[1:], spend.undo, strict=True)
            if known is None or not known(tx.wtxid, flags)
        ]
        scripts = ScriptChecks(self._workers, checks, flags, fast=self._fast_scripts)

        def passed() -> None:
            for digests in checks:
                self._scripts.add(digests.tx.wtxid, flags)

        return PendingConnection(connection, scripts, passed if remember else None)

    async def _spend(
        self, block: Block, over: dict[OutPoint, Coin | None], prev: HeaderNode, flags: ScriptFlags
    ) -> BlockSpend:
        """`spend_block` over the coins as they are once over is applied."""
        coins, params = self.coins, self.params
        spend = spend_block_in_c(block, coins.caches(over), prev, params, flags)
        if isinstance(spend, list):
            await coins.fetch(spend)  # into the cache
            spend = spend_block_in_c(block, coins.caches(over), prev, params, flags)
        if isinstance(spend, BlockSpend):
            return spend
        spent = await coins.fetch_list(spent_outpoints(block), over, block)
        return spend_block(block, spent, prev, params, flags)

    async def prepare_disconnect(self, block: Block, node: HeaderNode, undo: BlockUndo) -> Disconnection:
        """Takes off the tip, whose block and undo data these are; StorageError if they do not fit."""
        if node is not self.tip:
            raise ValueError(f"{node} is not the tip")
        if len(undo.txs) + 1 != len(block.vtx):
            raise StorageError(
                "DisconnectBlock(): block and undo data inconsistent", "Restart with -reindex."
            )
        made = await self.coins.fetch(created_outpoints(block))
        changes: dict[OutPoint, Coin | None] = {}
        clean = True
        overwritten = BIP30_OVERWRITTEN.get(node.height) == node.hash
        # Last transaction first: what it spent is there again before the one that made it is undone.
        for index in range(len(block.vtx) - 1, -1, -1):
            tx = block.vtx[index]
            for n, (value, script) in enumerate(tx.vout):
                if is_unspendable(script):
                    continue
                outpoint = OutPoint(tx.txid, n)
                coin = changes.pop(outpoint, None)
                if coin is None:
                    coin = made.get(outpoint)
                    changes[outpoint] = None
                if coin != (value, script, node.height, index == 0) and not (overwritten and index == 0):
                    clean = False
            if index == 0:
                continue
            spent = undo.txs[index - 1]
            if len(spent) != len(tx.vin):
                raise StorageError(
                    "DisconnectBlock(): transaction and undo data inconsistent", "Restart with -reindex."
                )
            for txin, coin in zip(tx.vin, spent, strict=True):
                changes[txin.prevout] = coin
        return Disconnection(node, block, undo, changes, clean)

    def apply(self, step: Connection | Disconnection) -> None:
        """Sets the coins and the tip. Nothing may have changed since step was prepared."""
        self.coins.apply(step.changes)
        self.tip = step.node if isinstance(step, Connection) else step.node.prev

    @property
    def unflushed(self) -> bool:
        """The stored coins are not those of the tip."""
        return self.tip is not None and (self.tip.hash != self.flushed or self.coins.dirty_count > 0)

    async def flush(self) -> None:
        """Writes the coins with their block. The block and its undo data must have been written before."""
        if self.tip is not None and self.unflushed:
            await self.coins.flush(self.tip.hash)
            self.flushed = self.tip.hash

    async def close(self) -> None:
        await self.store.close()

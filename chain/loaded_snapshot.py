"""The second chainstate of a node that has loaded a snapshot: from its activation to the verdict on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .background import BackgroundSync
from .chainstate import Chainstate
from .chainstates import SNAPSHOT_NAME, SnapshotState, mark_loaded, mark_state, put_aside
from .events import ChainRole, SnapshotValidated
from .header_tree import HeaderNode
from .log_lines import iso_time
from .params import AssumeUtxo
from .snapshot import SnapshotError
from .storage.coin_store import CoinStore
from .storage.database import StorageError

if TYPE_CHECKING:
    from .manager import ChainManager

BUSY_SHARE = 0.95
"""Of the budget for coins, to the chainstate that has more to do (Core's percentages)."""


class LoadedSnapshot:
    """base: the block whose coins were loaded. validated: the blocks up to it are validated too.

    background: what validates them; None once that is over.
    """

    def __init__(
        self, chain: ChainManager, base: HeaderNode, known: AssumeUtxo, validated: Chainstate
    ) -> None:
        """validated: the chainstate that goes on in the background. The active one is the snapshot's."""
        self._chain, self.base, self.known = chain, base, known
        self._state = SnapshotState.UNVALIDATED
        validated.role = ChainRole.BACKGROUND
        self.background: BackgroundSync | None = BackgroundSync(
            chain.ports,
            chain.index,
            validated,
            chain.events,
            base,
            known,
            scripts_matter=chain.activation.scripts_matter,
            flush=chain._flush,
            on_checked=chain._block_checked,
            on_verdict=self._verdict,
        )
        chain.activation.floor = base
        chain.index.blocks.split_at(base.height + 1)
        self.rebalance()

    @property
    def validated(self) -> bool:
        return self._state is SnapshotState.VALIDATED

    def rebalance(self) -> None:
        """Shares the budget for coins between both chainstates: most to that which has more to do."""
        chain = self._chain
        total = chain.options.db_cache
        if self.background is None:
            chain.chainstate.coins.budget = total
            return
        share = BUSY_SHARE if chain.ibd.active else 1 - BUSY_SHARE
        chain.chainstate.coins.budget = int(total * share)
        self.background.chainstate.coins.budget = total - int(total * share)

    async def _verdict(self, wrong: str | None) -> None:
        if wrong is None:
            await self._is_valid()
        else:
            await self._is_invalid(wrong)

    async def _is_valid(self) -> None:
        """At the next start its coins take the place of the background chainstate's, now of no more use."""
        chain, background = self._chain, self.background
        assert background is not None
        await mark_state(chain.chainstate.store, SnapshotState.VALIDATED)
        self._state, self.background = SnapshotState.VALIDATED, None
        await background.chainstate.close()
        chain.ports.log.info(
            f"[snapshot] snapshot beginning at {self.base.hash[::-1].hex()} has been fully validated"
        )
        chain.ports.log.info("[snapshot] allocating all cache to the snapshot chainstate")
        if not chain.pruning:
            chain.ports.log.info("[snapshot] re-enabling NODE_NETWORK services")
        self.rebalance()
        chain.activation.floor = None
        chain.index.candidates.rebuild()
        chain.events.emit(SnapshotValidated(self.base))
        chain.owner.want_step()

    async def _is_invalid(self, wrong: str) -> None:
        chain, background, log = self._chain, self.background, self._chain.ports.log
        assert background is not None
        self._state = SnapshotState.INVALID
        await mark_state(chain.chainstate.store, SnapshotState.INVALID)
        height = background.tip.height
        error = (
            "pybitcoind failed to validate the -assumeutxo snapshot state. This indicates a hardware "
            "problem, or a bug in the software, or a bad software modification that allowed an invalid "
            "snapshot to be loaded. As a result of this, the node will shut down and stop using any state "
            f"that was built on the snapshot, resetting the chain height from {chain.tip.height} to "
            f"{height}. On the next restart, the node will resume syncing from {height} without using any "
            "snapshot data. Please report this incident to the authors of pybitcoind, including how you "
            "obtained the snapshot. The "
            "invalid snapshot chainstate will be left on disk in case it is helpful in diagnosing the issue "
            "that caused this error."
        )
        log.warning(f"[snapshot] {wrong}")
        log.error(f"[snapshot] !!! {error}")
        log.error("[snapshot] deleting snapshot, reverting to validated chain, and stopping node")
        raise StorageError(
            f"A fatal internal error occurred, see debug.log for details: {error}",
        )

    async def close(self) -> None:
        """Closes the chainstate in the background; the active one is closed before."""
        if self.background is not None:
            await self.background.chainstate.close()
        if self._state is SnapshotState.INVALID:
            put_aside(self._chain.ports.storage, self._chain.ports.log)


async def activate(chain: ChainManager, store: CoinStore, base: HeaderNode, known: AssumeUtxo) -> None:
    """Makes the coins of store, those at base, the active chainstate. On the owner task.

    SnapshotError if that is of no use any more. When it returns, or the node is killed, it is so for good.
    """
    validated, log = chain.chainstate, chain.ports.log
    if base.chainwork <= chain.tip.chainwork:
        raise SnapshotError("work does not exceed active chainstate")
    if chain.mempool is not None and len(chain.mempool):
        raise SnapshotError("Can't activate a snapshot when mempool not empty")
    await chain._flush()  # the header of base, and where the background is to go on
    await mark_loaded(store, base.hash)
    active = chain._make_chainstate(store)
    active.tip, active.flushed = base, base.hash
    chain._chainstate = active
    chain.activation.use(active)
    chain.index.tree.set_tip(base)
    chain.index.candidates.assume(base, known.chain_tx_count)
    chain.index.candidates.rebuild()
    chain.loaded_snapshot = LoadedSnapshot(chain, base, known, validated)
    chain.update_ibd()
    log.info(f"[snapshot] successfully activated snapshot {base.hash[::-1].hex()}")
    log.info(f"[snapshot] switching active chainstate to {SNAPSHOT_NAME}: {_described(base)}")
    chain._tip_moved(base)
    chain.owner.want_step()
    chain.owner.want_idle_step()


def _described(node: HeaderNode) -> str:
    return f"height={node.height} date={iso_time(node.time)}"

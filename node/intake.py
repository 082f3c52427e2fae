"""Transactions into the mempool and templates out of it, each as one request to the owner.

For RPC, wallets, miner and peers alike: acceptance runs on the owner task, where chain and mempool agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pybitcoind.chain.block_template import BlockTemplate, assemble
from pybitcoind.chain.manager import ChainManager
from pybitcoind.chain.mempool import persistence
from pybitcoind.chain.mempool.acceptance import Acceptance
from pybitcoind.chain.mempool.package_acceptance import check_dependent, submit_package
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.mempool.results import PackageResult, TxAccept
from pybitcoind.chain.primitives.transaction import Transaction


class Intake:
    """One node's; it attaches the mempool to the chain."""

    def __init__(self, chain: ChainManager, pool: Mempool) -> None:
        self.chain, self.pool = chain, pool
        self.acceptance = Acceptance(pool, chain, chain.params, chain.ports)
        chain.attach_mempool(pool, self.acceptance.mend_after_reorg)

    async def accept_transaction(
        self, tx: Transaction, *, test_only: bool = False, max_feerate: int | None = None
    ) -> TxAccept:
        """Takes tx in, or with test_only says whether it would. Raises TxInvalid. max_feerate: sat/kvB."""
        return await self.chain.submit(
            lambda: self.acceptance.accept(tx, test_only=test_only, max_feerate=max_feerate)
        )

    async def accept_package(
        self, txs: Sequence[Transaction], *, max_feerate: int | None = None
    ) -> PackageResult:
        """Takes in a child and its parents, the child last (submitpackage)."""
        return await self.chain.submit(lambda: submit_package(self.acceptance, txs, max_feerate))

    async def test_package(self, txs: Sequence[Transaction]) -> PackageResult:
        """What would become of txs, parents first; nothing is taken in (testmempoolaccept)."""
        return await self.chain.submit(lambda: check_dependent(self.acceptance, txs))

    async def create_template(
        self,
        script_pubkey: bytes,
        *,
        use_mempool: bool = True,
        extra_nonce: bytes | None = None,
        dummy_extra_nonce: bool = True,
    ) -> BlockTemplate:
        """The best block on top of the tip, without proof of work. See `block_template.assemble`."""

        async def create() -> BlockTemplate:
            return assemble(
                self.chain.tip,
                self.pool if use_mempool else None,
                self.chain.params,
                script_pubkey,
                self.chain.ports.clock.time(),
                settings=self.pool.settings,
                extra_nonce=extra_nonce,
                dummy_extra_nonce=dummy_extra_nonce,
            )

        return await self.chain.submit(create)

    async def load(self, path: Path | None) -> None:
        """Loads mempool.dat at the start; None where it is not kept."""
        if path is not None:
            await self.chain.submit(
                lambda: persistence.load(self.acceptance, path, interrupted=lambda: self.chain.owner.stopping)
            )
        self.pool.loaded = not self.chain.owner.stopping

    async def dump(self, path: Path) -> bool:
        """Writes mempool.dat. Runs on the owner, or after it has ended."""
        if self.chain.owner.stopping:
            return await persistence.dump(self.acceptance, path)
        return await self.chain.submit(lambda: persistence.dump(self.acceptance, path))

"""An SPV node with wallets in the test's process, beside the full nodes of p2p_nodes.World."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from p2p_nodes import P2PNode, World, until

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import TxOut
from pybitcoind.chain.script.address import decode_address
from pybitcoind.chain.storage.database import MemoryStorage
from pybitcoind.node.spv_chain import SpvChain
from pybitcoind.node.spv_client import SpvClient
from pybitcoind.node.spv_events import SpvEvents
from pybitcoind.p2p.filter_store import FilterStore
from pybitcoind.wallet.balance import Balance
from pybitcoind.wallet.ledger import WalletTx
from pybitcoind.wallet.manager import WalletManager
from pybitcoind.wallet.settings import WalletSettings
from pybitcoind.wallet.wallet import Wallet

SETTINGS = WalletSettings(keypool=5, fallback_feerate=2000, fallback_allowed=True)
SEED = bytes(range(32))
NAME = "light"


class LightNode:
    def __init__(self, node: P2PNode, spv: SpvChain, wallets: WalletManager) -> None:
        self.node, self.spv, self.wallets = node, spv, wallets
        self.fetched: list[bytes] = []
        """Hashes of the blocks it asked for."""
        fetch_block = node.peers.sync.fetcher.fetch_block

        async def counted(block_hash: bytes, **options: Any) -> Block | None:
            self.fetched.append(block_hash)
            return await fetch_block(block_hash, **options)

        node.peers.sync.fetcher.fetch_block = counted  # type: ignore[method-assign]

    @property
    def wallet(self) -> Wallet:
        return self.wallets.wallets[NAME]

    @property
    def balance(self) -> Balance:
        return self.wallet.balance()

    def tx(self, txid: bytes) -> WalletTx | None:
        return self.wallet.ledger.txs.get(txid)

    def depth(self, txid: bytes) -> int | None:
        wtx = self.tx(txid)
        return None if wtx is None else self.wallet.ledger.depth(wtx)

    async def dial(self, *others: P2PNode) -> None:
        for other in others:
            await self.node.dial(other)

    async def level(self, full: P2PNode) -> None:
        """Until the wallet knows all that full knows of the chain."""
        await until(
            lambda: self.spv.level and self.spv.view.hash == full.chain.tip.hash and self._reached(), 120
        )

    def _reached(self) -> bool:
        best = self.wallet.best
        return best is not None and best.hash == self.spv.view.hash

    async def script(self) -> bytes:
        return decode_address(await self.wallet.new_address(), self.wallet.params).script_pubkey

    async def payment(self, amount: int) -> TxOut:
        return TxOut(amount, await self.script())


@asynccontextmanager
async def light_node(
    w: World,
    *,
    storage: MemoryStorage | None = None,
    settings: WalletSettings = SETTINGS,
    born: int | None = None,
    **options: Any,
) -> AsyncIterator[LightNode]:
    """Its wallet is made from SEED, or loaded where storage has it. born: wall time of its birth."""
    node = await w.node(NAME, headers_only=True, services=0, storage=storage, **options)
    events = SpvEvents()
    store = await FilterStore.open(node.ports.storage, node.chain.params)
    assert node.peers.filters is not None
    await node.peers.filters.open(store)
    spv = SpvChain(node.ports, node.chain, node.peers, events, store, expiry=14 * 24 * 60 * 60)
    wallets = WalletManager(node.ports, node.chain.params, SpvClient(spv), settings, names=[NAME])
    await wallets.open()
    spv.wallets = lambda: list(wallets.wallets.values())
    tasks: list[asyncio.Task[None]] = []

    def spawn(name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work, name=name)  # type: ignore[arg-type]
        tasks.append(task)
        return task

    subscription = node.chain.events.subscribe("spv", spv.on_chain_event)
    headers = spawn("headers", subscription.run())
    following = wallets.run(spawn)
    light = LightNode(node, spv, wallets)
    if NAME not in wallets.wallets:
        wallet, _ = await wallets.create(NAME, seed=SEED)
        if born is not None:
            for entry in wallet.book.descriptors.values():
                entry.created = born
    follower = spawn("spv", spv.run())
    try:
        yield light
    finally:
        follower.cancel()
        wallets.stop()
        node.chain.events.unsubscribe(subscription)
        events.finish()
        await asyncio.wait((follower, headers, following))
        await wallets.close()
        await store.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

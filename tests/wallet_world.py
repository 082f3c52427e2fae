"""Wallets over a real chain manager and mempool, all in memory; blocks are mined as tests say.

async with wallet_world(make_ports(now=...)) as world:
    wallet, _ = await world.wallets.create("alice")
    await world.mine(101, wallet)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from mini_wallet import mine
from ports import make_ports
from running import running_chain

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script.address import decode_address
from pybitcoind.node.wallet_chain import FullNodeChain
from pybitcoind.wallet.manager import WalletManager
from pybitcoind.wallet.settings import WalletSettings
from pybitcoind.wallet.spending import Recipient, SpendOptions, send
from pybitcoind.wallet.wallet import Wallet

NOBODY = b"\x00\x20" + bytes(32)
"""A script that no wallet has."""
START = 1_296_688_602
"""The time of regtest's genesis block; the clock follows the blocks."""
SETTINGS = WalletSettings(keypool=10, fallback_feerate=20_000, fallback_allowed=True)


class WalletWorld:
    def __init__(self, chain: ChainManager, pool: Mempool, wallets: WalletManager) -> None:
        self.chain, self.pool, self.wallets = chain, pool, wallets
        self._nonce = 0

    async def drained(self) -> None:
        await self.chain.events.drained()

    async def script_of(self, wallet: Wallet | None) -> bytes:
        if wallet is None:
            return NOBODY
        return decode_address(await wallet.new_address(), wallet.params).script_pubkey

    async def mine(
        self,
        count: int = 1,
        wallet: Wallet | None = None,
        *,
        on: HeaderNode | None = None,
        txs: Sequence[Transaction] | None = None,
    ) -> HeaderNode:
        """count blocks, the first with txs (None: the whole mempool), to an address of wallet; the last."""
        script = await self.script_of(wallet)
        prev = on or self.chain.tip
        if txs is None:
            txs = [entry.tx for entry in self.pool.in_mining_order()]
        for _ in range(count):
            self._nonce += 1
            nonce = self._nonce.to_bytes(4, "little")
            block = mine(prev, self.chain.params, script, txs, extra_nonce=nonce)
            self.chain.ports.clock.set_mock_time(max(self.chain.ports.clock.time(), block.header.time))
            result = await self.chain.process_block(block, requested=True)
            assert result.error is None, result.error
            assert result.node is not None
            prev, txs = result.node, ()
        await self.drained()
        return prev

    async def pay(
        self, payer: Wallet, payee: Wallet | bytes, amount: int, *, feerate: int | None = None
    ) -> Transaction:
        script = payee if isinstance(payee, bytes) else await self.script_of(payee)
        created = await send(payer, [Recipient(script, amount)], SpendOptions(feerate=feerate), {})
        await self.drained()
        return created.tx


@asynccontextmanager
async def wallet_world(
    ports: Ports | None = None, *, names: Sequence[str] = (), settings: WalletSettings = SETTINGS
) -> AsyncIterator[WalletWorld]:
    """names: wallets to load, as -wallet does. With the same ports again: the node started anew."""
    ports = ports or make_ports(now=START)
    options = ChainOptions(max_tip_age=10**9)
    async with running_chain(ports, options) as chain:
        pool = Mempool(PolicySettings(), ports.clock, ports.log, chain.events)
        chain.attach_mempool(pool)
        node: Any = SimpleNamespace(
            chain=chain,
            mempool=pool,
            events=chain.events,
            indexes={},
            ports=ports,
            peers=None,
            spv=None,
            fees=None,
        )
        wallets = WalletManager(ports, chain.params, FullNodeChain(node), settings, names=names)
        await wallets.open()
        tasks: list[asyncio.Task[None]] = []

        def spawn(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            tasks.append(asyncio.create_task(work, name=name))
            return tasks[-1]

        following = wallets.run(spawn)
        for task in tasks:
            if task.get_name().startswith("wallet ") and task.get_name() != "wallet resend":
                await task
        try:
            yield WalletWorld(chain, pool, wallets)
        finally:
            wallets.stop()
            await chain.events.drained()
            chain.events.finish()
            await following
            await wallets.close()
            await asyncio.gather(*tasks, return_exceptions=True)

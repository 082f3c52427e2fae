"""The SPV node (-role=spv): headers, filters, wallets and peers, started and stopped in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.p2p.filter_store import FilterStore

from .notify import Notifications
from .peer_side import PeerSide
from .spv_chain import SpvChain
from .spv_client import SpvClient
from .spv_events import SpvEvents
from .wallet_side import WalletSide

if TYPE_CHECKING:
    from .app import Node


class SpvNode:
    """`Role` of an SPV node. The headers have a bus of their own; node.events is what wallets follow."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._headers = EventBus()
        self._events = SpvEvents()
        self._chain: SpvChain | None = None
        self._store: FilterStore | None = None
        self._owner: asyncio.Task[None] | None = None
        self._follower: asyncio.Task[None] | None = None
        self._subscribers: list[asyncio.Task[None]] = []
        self._peer_side = PeerSide(node)
        self._wallet_side = node.wallet_side = WalletSide(node)

    async def open(self, resources: AsyncExitStack) -> None:
        node, config = self.node, self.node.config
        node.status("Loading block index…")
        node.events = self._events
        options = ChainOptions(
            max_tip_age=config.number("maxtipage", 24 * 60 * 60),
            stop_at_height=config.number("stopatheight"),
            headers_only=True,
        )
        node.chain = await ChainManager.open(node.ports, node.params, options, self._headers)
        self._owner = node.spawn("owner", node.chain.run_owner())
        await self._peer_side.open()
        assert node.peers is not None and node.peers.filters is not None
        self._store = await FilterStore.open(node.ports.storage, node.params)
        await node.peers.filters.open(self._store)
        expiry = config.number("mempoolexpiry", 336) * 60 * 60
        self._chain = SpvChain(node.ports, node.chain, node.peers, self._events, self._store, expiry)
        for name, handler in [("spv", self._chain.on_chain_event), *Notifications(node).handlers()]:
            subscription = self._headers.subscribe(name, handler)
            self._subscribers.append(node.spawn(name, subscription.run()))
        client = node.spv = SpvClient(self._chain)
        self._chain.wallets = lambda: self._wallet_side.loaded
        await self._wallet_side.open(lambda: client)

    async def start(self) -> None:
        node = self.node
        node.debug_log.info(f"nBestHeight = {node.chain.tip.height}")
        assert self._chain is not None
        self._wallet_side.start()
        self._follower = node.spawn("spv", self._chain.run())
        await self._peer_side.start()

    async def stop(self) -> None:
        """The follower; peers; the owner drains; wallets; databases."""
        await self.node.in_order(self._end_following, self._peer_side.stop)
        if hasattr(self.node, "chain"):
            await self.node.in_order(
                self._end_owner,
                self._drain_subscribers,
                self._wallet_side.close,
                self._close_filters,
                self._close_chain,
            )

    async def _end_following(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait((self._follower,))

    async def _end_owner(self) -> None:
        self._wallet_side.stop()
        self.node.chain.stop_owner()
        if self._owner is not None:
            await asyncio.wait((self._owner,))

    async def _drain_subscribers(self) -> None:
        self._headers.finish()
        self._events.finish()
        if self._subscribers:
            await asyncio.wait(self._subscribers)

    async def _close_filters(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _close_chain(self) -> None:
        if self.node.storage_failed:
            await self.node.chain.abandon()
        else:
            await self.node.chain.close()

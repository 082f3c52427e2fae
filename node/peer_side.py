"""The network side of a node: address book and bans, the peer manager, and where it listens."""

from __future__ import annotations

import asyncio
import errno
import os
from typing import TYPE_CHECKING

from pybitcoind.chain.storage.database import Database
from pybitcoind.chain.storage.migrations import mark_version
from pybitcoind.p2p.address_book import AddressBook
from pybitcoind.p2p.ban_list import BanList
from pybitcoind.p2p.context import Bind, FilterIndex
from pybitcoind.p2p.peer_manager import PeerManager

from .config import ConfigError
from .dns_seeding import ask_seeds_themselves, seed_from_dns
from .message_capture import message_capture
from .peer_options import p2p_options

if TYPE_CHECKING:
    from .app import Node

PEERS_VERSION = 1
"""Of the tables in peers.sqlite."""
SAVE_INTERVAL = 15 * 60
"""Seconds between writings of addresses and bans, as in Core."""

NOWHERE = "Error: Failed to listen on any port. Use -listen=0 if you want this."
"""Core's second line, whichever address it was."""


class PeerSide:
    """open, start, stop; the node's `peers` is set from open on."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._db: Database | None = None
        self._run: asyncio.Task[None] | None = None
        self._saver: asyncio.Task[None] | None = None
        self._seeding: asyncio.Task[None] | None = None

    async def open(self, filter_index: FilterIndex | None = None) -> None:
        """filter_index: serves compact filters. The chain's mempool is attached before."""
        node, ports = self._node, self._node.ports
        options = p2p_options(node.config, node.params)
        if node.config.flag("capturemessages"):
            options.capture = message_capture(node.net_dir, node.ports.clock, node.ports.log)
        ports.log.info("Using /16 prefix for IP bucketing")
        node.status("Loading P2P addresses…")
        self._db = await ports.storage.open("peers.sqlite")
        await mark_version(self._db, PEERS_VERSION)
        book = AddressBook(ports.random, ports.log)
        await book.load(self._db)
        ports.log.info(f"Loaded {len(book)} addresses from peers.dat (peers.sqlite)")
        bans = BanList(ports.clock, ports.log, ban_time=node.config.number("bantime", 24 * 60 * 60))
        await bans.load(self._db)
        node.peers = PeerManager(
            ports,
            node.params,
            node.chain,
            options,
            address_book=book,
            ban_list=bans,
            filter_index=filter_index,
        )

    async def start(self) -> None:
        """Listens and connects. ConfigError where a port is taken."""
        node = self._node
        assert node.peers is not None
        await self._listen(node.peers)
        self._run = node.spawn("p2p", node.peers.run())
        self._saver = node.spawn("addresses", self._save_at_times())
        if node.config.flag("dnsseed", True):
            self._seeding = node.spawn("dnsseed", self._seed(node.peers))
        else:
            node.ports.log.info("DNS seeding disabled")

    async def _seed(self, peers: PeerManager) -> None:
        node = self._node
        forced = node.config.flag("forcednsseed")
        if node.proxies is not None and node.proxies.names is not None:
            await ask_seeds_themselves(peers, node.params, node.ports)  # DNS would tell who we are
        else:
            await seed_from_dns(peers, node.params, node.ports, node.tcp, forced=forced)

    async def _listen(self, peers: PeerManager) -> None:
        """Like PeerManager.listen, but with -port=0 the second address takes the port of the first."""
        log, options = self._node.ports.log, peers.options
        everywhere = not (self._node.config.values("bind") or self._node.config.values("whitebind"))
        chosen, hosts = 0, set[str]()
        for bind in list(options.binds):
            host, port = bind.endpoint
            port = port or (0 if host in hosts else chosen)
            hosts.add(host)
            options.binds = [Bind((host, port), bind.permissions)]
            try:
                await peers.listen()
            except OSError as error:
                failure = _bind_error(host, port, error)
                log.error(failure)
                if everywhere and host == "::":
                    continue  # the machine may lack IPv6, and nobody asked for it
                raise ConfigError(f"{failure}\n{NOWHERE}") from None
            host, port = peers.endpoints[-1]
            chosen = chosen or port
            log.info(f"Bound to {_text(host, port)}")

    async def _save_at_times(self) -> None:
        while True:
            await self._node.ports.clock.sleep(SAVE_INTERVAL)
            await self._save()

    async def _save(self) -> None:
        peers = self._node.peers
        if self._db is None or peers is None or peers.book is None or peers.bans is None:
            return
        await peers.book.save(self._db)
        await peers.bans.save(self._db)

    async def stop(self) -> None:
        for task in (self._saver, self._seeding):
            if task is not None:
                task.cancel()
        if self._run is not None and self._node.peers is not None:
            self._node.peers.stop()
            await asyncio.wait((self._run,))
        if self._db is not None:
            try:
                await self._save()
            finally:
                await self._db.close()
                self._db = None


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind_error(host: str, port: int, error: OSError) -> str:
    where = f"Unable to bind to {_text(host, port)} on this computer"
    if error.errno == errno.EADDRINUSE:
        return f"{where}. Bitcoin Core is probably already running."
    return f"{where} (bind returned error {os.strerror(error.errno or 0)} ({error.errno}))"

"""The wallets of a node: which are loaded, how they behave, and their part in its start and stop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from .config import ConfigError
from .notify import WalletNotifications
from .wallet_options import wallet_settings

if TYPE_CHECKING:
    from pybitcoind.wallet.chain_client import ChainClient
    from pybitcoind.wallet.manager import WalletManager
    from pybitcoind.wallet.settings import WalletSettings
    from pybitcoind.wallet.wallet import Wallet

    from .app import Node


class WalletSide:
    """Does nothing with -disablewallet. A node without a wallet has not imported what they are made of."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._make: Callable[[], WalletManager] | None = None
        """There while there can be wallets."""
        self._manager: WalletManager | None = None
        self._is_running = False
        self._following: asyncio.Task[None] | None = None

    @property
    def manager(self) -> WalletManager | None:
        """Made when it is first wanted."""
        if self._manager is None and self._make is not None:
            self._manager = self._make()
            if self._is_running:
                self._following = self._manager.run(self._node.spawn)
        return self._manager

    @property
    def loaded(self) -> list[Wallet]:
        return [] if self._manager is None else list(self._manager.wallets.values())

    async def open(self, client: Callable[[], ChainClient]) -> None:
        """Loads the wallets named by -wallet and settings.json, before the first event. ConfigError."""
        node, config = self._node, self._node.config
        if config.flag("disablewallet"):
            return
        node.status("Loading wallet…")
        names = [name for name in config.values("wallet") if isinstance(name, str)]
        settings = wallet_settings(config, node.params)
        self._make = lambda: self._new_manager(client(), settings, names)
        if names:
            await self._load()

    def _new_manager(self, client: ChainClient, settings: WalletSettings, names: list[str]) -> WalletManager:
        from pybitcoind.wallet.hd import new_seed
        from pybitcoind.wallet.manager import WalletManager

        node = self._node
        command = node.config.text("walletnotify", "")
        return WalletManager(
            node.ports,
            node.params,
            client,
            settings,
            names=names,
            wallets_path=str(node.config.wallet_dir),
            remember=self._remember,
            new_seed=node.new_seed or new_seed,
            on_transaction=WalletNotifications(node, command).tell if command else lambda name, wtx: None,
        )

    async def _load(self) -> None:
        from pybitcoind.wallet.errors import WalletError

        manager = self.manager
        assert manager is not None
        try:
            warnings = await manager.open()
        except WalletError as error:
            await manager.close()
            self._make = self._manager = None
            raise ConfigError(str(error)) from None
        for text in warnings:
            sys.stderr.write(f"Warning: {text}\n")

    def _remember(self, name: str, load: bool) -> bool:
        """Adds a wallet to the list in settings.json that is loaded at start, or takes it out."""
        config = self._node.config
        if config.path("settings", "settings.json") is None:
            return False
        known = config.settings.get("wallet", [])
        names = [each for each in (known if isinstance(known, list) else [known]) if each != name]
        if load:
            names.append(name)
        config.settings["wallet"] = names
        try:
            config.write_settings()
        except ConfigError:
            return False
        return True

    def start(self) -> None:
        """The wallets follow the chain from now on."""
        self._is_running = True
        if self._manager is not None:
            self._following = self._manager.run(self._node.spawn)

    def stop(self) -> None:
        """No more scans. Events are still handled until the bus is finished."""
        self._make = None
        if self._manager is not None:
            self._manager.stop()

    async def close(self) -> None:
        """Writes and closes the wallets; call it when the event bus is finished."""
        if self._manager is not None:
            if self._following is not None:
                await asyncio.wait((self._following,))
            await self._manager.close()

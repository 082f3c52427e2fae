"""The wallets of a node: which are loaded, how they behave, and their part in its start and stop."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from pybitcoind.wallet.chain_client import ChainClient
from pybitcoind.wallet.errors import WalletError
from pybitcoind.wallet.hd import new_seed
from pybitcoind.wallet.manager import FOLDER, WalletManager

from .config import ConfigError
from .wallet_options import wallet_settings

if TYPE_CHECKING:
    from .app import Node


class WalletSide:
    """Does nothing with -disablewallet."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._manager: WalletManager | None = None
        self._following: asyncio.Task[None] | None = None

    async def open(self, client: ChainClient) -> None:
        """Loads the wallets named by -wallet and settings.json, before the first event. ConfigError."""
        node, config = self._node, self._node.config
        if config.flag("disablewallet"):
            return
        node.status("Loading wallet…")
        names = [name for name in config.values("wallet") if isinstance(name, str)]
        manager = WalletManager(
            node.ports,
            node.params,
            client,
            wallet_settings(config, node.params),
            names=names,
            wallets_path=str(node.net_dir / FOLDER),
            remember=self._remember,
            new_seed=node.new_seed or new_seed,
        )
        try:
            warnings = await manager.open()
        except WalletError as error:
            await manager.close()
            raise ConfigError(str(error)) from None
        for text in warnings:
            sys.stderr.write(f"Warning: {text}\n")
        self._manager = node.wallets = manager

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
        if self._manager is not None:
            self._following = self._manager.run(self._node.spawn)

    def stop(self) -> None:
        """No more scans. Events are still handled until the bus is finished."""
        if self._manager is not None:
            self._manager.stop()

    async def close(self) -> None:
        """Writes and closes the wallets; call it when the event bus is finished."""
        if self._manager is not None:
            if self._following is not None:
                await asyncio.wait((self._following,))
            await self._manager.close()

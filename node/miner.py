"""Role miner: a full node that mines, at full speed or at a pace, to an address or its own wallet."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from pybitcoind.chain.script.address import AddressError, decode_address
from pybitcoind.wallet.errors import WalletError

from .config import ConfigError
from .full import FullNode
from .mining import InlineSearch, Miner

if TYPE_CHECKING:
    from .app import Node

MAX_INTERVAL = 1e6
"""Seconds."""
WALLET = "miner"
"""Name of the wallet that a miner makes for itself."""


class MinerNode(FullNode):
    """A full node with a miner."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.miner: Miner | None = None
        self._script: bytes | None = None
        self._interval = 0.0
        self._mining: asyncio.Task[None] | None = None

    async def open(self, resources: AsyncExitStack) -> None:
        address = self.node.config.text("mineraddress", "")
        if address:
            try:
                self._script = decode_address(address, self.node.params).script_pubkey
            except AddressError as error:
                raise ConfigError(f"Invalid -mineraddress '{address}': {error}") from error
        elif self.node.config.flag("disablewallet"):
            raise ConfigError("-role=miner needs -mineraddress or a wallet")
        self._interval = self._read_interval()
        await super().open(resources)

    async def start(self) -> None:
        await super().start()
        node = self.node
        await self._payout()  # what is wrong with the wallet shows at the start, not at the first block
        worker = InlineSearch(node.ports) if node.is_guest else None
        self.miner = Miner(node.chain, node.params, node.ports, self._payout, self._interval, worker)
        self._mining = node.spawn("miner", self.miner.run())

    def _read_interval(self) -> float:
        text = self.node.config.text("minerinterval", "0")
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < MAX_INTERVAL:
            raise ConfigError(f"Invalid -minerinterval '{text}': seconds, 0 for full speed")
        return seconds

    async def stop(self) -> None:
        if self._mining is not None:
            self._mining.cancel()
            await asyncio.wait((self._mining,))
            self._mining = None
        await super().stop()

    async def _payout(self) -> bytes:
        """-mineraddress, or an address of the wallet, the same for as long as the node runs."""
        if self._script is None:
            self._script = await self._wallet_script()
        return self._script

    async def _wallet_script(self) -> bytes:
        """Of a fresh address of a wallet that is loaded; without any, of the one named miner, old or new."""
        wallets = self.node.wallets
        assert wallets is not None, "open looked for it"
        try:
            script = await wallets.mining_script()
            if script is None:
                if wallets.exists(WALLET):
                    await wallets.load(WALLET, load_on_startup=True)
                else:
                    await wallets.create(WALLET, load_on_startup=True)
                script = await wallets.mining_script()
        except WalletError as error:
            raise ConfigError(f"-role=miner needs -mineraddress or a wallet: {error}") from error
        if script is None:
            raise ConfigError("-role=miner needs -mineraddress or a wallet with keys")
        return script

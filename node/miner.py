"""Role miner: a full node that mines, at full speed or at a pace, to an address or its own wallet."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.script.address import AddressError, decode_address

from .config import ConfigError
from .full import FullNode
from .mining import Miner
from .rpc import methods
from .rpc.context import RpcContext
from .rpc.errors import RpcError
from .rpc.registry import Registry

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
        self._registry = Registry(methods.modules())
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
        self.miner = Miner(node.chain, node.params, node.ports, self._payout, self._interval)
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
        """A new address of the first wallet loaded; without any, of the one named miner, old or new."""
        try:
            wallets = await self._call("listwallets")
            if not wallets:
                try:
                    await self._call("loadwallet", WALLET)
                except RpcError:
                    await self._call("createwallet", WALLET)
                wallets = [WALLET]
            address = await self._call("getnewaddress", "mining", wallet=wallets[0])
        except RpcError as error:
            raise ConfigError(f"-role=miner needs -mineraddress or a wallet: {error}") from error
        return decode_address(address, self.node.params).script_pubkey

    async def _call(self, name: str, *params: Any, wallet: str | None = None) -> Any:
        """What the RPC method answers."""
        return await self._registry.find(name).call(RpcContext(self.node, wallet, "miner"), list(params))

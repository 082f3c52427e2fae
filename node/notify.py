"""Commands that the user wants run when something happens: -blocknotify, -alertnotify, -walletnotify, ..."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybitcoind.chain.events import BlockChecked, Event, Handler, TipChanged
from pybitcoind.chain.ports import Log
from pybitcoind.chain.primitives.hashes import hash_hex

if TYPE_CHECKING:
    from pybitcoind.wallet.ledger import WalletTx

    from .app import Node

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;-_/:?@()")


MAX_WALLET_COMMANDS = 16
"""Of -walletnotify that run at a time: a rescan may find thousands of transactions."""


async def run_command(command: str, log: Log) -> None:
    """Runs command in a shell and waits for it; a failure is logged."""
    if not command:
        return
    process = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.DEVNULL)
    status = await process.wait()
    if status:
        log.warning(f"runCommand error: system({command}) returned {status}")


class Notifications:
    """Follows the events of one node and runs the commands of -blocknotify and -alertnotify."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._blocks = node.config.text("blocknotify")
        self._alerts = node.config.text("alertnotify")
        self._told: list[str] = []

    def handlers(self) -> Iterator[tuple[str, Handler]]:
        """What is to be subscribed, by name."""
        if self._blocks:
            yield "blocknotify", self._on_block
        if self._alerts:
            yield "alertnotify", self._on_alert

    async def _on_block(self, event: Event) -> None:
        if isinstance(event, TipChanged) and not event.ibd:
            self._run("blocknotify", self._blocks.replace("%s", event.tip.hash[::-1].hex()))

    async def _on_alert(self, event: Event) -> None:
        """Each warning once, until it is over."""
        if not isinstance(event, (TipChanged, BlockChecked)):
            return
        warnings = self._node.warnings()
        for warning in warnings:
            if warning not in self._told:
                text = "".join(c for c in f"Warning: {warning}" if c in _SAFE)
                self._run("alertnotify", self._alerts.replace("%s", f"'{text}'"))
        self._told = warnings

    def _run(self, name: str, command: str) -> None:
        self._node.spawn(name, run_command(command, self._node.debug_log))


class WalletNotifications:
    """-walletnotify: a command for each transaction of a wallet that comes in or is seen again."""

    def __init__(self, node: Node, command: str) -> None:
        self._node, self._command = node, command
        self._room = asyncio.Semaphore(MAX_WALLET_COMMANDS)

    def tell(self, wallet: str, wtx: WalletTx) -> None:
        self._node.spawn("walletnotify", self._run(self.command_for(wallet, wtx)))

    def command_for(self, wallet: str, wtx: WalletTx) -> str:
        """%s: the txid; %w: the wallet; %b and %h: its block's hash and height, or "unconfirmed" and -1."""
        from pybitcoind.wallet.ledger import Confirmed

        state = wtx.state
        block, height = ("unconfirmed", -1)
        if isinstance(state, Confirmed):
            block, height = hash_hex(state.block_hash), state.height
        command = self._command.replace("%s", hash_hex(wtx.txid)).replace("%b", block)
        return command.replace("%h", str(height)).replace("%w", shlex.quote(wallet))

    async def _run(self, command: str) -> None:
        async with self._room:
            try:
                await run_command(command, self._node.debug_log)
            except OSError as error:
                self._node.debug_log.warning(f"runCommand error: system({command}): {error}")

"""Commands that the user wants run when something happens: -blocknotify, -alertnotify, -startupnotify, ..."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pybitcoind.chain.events import BlockChecked, Event, Handler, TipChanged
from pybitcoind.chain.ports import Log

if TYPE_CHECKING:
    from .app import Node

_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;-_/:?@()")


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

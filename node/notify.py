"""Commands that the user wants run: -startupnotify, -shutdownnotify, -blocknotify."""

from __future__ import annotations

import asyncio

from pybitcoind.chain.ports import Log


async def run_command(command: str, log: Log) -> None:
    """Runs command in a shell and waits for it; a failure is logged."""
    if not command:
        return
    process = await asyncio.create_subprocess_shell(command, stdin=asyncio.subprocess.DEVNULL)
    status = await process.wait()
    if status:
        log.warning(f"runCommand error: system({command}) returned {status}")

"""A link that takes time: the dialing node dials us, and we pass its bytes on after a delay, both ways.

Runs on the event loop of the supervisor's board. A node notices nothing but that answers come late.
"""

from __future__ import annotations

import asyncio

CHUNK = 64 * 1024
MAX_UNDERWAY = 1024
"""Pieces on their way in one direction until the sender has to wait."""


class Relay:
    """Between one dialer and one listener on this machine. delay: seconds for one way."""

    def __init__(self, listener_port: int, delay: float) -> None:
        self.listener_port, self.delay = listener_port, delay
        self.port = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends it with all that goes through."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            try:
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.listener_port)
            except OSError:
                return
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass_on(reader, other_writer))
                    group.create_task(self._pass_on(other_reader, writer))
            except* OSError:
                pass  # either end went away: so does the other
            finally:
                other_writer.close()
        except asyncio.CancelledError:
            pass  # stop
        finally:
            writer.close()
            self._connections.discard(task)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends with OSError, in a group, when either side does, so that the other direction ends too."""
        loop = asyncio.get_running_loop()
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_UNDERWAY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(underway, writer))
            data = b"some"
            while data:
                data = await reader.read(CHUNK)
                await underway.put((loop.time() + self.delay, data))

    @staticmethod
    async def _deliver(underway: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        """Writes each piece when it is due; an empty one is the end."""
        loop = asyncio.get_running_loop()
        while True:
            due, data = await underway.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()

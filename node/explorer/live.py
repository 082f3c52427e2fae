"""What happens, told to open pages as server-sent events.

    event: tip      {"height": 201, "hash": "...", "time": 1700000000}
    event: mempool  {"size": 3, "vsize": 423, "txids": ["..."]}     txids: what came since the last one

A page that does not read falls off and connects again by itself.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from pybitcoind.chain.events import Event, TxAdded, TxRemoved
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.hashes import hash_hex

from ..rpc.web import web

if TYPE_CHECKING:
    from pybitcoind.chain.ports import Clock

HEARTBEAT = 15.0
MEMPOOL_PAUSE = 0.25
"""Seconds between two events about the mempool."""
MAX_WATCHERS = 100
MAX_QUEUED = 200
MAX_TXIDS = 100
_END = ""


class Channel:
    """The open streams. `tell` sends to all, `serve` answers a request with a stream that lasts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[asyncio.Queue[str], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._queues)

    def tell(self, event: str, data: object) -> None:
        text = message(event, data)
        for queue in list(self._queues):
            if queue.qsize() >= MAX_QUEUED:
                del self._queues[queue]
                queue.put_nowait(_END)
            else:
                queue.put_nowait(text)

    def close(self) -> None:
        """Ends all streams; new ones are refused."""
        self._closed = True
        for queue in self._queues:
            queue.put_nowait(_END)
        self._queues.clear()

    async def serve(self, request: web.Request, headers: dict[str, str], first: str) -> web.StreamResponse:
        """first: messages to begin with (what is so now)."""
        if self._closed or len(self._queues) >= MAX_WATCHERS:
            raise web.HTTPServiceUnavailable
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._queues[queue] = None
        response = web.StreamResponse(
            headers=headers | {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        try:
            await response.prepare(request)
            await response.write(f"retry: 2000\n\n{first}".encode())
            while True:
                try:
                    async with self._clock.timeout(HEARTBEAT):
                        text = await queue.get()
                except TimeoutError:
                    text = ": here\n\n"
                if text == _END:
                    break
                await response.write(text.encode())
        except ConnectionError:
            pass  # the reader went away
        finally:
            self._queues.pop(queue, None)
        return response


def message(event: str, data: object) -> str:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n"


def tip_facts(tip: HeaderNode) -> dict[str, object]:
    return {"height": tip.height, "hash": hash_hex(tip.hash), "time": tip.time, "txs": tip.tx_count}


class MempoolNews:
    """Gathers what happens in the mempool, to be told a few times a second at most."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._txids: list[str] = []

    def handle(self, event: Event) -> None:
        if isinstance(event, TxAdded):
            if len(self._txids) < MAX_TXIDS:
                self._txids.append(hash_hex(event.tx.txid))
            self.changed.set()
        elif isinstance(event, TxRemoved):
            self.changed.set()

    def take(self) -> list[str]:
        """Ids of what came since the last call."""
        self.changed.clear()
        taken, self._txids = self._txids, []
        return taken

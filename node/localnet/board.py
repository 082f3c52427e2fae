"""The page of the local network: all nodes as a graph that moves, and the orders as buttons.

Served by the supervisor's process, which is the one that can start and stop nodes, on a thread and an event
loop of its own. Who opens the page needs the token that `up` prints; it becomes a cookie that goes with
requests of this very page only (SameSite=Strict), and an order must carry a second secret, which only the
page has. The board listens to each node's own stream of events, so it sees a block arrive where it arrives.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from pybitcoind.chain.ports import Log

from ..explorer.live import Channel, message
from ..explorer.site import HEADERS, Site
from ..ports import SystemClock
from ..rpc.web import web
from .board_address import page_address
from .board_picture import FEW, Place, graph, places
from .network import LocalNetwork, NodeStatus
from .orders import Orders
from .process import NodeError
from .relay import Relay
from .scenes import snapshots

T = TypeVar("T")
LOOK_EVERY = 1.0
"""Seconds between two looks at all nodes; what happens meanwhile is told by the nodes themselves."""
AGAIN = 0.5
"""Seconds until a stream that broke off is asked for again."""
SAID = 8
TIP_COLOURS = 5
MAX_LINE = 256 * 1024
_PATIENCE = 30.0


class Board(Site):
    """start_thread and stop_thread from any thread; the rest runs on its loop."""

    def __init__(self, network: LocalNetwork, orders: Orders, log: Log) -> None:
        super().__init__(log)
        self._network, self._orders = network, orders
        self._clock = SystemClock()
        self._channel = Channel(self._clock)
        self._session = _derived(network.token, "session")
        self._form_token = _derived(network.token, "form")
        self._said: deque[tuple[str, bool, str]] = deque(maxlen=SAID)
        self._rows: list[NodeStatus] = []
        self._links: list[dict[str, Any]] = []
        self._snapshots: list[str] = []
        self._busy = ""
        self._spread: dict[str, float] = {}
        self._spread_of = ""
        self._tips: dict[str, tuple[int, str]] = {}
        self._look_now = asyncio.Event()
        self._followed: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event
        self._places: dict[str, Place] = places(network.shape)
        self.app.router.add_get("/", self._page)
        self.app.router.add_get("/events", self._events)
        self.app.router.add_post("/order/{order}", self._order)

    # Life

    def start_thread(self) -> None:
        """Serves on a free port of 127.0.0.1. Raises what keeps it from that."""
        ready: threading.Event = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(self._run(ready))
            except BaseException as error:
                failed.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=run, name="board")
        self._thread.start()
        ready.wait()
        if failed:
            raise failed[0]

    def stop_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join()

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._relays: list[Relay] = []
        await self.start("127.0.0.1", 0)
        self._orders.on_begin = lambda order: self._soon(self._begin, order)
        self._orders.on_done = lambda text, well: self._soon(self._say, text, well)
        looking = asyncio.create_task(self._look_all_the_time())
        ready.set()
        try:
            await self._stopping.wait()
        finally:
            self._channel.close()
            tasks = [looking, *self._followed.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for relay in self._relays:
                await relay.stop()
            await self.stop()

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def start_relay(self, relay: Relay) -> None:
        self._on_loop(relay.start())
        self._relays.append(relay)

    def stop_relay(self, relay: Relay) -> None:
        self._relays.remove(relay)
        self._on_loop(relay.stop())

    @property
    def address(self) -> str:
        return page_address(self.port, self._network.token)

    # Who may

    def _cookie_name(self) -> str:
        """Cookies do not know ports: two networks of one machine must not mix theirs up."""
        return f"localnet-{self.port}"

    def _may(self, request: web.Request) -> bool:
        return hmac.compare_digest(request.cookies.get(self._cookie_name(), ""), self._session)

    def _require(self, request: web.Request) -> None:
        if not self._may(request):
            raise web.HTTPForbidden

    # Pages

    def common(self, request: web.Request) -> dict[str, Any]:
        return {
            "network": "local network",
            "role": "",
            "now": self._clock.time(),
            "tip_height": 0,
            "has_blocks": False,
            "query": "",
        }

    async def _page(self, request: web.Request) -> web.Response:
        token = request.query.get("token")
        if token is not None:
            if not hmac.compare_digest(token.encode(), self._network.token.encode()):
                return self._closed(request)
            answer = web.HTTPSeeOther("/")
            answer.set_cookie(self._cookie_name(), self._session, httponly=True, samesite="Strict", path="/")
            raise answer
        if not self._may(request):
            return self._closed(request)
        if not self._rows:
            await self._look()
        return self.page(
            request,
            "network.html",
            rows=self._row_facts(),
            links=self._links,
            few=FEW,
            picture=graph(self._network.shape, self._places, self._row_facts(), self._links),
            nodes=[node.name for node in self._network.shape.nodes],
            miners=[node.name for node in self._network.shape.nodes if node.role != "spv"],
            treasury=self._network.treasury.name,
            said=list(reversed(self._said)),
            busy=self._busy,
            snapshots=self._snapshots,
            form_token=self._form_token,
        )

    def _closed(self, request: web.Request) -> web.Response:
        return self.page(
            request,
            "closed.html",
            403,
            hints=("pybitcoin-localnet open prints the page's address, with the token that opens it.",),
        )

    def _row_facts(self) -> list[dict[str, Any]]:
        """The nodes with the colour of their tip and how long the last block took to reach them."""
        tips = [row.tip for row in self._rows if row.tip]
        heights = {row.tip: row.height or 0 for row in self._rows if row.tip}
        ranked = sorted(set(tips), key=lambda tip: (-tips.count(tip), -heights[tip], tip))
        facts = []
        for row in self._rows:
            colour = min(ranked.index(row.tip), TIP_COLOURS) if row.tip else None
            spread = self._spread.get(row.name) if row.tip == self._spread_of else None
            facts.append({**asdict(row), "colour": colour, "spread": spread})
        return facts

    # Orders

    async def _order(self, request: web.Request) -> web.Response:
        self._require(request)
        form = await request.post()
        fields = {key: value for key, value in form.items() if isinstance(value, str)}
        if not hmac.compare_digest(fields.pop("form_token", "").encode(), self._form_token.encode()):
            raise web.HTTPForbidden
        order = request.match_info["order"]
        try:
            await self._loop.run_in_executor(None, self._orders.obey, order, fields)
        except NodeError as error:
            if not self._said or self._said[-1][2] != str(error):
                self._say(str(error), False)  # an order that there is not
        await self._look()
        raise web.HTTPSeeOther("/")

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        """From another thread; an order may outlive the page."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(partial(call, *arguments))

    def _begin(self, order: str) -> None:
        self._busy = order
        self._channel.tell("said", {"busy": order})

    def _say(self, text: str, well: bool) -> None:
        self._busy = ""
        at = time.strftime("%H:%M:%S", time.gmtime(self._clock.time()))
        self._said.append((at, well, text))
        self._channel.tell("said", {"text": text, "well": well})
        self._look_now.set()

    # Looking

    async def _look_all_the_time(self) -> None:
        while True:
            await self._look()
            self._follow_nodes()
            self._look_now.clear()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look_now.wait()
                await asyncio.sleep(0.1)  # what else comes with it
            except TimeoutError:
                pass

    async def _look(self) -> None:
        """Asks all nodes; tells the pages if something changed."""
        before = self._state()

        def ask() -> tuple[list[NodeStatus], list[dict[str, Any]], list[str]]:
            links = [asdict(link) for link in self._network.links.status()]
            return self._network.status(), links, snapshots(self._network)

        self._rows, self._links, self._snapshots = await self._loop.run_in_executor(None, ask)
        after = self._state()
        if after != before:
            self._channel.tell("state", after)

    def _state(self) -> dict[str, Any]:
        rows = [
            {key: str(value) if key in ("balance", "pending") else value for key, value in row.items()}
            for row in self._row_facts()
        ]
        return {"nodes": rows, "links": self._links}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        self._require(request)
        return await self._channel.serve(request, HEADERS, message("state", self._state()))

    # The nodes' own streams

    def _follow_nodes(self) -> None:
        wanted = {(row.name, row.web_port) for row in self._rows if row.running and row.web_port}
        for key, task in list(self._followed.items()):
            if key not in wanted or task.done():
                task.cancel()
                del self._followed[key]
        for name, port in wanted - self._followed.keys():
            assert port is not None
            self._followed[name, port] = asyncio.create_task(self._follow(name, port))

    async def _follow(self, name: str, port: int) -> None:
        while True:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):  # the node starts or stops
                await self._read_stream(name, port)
            await asyncio.sleep(AGAIN)

    async def _read_stream(self, name: str, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=MAX_LINE)
        try:
            # HTTP/1.0: the stream comes as it is, not in chunks
            writer.write(b"GET /events HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            kind = ""
            first = True
            while line := await reader.readline():
                text = line.decode("utf-8", "replace").strip()
                if text.startswith("event: "):
                    kind = text[7:]
                elif text.startswith("data: "):
                    data = json.loads(text[6:])
                    if kind == "tip":
                        self._tip(name, data, first)
                        first = False
                    elif kind == "mempool" and data["txids"]:
                        self._channel.tell("txs", {"node": name, "txids": data["txids"][:20]})
        finally:
            writer.close()

    def _tip(self, name: str, tip: dict[str, Any], first: bool) -> None:
        """A node has a new tip. first: it is only what the stream begins with."""
        known = self._tips.get(name)
        self._tips[name] = tip["height"], tip["hash"]
        if known is not None and known[1] == tip["hash"]:
            return
        if not first:
            now = self._loop.time()
            if tip["hash"] != self._spread_of:
                self._spread_of, self._spread, self._spread_since = tip["hash"], {}, now
            self._spread[name] = round(1000 * (now - self._spread_since), 1)
            self._channel.tell(
                "block",
                {"node": name, "hash": tip["hash"], "height": tip["height"], "after": self._spread[name]},
            )
        self._look_now.set()


def _derived(token: str, purpose: str) -> str:
    return hmac.new(token.encode(), purpose.encode(), hashlib.sha256).hexdigest()

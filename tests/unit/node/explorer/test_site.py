"""The frame of the pages by itself: hostile values in every template's blanks, a page that fails, hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ports import ListLog
from web_client import Page, WebClient

from pybitcoind.node.explorer.site import Site, host_name
from pybitcoind.node.rpc.amounts import Amount
from pybitcoind.node.rpc.web import web

EVIL = "<script>alert(1)</script>'\"><img src=x onerror=alert(1)>"


class TestSite(Site):
    __test__ = False

    def __init__(self, log: ListLog) -> None:
        super().__init__(log)
        self.app.router.add_get("/", self._fails)
        self.app.router.add_get("/evil", self._evil)

    def common(self, request: web.Request) -> dict[str, Any]:
        return {
            "network": EVIL,
            "role": EVIL,
            "now": 1_700_000_000,
            "tip_height": EVIL,
            "has_blocks": True,
            "query": EVIL,
        }

    async def _fails(self, request: web.Request) -> web.Response:
        raise RuntimeError(EVIL)

    async def _evil(self, request: web.Request) -> web.Response:
        peer = {
            "id": 1,
            "addr": EVIL,
            "inbound": True,
            "connection_type": EVIL,
            "transport_protocol_type": EVIL,
            "subver": EVIL,
            "synced_headers": 3,
            "bytessent": 1,
            "bytesrecv": 2,
            "conntime": 1_700_000_000,
        }
        info = {
            "connections": 1,
            "connections_in": 1,
            "connections_out": 0,
            "subversion": EVIL,
            "localservicesnames": [EVIL],
            "networkactive": True,
            "relayfee": Amount(1),
        }
        return self.page(request, "peers.html", info=info, peers=[peer])


@asynccontextmanager
async def served(log: ListLog) -> AsyncIterator[Callable[[str, int], Awaitable[Page]]]:
    """Asks the site, from a thread of its own."""
    site, loop = TestSite(log), asyncio.get_running_loop()
    await site.start("127.0.0.1", 0)
    client = WebClient(site.port)
    try:
        with ThreadPoolExecutor(1) as pool:
            yield lambda path, status: loop.run_in_executor(pool, client.get, path, status)
    finally:
        await site.stop()


def check_harmless(page: Page) -> None:
    assert page.all("script") and all(attrs["src"].startswith("/static/") for attrs in page.all("script"))
    assert not page.all("img", src="x")
    assert all("onerror" not in attrs for _, attrs in page.elements)


async def test_what_a_peer_calls_itself_is_text() -> None:
    async with served(ListLog()) as get:
        page = await get("/evil", 200)
        check_harmless(page)
        assert page.text.count("<script>alert(1)</script>") >= 4


async def test_a_page_that_fails_says_so_and_the_log_why() -> None:
    log = ListLog()
    async with served(log) as get:
        page = await get("/", 500)
        assert "This page has a bug" in page.text and "RuntimeError" in page.text
        check_harmless(page)
        assert page.headers["Content-Security-Policy"]
    assert any("RuntimeError" in line for line in log.lines)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:80", "::1"),
        ("LocalHost", "localhost"),
        ("a.example:1", "a.example"),
        ("", None),
        ("[::", None),
    ],
)
def test_the_host_of_a_request(header: str, name: str | None) -> None:
    assert host_name(header) == name

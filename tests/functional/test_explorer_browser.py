"""The explorer and the network's page in a real browser: paint, console, keyboard, colours, phone, news.

Skipped where there is no Chromium (CHROMIUM names one that is not on the path).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from browser import Browser, find_chromium
from node_process import Daemon, running
from ports import ListLog

from pybitcoind.node.localnet.board import Board
from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.orders import Orders
from pybitcoind.node.localnet.shape import from_counts

pytestmark = pytest.mark.timeout(300)
FIRST_PAINT = 300
"""Milliseconds."""
PAGES = (
    "/",
    "/blocks",
    "/height/101",
    "/tx/",
    "/mempool",
    "/utxo",
    "/branches",
    "/peers",
    "/rules",
    "/nothing",
)
CONTRAST = """(() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parts = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !element.getClientRects().length || element.closest("svg, .unseen, .skip")) continue;
    let behind = element;
    while (behind && parts(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const style = getComputedStyle(element);
    const a = light(parts(style.color));
    const b = light(parts(behind ? getComputedStyle(behind).backgroundColor : "rgb(255,255,255)"));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const what = `${element.className} ${element.textContent.slice(0, 30)}`;
    if (ratio < (large ? 3 : 4.5)) found.push(`${what}: ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
})()"""

CURRENT_IS_SEEN = """(() => {
  const current = document.querySelector(".top nav [aria-current]")?.getBoundingClientRect();
  return !current || (current.left >= 0 && current.right <= innerWidth);
})()"""
TOO_CLOSE = """(() => {
  const boxes = [...document.querySelectorAll("main :is(.facts, .scroll, .picture-box)")].filter(
    (box) => box.checkVisibility({ contentVisibilityAuto: true }));
  const headings = [...document.querySelectorAll("main :is(h1, h2):not(.unseen)")];
  const gap = (a, b) => Math.max(b.top - a.bottom, a.top - b.bottom, b.left - a.right, a.left - b.right);
  return headings.filter((h) => boxes.some((box) => {
    return gap(h.getBoundingClientRect(), box.getBoundingClientRect()) < 8;
  })).map((h) => h.textContent);
})()"""


@dataclass
class World:
    node: Daemon
    address: str
    txid: str

    def path(self, path: str) -> str:
        return self.address + path + (self.txid if path == "/tx/" else "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here; CHROMIUM names one")
    with Browser.start(chromium, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def world(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """browser: where there is none, no node need be started."""
    folder = tmp_path_factory.mktemp("node")
    with running(folder, "-web=0", "-txindex", "-fallbackfee=0.0001") as node:
        node.call("createwallet", "w")
        node.call("generatetoaddress", 103, node.call("getnewaddress"))
        node.call("invalidateblock", node.call("getblockhash", 103))
        node.call("generatetoaddress", 2, node.call("getnewaddress"))
        txid = node.call("sendtoaddress", node.call("getnewaddress"), 1)
        node.call("syncwithvalidationinterfacequeue")
        yield World(node, f"http://127.0.0.1:{node.ports['web']}", txid)


def test_every_page_paints_soon_and_without_complaint(world: World, browser: Browser) -> None:
    for path in PAGES:
        page = browser.open(world.path(path))
        assert page.soonest_paint(FIRST_PAINT) < FIRST_PAINT, path
        missing = [text for text in page.complaints if "404" in text]
        assert page.complaints == missing and bool(missing) == (path == "/nothing"), path
        assert all(url.startswith(world.address) for url in page.asked_for if not url.startswith("about:"))
        page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_that_is_written_can_be_read(world: World, browser: Browser, dark: bool) -> None:
    """Contrast of 4.5 to 1, of large text 3 to 1 (WCAG 2, AA)."""
    page = browser.open("about:blank", dark=dark)
    for path in PAGES:
        page.go(world.path(path))
        assert page.js(CONTRAST) == [], path
    page.close()


def test_nothing_hangs_over_on_a_phone(world: World, browser: Browser) -> None:
    page = browser.open("about:blank", width=360, height=740)
    for path in PAGES:
        page.go(world.path(path))
        assert page.js("document.documentElement.scrollWidth") <= 360, path
        assert page.js(CURRENT_IS_SEEN), path
    page.close()


def test_headings_keep_their_distance(world: World, browser: Browser) -> None:
    page = browser.open("about:blank")
    for path in PAGES:
        page.go(world.path(path))
        assert page.js(TOO_CLOSE) == [], path
    page.close()


def test_by_keyboard(world: World, browser: Browser) -> None:
    page = browser.open(world.path("/"))
    page.press("Tab")
    assert page.js("document.activeElement.className") == "skip"
    assert page.js("document.activeElement.getBoundingClientRect().top") >= 0, "it shows itself"
    page.press("Enter")
    page.until("document.activeElement.id === 'main'")
    page.press("Tab")
    assert page.js("document.querySelector('main').contains(document.activeElement)")
    outline = page.js("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "where one is, is seen"
    page.press("/")
    assert page.js("document.activeElement.id") == "q"
    assert page.js("document.activeElement.value") == ""
    for key in "101":
        page.press(key)
    page.press("Enter")
    page.until("document.querySelector('h1')?.textContent === 'Block 101'")
    page.close()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_colours_are_chosen_and_stay(world: World, browser: Browser, dark: bool) -> None:
    """Whatever the system has, the choice looks like the other's system."""
    page, other = (browser.open(world.path("/"), dark=system) for system in (dark, not dark))
    ground = "getComputedStyle(document.body).backgroundColor"
    button = "document.querySelector('#tools button')"
    before, wanted = page.js(ground), other.js(ground)
    page.js(f"{button}.click()")
    assert page.js(ground) == wanted != before
    assert page.js(f"{button}.getAttribute('aria-label')") == ("Dark colours" if dark else "Light colours")
    page.go(world.path("/blocks"))
    assert page.js("document.documentElement.dataset.theme") == ("light" if dark else "dark")
    assert page.js(ground) == wanted
    page.js(f"{button}.click()")
    assert page.js(ground) == before
    page.js("document.cookie = 'theme=; path=/; max-age=0'")
    page.close()
    other.close()


def test_pages_follow_the_node(world: World, browser: Browser) -> None:
    page = browser.open(world.path("/"))
    height = world.node.call("getblockcount")
    assert page.js("document.querySelector('.big').textContent.trim()") == str(height)
    page.until("stream && stream.readyState === 1")
    page.js("window.here = true; document.querySelector('.more a').focus()")
    world.node.call("generatetoaddress", 1, world.node.call("getnewaddress"))
    page.until(f"document.querySelector('.big').textContent.trim() === '{height + 1}'")
    assert page.js("window.here"), "without being loaded anew"
    assert page.js("document.activeElement.getAttribute('href')") == "/blocks", "and who reads stays there"
    assert page.js("document.getElementById('news').textContent") == f"New tip at height {height + 1}"
    assert page.complaints == []
    page.close()


def test_the_networks_page(tmp_path: Path, browser: Browser) -> None:
    """Opened with its token; an order without leaving the page; no node runs behind it."""
    network = LocalNetwork(tmp_path / "net", from_counts())
    orders = Orders(network, lambda: None)
    board = Board(network, orders, ListLog())
    board.start_thread()
    try:
        page = browser.open(board.address)
        assert "token" not in page.js("location.href")
        assert page.soonest_paint(FIRST_PAINT) < FIRST_PAINT
        assert page.js("document.querySelectorAll('.node.stopped').length") == 4
        page.until("stream && stream.readyState === 1")
        page.js("window.here = true; document.querySelector('form[data-order=partition] button').click()")
        page.until("document.querySelectorAll('.wire.cut').length === 3")
        page.until("document.querySelector('.log')?.textContent.includes('3 links cut')")
        assert page.js("window.here")
        page.js("document.querySelector('form[data-order=heal] button').click()")
        page.until("document.querySelectorAll('.wire.cut').length === 0")
        assert page.js(CONTRAST) == []
        assert page.complaints == []
        page.close()
        page = browser.open(f"http://127.0.0.1:{board.port}/", width=360, height=740)
        assert page.js("document.documentElement.scrollWidth") <= 360
        page.close()
    finally:
        board.stop_thread()

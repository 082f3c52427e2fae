"""The network's page: who may see it and give orders, and what it shows of a network that does not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import ListLog
from web_client import WebClient

from pybitcoind.node.localnet.board import Board
from pybitcoind.node.localnet.board_picture import graph, places
from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.orders import Orders
from pybitcoind.node.localnet.shape import NodeShape, Shape, from_counts


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    network = LocalNetwork(tmp_path, from_counts())
    orders = Orders(network, lambda: None)
    board = Board(network, orders, ListLog())
    orders.loop = board
    board.start_thread()
    try:
        yield board
    finally:
        board.stop_thread()


def opened(board: Board) -> WebClient:
    """A browser that went to the printed address."""
    client = WebClient(board.port)
    client.get(board.address.partition(str(board.port))[2])
    return client


def form_token(client: WebClient) -> str:
    return client.get("/").all("input", name="form_token")[0]["value"]


def test_the_token_opens_it_and_leaves_the_address(board: Board) -> None:
    client = WebClient(board.port)
    assert "opens with a token" in client.get("/", 403).text
    assert client.ask("GET", "/events").status == 403
    assert "opens with a token" in client.get("/?token=wrong", 403).text
    assert "opens with a token" in client.get("/?token=", 403).text
    answer = client.get(board.address.partition(str(board.port))[2], 303, follow=False)
    assert answer.headers["Location"] == "/"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert board.address.partition("token=")[2] not in cookie, "the token itself is not kept in the browser"
    page = client.get("/")
    assert "full1" in page.text and "spv1" in page.text
    assert page.all("svg", class_="picture network-graph")


def test_an_order_needs_cookie_token_and_origin(board: Board) -> None:
    client = opened(board)
    token = form_token(client)
    own = f"http://127.0.0.1:{board.port}"
    fields = {"groups": "full1", "form_token": token}

    assert client.post("/order/partition", fields, Origin=own).status == 303
    assert board._network.links.cuts
    assert client.post("/order/heal", {"form_token": token}, Origin=own).status == 303
    assert not board._network.links.cuts

    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{board.port + 1}"},
        {"Origin": f"http://localhost:{board.port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert client.post("/order/partition", fields, **headers).status == 403, headers
    for wrong in ("", "x", token[:-1], token.upper(), "\u00fc"):
        assert client.post("/order/partition", {**fields, "form_token": wrong}, Origin=own).status == 403
    assert client.post("/order/partition", {"groups": "full1"}, Origin=own).status == 403
    assert WebClient(board.port).post("/order/partition", fields, Origin=own).status == 403, "no cookie"
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        assert client.ask(method, f"/order/partition?groups=full1&form_token={token}").status == 405
    assert client.ask("GET", "/", headers={"Host": f"evil.example:{board.port}"}).status == 421
    assert not board._network.links.cuts, "nothing of that was obeyed"


def test_what_was_ordered_is_told_as_text(board: Board) -> None:
    client = opened(board)
    token, evil = form_token(client), "<script>alert(1)</script>"
    with client.events() as events:
        assert next(events)[0] == "state"
        client.post("/order/stop", {"node": evil, "form_token": token})
        told = next(data for name, data in events if name == "said" and "text" in data)
    assert told == {"text": f"no node is named {evil!r}; there are full1, full2, miner1, spv1", "well": False}
    page = client.get("/")
    assert evil in page.text
    assert all(attrs["src"].startswith("/static/") for attrs in page.all("script"))
    client.post(f"/order/{'fly'}", {"form_token": token})
    assert "unknown order 'fly'" in client.get("/").text
    assert client.post("/order/stop", {"node": "x" * 50_000, "form_token": token}).status == 413


def test_the_state_has_all_nodes_and_links(board: Board) -> None:
    with opened(board).events() as events:
        _, state = next(events)
    assert [(row["name"], row["running"], row["colour"]) for row in state["nodes"]] == [
        (name, False, None) for name in ("full1", "full2", "miner1", "spv1")
    ]
    assert {link["state"] for link in state["links"]} == {"down"}


def test_every_button_says_what_it_does_to_whom(board: Board) -> None:
    page = opened(board).get("/")
    names = [attrs["aria-label"] for attrs in page.all("button") if "aria-label" in attrs]
    assert "Start full1" in names
    assert "Cut the link of full2 and full1" in names
    assert len(names) == len(set(names))
    assert all(form["method"] == "post" for form in page.all("form"))


def test_the_picture_has_room_for_names_and_delays() -> None:
    shape = Shape([NodeShape("full1", "full"), NodeShape("a_name_that_is_very_long", "miner", ["full1"])])
    link = {"dialer": "a_name_that_is_very_long", "listener": "full1", "state": "up", "delay": 0.25}
    drawn = str(graph(shape, places(shape), [], [link]))
    assert ">a_name_that_i…</text>" in drawn and "<title>a_name_that_is_very_long (miner)" in drawn
    assert 'id="delay-a_name_that_is_very_long-full1"' in drawn and ">250 ms</text>" in drawn
    drawn = str(graph(shape, places(shape), [], [link | {"delay": 0.0}]))
    assert 'id="delay-a_name_that_is_very_long-full1"' in drawn, "the page's script writes there"
    assert drawn.count("halo") == 2 and '<rect class="halo"' in drawn

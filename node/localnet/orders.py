"""What a running network can be told, by a second terminal or by its page; one order at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Protocol

from . import scenes
from .network import LocalNetwork
from .process import NodeDied, NodeError
from .relay import Relay
from .shape import ShapeError

MAX_BLOCKS = 1000
MAX_DELAY = 60_000
"""Milliseconds."""
Arguments = dict[str, str]


class Loop(Protocol):
    """Where relays live: the board's event loop (board.py)."""

    def start_relay(self, relay: Relay) -> None: ...

    def stop_relay(self, relay: Relay) -> None: ...


class Orders:
    """end: called for `down`. Arguments are text, as they came; NodeError says what is wrong with them."""

    def __init__(self, network: LocalNetwork, end: Callable[[], None], loop: Loop | None = None) -> None:
        self._network, self._end, self.loop = network, end, loop
        self.on_begin: Callable[[str], None] = lambda order: None
        self.on_done: Callable[[str, bool], None] = lambda text, well: None
        """Told what was done, and whether it was; from the thread of who gave the order."""
        self._lock = threading.Lock()
        self._known: dict[str, Callable[[Arguments], str]] = {
            "start": self._start,
            "stop": self._stop,
            "mine": self._mine,
            "pay": self._pay,
            "faucet": self._faucet,
            "cut": self._cut,
            "link": self._link,
            "partition": self._partition,
            "heal": self._heal,
            "delay": self._delay,
            "reorg": self._reorg,
            "snapshot": self._snapshot,
            "restore": self._restore,
        }

    def obey(self, order: str, arguments: Arguments) -> str:
        """What was done; NodeError why it was not."""
        if order == "ping":
            return "here"
        if order == "down":
            self._end()
            return "the network goes down"
        known = self._known.get(order)
        if known is None:
            raise NodeError(f"unknown order {order!r}")
        with self._lock:
            self.on_begin(order)
            try:
                done = known(arguments)
            except (NodeError, ShapeError, NodeDied) as error:
                self.on_done(str(error), False)
                raise NodeError(str(error)) from None
            self.on_done(done, True)
            return done

    def _start(self, arguments: Arguments) -> str:
        name = _given(arguments, "node")
        self._network.start_node(name)
        return f"{name} runs"

    def _stop(self, arguments: Arguments) -> str:
        name = _given(arguments, "node")
        if not self._network.node(name).running:
            raise NodeError(f"{name} does not run")
        self._network.stop_node(name)
        return f"{name} is stopped"

    def _mine(self, arguments: Arguments) -> str:
        count = _whole(arguments, "blocks", 1, MAX_BLOCKS, "1")
        name = arguments.get("node") or self._network.treasury.name
        hashes = self._network.mine(count, self._network.node(name))
        return f"{name} mined {_counted(count, 'block')}; its tip is {hashes[-1]}"

    def _pay(self, arguments: Arguments) -> str:
        sender, receiver = _given(arguments, "sender"), _given(arguments, "receiver")
        amount = _amount(arguments)
        txid = self._network.pay(sender, receiver, amount)
        return f"{sender} paid {amount} BTC to {receiver}: {txid}"

    def _faucet(self, arguments: Arguments) -> str:
        to, amount = _given(arguments, "to"), _amount(arguments)
        txid, block = scenes.faucet(self._network, to, amount)
        return f"{amount} BTC for {to}: {txid} in block {block}"

    def _cut(self, arguments: Arguments) -> str:
        link = self._network.links.between(_given(arguments, "one"), _given(arguments, "other"))
        self._network.links.cut(*link)
        return f"{link[0]} and {link[1]} are cut from each other"

    def _link(self, arguments: Arguments) -> str:
        link = self._network.links.between(_given(arguments, "one"), _given(arguments, "other"))
        self._network.links.heal(*link)
        return f"{link[0]} and {link[1]} are linked again"

    def _partition(self, arguments: Arguments) -> str:
        """groups: "full1,spv1 full2,miner1"; with one group the other is everybody else."""
        groups = [[n for n in part.split(",") if n] for part in _given(arguments, "groups").split()]
        groups = [group for group in groups if group]
        named = [name for group in groups for name in group]
        for name in named:
            self._network.node(name)
            if named.count(name) > 1:
                raise NodeError(f"{name} cannot be on two sides")
        if len(groups) == 1:
            groups.append([name for name in self._network.nodes if name not in named])
        if len(groups) < 2 or not all(groups):
            raise NodeError("a partition has two sides or more, each with a node")
        cut = self._network.links.partition(*groups)
        sides = " | ".join(", ".join(group) for group in groups)
        return f"{_counted(len(cut), 'link')} cut: {sides}"

    def _heal(self, arguments: Arguments) -> str:
        cut = len(self._network.links.cuts)
        self._network.links.join()
        return f"all links are whole; {cut} had been cut"

    def _delay(self, arguments: Arguments) -> str:
        link = self._network.links.between(_given(arguments, "one"), _given(arguments, "other"))
        milliseconds = _whole(arguments, "ms", 0, MAX_DELAY)
        if self.loop is None:
            raise NodeError("this network has no page, and so no relays that delay")
        old = self._network.links.relays.get(link)
        relay = None
        if milliseconds:
            relay = Relay(self._network.nodes[link[1]].p2p_port, milliseconds / 1000)
            self.loop.start_relay(relay)
        self._network.links.reroute(*link, relay)
        if isinstance(old, Relay):
            self.loop.stop_relay(old)
        what = f"takes {milliseconds} ms one way" if milliseconds else "is not delayed any more"
        return f"the link of {link[0]} and {link[1]} {what}"

    def _reorg(self, arguments: Arguments) -> str:
        depth = _whole(arguments, "depth", 1, scenes.MAX_DEPTH, "1")
        done = scenes.reorg(self._network, depth, arguments.get("node", ""))
        return (
            f"{_counted(len(done.left), 'block')} above height {done.height} gave way to {len(done.joined)} "
            f"others; {', '.join(done.nodes)} followed"
        )

    def _snapshot(self, arguments: Arguments) -> str:
        name = _given(arguments, "name")
        scenes.take_snapshot(self._network, name)
        return f"snapshot {name} is taken"

    def _restore(self, arguments: Arguments) -> str:
        name = _given(arguments, "name")
        scenes.restore(self._network, name)
        return f"the network is as it was at snapshot {name}"


def _given(arguments: Arguments, name: str) -> str:
    text = arguments.get(name, "").strip()
    if not text:
        raise NodeError(f"{name} is missing")
    return text


def _whole(arguments: Arguments, name: str, low: int, high: int, default: str = "") -> int:
    text = arguments.get(name, "").strip() or default
    if not text.isascii() or not text.isdecimal() or len(text) > 9 or not low <= int(text) <= high:
        raise NodeError(f"{name} is a number from {low} to {high}, not {text!r}")
    return int(text)


def _amount(arguments: Arguments) -> Decimal:
    text = _given(arguments, "amount")
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise NodeError(f"{text!r} is no amount in BTC") from None
    if not amount.is_finite():
        raise NodeError(f"{text!r} is no amount in BTC")
    return amount


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")

"""The links of the local network: dial, cut, heal, divide, join, delay.

The dialing node holds each as an added node, so it comes back by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from .process import NodeError, NodeProcess, RpcFailure, wait_until
from .shape import Shape

Link = tuple[str, str]
"""Names of the node that dials and of the one that listens."""


class RelayEnd(Protocol):
    """What a delayed link is dialed by (relay.py)."""

    port: int
    delay: float


@dataclass(slots=True)
class LinkStatus:
    """A line of the shape. state: up, cut (by order), or down. delay: seconds one way."""

    dialer: str
    listener: str
    state: str
    delay: float = 0.0


class Links:
    """All links of a shape between its nodes, whether these run or not."""

    def __init__(self, shape: Shape, nodes: Mapping[str, NodeProcess]) -> None:
        self._shape, self._nodes = shape, nodes
        self.all: list[Link] = [(node.name, link) for node in shape.nodes for link in node.links]
        self.cuts: set[Link] = set()
        """Those that stay cut until they are healed."""
        self.relays: dict[Link, RelayEnd] = {}
        """Those that go through a relay, which delays them."""

    def between(self, one: str, other: str) -> Link:
        """The link of two nodes, whoever dials; NodeError if the shape has none."""
        self._shape.node(one), self._shape.node(other)
        for link in ((one, other), (other, one)):
            if link in self.all:
                return link
        raise NodeError(f"{one} and {other} are not linked in this network")

    def whole(self) -> list[Link]:
        """Those that are not cut, between nodes that run."""
        running = {name for name, node in self._nodes.items() if node.running}
        return [link for link in self.all if link not in self.cuts and running.issuperset(link)]

    def reachable(self, name: str) -> list[str]:
        """The node and all that run and are linked with it, over others or not."""
        found = [name]
        for node in found:
            for link in self.whole():
                if node in link:
                    found += [other for other in link if other not in found]
        return found

    # Dialing

    def linked(self, dialer: str, listener: str) -> bool:
        """Whether dialer has a finished connection to listener."""
        return self._address(dialer, listener) in self._dialed(dialer)

    def dial_all(self) -> None:
        """Every link that is not cut is there."""
        self._dial_these(self.all)

    def dial_of(self, name: str) -> None:
        """Every link of the node that is not cut is there."""
        self._dial_these([link for link in self.all if name in link])

    def _dial_these(self, links: list[Link]) -> None:
        for link in links:
            self._dial(*link)
        for link in self.whole():
            if link in links:
                self._wait(*link)

    def _dial(self, dialer: str, listener: str) -> None:
        """Unless the link is cut or the dialer stopped. A listener that is stopped is dialed when it runs."""
        if (dialer, listener) in self.cuts or not self._nodes[dialer].running:
            return
        try:
            self._nodes[dialer].rpc("addnode", self._address(dialer, listener), "add")
        except RpcFailure as failure:
            if failure.code != -23:  # added already
                raise
        if self._nodes[listener].running and not self.linked(dialer, listener):
            self._nodes[dialer].rpc("addnode", self._address(dialer, listener), "onetry")

    def _hang_up(self, dialer: str, listener: str) -> None:
        node, address = self._nodes[dialer], self._address(dialer, listener)
        try:
            node.rpc("addnode", address, "remove")
        except RpcFailure as failure:
            if failure.code != -24:  # not added: the node was started while it was cut
                raise
        for peer in node.rpc("getpeerinfo"):
            if peer["addr"] == address and not peer["inbound"]:
                node.rpc("disconnectnode", nodeid=peer["id"])
        wait_until(f"{dialer} to be cut from {listener}", lambda: not self.linked(dialer, listener))

    def _wait(self, dialer: str, listener: str) -> None:
        wait_until(f"{dialer} to be linked to {listener}", partial(self.linked, dialer, listener))

    def _address(self, dialer: str, listener: str) -> str:
        relay = self.relays.get((dialer, listener))
        return f"127.0.0.1:{relay.port if relay else self._nodes[listener].p2p_port}"

    def _dialed(self, dialer: str) -> set[str]:
        """Addresses to which dialer has a finished connection."""
        peers = self._nodes[dialer].rpc("getpeerinfo")
        return {peer["addr"] for peer in peers if peer["version"] and not peer["inbound"]}

    # Cutting and delaying

    def cut(self, dialer: str, listener: str) -> None:
        """Cuts one link; it stays cut until `heal`, also when its nodes are stopped and started."""
        self.cuts.add((dialer, listener))
        if self._nodes[dialer].running:
            self._hang_up(dialer, listener)

    def heal(self, dialer: str, listener: str) -> None:
        """One link is there again, once both its nodes run."""
        self.cuts.discard((dialer, listener))
        self._dial_these([(dialer, listener)])

    def partition(self, *groups: Iterable[str]) -> list[Link]:
        """Cuts every link between nodes of different groups; they stay cut until `join`. The links cut."""
        group_of = {name: i for i, group in enumerate(groups) for name in group}
        cut = [
            (dialer, listener)
            for dialer, listener in self.all
            if dialer in group_of and listener in group_of and group_of[dialer] != group_of[listener]
        ]
        for link in cut:
            self.cut(*link)
        return cut

    def join(self) -> None:
        """Every link of the shape is there again."""
        self.cuts.clear()
        self.dial_all()

    def reroute(self, dialer: str, listener: str, relay: RelayEnd | None) -> None:
        """The link goes through relay from now on; None: straight."""
        if (dialer, listener) not in self.cuts and self._nodes[dialer].running:
            self._hang_up(dialer, listener)
        if relay is None:
            self.relays.pop((dialer, listener), None)
        else:
            self.relays[dialer, listener] = relay
        if (dialer, listener) not in self.cuts:
            self.heal(dialer, listener)

    # Looking

    def status(self) -> list[LinkStatus]:
        """One row a link of the shape."""
        dialed: dict[str, set[str]] = {}
        for name, node in self._nodes.items():
            if node.running and node.shape.links:
                with suppress(NodeError):  # on its way up or down
                    dialed[name] = self._dialed(name)
        return [self._status_of(link, dialed) for link in self.all]

    def _status_of(self, link: Link, dialed: dict[str, set[str]]) -> LinkStatus:
        relay = self.relays.get(link)
        up = self._address(*link) in dialed.get(link[0], ())
        state = "cut" if link in self.cuts else "up" if up else "down"
        return LinkStatus(*link, state, relay.delay if relay else 0.0)

"""What a local network looks like: its nodes, their roles and who dials whom; from counts or from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pybitcoind.chain.params import ChainParams

from ..chain_file import read_chain
from ..config import ChainFileError

ROLES = ("full", "miner", "spv")
DEFAULT_INTERVAL = 10.0
"""Seconds from block to block."""
FULL_SPEED = 0.0
"""The interval where difficulty sets the pace."""


class ShapeError(ValueError):
    """The description of a network makes no sense; the text says where."""


@dataclass(slots=True)
class NodeShape:
    """One node. links: names of the nodes it dials. options: further daemon options, without the dash."""

    name: str
    role: str
    links: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """chain: path of a chain's description (-chain=FILE); "" is regtest."""

    nodes: list[NodeShape]
    interval: float = DEFAULT_INTERVAL
    chain: str = ""

    def node(self, name: str) -> NodeShape:
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise ShapeError(f"no node is named {name!r}; there are {known}")

    def with_role(self, *roles: str) -> list[NodeShape]:
        return [node for node in self.nodes if node.role in roles]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Shape:
        return cls([NodeShape(**node) for node in data["nodes"]], data["interval"], data["chain"])

    def set_chain(self, path: Path) -> None:
        """Puts the network on a chain of one's own; where that has retargets, miners go at full speed."""
        if not chain_params(path).pow_no_retargeting:
            self.interval = FULL_SPEED
        self.chain = str(path.absolute())


def from_counts(full: int = 2, miners: int = 1, spv: int = 1, interval: float = DEFAULT_INTERVAL) -> Shape:
    """full1 ..., miner1 ..., spv1 ...: full nodes and miners all linked, SPV nodes to two of them."""
    if min(full, miners, spv) < 0 or full + miners < 1:
        raise ShapeError("a network needs at least one full node or miner")
    servers = [NodeShape(f"full{i + 1}", "full") for i in range(full)]
    servers += [NodeShape(f"miner{i + 1}", "miner") for i in range(miners)]
    for i, node in enumerate(servers):
        node.links = [other.name for other in servers[:i]]
    names = [node.name for node in servers[:2]]
    light = [NodeShape(f"spv{i + 1}", "spv", list(names)) for i in range(spv)]
    return Shape(servers + light, interval)


def chain_params(path: Path) -> ChainParams:
    """The chain that path describes."""
    try:
        return read_chain(path)
    except ChainFileError as error:
        raise ShapeError(str(error)) from None


def from_file(path: Path) -> Shape:
    """A shape from TOML; ShapeError with file and place where it is wrong."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ShapeError(f"{path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ShapeError(f"{path}: {error}") from None
    unknown = sorted(set(data) - {"interval", "chain", "node"})
    if unknown:
        raise ShapeError(f"{path}: unknown key {unknown[0]!r}; there are 'interval', 'chain' and [[node]]")
    nodes = [_node(path, i, row) for i, row in enumerate(data.get("node", []))]
    names = [node.name for node in nodes]
    if not any(node.role != "spv" for node in nodes):
        raise ShapeError(f"{path}: a network needs at least one full node or miner")
    for node in nodes:
        if names.count(node.name) > 1:
            raise ShapeError(f"{path}: two nodes are named {node.name!r}")
        for link in node.links:
            if link not in names or link == node.name:
                raise ShapeError(f"{path}: node {node.name!r} links to {link!r}, which is no other node")
    interval, chain = data.get("interval", DEFAULT_INTERVAL), data.get("chain")
    if isinstance(interval, bool) or not isinstance(interval, int | float) or interval <= 0:
        raise ShapeError(f"{path}: interval is a number of seconds above 0")
    if chain is not None and not isinstance(chain, str):
        raise ShapeError(f"{path}: chain is the path of a chain's description, in quotes")
    shape = Shape(nodes)
    if chain is not None:
        try:
            shape.set_chain(path.parent / chain)
        except ShapeError as error:
            raise ShapeError(f"{path}: chain: {error}") from None
    if "interval" in data:
        shape.interval = float(interval)
    return shape


def _node(path: Path, index: int, row: dict[str, Any]) -> NodeShape:
    where = f"{path}: node {index + 1}"
    unknown = sorted(set(row) - {"name", "role", "links", "options"})
    if unknown:
        raise ShapeError(f"{where}: unknown key {unknown[0]!r}; there are name, role, links, options")
    name, role = row.get("name"), row.get("role", "full")
    if not isinstance(name, str) or not name.isidentifier():
        raise ShapeError(f"{where}: name is a word of letters, digits and _")
    if role not in ROLES:
        raise ShapeError(f"{where}: role is one of {', '.join(ROLES)}")
    for key in ("links", "options"):
        value = row.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ShapeError(f"{where}: {key} is a list of strings")
    return NodeShape(name, role, list(row.get("links", [])), list(row.get("options", [])))

"""What can be done with a running network beyond its every day: a reorganisation, a faucet, snapshots."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from .network import LocalNetwork
from .process import NodeError, NodeProcess

MAX_DEPTH = 100
"""Blocks that a reorganisation may take back: coinbases mature there, so what is deeper is trusted."""
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Reorg:
    """height: of the last block that both branches share. left, joined: blocks of the old and the new one."""

    height: int
    left: list[str]
    joined: list[str]
    nodes: list[str]
    """Who follows the new branch."""


def reorg(network: LocalNetwork, depth: int, name: str = "") -> Reorg:
    """Takes the last depth blocks back by a longer branch, which one node mines by itself.

    name: that node; by default the one with the treasury. It forgets the blocks for a while, as if they had
    not reached it, mines more than they were, and lets them be again: everybody it is linked with follows.
    """
    rival = network.node(name) if name else network.treasury
    _check_can_mine(rival)
    height = int(rival.rpc("getblockcount"))
    if not 1 <= depth <= min(MAX_DEPTH, height):
        raise NodeError(f"a reorganisation takes 1 to {min(MAX_DEPTH, height)} blocks back, not {depth}")
    left = [str(rival.rpc("getblockhash", at)) for at in range(height - depth + 1, height + 1)]
    followers = network.links.reachable(rival.name)
    rival.rpc("invalidateblock", left[0])
    try:
        joined = network.mine(depth + 1, rival)
        while (ahead := _highest_of_others(network, followers, joined)) >= height - depth + len(joined):
            joined += network.mine(ahead - (height - depth + len(joined)) + 1, rival)
    finally:
        rival.rpc("reconsiderblock", left[0])
    network.wait_synced(followers)
    return Reorg(height - depth, left, joined, followers)


def _check_can_mine(node: NodeProcess) -> None:
    if node.shape.role == "spv":
        raise NodeError(f"{node.name} is an SPV node: it cannot mine")
    if not node.running:
        raise NodeError(f"{node.name} does not run")


def _highest_of_others(network: LocalNetwork, names: list[str], joined: list[str]) -> int:
    """How far a miner among names went on with the old branch; 0 once all have followed the new one."""
    infos = [network.nodes[name].rpc("getblockchaininfo") for name in names[1:]]
    return max((info["blocks"] for info in infos if info["bestblockhash"] not in joined), default=0)


def faucet(network: LocalNetwork, to: str, amount: Decimal) -> tuple[str, str]:
    """Pays from the treasury to a node's wallet or an address, and mines a block with it: txid, its hash."""
    if amount <= 0:
        raise NodeError("a faucet gives more than 0")
    txid = network.pay(network.treasury.name, to, amount)
    (block,) = network.mine(1)
    return txid, block


# Snapshots: all nodes stop, their folders are copied, and those that ran go on.


def snapshots(network: LocalNetwork) -> list[str]:
    """Names, sorted."""
    folder = _folder(network)
    return sorted(path.parent.name for path in folder.glob("*/snapshot.json")) if folder.exists() else []


def take_snapshot(network: LocalNetwork, name: str) -> list[str]:
    """Keeps the state of all nodes under name, in place of an older one; the names of the nodes."""
    target = _place(network, name)
    fresh = target.with_name(target.name + ".new")
    ran = [node.name for node in network.running()]
    network.stop_all()
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        for node in network.nodes.values():
            if node.folder.exists():
                shutil.copytree(node.folder, fresh / node.name)
        (fresh / "snapshot.json").write_text(json.dumps(network.shape.to_json()))
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    finally:
        network.start(ran)
    return list(network.nodes)


def restore(network: LocalNetwork, name: str) -> list[str]:
    """Takes all nodes back to a snapshot; those that ran run again. NodeError where none fits."""
    source = _place(network, name)
    try:
        shape = json.loads((source / "snapshot.json").read_text())
    except (OSError, ValueError):
        known = ", ".join(snapshots(network)) or "none"
        raise NodeError(f"there is no snapshot {name!r}; there are: {known}") from None
    theirs, ours = ({n["name"]: n["role"] for n in one["nodes"]} for one in (shape, network.shape.to_json()))
    if theirs != ours:
        raise NodeError(f"snapshot {name!r} is of another network: {', '.join(theirs)}")
    ran = [node.name for node in network.running()]
    network.stop_all()
    try:
        for node in network.nodes.values():
            shutil.rmtree(node.folder, ignore_errors=True)
            if (source / node.name).exists():
                shutil.copytree(source / node.name, node.folder)
    finally:
        network.start(ran)
    return list(network.nodes)


def _folder(network: LocalNetwork) -> Path:
    return network.folder / "snapshots"


def _place(network: LocalNetwork, name: str) -> Path:
    if not _NAME.fullmatch(name) or name.endswith(".new"):
        raise NodeError(f"{name!r} is no name for a snapshot: letters, digits, and . _ - between")
    return _folder(network) / name

#!/usr/bin/env python3
"""How soon a block mined in the local network is the tip of the other three nodes, the SPV node among them.

Usage: scripts/bench/propagation.py [BLOCKS]

The clock starts when the miner's node has the block as its tip and stops when the last node says it has it.
Each node is asked by waitforblock, so an answer comes with the event and not with the next poll.
"""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from _bench import Figures, arguments

from pybitcoind.node.localnet.client import RpcClient
from pybitcoind.node.localnet.network import LocalNetwork
from pybitcoind.node.localnet.process import NodeProcess
from pybitcoind.node.localnet.shape import from_counts

NEVER = 86_400.0


def seen_at(node: NodeProcess, tip: str) -> float:
    """When node has another tip than the old one."""
    client = RpcClient(node.rpc_port, node.network_folder / ".cookie")
    try:
        client.call("waitfornewblock", 30_000, tip)
        return time.monotonic()
    finally:
        client.close()


def main(blocks: int) -> None:
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        network = LocalNetwork(Path(folder) / "net", from_counts(2, 1, 1, interval=NEVER))
        network.create()
        try:
            network.start()
            network.endow()
            miner = network.treasury
            address = miner.wallet("getnewaddress")
            spread = []
            for _ in range(blocks):
                old = network.wait_synced()
                waiting = {name: pool.submit(seen_at, node, old) for name, node in network.nodes.items()}
                time.sleep(0.1)  # all four wait by now
                miner.rpc("generatetoaddress", 1, address)
                seen = {name: future.result() for name, future in waiting.items()}
                mined = seen.pop(miner.name)
                spread.append(1000 * (max(seen.values()) - mined))
        finally:
            network.stop()
    figures.at_most("a block reaches the other three nodes", spread, 100, "ms")
    figures.exit()


if __name__ == "__main__":
    main(*arguments(50))

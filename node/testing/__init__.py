"""A Bitcoin network in a test's hands: `import pybitcoind.node.testing`, or pytest's fixtures (plugin.py).

    async with BitcoinNetwork(["alice", "bob"]) as network:
        txid = await network["alice"].pay(await network["bob"].new_address(), 1.5)
        await network["bob"].wait_for_tx(txid)

docs/testing.md shows what can be done. The parts, and the seams between them:

- network.py, node.py, wallet.py, faucet.py: what a test holds. Written over RPC, so the same for every node.
- `Engine`, how a node runs: hosted.py (in this process: the daemon's own parts on other `Ports`, with
  databases and network in memory) or process.py (our daemon, or a bitcoind).
- `Transport`, how RPC reaches it: rpc.py calls the methods themselves, or speaks HTTP. rpc_methods.py and
  rpc_wallet_methods.py give the methods types; scripts/testing_methods.py writes them.
- `Wire`, what carries a link (links.py): the in-memory network, or a proxy on the loopback (proxy.py). What
  the lines of a link do to what is sent is p2p/line.py, for both.
- `NetworkClock`, what time it is: clocks.py.
- news.py waits: for something to be so, looked at again after each thing that happens.
- snapshot.py keeps what nodes have stored; raw_peer.py is a peer that does what the test says; blocks.py
  makes blocks, and loads the ready chain (chain101.dat, which scripts/testing_chain.py makes).

Nothing here is imported by the daemon, and importing the package imports none of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clocks import FixedClock, RealClock, SteppingClock, VirtualClock
    from .errors import NodeFailed, NotPossible, RpcFailure, WaitFailed
    from .faucet import Faucet
    from .hosted import Spec
    from .links import Link
    from .network import BitcoinNetwork
    from .node import BitcoinNode
    from .raw_peer import RawListener, RawPeer
    from .rpc import Rpc
    from .snapshot import Snapshot
    from .wallet import BitcoinWallet

_WHERE = {
    "BitcoinNetwork": "network",
    "BitcoinNode": "node",
    "BitcoinWallet": "wallet",
    "Faucet": "faucet",
    "FixedClock": "clocks",
    "Link": "links",
    "NodeFailed": "errors",
    "NotPossible": "errors",
    "RawListener": "raw_peer",
    "RawPeer": "raw_peer",
    "RealClock": "clocks",
    "Rpc": "rpc",
    "RpcFailure": "errors",
    "Snapshot": "snapshot",
    "Spec": "hosted",
    "SteppingClock": "clocks",
    "VirtualClock": "clocks",
    "WaitFailed": "errors",
}


def __getattr__(name: str) -> Any:
    """Imported when it is used: pytest loads this package with every run of who has us installed."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


__all__ = [
    "BitcoinNetwork",
    "BitcoinNode",
    "BitcoinWallet",
    "Faucet",
    "FixedClock",
    "Link",
    "NodeFailed",
    "NotPossible",
    "RawListener",
    "RawPeer",
    "RealClock",
    "Rpc",
    "RpcFailure",
    "Snapshot",
    "Spec",
    "SteppingClock",
    "VirtualClock",
    "WaitFailed",
]

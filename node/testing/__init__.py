"""A Bitcoin network inside a test's own process: `import pybitcoind.node.testing`."""

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

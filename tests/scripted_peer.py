"""The test kit's raw peer, under the names that our tests know it by."""

from __future__ import annotations

from pybitcoind.node.testing.raw_peer import RawListener as ScriptedListener
from pybitcoind.node.testing.raw_peer import RawPeer as ScriptedPeer

__all__ = ["ScriptedListener", "ScriptedPeer"]

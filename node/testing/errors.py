"""What goes wrong in a test: a wait in vain, and what a way of running nodes cannot do."""

from __future__ import annotations

from pybitcoind.node.localnet.client import RpcFailure


class WaitFailed(AssertionError):
    """A wait ended without what it was for; the text says what that was, and what was seen instead."""


class NotPossible(NotImplementedError):
    """What was asked for cannot be had from nodes that run this way; the text says what can."""


class NodeFailed(AssertionError):
    """A node did not start, or ended by itself; the text has its last words."""


__all__ = ["NodeFailed", "NotPossible", "RpcFailure", "WaitFailed"]

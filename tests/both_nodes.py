"""Tests that ask our daemon and, where BITCOIND names it, Bitcoin Core's: what is expected is the same."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from core_process import CoreDaemon
from node_process import Daemon
from scene import Scene

BOTH = ["pybitcoind", pytest.param("core", marks=pytest.mark.interop)]
"""Parameters of a fixture that gives a daemon."""


@contextmanager
def daemon(program: str, folder: Path, *options: str) -> Iterator[Daemon]:
    """The daemon of one of BOTH, ready; stopped well at the end."""
    if program == "core" and not os.environ.get("BITCOIND"):
        pytest.skip("BITCOIND does not name Bitcoin Core's daemon")
    with (CoreDaemon if program == "core" else Daemon)(folder, *options) as node:
        yield node.wait_ready()
        if node.running:
            node.stop_well()


@contextmanager
def daemon_with_chain(program: str, folder: Path, scene: Scene, *options: str) -> Iterator[Daemon]:
    """A daemon that has the blocks of scene, at the scene's time."""
    with daemon(program, folder, f"-mocktime={scene.now}", *options) as node:
        for block in scene.blocks:
            assert node.call("submitblock", block.raw.hex()) is None
        yield node

#!/usr/bin/env python3
"""Writes node/testing/chain101.dat, the ready chain of the test kit: the same bytes every time."""

from __future__ import annotations

from pathlib import Path

from pybitcoind.node.testing.blocks import READY_FILE, build_ready_chain, pack_blocks

if __name__ == "__main__":
    path = Path(__file__).resolve().parent.parent / "node" / "testing" / READY_FILE
    path.write_bytes(pack_blocks(build_ready_chain()))
    print(f"{path}: {path.stat().st_size} bytes")

#!/usr/bin/env python3
"""What the block rules cost per input, scripts aside, on the chain of regtest-signatures.dat.

Usage: scripts/bench/rules.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from _bench import arguments, outside_data
from block_files import read_blocks

from pybitcoind.chain import native
from pybitcoind.chain.consensus.blocks import check_block, contextual_check_block
from pybitcoind.chain.consensus.connect import spend_block, spend_block_in_c, spent_outpoints
from pybitcoind.chain.consensus.deployments import script_flags_for
from pybitcoind.chain.consensus.headers import contextual_check_header
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import Coin, OutPoint


def main() -> None:
    params = regtest()
    genesis = params.genesis
    tip = HeaderNode(genesis.header, None, block_work(genesis.header.bits))
    utxo: dict[OutPoint, Coin] = {}
    spent: dict[str, float] = {}
    inputs = 0

    def timed(name: str, function: Callable[..., Any], *args: Any) -> Any:
        start = time.perf_counter()
        result = function(*args)
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - start
        return result

    for raw in read_blocks(outside_data("regtest-signatures.dat")):
        block = timed("parse", Block.decode, raw)
        if block.hash == genesis.hash:
            continue
        timed("contextual_check_header", contextual_check_header, block.header, tip, 2e9, params)
        timed("txids", block.txids)
        timed("check_block", check_block, block, params)
        timed("wtxids", block.wtxids)
        timed("contextual_check_block", contextual_check_block, block, tip, params)
        flags = script_flags_for(tip.height + 1, block.hash, params)
        coins = [utxo.get(outpoint) for outpoint in timed("spent_outpoints", spent_outpoints, block)]
        result = timed("spend_block", spend_block, block, coins, tip, params, flags)
        if native.part is not None:
            timed("the same in C, with look-up", spend_block_in_c, block, (utxo,), tip, params, flags)
        for outpoint, coin in result.changes.items():
            if coin is None:
                del utxo[outpoint]
            else:
                utxo[outpoint] = coin
        inputs += sum(len(tx.vin) for tx in block.vtx)
        tip = HeaderNode(block.header, tip, block_work(block.header.bits))
    print(f"height {tip.height}, {inputs} inputs, {len(utxo)} coins left")
    for name, seconds in [*spent.items(), ("together", sum(spent.values()))]:
        print(f"{name:28} {seconds * 1e3:8.1f} ms {seconds / inputs * 1e6:7.2f} us an input")


if __name__ == "__main__":
    arguments()
    main()

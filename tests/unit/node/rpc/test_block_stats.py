"""getblockstats: medians, percentiles by weight, and one block worked out by hand."""

from __future__ import annotations

from mini_wallet import MemoryChain, MiniWallet, mine

from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.transaction import Coin
from pybitcoind.node.rpc.block_stats import _median, _percentiles, block_stats


def test_median_is_rounded_down() -> None:
    assert [_median(values) for values in ([], [7], [1, 4], [9, 1, 5], [1, 2, 3, 4])] == [0, 7, 2, 5, 2]


def test_percentiles_by_weight() -> None:
    assert _percentiles([]) == [0] * 5
    assert _percentiles([(5, 400)]) == [5] * 5
    assert _percentiles([(rate, 10) for rate in range(1, 11)]) == [1, 3, 5, 8, 9]
    assert _percentiles([(1, 980), (2, 10), (3, 10)]) == [1, 1, 1, 1, 1]


def test_block_worked_out_by_hand() -> None:
    chain, wallet = MemoryChain(), MiniWallet()
    params = chain.params
    for _ in range(101):
        block = mine(chain.tip, params, wallet.script_pubkey)
        chain.connect(block)
        wallet.scan_block(block, chain.height)
    utxo = wallet.take(chain.height)
    tx = wallet.spend(utxo, change=3, fee=1000)
    block = mine(chain.tip, params, wallet.script_pubkey, [tx])
    node = HeaderNode(block.header, chain.tip, block_work(block.header.bits))
    coin = Coin(utxo.value, wallet.script_pubkey, utxo.height, True)
    stats = block_stats(block, [[coin]], node, 50 * 10**8)
    output = 8 + 1 + 34 + 40
    commitment = 8 + 1 + 38 + 40
    assert (stats["ins"], stats["outs"], stats["txs"], stats["swtxs"]) == (1, 5, 2, 1)
    assert stats["totalfee"] == stats["minfee"] == stats["maxfee"] == stats["avgfee"] == 1000
    assert stats["avgfeerate"] == 4000 // tx.weight
    assert (stats["total_size"], stats["total_weight"]) == (tx.size, tx.weight)
    assert stats["utxo_increase"] == 4 and stats["utxo_increase_actual"] == 3
    assert stats["utxo_size_inc"] == 3 * output + commitment
    assert stats["utxo_size_inc_actual"] == 3 * output
    assert stats["total_out"] == utxo.value - 1000

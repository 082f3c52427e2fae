"""Templates: the coinbase byte by byte, what goes in and what stays out, the search for a nonce."""

from __future__ import annotations

import pytest
from mini_wallet import Kind, MemoryChain, MiniWallet, Utxo, mine
from ports import ListLog, TestClock

from pybitcoind.chain.block_template import (
    assemble,
    solve,
    update_time,
    with_transactions,
)
from pybitcoind.chain.consensus.blocks import check_block, contextual_check_block
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.events import EventBus
from pybitcoind.chain.mempool.entry import MempoolEntry
from pybitcoind.chain.mempool.pool import Mempool
from pybitcoind.chain.nonce_search import grind
from pybitcoind.chain.policy.settings import PolicySettings
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction

SCRIPT = b"\x51"


def made_pool(settings: PolicySettings | None = None) -> Mempool:
    return Mempool(settings or PolicySettings(), TestClock(1_700_000_000), ListLog(), EventBus())


def put(pool: Mempool, tx: Transaction, fee: int, sigops: int = 0) -> Transaction:
    pool.add(MempoolEntry.make(tx, fee, sigop_cost=sigops, delta=pool.deltas.get(tx.txid, 0)))
    return tx


def coin(n: int, value: int = 100_000) -> Utxo:
    return Utxo(OutPoint(n.to_bytes(32, "big"), 0), value, 1)


def test_coinbase_is_cores() -> None:
    """The first block of Core's daemon on regtest, to a script of OP_TRUE: its coinbase, written out."""
    chain = MemoryChain()
    template = assemble(chain.tip, None, chain.params, SCRIPT, 1_296_688_800)
    coinbase = template.coinbase
    expected = (
        "02000000"
        "0001"
        "01" + "00" * 32 + "ffffffff"
        "02"
        "5100"
        "feffffff"
        "02"
        "00f2052a01000000"
        "0151"
        "0000000000000000"
        "26"
        "6a24aa21a9ed" + sha256d(bytes(32) + bytes(32)).hex() + "0120" + "00" * 32 + "00000000"
    )
    assert coinbase.raw.hex() == expected
    header = template.block.header
    assert (header.version, header.time, header.bits, header.nonce) == (
        0x20000000,
        1_296_688_800,
        0x207FFFFF,
        0,
    )
    assert header.prev_hash == chain.tip.hash


def test_height_and_extra_nonce_in_the_coinbase() -> None:
    chain, wallet = MemoryChain(), MiniWallet()
    chain.generate(16, wallet)
    coinbase = assemble(chain.tip, None, chain.params, SCRIPT, 0).coinbase
    assert coinbase.vin[0].script_sig.hex() == "011100"
    assert (coinbase.locktime, coinbase.vin[0].sequence) == (16, 0xFFFFFFFE)
    extra = assemble(chain.tip, None, chain.params, SCRIPT, 0, extra_nonce=b"\x01\x02\x03\x04").coinbase
    assert extra.vin[0].script_sig.hex() == "01110401020304"
    bare = assemble(chain.tip, None, chain.params, SCRIPT, 0, dummy_extra_nonce=False).coinbase
    assert bare.vin[0].script_sig.hex() == "0111"


def test_time_is_after_the_median() -> None:
    chain, wallet = MemoryChain(), MiniWallet()
    chain.generate(12, wallet)
    early = assemble(chain.tip, None, chain.params, SCRIPT, 0)
    assert early.block.header.time == chain.tip.mtp() + 1
    late = update_time(early.block.header, chain.tip, chain.params, chain.tip.time + 5000)
    assert late.time == chain.tip.time + 5000
    assert update_time(late, chain.tip, chain.params, 0).time == late.time


def test_best_chunks_first_with_parents() -> None:
    chain, wallet, pool = MemoryChain(), MiniWallet(), made_pool()
    parent = put(pool, wallet.spend(coin(1), fee=0), 0)
    child = put(pool, wallet.spend(Utxo(OutPoint(parent.txid, 0), 100_000), fee=9000), 9000)
    other = put(pool, wallet.spend(coin(2), fee=2000), 2000)
    free = put(pool, wallet.spend(coin(3), fee=0), 0)
    template = assemble(chain.tip, pool, chain.params, SCRIPT, 0)
    assert template.block.vtx[1:] == (parent, child, other)
    assert free not in template.block.vtx  # below -blockmintxfee
    assert template.fees == [0, 9000, 2000] and template.total_fees == 11_000
    assert template.coinbase.vout[0].value == 50 * 100_000_000 + 11_000
    block, _ = solve(template.block, 1000)
    assert block is not None
    check_block(block, chain.params)
    contextual_check_block(block, chain.tip, chain.params)


def test_deltas_choose_but_do_not_pay() -> None:
    chain, wallet, pool = MemoryChain(), MiniWallet(), made_pool()
    tx = wallet.spend(coin(1), fee=0)
    pool.prioritise(tx.txid, 5000)
    put(pool, tx, 0)
    template = assemble(chain.tip, pool, chain.params, SCRIPT, 0)
    assert template.block.vtx[1:] == (tx,)
    assert template.coinbase.vout[0].value == 50 * 100_000_000


def test_weight_limit_skips_what_does_not_fit() -> None:
    chain, wallet = MemoryChain(), MiniWallet()
    pool = made_pool(PolicySettings(block_max_weight=8_000 + 2_000))
    large = put(pool, wallet.spend(coin(1, 10**8), change=40, fee=50_000), 50_000)
    child = put(pool, wallet.spend(Utxo(OutPoint(large.txid, 0), 10**6), fee=300), 300)
    small = [put(pool, wallet.spend(coin(2 + n), fee=400 + n), 400 + n) for n in range(9)]
    template = assemble(chain.tip, pool, chain.params, SCRIPT, 0)
    weight = small[0].weight
    fitting = (2_000 - 1) // weight
    assert template.block.vtx[1:] == tuple(reversed(small))[:fitting]
    assert large not in template.block.vtx and child not in template.block.vtx
    assert template.weight == 8_000 + fitting * weight


def test_sigop_limit() -> None:
    chain, wallet, pool = MemoryChain(), MiniWallet(), made_pool()
    for n in range(3):
        put(pool, wallet.spend(coin(1 + n), fee=900_000), 900_000, sigops=30_000)
    template = assemble(chain.tip, pool, chain.params, SCRIPT, 0)
    assert template.sigops == [30_000, 30_000]


def test_transactions_put_in_by_hand() -> None:
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2TR_TRUE)
    block = assemble(chain.tip, None, chain.params, SCRIPT, 0).block
    changed = with_transactions(block, [wallet.spend(coin(1))])
    assert len(changed.vtx[0].vout) == 2 and changed.vtx[0].vout[1] != block.vtx[0].vout[1]
    solved, _ = solve(changed, 1000)
    assert solved is not None
    check_block(solved, chain.params)
    contextual_check_block(solved, chain.tip, chain.params)
    unsolved = with_transactions(block, [])
    assert unsolved == block
    stale, _ = solve(block, 1000)
    assert stale is not None
    with pytest.raises(BlockInvalid, match="bad-txnmrklroot"):
        check_block(type(block)(stale.header, changed.vtx), chain.params)


def test_grind_finds_the_least_nonce() -> None:
    chain = MemoryChain()
    header = assemble(chain.tip, None, chain.params, SCRIPT, 0).block.header.raw
    target = 1 << 250

    def hashed(nonce: int) -> int:
        return int.from_bytes(sha256d(header[:76] + nonce.to_bytes(4, "little")), "little")

    nonce, tried = grind(header, target)
    assert nonce is not None and hashed(nonce) <= target and tried == nonce
    assert all(hashed(n) > target for n in range(nonce))
    again, _ = grind(header, target, nonce + 1)
    assert again is not None and again > nonce
    assert grind(header, target, 0, nonce) == (None, nonce)
    assert grind(header, 0, 0xFFFFFFFE) == (None, 1)


def test_solve_counts_tries() -> None:
    chain = MemoryChain()
    block = assemble(chain.tip, None, chain.params, SCRIPT, 0).block
    solved, left = solve(block, 1000)
    assert solved is not None and left == 1000 - solved.header.nonce
    assert solve(block, solved.header.nonce) == (None, 0)


def test_mined_blocks_make_a_chain() -> None:
    chain, wallet = MemoryChain(), MiniWallet(Kind.P2WPKH)
    chain.generate(101, wallet)
    tx = wallet.spend(wallet.take(chain.height))
    block = mine(chain.tip, chain.params, wallet.script_pubkey, [tx])
    check_block(block, chain.params)
    contextual_check_block(block, chain.tip, chain.params)
    chain.connect(block)
    assert OutPoint(tx.txid, 0) in chain.coins
    assert chain.disconnect() == block
    assert tx.vin[0].prevout in chain.coins

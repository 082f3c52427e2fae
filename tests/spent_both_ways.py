"""What a block does to the coins by Python's rule and by the part in C, which agree.

A test that spends a block here has spent it in both ways, and from several dictionaries of coins.
"""

from __future__ import annotations

from collections.abc import Sequence

from pybitcoind.chain import native
from pybitcoind.chain.consensus.connect import BlockSpend, spend_block, spend_block_in_c, spent_outpoints
from pybitcoind.chain.consensus.context import HeaderContext
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, Transaction
from pybitcoind.chain.script.script import is_unspendable

Cache = dict[OutPoint, Coin | None]
Caches = tuple[Cache, ...]
COUNT = 4
"""Of the coins cache's dictionaries, with the changes to come."""


def spend_both_ways(
    block: Block,
    coins: Sequence[Coin | None],
    prev: HeaderContext,
    params: ChainParams,
    flags: int,
    *,
    must: bool = True,
) -> BlockSpend:
    """`spend_block`, to be called like it; AssertionError where C does otherwise.

    must: where Python takes the block C takes it too, and does not leave it to Python.
    """
    told = by_python(block, coins, prev, params, flags)
    if native.part is not None:
        outpoints = spent_outpoints(block)
        for caches in (
            in_one(outpoints, coins),
            spread(outpoints, coins),
            spread(outpoints, coins, told=True),
        ):
            for each in (block, read_anew(block)):
                compare(told, each, caches, prev, params, flags, must)
    if isinstance(told, BlockInvalid):
        raise told
    return told


def compare(
    told: BlockSpend | BlockInvalid,
    block: Block,
    caches: Caches,
    prev: HeaderContext,
    params: ChainParams,
    flags: int,
    must: bool = True,
) -> BlockSpend | BlockInvalid | list[OutPoint] | None:
    """What C says of block; AssertionError if it is other than told, what Python says."""
    before = [list(cache.items()) for cache in caches]
    in_c: BlockSpend | BlockInvalid | list[OutPoint] | None
    try:
        in_c = spend_block_in_c(block, caches, prev, params, flags)
    except BlockInvalid as error:
        in_c = error
    assert [list(cache.items()) for cache in caches] == before
    if isinstance(in_c, BlockSpend | BlockInvalid):
        assert exact(in_c) == exact(told)
    elif isinstance(in_c, list):
        assert isinstance(told, BlockInvalid)
        assert repr(in_c) == repr(unknown(block, caches)) and in_c
    else:
        assert in_c is None and (isinstance(told, BlockInvalid) or not must), "left to Python"
    return in_c


def by_python(
    block: Block, coins: Sequence[Coin | None], prev: HeaderContext, params: ChainParams, flags: int
) -> BlockSpend | BlockInvalid:
    try:
        return spend_block(block, coins, prev, params, flags)
    except BlockInvalid as error:
        return error


def exact(told: BlockSpend | BlockInvalid) -> str:
    """All there is to it: the types of the values too, and the order of the changes."""
    if isinstance(told, BlockInvalid):
        return repr((told.fault, told.reason, told.detail))
    return repr((told.undo, told.changes, told.fees, told.sigop_cost))


def read_anew(block: Block) -> Block:
    """block as it comes from a peer, its transactions read by C; as it is where one is none on the wire."""
    try:
        return Block(block.header, [Transaction.decode(tx.raw) for tx in block.vtx])
    except DecodeError:
        return block


def unknown(block: Block, caches: Caches) -> list[OutPoint]:
    """What block spends that it did not make before and no cache tells of, in order."""
    missing: list[OutPoint] = []
    made: set[OutPoint] = set()
    for n, tx in enumerate(block.vtx):
        for prevout in [txin.prevout for txin in tx.vin] if n else []:
            if prevout in made:
                made.remove(prevout)
            elif not any(prevout in cache for cache in caches):
                missing.append(prevout)
        made |= {OutPoint(tx.txid, i) for i, out in enumerate(tx.vout) if not is_unspendable(out[1])}
    return missing


def in_one(outpoints: Sequence[OutPoint], coins: Sequence[Coin | None]) -> Caches:
    """All coins in one dictionary; those that are None are nowhere."""
    known = {outpoint: coin for outpoint, coin in zip(outpoints, coins, strict=True) if coin is not None}
    return {}, known, {}, {}


def spread(outpoints: Sequence[OutPoint], coins: Sequence[Coin | None], *, told: bool = False) -> Caches:
    """By their hashes in one or another of the dictionaries, with wrong ones in those behind it.

    told: the dictionary says of one that is None that it is spent.
    """
    caches: Caches = tuple({} for _ in range(COUNT))
    for outpoint, coin in zip(outpoints, coins, strict=True):
        if coin is None and not told:
            continue
        at = (outpoint.txid[0] + outpoint.vout) % COUNT
        caches[at][outpoint] = coin
        for n, later in enumerate(caches[at + 1 :]):
            later[outpoint] = Coin(n, b"\x52", 1, False) if n % 2 == 0 else None
    return caches

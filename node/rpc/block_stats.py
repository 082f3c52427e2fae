"""getblockstats: fees, sizes and effect on the UTXO set of one block. All amounts are satoshis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pybitcoind.chain.consensus.blocks import block_subsidy
from pybitcoind.chain.consensus.connect import BIP30_EXCEPTIONS
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.serialize import compact_size
from pybitcoind.chain.primitives.transaction import WITNESS_SCALE_FACTOR, Coin, Transaction
from pybitcoind.chain.script.script import is_unspendable

from .amounts import Json
from .arguments import ANY_NUM, ARR, STR, json_type, parse_hash, parse_int, parse_str
from .blockchain import find_block
from .context import RpcContext
from .errors import invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .stored_blocks import stored_block_and_undo

R = ResultType
PER_UTXO_OVERHEAD = 36 + 4
"""Bytes that Core counts for an output's key, height and coinbase flag."""
PERCENTILES = ((1, 10), (1, 4), (1, 2), (3, 4), (9, 10))
"""As fractions of the block's weight."""


def parse_hash_or_height(ctx: RpcContext, value: Json) -> HeaderNode:
    """A block by its height in the active chain, or by its hash."""
    if json_type(value) != "number":
        return find_block(ctx, parse_hash(value, "hash_or_height"))
    height, tip = parse_int(value, -(2**31), 2**31 - 1), ctx.chain.tip.height
    if height < 0:
        raise invalid_parameter(f"Target block height {height} is negative")
    if height > tip:
        raise invalid_parameter(f"Target block height {height} after current tip {tip}")
    return ctx.chain.headers.chain[height]


@dataclass(slots=True)
class _Sums:
    """What is added up over a block's transactions, the coinbase's outputs included."""

    inputs: int = 0
    outputs: int = 0
    utxos: int = 0
    utxo_size: int = 0
    utxo_size_actual: int = 0
    total_out: int = 0
    segwit_txs: int = 0
    segwit_size: int = 0
    segwit_weight: int = 0
    fees: list[int] = field(default_factory=list)
    feerates: list[tuple[int, int]] = field(default_factory=list)
    """(satoshis per vbyte, weight)"""
    sizes: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def add_outputs(self, tx: Transaction, counted: bool) -> None:
        """counted: the outputs went to the UTXO set, as those of most coinbases do."""
        self.outputs += len(tx.vout)
        for out in tx.vout:
            size = _txout_size(out.script_pubkey) + PER_UTXO_OVERHEAD
            self.utxo_size += size
            if counted and not is_unspendable(out.script_pubkey):
                self.utxos += 1
                self.utxo_size_actual += size

    def add_spend(self, tx: Transaction, coins: Sequence[Coin]) -> None:
        """Not of a coinbase."""
        paid = sum(out.value for out in tx.vout)
        self.inputs += len(tx.vin)
        self.total_out += paid
        self.sizes.append(tx.size)
        self.weights.append(tx.weight)
        if tx.has_witness:
            self.segwit_txs += 1
            self.segwit_size += tx.size
            self.segwit_weight += tx.weight
        for coin in coins:
            size = _txout_size(coin.script_pubkey) + PER_UTXO_OVERHEAD
            self.utxo_size -= size
            self.utxo_size_actual -= size
        fee = sum(coin.value for coin in coins) - paid
        self.fees.append(fee)
        self.feerates.append((fee * WITNESS_SCALE_FACTOR // tx.weight, tx.weight))


def _txout_size(script: bytes) -> int:
    return 8 + len(compact_size(len(script))) + len(script)


def _median(values: list[int]) -> int:
    """Rounded down; 0 of nothing."""
    if not values:
        return 0
    values, middle = sorted(values), len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) // 2


def _percentiles(feerates: list[tuple[int, int]]) -> list[int]:
    """The feerates that PERCENTILES of the weight have at most."""
    if not feerates:
        return [0] * len(PERCENTILES)
    total = sum(weight for _, weight in feerates)
    out: list[int] = []
    reached = 0
    for feerate, weight in sorted(feerates):
        reached += weight
        while len(out) < len(PERCENTILES):
            share, of = PERCENTILES[len(out)]
            if reached * of < total * share:
                break
            out.append(feerate)
    return out


def block_stats(
    block: Block, undo: Sequence[Sequence[Coin]], node: HeaderNode, subsidy: int
) -> dict[str, Json]:
    """undo: the coins spent by each transaction but the coinbase."""
    sums = _Sums()
    overwritten = node.height == 0 or BIP30_EXCEPTIONS.get(node.height) == node.hash
    sums.add_outputs(block.vtx[0], not overwritten)
    for tx, coins in zip(block.vtx[1:], undo, strict=True):
        sums.add_outputs(tx, counted=True)
        sums.add_spend(tx, coins)
    count = len(block.vtx) - 1
    total_fee, total_size, total_weight = sum(sums.fees), sum(sums.sizes), sum(sums.weights)
    rates = [rate for rate, _ in sums.feerates]
    return {
        "avgfee": total_fee // count if count else 0,
        "avgfeerate": total_fee * WITNESS_SCALE_FACTOR // total_weight if total_weight else 0,
        "avgtxsize": total_size // count if count else 0,
        "blockhash": hash_hex(node.hash),
        "feerate_percentiles": _percentiles(sums.feerates),
        "height": node.height,
        "ins": sums.inputs,
        "maxfee": max(sums.fees, default=0),
        "maxfeerate": max(rates, default=0),
        "maxtxsize": max(sums.sizes, default=0),
        "medianfee": _median(sums.fees),
        "mediantime": node.mtp(),
        "mediantxsize": _median(sums.sizes),
        "minfee": min(sums.fees, default=0),
        "minfeerate": min(rates, default=0),
        "mintxsize": min(sums.sizes, default=0),
        "outs": sums.outputs,
        "subsidy": subsidy,
        "swtotal_size": sums.segwit_size,
        "swtotal_weight": sums.segwit_weight,
        "swtxs": sums.segwit_txs,
        "time": node.time,
        "total_out": sums.total_out,
        "total_size": total_size,
        "total_weight": total_weight,
        "totalfee": total_fee,
        "txs": len(block.vtx),
        "utxo_increase": sums.outputs - sums.inputs,
        "utxo_size_inc": sums.utxo_size,
        "utxo_increase_actual": sums.utxos - sums.inputs,
        "utxo_size_inc_actual": sums.utxo_size_actual,
    }


_DOCUMENTED = (
    ("avgfee", "Average fee in the block"),
    ("avgfeerate", "Average feerate (in satoshis per virtual byte)"),
    ("avgtxsize", "Average transaction size"),
    ("blockhash", "The block hash (to check for potential reorgs)"),
    (
        "feerate_percentiles",
        "Feerates at the 10th, 25th, 50th, 75th, and 90th percentile weight unit (in satoshis per virtual "
        "byte)",
    ),
    ("height", "The height of the block"),
    ("ins", "The number of inputs (excluding coinbase)"),
    ("maxfee", "Maximum fee in the block"),
    ("maxfeerate", "Maximum feerate (in satoshis per virtual byte)"),
    ("maxtxsize", "Maximum transaction size"),
    ("medianfee", "Truncated median fee in the block"),
    ("mediantime", "The block median time past"),
    ("mediantxsize", "Truncated median transaction size"),
    ("minfee", "Minimum fee in the block"),
    ("minfeerate", "Minimum feerate (in satoshis per virtual byte)"),
    ("mintxsize", "Minimum transaction size"),
    ("outs", "The number of outputs"),
    ("subsidy", "The block subsidy"),
    ("swtotal_size", "Total size of all segwit transactions"),
    ("swtotal_weight", "Total weight of all segwit transactions"),
    ("swtxs", "The number of segwit transactions"),
    ("time", "The block time"),
    (
        "total_out",
        "Total amount in all outputs (excluding coinbase and thus reward [ie subsidy + totalfee])",
    ),
    ("total_size", "Total size of all non-coinbase transactions"),
    ("total_weight", "Total weight of all non-coinbase transactions"),
    ("totalfee", "The fee total"),
    ("txs", "The number of transactions (including coinbase)"),
    (
        "utxo_increase",
        "The increase/decrease in the number of unspent outputs (not discounting op_return and similar)",
    ),
    (
        "utxo_size_inc",
        "The increase/decrease in size for the utxo index (not discounting op_return and similar)",
    ),
    (
        "utxo_increase_actual",
        "The increase/decrease in the number of unspent outputs, not counting unspendables",
    ),
    (
        "utxo_size_inc_actual",
        "The increase/decrease in size for the utxo index, not counting unspendables",
    ),
)


def _documented(name: str, text: str) -> Result:
    if name == "blockhash":
        return Result(R.STR_HEX, name, text, optional=True)
    if name == "feerate_percentiles":
        places = tuple(
            Result(R.NUM, f"{n}th_percentile_feerate", f"The {n}th percentile feerate")
            for n in (10, 25, 50, 75, 90)
        )
        return Result(R.ARR_FIXED, name, text, places, optional=True)
    return Result(R.NUM, name, text, optional=True)


_BLOCK = '"00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09"'
_SELECTED = '["minfeerate","avgfeerate"]'


@method(
    "blockchain",
    "Compute per block statistics for a given window. All amounts are in satoshis.\n"
    "It won't work for some heights with pruning.\n",
    args=(
        Arg(
            "hash_or_height",
            ANY_NUM,
            "The block hash or height of the target block",
            type_words=("", "string or numeric"),
        ),
        Arg(
            "stats",
            ARR,
            "Values to plot (see result below)",
            hint="all values",
            inner=(
                Arg("height", STR, "Selected statistic", OPTIONAL),
                Arg("time", STR, "Selected statistic", OPTIONAL),
            ),
            oneline="stats",
        ),
    ),
    result=Result(R.OBJ, inner=tuple(_documented(*row) for row in _DOCUMENTED)),
    examples=cli("getblockstats", f"'{_BLOCK}' '{_SELECTED}'")
    + cli("getblockstats", f"1000 '{_SELECTED}'")
    + curl("getblockstats", f"{_BLOCK}, {_SELECTED}")
    + curl("getblockstats", f"1000, {_SELECTED}"),
    needs_chain=True,
)
async def getblockstats(ctx: RpcContext, hash_or_height: Json, stats: list[Json] | None) -> Json:
    node = parse_hash_or_height(ctx, hash_or_height)
    selected = sorted({parse_str(name) for name in stats or ()})
    block, undo = await stored_block_and_undo(ctx, node)
    found = block_stats(block, undo.txs, node, block_subsidy(node.height, ctx.params))
    if not selected:
        return found
    for name in selected:
        if name not in found:
            raise invalid_parameter(f"Invalid selected statistic '{name}'")
    return {name: found[name] for name in selected}

"""The rules of a block that need the coins it spends, all but the scripts.

Source: ConnectBlock in Bitcoin Core 31.99 src/validation.cpp. The caller fetches the coins of the whole block
in one trip, calls `spend_block`, and only then runs the scripts: Core, too, tells a script's failure last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import native
from ..params import ChainParams
from ..primitives.block import Block
from ..primitives.hashes import hash_from_hex
from ..primitives.transaction import Coin, OutPoint, Transaction
from ..script.errors import ScriptError
from ..script.script import MAX_SCRIPT_SIZE
from .blocks import block_subsidy
from .context import HeaderContext
from .deployments import is_active
from .errors import BlockFault, BlockInvalid, TxInvalid
from .limits import (
    BIP34_IMPLIES_BIP30_LIMIT,
    COINBASE_MATURITY,
    MAX_BLOCK_SIGOPS_COST,
    MAX_MONEY,
    SEQUENCE_LOCKTIME_DISABLE_FLAG,
    WITNESS_SCALE_FACTOR,
)
from .sigops import input_sigops, legacy_sigops
from .transactions import check_tx_inputs, locks_passed, sequence_locks

_new: Final = tuple.__new__
_part: Final = native.part

BIP30_EXCEPTIONS = {
    91842: hash_from_hex("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec"),
    91880: hash_from_hex("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721"),
}
"""The two blocks of the main chain whose coinbases repeat, and so overwrite, older ones."""
BIP30_OVERWRITTEN = {
    91722: hash_from_hex("00000000000271a2dc26e7667f8419f2e15416dc6955e5a6c6cdf3f2574dd08e"),
    91812: hash_from_hex("00000000000af0aed4792b1acee3d966af36cf5def14935db8de83d6f9306f2f"),
}
"""The blocks whose coinbases they overwrote; disconnecting one of these finds its outputs changed."""


@dataclass(slots=True)
class BlockSpend:
    """What a block does to the coins."""

    undo: list[list[Coin]]
    """Per transaction after the coinbase, the coins it spends in the order of its inputs."""
    changes: dict[OutPoint, Coin | None]
    """New coins, and None for spent ones; what was made and spent in the block is in neither."""
    fees: int
    sigop_cost: int


def bip30_applies(height: int, block_hash: bytes, prev: HeaderContext, params: ChainParams) -> bool:
    """Whether the block after prev must be asked for transactions that would overwrite unspent ones (BIP 30).

    Since coinbases name their height (BIP 34) none can repeat; what the main chain had before is known.
    """
    if height >= BIP34_IMPLIES_BIP30_LIMIT and params.bip34_height > 1:
        return True
    if BIP30_EXCEPTIONS.get(height) == block_hash:
        return False
    if params.bip34_height <= 1:  # every coinbase names its height; Core asks, and always hears no
        return False
    if prev.height < params.bip34_height:
        return True
    return prev.ancestor(params.bip34_height).hash != params.bip34_hash


def check_bip30(block: Block, unspent: Collection[OutPoint]) -> None:
    """That no transaction of block makes an unspent outpoint anew; raises BlockInvalid (CVE-2012-1909).

    unspent: those of `created_outpoints(block)` that exist. Only where `bip30_applies`.
    """
    if unspent:
        raise BlockInvalid(BlockFault.CONSENSUS, "bad-txns-BIP30", "tried to overwrite transaction")


def created_outpoints(block: Block) -> list[OutPoint]:
    """Every output of block, in order."""
    return [OutPoint(tx.txid, n) for tx in block.vtx for n in range(len(tx.vout))]


def spent_outpoints(block: Block) -> list[OutPoint]:
    """What each input of block but the coinbase's spends, in order: the coins to fetch for `spend_block`."""
    return [prevout for tx in block.vtx[1:] for prevout, _, _ in tx.vin]


def spend_block(
    block: Block,
    coins: Sequence[Coin | None],
    prev: HeaderContext,
    params: ChainParams,
    flags: int,
) -> BlockSpend:
    """Spends and makes the coins of block, the one after prev; raises BlockInvalid. check_block comes first.

    coins: for each of `spent_outpoints(block)` the coin outside of block; None where there is none.
    flags: `script_flags_for` the block, for its signature operations.
    """
    height = prev.height + 1
    mature = height - COINBASE_MATURITY
    bip68 = is_active("csv", prev.height, params)
    flags = int(flags)
    undo: list[list[Coin]] = []
    changes: dict[OutPoint, Coin | None] = {}
    fees = cost = at = 0
    coinbase = True
    # One pass over each input and output, for there are thousands: what is found to be wrong is looked at
    # again by `check_tx_inputs`, which tells it in Core's order.
    for tx in block.vtx:
        cost += legacy_sigops(tx) * WITNESS_SCALE_FACTOR
        if not coinbase:
            spent: list[Coin] = []
            coin: Coin | None = None
            value_in = 0
            odd = locked = False
            outside = coins[at : at + len(tx.vin)]
            at += len(tx.vin)
            for (prevout, _, sequence), coin in zip(tx.vin, outside, strict=True):
                inside = prevout in changes
                if inside:
                    coin = changes[prevout]
                if coin is None:
                    odd = True
                    break
                value, script, made_at, from_coinbase = coin
                if (from_coinbase and made_at > mature) or not 0 <= value <= MAX_MONEY:
                    odd = True
                    break
                value_in += value
                size = len(script)
                if size == 22 or size == 23 or (size == 34 and script[0] == 0):
                    cost += input_sigops(script, tx, len(spent), flags)
                spent.append(coin)
                if inside:
                    del changes[prevout]
                else:
                    changes[prevout] = None
                if sequence < SEQUENCE_LOCKTIME_DISABLE_FLAG:
                    locked = True
            value_out = sum([value for value, _ in tx.vout])
            if odd or value_in > MAX_MONEY or value_in < value_out:
                _raise_odd(tx, [*spent, coin] if odd else spent, outside, changes, height)
            fees += value_in - value_out
            if fees > MAX_MONEY:
                raise BlockInvalid(
                    BlockFault.CONSENSUS,
                    "bad-txns-accumulated-fee-outofrange",
                    "accumulated fee in the block out of range",
                )
            if locked and bip68 and tx.version >= 2:
                _check_sequence_locks(tx, spent, prev)
            undo.append(spent)
        if cost > MAX_BLOCK_SIGOPS_COST:
            raise BlockInvalid(BlockFault.CONSENSUS, "bad-blk-sigops", "too many sigops")

        txid = tx.txid
        for n, (value, script) in enumerate(tx.vout):
            if script[:1] != b"\x6a" and len(script) <= MAX_SCRIPT_SIZE:  # not is_unspendable(script)
                changes[_new(OutPoint, (txid, n))] = _new(Coin, (value, script, height, coinbase))
        coinbase = False
    _check_coinbase_amount(block, fees, height, params)
    return BlockSpend(undo, changes, fees, cost)


def spend_block_in_c(
    block: Block,
    caches: tuple[Mapping[OutPoint, Coin | None], ...],
    prev: HeaderContext,
    params: ChainParams,
    flags: int,
) -> BlockSpend | list[OutPoint] | None:
    """As spend_block, with coins from the first of caches, which are dictionaries, that knows them.

    A list: none of them knows these coins, which are to be fetched. None: the compiled part is not there, or
    something is odd, and spend_block is to tell what. Raises BlockInvalid.
    """
    height = prev.height + 1
    told = None if _part is None else _part.spend(block.vtx, caches, height, int(flags))
    if told is None:
        return None
    if isinstance(told, list):
        return told
    undo, changes, fees, cost, locked = told
    if is_active("csv", prev.height, params):
        for place in locked:
            _check_sequence_locks(block.vtx[place], undo[place - 1], prev)
    _check_coinbase_amount(block, fees, height, params)
    return BlockSpend(undo, changes, fees, cost)


def _check_coinbase_amount(block: Block, fees: int, height: int, params: ChainParams) -> None:
    paid = sum(out.value for out in block.vtx[0].vout)
    limit = fees + block_subsidy(height, params)
    if paid > limit:
        raise BlockInvalid(
            BlockFault.CONSENSUS,
            "bad-cb-amount",
            f"coinbase pays too much (actual={paid} vs limit={limit})",
        )


def _raise_odd(
    tx: Transaction,
    taken: Sequence[Coin | None],
    outside: Sequence[Coin | None],
    changes: Mapping[OutPoint, Coin | None],
    height: int,
) -> None:
    """Something is wrong with what tx spends, of which the first coins are taken: raises BlockInvalid."""
    rest = range(len(taken), len(outside))
    left = [changes.get(tx.vin[index].prevout, outside[index]) for index in rest]
    try:
        check_tx_inputs(tx, [*taken, *left], height)
    except TxInvalid as error:
        raise BlockInvalid(
            BlockFault.CONSENSUS,
            error.reason,
            f"{error.detail} in transaction {tx.txid[::-1].hex()}",
        ) from error
    raise AssertionError("nothing is wrong with it")


def _check_sequence_locks(tx: Transaction, coins: list[Coin], prev: HeaderContext) -> None:
    locks = sequence_locks(tx, [coin.height for coin in coins], prev)
    if not locks_passed(locks, prev):
        raise BlockInvalid(
            BlockFault.CONSENSUS,
            "bad-txns-nonfinal",
            f"contains a non-BIP68-final transaction {tx.txid[::-1].hex()}",
        )


def script_failure(error: ScriptError, tx: Transaction, index: int) -> BlockInvalid:
    """The failure of a block in which input number index of tx does not verify."""
    return BlockInvalid(
        BlockFault.CONSENSUS,
        f"block-script-verify-flag-failed ({error.message})",
        script_failure_detail(tx, index),
    )


def script_failure_detail(tx: Transaction, index: int) -> str:
    """Which input it was, in Core's words; mempool-script-verify-flag-failed carries it as well."""
    prevout = tx.vin[index].prevout
    return (
        f"input {index} of {tx.txid[::-1].hex()} (wtxid {tx.wtxid[::-1].hex()}), "
        f"spending {prevout.txid[::-1].hex()}:{prevout.vout}"
    )

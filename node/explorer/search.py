"""Where a search leads: a height, a hash, an outpoint, an address or a script to the address of its page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex
from pybitcoind.chain.script.address import AddressError, decode_address

from .site import NotHere
from .transactions import Transactions

if TYPE_CHECKING:
    from ..rpc.context import RpcContext

MAX_QUERY = 20_100
"""Characters: the longest script in hex, and some."""
_HASH = re.compile("[0-9a-f]{64}")
_OUTPOINT = re.compile("([0-9a-f]{64}):([0-9]{1,9})")


async def find(ctx: RpcContext, transactions: Transactions, query: str) -> str:
    """The page's path; NotHere with what was tried where there is none."""
    text = query.strip()
    lower = text.lower().removeprefix("bitcoin:").partition("?")[0]
    if not text:
        raise NotHere("What are you looking for?", *HINTS)
    if len(text) > MAX_QUERY:
        raise NotHere("That is too long to look for", *HINTS)
    digits = text.replace(",", "")
    if digits.isascii() and digits.isdecimal() and len(digits) <= 10:
        return _height(ctx, int(digits))
    if _HASH.fullmatch(lower):
        return await _hash(ctx, transactions, lower)
    if outpoint := _OUTPOINT.fullmatch(lower):
        txid, vout = outpoint.groups()
        return f"{await _hash(ctx, transactions, txid)}#output-{int(vout)}"
    address = text.partition(":")[2] if text.lower().startswith("bitcoin:") else text
    address = address.partition("?")[0]
    try:
        decode_address(address, ctx.params)
    except AddressError as error:
        if re.fullmatch("(?:[0-9a-f]{2})+", lower):
            return f"/script/{lower}"
        raise NotHere(
            "Nothing like that is known here",
            f"As an address of {ctx.params.name} it fails: {error.message.rstrip('.')}.",
            *HINTS,
        ) from None
    return f"/address/{address}"


HINTS = (
    "A height of the chain, such as 170.",
    "A block's hash or a transaction's id: 64 hex digits. An output: the id, a colon, its number.",
    "An address, or an output script in hex.",
)


def _height(ctx: RpcContext, height: int) -> str:
    tip = ctx.chain.tip.height
    if height > tip:
        raise NotHere(f"There is no block {height:,} yet", f"The chain ends at height {tip:,}.")
    return f"/block/{hash_hex(ctx.chain.headers.chain[height].hash)}"


async def _hash(ctx: RpcContext, transactions: Transactions, text: str) -> str:
    value = hash_from_hex(text)
    if ctx.chain.headers.get(value) is not None:
        return f"/block/{text}"
    pool = ctx.node.mempool
    by_wtxid = pool.get_by_wtxid(value) if pool is not None else None
    if by_wtxid is not None:
        return f"/tx/{hash_hex(by_wtxid.txid)}"
    if ctx.node.spv is None and await transactions.find(value) is not None:
        return f"/tx/{text}"
    raise NotHere("No block and no transaction has this hash", *why_unknown(ctx))


def why_unknown(ctx: RpcContext) -> list[str]:
    """What a node that does not find a transaction may lack."""
    if ctx.node.spv is not None:
        return ["This node runs as SPV: it keeps headers, no transactions. Ask a full node."]
    index, hints = ctx.tx_index, ["It is neither in the mempool nor among the unspent outputs."]
    if index is None:
        hints.append(
            "This node runs without -txindex, so transactions that are spent are found by their block only."
        )
    elif not index.synced:
        hints.append(f"The transaction index is still being made; it is at height {index.best_height:,}.")
    else:
        hints.append("The transaction index does not have it either.")
    return hints

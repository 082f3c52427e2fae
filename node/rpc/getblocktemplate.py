"""getblocktemplate: a block for others to mine, by BIPs 22, 23, 9 and 145."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pybitcoind.chain.block_template import BlockTemplate, minimum_time, update_time
from pybitcoind.chain.consensus.deployments import ThresholdState, deployment_state, is_deployment_active
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.limits import MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT
from pybitcoind.chain.consensus.witness_commitment import witness_commitment_index
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import WITNESS_SCALE_FACTOR

from .amounts import Json
from .arguments import ARR, HEX_TEXT, OBJ, STR, parse_hash, parse_str
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, type_error
from .generating import make_template
from .mining import decode_block
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .render import bits_hex, target_hex

R = ResultType
OP_TRUE = b"\x51"
MAX_BLOCK_SERIALIZED_SIZE = 4_000_000
FRESH = 5
"""Seconds (wall time) for which a template serves although the mempool has changed."""
FIRST_LOOK, LATER_LOOK = 60.0, 10.0
"""A long poll ends at the first look at which the mempool has changed."""
OPTIONAL_RULES = ("testdummy",)
"""Deployments that a client need not know to mine."""


@dataclass(slots=True)
class TemplateCache:
    """The last template made. updates: the mempool's count of changes then; made_at: wall time, seconds."""

    template: BlockTemplate
    updates: int
    made_at: int


def _rule_name(name: str) -> str:
    return name if name in OPTIONAL_RULES else f"!{name}"


_STRINGS = (Result(R.STR, "value", "A supported feature, for example 'proposal'"),)
_TRANSACTION = Result(
    R.OBJ,
    inner=(
        Result(R.STR_HEX, "data", "transaction data encoded in hexadecimal (byte-for-byte)"),
        Result(R.STR_HEX, "txid", "transaction hash excluding witness data, shown in byte-reversed hex"),
        Result(R.STR_HEX, "hash", "transaction hash including witness data, shown in byte-reversed hex"),
        Result(
            R.ARR,
            "depends",
            "array of numbers",
            (
                Result(
                    R.NUM,
                    "",
                    "transactions before this one (by 1-based index in 'transactions' list) that must be "
                    "present in the final block if this one is",
                ),
            ),
        ),
        Result(
            R.NUM,
            "fee",
            "difference in value between transaction inputs and outputs (in satoshis); for coinbase "
            "transactions, this is a negative Number of the total collected block fees (ie, not including "
            "the block subsidy); if key is not present, fee is unknown and clients MUST NOT assume there "
            "isn't one",
        ),
        Result(
            R.NUM,
            "sigops",
            "total SigOps cost, as counted for purposes of block limits; if key is not present, sigop cost "
            "is unknown and clients MUST NOT assume it is zero",
        ),
        Result(R.NUM, "weight", "total transaction weight, as counted for purposes of block limits"),
    ),
)
_TEMPLATE = Result(
    R.OBJ,
    condition="Otherwise",
    inner=(
        Result(R.NUM, "version", "The preferred block version"),
        Result(
            R.ARR,
            "rules",
            "specific block rules that are to be enforced",
            (
                Result(
                    R.STR,
                    "",
                    "name of a rule the client must understand to some extent; see BIP 9 for format",
                ),
            ),
        ),
        Result(
            R.OBJ_DYN,
            "vbavailable",
            "set of pending, supported versionbit (BIP 9) softfork deployments",
            (
                Result(
                    R.NUM,
                    "rulename",
                    "identifies the bit number as indicating acceptance and readiness for the named "
                    "softfork rule",
                ),
            ),
        ),
        Result(R.ARR, "capabilities", "", _STRINGS),
        Result(R.NUM, "vbrequired", "bit mask of versionbits the server requires set in submissions"),
        Result(R.STR, "previousblockhash", "The hash of current highest block"),
        Result(
            R.ARR,
            "transactions",
            "contents of non-coinbase transactions that should be included in the next block",
            (_TRANSACTION,),
        ),
        Result(
            R.OBJ_DYN,
            "coinbaseaux",
            "data that should be included in the coinbase's scriptSig content",
            (Result(R.STR_HEX, "key", "values must be in the coinbase (keys may be ignored)"),),
        ),
        Result(
            R.NUM,
            "coinbasevalue",
            "maximum allowable input to coinbase transaction, including the generation award and transaction "
            "fees (in satoshis)",
        ),
        Result(
            R.STR, "longpollid", "an id to include with a request to longpoll on an update to this template"
        ),
        Result(R.STR, "target", "The hash target"),
        Result(
            R.NUM_TIME,
            "mintime",
            "The minimum timestamp appropriate for the next block time, expressed in UNIX epoch time. "
            "Adjusted for the proposed BIP94 timewarp rule.",
        ),
        Result(
            R.ARR,
            "mutable",
            "list of ways the block template may be changed",
            (
                Result(
                    R.STR,
                    "value",
                    "A way the block template may be changed, e.g. 'time', 'transactions', 'prevblock'",
                ),
            ),
        ),
        Result(R.STR_HEX, "noncerange", "A range of valid nonces"),
        Result(R.NUM, "sigoplimit", "limit of sigops in blocks"),
        Result(R.NUM, "sizelimit", "limit of block size"),
        Result(R.NUM, "weightlimit", "limit of block weight", optional=True),
        Result(
            R.NUM_TIME,
            "curtime",
            "current timestamp in UNIX epoch time. Adjusted for the proposed BIP94 timewarp rule.",
        ),
        Result(R.STR, "bits", "compressed target of next block"),
        Result(R.NUM, "height", "The height of the next block"),
        Result(R.STR_HEX, "signet_challenge", "Only on signet", optional=True),
        Result(
            R.STR_HEX,
            "default_witness_commitment",
            "a valid witness commitment for the unmodified block template",
            optional=True,
        ),
    ),
)


@method(
    "mining",
    "If the request parameters include a 'mode' key, that is used to explicitly select between the default "
    "'template' request or a 'proposal'.\n"
    "It returns data needed to construct a block to work on.\n"
    "For full specification, see BIPs 22, 23, 9, and 145:\n"
    "    https://github.com/bitcoin/bips/blob/master/bip-0022.mediawiki\n"
    "    https://github.com/bitcoin/bips/blob/master/bip-0023.mediawiki\n"
    "    https://github.com/bitcoin/bips/blob/master/bip-0009.mediawiki#getblocktemplate_changes\n"
    "    https://github.com/bitcoin/bips/blob/master/bip-0145.mediawiki\n",
    args=(
        Arg(
            "template_request",
            OBJ,
            "Format of the template",
            inner=(
                Arg(
                    "mode",
                    STR,
                    'This must be set to "template", "proposal" (see BIP 23), or omitted',
                    OPTIONAL,
                ),
                Arg(
                    "capabilities",
                    ARR,
                    "A list of strings",
                    OPTIONAL,
                    inner=(
                        Arg(
                            "str",
                            STR,
                            "client side supported feature, 'longpoll', 'coinbasevalue', 'proposal', "
                            "'serverlist', 'workid'",
                            OPTIONAL,
                        ),
                    ),
                ),
                Arg(
                    "rules",
                    ARR,
                    "A list of strings",
                    inner=(
                        Arg("segwit", STR, "(literal) indicates client side segwit support"),
                        Arg("str", STR, "other client side supported softfork deployment", OPTIONAL),
                    ),
                ),
                Arg(
                    "longpollid",
                    STR,
                    "delay processing request until the result would vary significantly from the "
                    '"longpollid" of a prior template',
                    OPTIONAL,
                ),
                Arg(
                    "data",
                    HEX_TEXT,
                    'proposed block data to check, encoded in hexadecimal; valid only for mode="proposal"',
                    OPTIONAL,
                ),
            ),
        ),
    ),
    result=(
        Result(R.NONE, condition="If the proposal was accepted with mode=='proposal'"),
        Result(
            R.STR,
            condition="If the proposal was not accepted with mode=='proposal'",
            description="According to BIP22",
        ),
        _TEMPLATE,
    ),
    examples=cli("getblocktemplate", '\'{"rules": ["segwit"]}\'')
    + curl("getblocktemplate", '{"rules": ["segwit"]}'),
    needs_chain=True,
)
async def getblocktemplate(ctx: RpcContext, template_request: dict[str, Json]) -> Json:
    request = template_request
    mode = "template" if request.get("mode") is None else request["mode"]
    if mode == "proposal":
        return await _proposal(ctx, request.get("data"))
    asked = request.get("rules")
    rules = [parse_str(rule) for rule in asked] if mode == "template" and isinstance(asked, list) else []
    if mode != "template":
        raise invalid_parameter("Invalid mode")
    _require_network(ctx)
    _ = ctx.mempool  # RpcError where there is none, before anything waits
    if request.get("longpollid") is not None:
        await _long_poll(ctx, request["longpollid"])
    if ctx.params.signet_challenge and "signet" not in rules:
        raise invalid_parameter(
            'getblocktemplate must be called with the signet rule set (call with {"rules": ["segwit", '
            '"signet"]})'
        )
    if "segwit" not in rules:
        raise invalid_parameter(
            'getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})'
        )
    return _template_json(ctx, await _current(ctx), rules)


async def _proposal(ctx: RpcContext, data: Json) -> Json:
    """What submitblock would say of a block but for its proof of work; None: it is good."""
    if not isinstance(data, str):
        raise type_error("Missing data String key for proposal")
    block = decode_block(data)
    if block is None:
        raise RpcError(RpcCode.DESERIALIZATION_ERROR, "Block decode failed")
    node = ctx.chain.headers.get(block.hash)
    if node is not None:
        if node.failed:
            return "duplicate-invalid"
        return "duplicate" if node.scripts_valid else "duplicate-inconclusive"
    try:
        await ctx.chain.test_block_validity(block, check_pow=False)
    except BlockInvalid as error:
        return error.reason
    return None


def _require_network(ctx: RpcContext) -> None:
    """On the main network, mining alone or far behind would be in vain."""
    if ctx.params.is_test_chain:
        return
    if sum(ctx.peers.counts()) == 0:
        raise RpcError(RpcCode.CLIENT_NOT_CONNECTED, "Bitcoin Core is not connected!")
    if ctx.chain.is_ibd:
        raise RpcError(
            RpcCode.CLIENT_IN_INITIAL_DOWNLOAD, "Bitcoin Core is in initial sync and waiting for blocks..."
        )


async def _long_poll(ctx: RpcContext, longpollid: Json) -> None:
    """Waits until the tip is another than that of longpollid, or the mempool has changed since (BIP 22)."""
    if isinstance(longpollid, str):
        watched = parse_hash(longpollid[:64], "longpollid")
        digits = re.match(r"\s*[+-]?\d+", longpollid[64:])
        updates = int(digits[0]) % 2**32 if digits else 0
    else:
        cache = ctx.node.template_cache
        watched, updates = ctx.chain.tip.hash, cache.updates if cache else 0
    patience = FIRST_LOOK
    while not ctx.node.stopping.is_set():
        await ctx.node.until_stop(ctx.chain.wait_for_tip(lambda tip: tip.hash != watched, patience))
        if ctx.chain.tip.hash != watched or ctx.mempool.updates != updates:
            break
        patience = LATER_LOOK
    if ctx.node.stopping.is_set():
        raise RpcError(RpcCode.CLIENT_NOT_CONNECTED, "Shutting down")


async def _current(ctx: RpcContext) -> TemplateCache:
    """The last template while it serves, else a new one."""
    cache, updates, now = ctx.node.template_cache, ctx.mempool.updates, ctx.clock.time()
    if (
        cache is None
        or cache.template.prev is not ctx.chain.tip
        or (updates != cache.updates and now - cache.made_at > FRESH)
    ):
        ctx.node.template_cache = None
        cache = TemplateCache(await make_template(ctx, OP_TRUE), updates, now)
        ctx.node.template_cache = cache
    return cache


def _transactions_json(template: BlockTemplate, sigop_divisor: int) -> list[Json]:
    numbers = {tx.txid: number for number, tx in enumerate(template.block.vtx)}
    return [
        {
            "data": tx.raw.hex(),
            "txid": hash_hex(tx.txid),
            "hash": hash_hex(tx.wtxid),
            "depends": [numbers[i.prevout.txid] for i in tx.vin if i.prevout.txid in numbers],
            "fee": fee,
            "sigops": sigops // sigop_divisor,
            "weight": tx.weight,
        }
        for tx, fee, sigops in zip(template.block.vtx[1:], template.fees, template.sigops, strict=True)
    ]


def _template_json(ctx: RpcContext, cache: TemplateCache, client_rules: list[str]) -> dict[str, Json]:
    template, params = cache.template, ctx.params
    prev = template.prev
    header = update_time(template.block.header, prev, params, ctx.clock.time())
    segwit = is_deployment_active("segwit", prev, params)
    scale = 1 if segwit else WITNESS_SCALE_FACTOR
    rules = [
        "csv",
        *(("!segwit", "taproot") if segwit else ()),
        *(("!signet",) if params.signet_challenge else ()),
    ]
    version, available = header.version, {}
    states = {
        name: deployment_state(name, prev, params, ctx.chain.deployment_cache)
        for name in sorted(params.deployments)
    }
    for wanted in (ThresholdState.STARTED, ThresholdState.LOCKED_IN):
        for name, state in states.items():
            if state is not wanted:
                continue
            bit = params.deployments[name].bit
            if state is ThresholdState.LOCKED_IN:
                version |= 1 << bit
            available[_rule_name(name)] = bit
            if name not in OPTIONAL_RULES and name not in client_rules:
                version &= ~(1 << bit)
    for name, state in states.items():
        if state is ThresholdState.ACTIVE:
            rules.append(_rule_name(name))
            if name not in OPTIONAL_RULES and name not in client_rules:
                raise invalid_parameter(f"Support for '{name}' rule requires explicit client support")
    out: dict[str, Json] = {
        "capabilities": ["proposal"],
        "version": version,
        "rules": rules,
        "vbavailable": available,
        "vbrequired": 0,
        "previousblockhash": hash_hex(prev.hash),
        "transactions": _transactions_json(template, scale),
        "coinbaseaux": {},
        "coinbasevalue": template.coinbase.vout[0].value,
        "longpollid": f"{hash_hex(ctx.chain.tip.hash)}{cache.updates}",
        "target": target_hex(header.bits),
        "mintime": minimum_time(prev, params),
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": MAX_BLOCK_SIGOPS_COST // scale,
        "sizelimit": MAX_BLOCK_SERIALIZED_SIZE // scale,
    }
    if segwit:
        out["weightlimit"] = MAX_BLOCK_WEIGHT
    out |= {"curtime": header.time, "bits": bits_hex(header.bits), "height": template.height}
    if params.signet_challenge:
        out["signet_challenge"] = params.signet_challenge.hex()
    index = witness_commitment_index(template.block)
    if index is not None:
        out["default_witness_commitment"] = template.coinbase.vout[index].script_pubkey.hex()
    return out

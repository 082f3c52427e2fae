"""Category "blockchain": what can be worked out about the chain: deployments, numbers of transactions."""

from __future__ import annotations

from pybitcoind.chain.consensus.deployments import (
    BURIED_DEPLOYMENTS,
    activation_height,
    deployment_info,
    is_active,
    script_flags_for,
)
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import NEVER_ACTIVE
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.script.flags import ScriptFlags

from .amounts import Json, Real
from .arguments import HASH, REAL, parse_int
from .blockchain import find_block
from .context import RpcContext
from .errors import invalid_parameter
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType
NEVER_BURIED = 2**31 - 1
"""Height of a buried deployment that does not exist on a network."""
MONTH = 30 * 24 * 60 * 60

_DEPLOYMENT = (
    Result(R.STR, "type", 'one of "buried", "bip9"'),
    Result(
        R.NUM,
        "height",
        'height of the first block which the rules are or will be enforced (only for "buried" type, or '
        '"bip9" type with "active" status)',
        optional=True,
    ),
    Result(R.BOOL, "active", "true if the rules are enforced for the mempool and the next block"),
    Result(
        R.OBJ,
        "bip9",
        'status of bip9 softforks (only for "bip9" type)',
        (
            Result(
                R.NUM,
                "bit",
                "the bit (0-28) in the block version field used to signal this softfork (only for "
                '"started" and "locked_in" status)',
                optional=True,
            ),
            Result(
                R.NUM_TIME,
                "start_time",
                "the minimum median time past of a block at which the bit gains its meaning",
            ),
            Result(
                R.NUM_TIME,
                "timeout",
                "the median time past of a block at which the deployment is considered failed if not yet "
                "locked in",
            ),
            Result(
                R.NUM,
                "min_activation_height",
                "minimum height of blocks for which the rules may be enforced",
            ),
            Result(
                R.STR,
                "status",
                'status of deployment at specified block (one of "defined", "started", "locked_in", '
                '"active", "failed")',
            ),
            Result(R.NUM, "since", "height of the first block to which the status applies"),
            Result(R.STR, "status_next", "status of deployment at the next block"),
            Result(
                R.OBJ,
                "statistics",
                'numeric statistics about signalling for a softfork (only for "started" and "locked_in" '
                "status)",
                (
                    Result(R.NUM, "period", "the length in blocks of the signalling period"),
                    Result(
                        R.NUM,
                        "threshold",
                        "the number of blocks with the version bit set required to activate the feature "
                        '(only for "started" status)',
                        optional=True,
                    ),
                    Result(
                        R.NUM,
                        "elapsed",
                        "the number of blocks elapsed since the beginning of the current period",
                    ),
                    Result(
                        R.NUM,
                        "count",
                        "the number of blocks with the version bit set in the current period",
                    ),
                    Result(
                        R.BOOL,
                        "possible",
                        "returns false if there are not enough blocks left in this period to pass "
                        'activation threshold (only for "started" status)',
                        optional=True,
                    ),
                ),
                optional=True,
            ),
            Result(
                R.STR,
                "signalling",
                "indicates blocks that signalled with a # and blocks that did not with a -",
                optional=True,
            ),
        ),
        optional=True,
    ),
)


@method(
    "blockchain",
    "Returns an object containing various state info regarding deployments of consensus changes.\n"
    'Consensus changes for which the new rules are enforced from genesis are not listed in "deployments".',
    args=(
        Arg(
            "blockhash",
            HASH,
            "The block hash at which to query deployment state",
            hint='"hash of current chain tip"',
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "hash", "requested block hash (or tip)"),
            Result(R.NUM, "height", "requested block height (or tip)"),
            Result(
                R.ARR,
                "script_flags",
                "script verify flags for the block",
                (Result(R.STR, "flag", "a script verify flag"),),
            ),
            Result(
                R.OBJ_DYN,
                "deployments",
                "",
                (Result(R.OBJ, "xxxx", "name of the deployment", _DEPLOYMENT),),
            ),
        ),
    ),
    examples=cli("getdeploymentinfo") + curl("getdeploymentinfo"),
)
async def getdeploymentinfo(ctx: RpcContext, blockhash: bytes | None) -> Json:
    node = ctx.chain.tip if blockhash is None else find_block(ctx, blockhash)
    params = ctx.params
    deployments: dict[str, Json] = {}
    for name in BURIED_DEPLOYMENTS:
        height = activation_height(name, params)
        if height != NEVER_BURIED:
            deployments[name] = {
                "type": "buried",
                "active": is_active(name, node.height, params),
                "height": height,
            }
    for name, deployment in params.deployments.items():
        if deployment.start_time != NEVER_ACTIVE:
            deployments[name] = _bip9_json(ctx, name, node)
    return {
        "hash": hash_hex(node.hash),
        "height": node.height,
        "script_flags": flag_names(script_flags_for(node.height, node.hash, params)),
        "deployments": deployments,
    }


def flag_names(flags: ScriptFlags) -> list[str]:
    """Names of the flags that are set, by name."""
    return sorted(flag.name for flag in ScriptFlags if flag.name and flag and flag in flags)


def _bip9_json(ctx: RpcContext, name: str, node: HeaderNode) -> dict[str, Json]:
    deployment = ctx.params.deployments[name]
    info = deployment_info(name, node, ctx.params, ctx.chain.deployment_cache)
    bip9: dict[str, Json] = {} if info.statistics is None else {"bit": deployment.bit}
    bip9 |= {
        "start_time": deployment.start_time,
        "timeout": deployment.timeout,
        "min_activation_height": deployment.min_activation_height,
        "status": info.state.value,
        "since": info.since,
        "status_next": info.next_state.value,
    }
    if (votes := info.statistics) is not None:
        bip9["statistics"] = {"period": votes.period, "elapsed": votes.elapsed, "count": votes.count}
        if votes.threshold or votes.possible:
            bip9["statistics"] |= {"threshold": votes.threshold, "possible": votes.possible}
        bip9["signalling"] = "".join("#" if vote else "-" for vote in votes.signalling)
    out: dict[str, Json] = {"type": "bip9"}
    if info.active_since is not None:
        out["height"] = info.active_since
    out["active"] = info.active_since is not None and info.active_since <= node.height + 1
    out["bip9"] = bip9
    return out


@method(
    "blockchain",
    "Compute statistics about the total number and rate of transactions in the chain.\n",
    args=(
        Arg("nblocks", REAL, "Size of the window in number of blocks", hint="one month"),
        Arg("blockhash", HASH, "The hash of the block that ends the window.", hint="chain tip"),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.NUM_TIME,
                "time",
                "The timestamp for the final block in the window, expressed in UNIX epoch time",
            ),
            Result(
                R.NUM,
                "txcount",
                "The total number of transactions in the chain up to that point, if known. It may be unknown "
                "when using assumeutxo.",
                optional=True,
            ),
            Result(R.STR_HEX, "window_final_block_hash", "The hash of the final block in the window"),
            Result(R.NUM, "window_final_block_height", "The height of the final block in the window."),
            Result(R.NUM, "window_block_count", "Size of the window in number of blocks"),
            Result(
                R.NUM,
                "window_interval",
                'The elapsed time in the window in seconds. Only returned if "window_block_count" is > 0',
                optional=True,
            ),
            Result(
                R.NUM,
                "window_tx_count",
                'The number of transactions in the window. Only returned if "window_block_count" is > 0 and '
                "if txcount exists for the start and end of the window.",
                optional=True,
            ),
            Result(
                R.NUM,
                "txrate",
                "The average rate of transactions per second in the window. Only returned if "
                '"window_interval" is > 0 and if window_tx_count exists.',
                optional=True,
            ),
        ),
    ),
    examples=cli("getchaintxstats") + curl("getchaintxstats", "2016"),
    needs_chain=True,
)
async def getchaintxstats(ctx: RpcContext, nblocks: Json, blockhash: bytes | None) -> Json:
    last = ctx.chain.tip
    if blockhash is not None:
        last = find_block(ctx, blockhash)
        if not ctx.chain.headers.in_chain(last):
            raise invalid_parameter("Block is not in main chain")
    if nblocks is None:
        nblocks = max(0, min(MONTH // ctx.params.pow_target_spacing, last.height - 1))
    elif (nblocks := parse_int(nblocks, -(2**31), 2**31 - 1)) < 0 or 0 < nblocks >= last.height:
        raise invalid_parameter("Invalid block count: should be between 0 and the block's height - 1")
    first = last.ancestor(last.height - nblocks)
    out: dict[str, Json] = {"time": last.time}
    if last.chain_tx_count:
        out["txcount"] = last.chain_tx_count
    out |= {
        "window_final_block_hash": hash_hex(last.hash),
        "window_final_block_height": last.height,
        "window_block_count": nblocks,
    }
    if nblocks > 0:
        interval = out["window_interval"] = last.mtp() - first.mtp()
        if last.chain_tx_count and first.chain_tx_count:
            count = out["window_tx_count"] = last.chain_tx_count - first.chain_tx_count
            if interval > 0:
                out["txrate"] = Real(count / interval)
    return out

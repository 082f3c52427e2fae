"""Feerate estimates (estimatesmartfee, estimaterawfee)."""

from __future__ import annotations

from decimal import Decimal
from math import floor

from pybitcoind.chain.mempool.fee_estimator import MAX_TARGET, FeeEstimator
from pybitcoind.chain.policy.fee_calculation import Estimate, FeerateRange

from .amounts import Amount, Json, Real
from .arguments import INT, REAL, STR
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType
MODES = ("unset", "economical", "conservative")
_MODE_WORDS = (
    "The fee estimate mode.\n"
    "unset, economical, conservative \n"
    "unset means no mode set (default mode will be used). \n"
    "economical estimates use a shorter time horizon, making them more\n"
    "responsive to short-term drops in the prevailing fee market. This mode\n"
    "potentially returns a lower fee rate estimate.\n"
    "conservative estimates use a longer time horizon, making them\n"
    "less responsive to short-term drops in the prevailing fee market. This mode\n"
    "potentially returns a higher fee rate estimate.\n"
)
_ERRORS = "Errors encountered during processing (if there are any)"
_NO_DATA = "Insufficient data or no feerate found"


async def _estimator(ctx: RpcContext, conf_target: int) -> FeeEstimator:
    """When it knows all that has happened. RpcError -32603 with -blocksonly, -8 for a target beyond all
    horizons."""
    if ctx.node.config.flag("blocksonly"):
        raise RpcError(RpcCode.INTERNAL_ERROR, "Fee estimation disabled")
    assert ctx.mempool is not None and ctx.node.fees is not None  # the first raises where the node has none
    await ctx.node.events.drained()
    if not 1 <= conf_target <= MAX_TARGET:
        raise invalid_parameter(f"Invalid conf_target, must be between 1 and {MAX_TARGET}")
    return ctx.node.fees.estimator


@method(
    "util",
    "Estimates the approximate fee per kilobyte needed for a transaction to begin\n"
    "confirmation within conf_target blocks if possible and return the number of blocks\n"
    "for which the estimate is valid. Uses virtual transaction size as defined\n"
    "in BIP 141 (witness data is discounted).\n",
    args=(
        Arg("conf_target", INT, f"Confirmation target in blocks (1 - {MAX_TARGET})"),
        Arg("estimate_mode", STR, _MODE_WORDS, "economical"),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.NUM,
                "feerate",
                "estimate fee rate in BTC/kvB (only present if no errors were encountered)",
                optional=True,
            ),
            Result(R.ARR, "errors", _ERRORS, (Result(R.STR, "", "error"),), optional=True),
            Result(
                R.NUM,
                "blocks",
                "block number where estimate was found\n"
                "The request target will be clamped between 2 and the highest target\n"
                "fee estimation is able to return based on how long it has been running.\n"
                "An error is returned if not enough transactions and blocks\n"
                "have been observed to make an estimate for any number of blocks.",
            ),
        ),
    ),
    examples=cli("estimatesmartfee", "6") + curl("estimatesmartfee", "6"),
)
async def estimatesmartfee(ctx: RpcContext, conf_target: int, estimate_mode: str) -> Json:
    estimator = await _estimator(ctx, conf_target)
    mode = estimate_mode.lower()
    if mode not in MODES:
        names = ", ".join(f'"{mode}"' for mode in MODES)
        raise invalid_parameter(f"Invalid estimate_mode parameter, must be one of: {names}")
    found = estimator.estimate_smart(conf_target, conservative=mode == "conservative")
    if not found.feerate:
        return {"errors": [_NO_DATA], "blocks": found.target}
    least = max(ctx.mempool.min_feerate(), ctx.mempool.settings.min_relay_feerate)
    return {"feerate": Amount(max(found.feerate, least)), "blocks": found.target}


_BUCKET = (
    Result(R.NUM, "startrange", "start of feerate range"),
    Result(R.NUM, "endrange", "end of feerate range"),
    Result(
        R.NUM,
        "withintarget",
        "number of txs over history horizon in the feerate range that were confirmed within target",
    ),
    Result(
        R.NUM,
        "totalconfirmed",
        "number of txs over history horizon in the feerate range that were confirmed at any point",
    ),
    Result(
        R.NUM,
        "inmempool",
        "current number of txs in mempool in the feerate range unconfirmed for at least target blocks",
    ),
    Result(
        R.NUM,
        "leftmempool",
        "number of txs over history horizon in the feerate range that left mempool unconfirmed after target",
    ),
)


@method(
    "hidden",
    "WARNING: This interface is unstable and may disappear or change!\n"
    "\nWARNING: This is an advanced API call that is tightly coupled to the specific\n"
    "implementation of fee estimation. The parameters it can be called with\n"
    "and the results it returns will change if the internal implementation changes.\n"
    "\nEstimates the approximate fee per kilobyte needed for a transaction to begin\n"
    "confirmation within conf_target blocks if possible. Uses virtual transaction size as\n"
    "defined in BIP 141 (witness data is discounted).\n",
    args=(
        Arg("conf_target", INT, f"Confirmation target in blocks (1 - {MAX_TARGET})"),
        Arg(
            "threshold",
            REAL,
            "The proportion of transactions in a given feerate range that must have been\n"
            "confirmed within conf_target in order to consider those feerates as high enough and proceed to "
            "check\nlower buckets.",
            hint="0.95",
        ),
    ),
    result=Result(
        R.OBJ,
        description="Results are returned for any horizon which tracks blocks up to the confirmation target",
        inner=(
            Result(
                R.OBJ,
                "short",
                "estimate for short time horizon",
                (
                    Result(R.NUM, "feerate", "estimate fee rate in BTC/kvB", optional=True),
                    Result(
                        R.NUM,
                        "decay",
                        "exponential decay (per block) for historical moving average of confirmation data",
                    ),
                    Result(R.NUM, "scale", "The resolution of confirmation targets at this time horizon"),
                    Result(
                        R.OBJ,
                        "pass",
                        "information about the lowest range of feerates to succeed in meeting the threshold",
                        _BUCKET,
                        optional=True,
                    ),
                    Result(
                        R.OBJ,
                        "fail",
                        "information about the highest range of feerates to fail to meet the threshold",
                        (Result(R.ELISION),),
                        optional=True,
                    ),
                    Result(R.ARR, "errors", _ERRORS, (Result(R.STR, "error"),), optional=True),
                ),
                optional=True,
            ),
            Result(R.OBJ, "medium", "estimate for medium time horizon", (Result(R.ELISION),), optional=True),
            Result(R.OBJ, "long", "estimate for long time horizon", (Result(R.ELISION),), optional=True),
        ),
    ),
    examples=cli("estimaterawfee", "6 0.9"),
)
async def estimaterawfee(ctx: RpcContext, conf_target: int, threshold: Decimal | int | None) -> Json:
    estimator = await _estimator(ctx, conf_target)
    share = 0.95 if threshold is None else float(threshold)
    if not 0 <= share <= 1:
        raise invalid_parameter("Invalid threshold")
    return {
        kind.name: _horizon_json(*estimator.estimate_raw(conf_target, share, kind))
        for kind in estimator.horizons
        if conf_target <= kind.max_target
    }


def _horizon_json(feerate: int, estimate: Estimate) -> Json:
    shape = {"decay": Real(estimate.decay), "scale": estimate.scale}
    failed = _range_json(estimate.failed)
    if not feerate:
        return {**shape, "fail": failed, "errors": [f"{_NO_DATA} which meets threshold"]}
    answer = {"feerate": Amount(feerate), **shape, "pass": _range_json(estimate.passed)}
    return answer if estimate.failed.start == -1 else {**answer, "fail": failed}


def _range_json(one: FeerateRange) -> Json:
    return {
        "startrange": _rounded(one.start),
        "endrange": _rounded(one.end),
        "withintarget": _rounded(one.within_target, 100.0),
        "totalconfirmed": _rounded(one.total_confirmed, 100.0),
        "inmempool": _rounded(one.in_mempool, 100.0),
        "leftmempool": _rounded(one.left_mempool, 100.0),
    }


def _rounded(value: float, parts: float = 1.0) -> Real:
    """To whole parts, halves away from zero."""
    value *= parts
    size = abs(value)
    whole = floor(size) + (size - floor(size) >= 0.5)
    return Real((whole if value >= 0 else -whole) / parts)

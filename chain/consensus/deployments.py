"""Which soft forks hold in a block: buried ones by height, others by version bits (BIP 9).

Source: Bitcoin Core src/deploymentstatus.h, src/versionbits.cpp, GetBlockScriptFlags in src/validation.cpp.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..params import ALWAYS_ACTIVE, NEVER_ACTIVE, Bip9Deployment, ChainParams
from ..script.flags import ScriptFlags
from .context import HeaderContext

VERSION_TOP_BITS = 0x20000000
VERSION_TOP_MASK = 0xE0000000

BURIED_DEPLOYMENTS = ("bip34", "bip66", "bip65", "csv", "segwit")
"""In the order of getdeploymentinfo."""


def activation_height(name: str, params: ChainParams) -> int:
    """First height at which the buried deployment name (bip34, bip65, bip66, csv, segwit) holds."""
    match name:
        case "bip34":
            return params.bip34_height
        case "bip65":
            return params.bip65_height
        case "bip66":
            return params.bip66_height
        case "csv":
            return params.csv_height
        case "segwit":
            return params.segwit_height
    raise KeyError(name)


def is_active(name: str, prev_height: int, params: ChainParams) -> bool:
    """Whether the buried deployment name holds in the block after prev_height (-1 below genesis)."""
    return prev_height + 1 >= activation_height(name, params)


def script_flags_for(height: int, block_hash: bytes, params: ChainParams) -> ScriptFlags:
    """The script rules that hold in the block at height.

    P2SH, segwit and taproot are applied to all blocks but those few, known by hash, that broke them before
    they were rules.
    """
    exception = params.script_flag_exceptions.get(block_hash)
    if exception is None:
        flags = ScriptFlags.P2SH | ScriptFlags.WITNESS | ScriptFlags.TAPROOT
    else:
        flags = ScriptFlags.NONE
        for name in exception:
            flags |= ScriptFlags[name]
    for name, flag in _BURIED_FLAGS:
        if is_active(name, height - 1, params):
            flags |= flag
    return flags


_BURIED_FLAGS = (
    ("bip66", ScriptFlags.DERSIG),
    ("bip65", ScriptFlags.CHECKLOCKTIMEVERIFY),
    ("csv", ScriptFlags.CHECKSEQUENCEVERIFY),
    ("segwit", ScriptFlags.NULLDUMMY),
)


class ThresholdState(Enum):
    """State of a version bits deployment; all blocks of a period share it. Values as RPC says them."""

    DEFINED = "defined"
    STARTED = "started"
    LOCKED_IN = "locked_in"
    ACTIVE = "active"
    FAILED = "failed"


StateCache = MutableMapping[tuple[str, bytes], ThresholdState]
"""(deployment, hash of a period's last block) to the state of the next period. States never change, so a
caller keeps one mapping as long as it likes; without one, states are worked out from the start each time."""


def signals(version: int, deployment: Bip9Deployment) -> bool:
    """Whether a block of this version votes for deployment."""
    return version & VERSION_TOP_MASK == VERSION_TOP_BITS and bool(version >> deployment.bit & 1)


def deployment_state(
    name: str, prev: HeaderContext | None, params: ChainParams, cache: StateCache | None = None
) -> ThresholdState:
    """State of the version bits deployment name in the block after prev (None: in the genesis block)."""
    deployment = params.deployments[name]
    if deployment.start_time == ALWAYS_ACTIVE:
        return ThresholdState.ACTIVE
    if deployment.start_time == NEVER_ACTIVE:
        return ThresholdState.FAILED
    if cache is None:
        cache = {}
    period = deployment.period
    # Down, period by period, to one whose state is known; then up again, from state to state.
    node = period_end(prev, period)
    pending: list[HeaderContext] = []
    state = ThresholdState.DEFINED
    while node is not None:
        known = cache.get((name, node.hash))
        if known is not None:
            state = known
            break
        if node.mtp() < deployment.start_time:  # so were all before
            break
        pending.append(node)
        node = node.ancestor(node.height - period) if node.height >= period else None
    for node in reversed(pending):
        state = _next_state(state, node, deployment)
        cache[name, node.hash] = state
    return state


def period_end(prev: HeaderContext | None, period: int) -> HeaderContext | None:
    """Last block of the period that was over with, or before, prev; None in the first period."""
    if prev is None:
        return None
    height = prev.height - (prev.height + 1) % period
    return prev.ancestor(height) if height >= 0 else None


def _next_state(state: ThresholdState, last: HeaderContext, deployment: Bip9Deployment) -> ThresholdState:
    """State after the period that ends with last and was itself in state."""
    if state is ThresholdState.DEFINED:
        if last.mtp() >= deployment.start_time:
            return ThresholdState.STARTED
    elif state is ThresholdState.STARTED:
        if sum(_signalling(last, deployment.period, deployment)) >= deployment.threshold:
            return ThresholdState.LOCKED_IN
        if last.mtp() >= deployment.timeout:
            return ThresholdState.FAILED
    elif state is ThresholdState.LOCKED_IN and last.height + 1 >= deployment.min_activation_height:
        return ThresholdState.ACTIVE
    return state


def _signalling(last: HeaderContext, count: int, deployment: Bip9Deployment) -> list[bool]:
    """For each of the count blocks that end with last, oldest first, whether it votes."""
    votes: list[bool] = []
    node: HeaderContext | None = last
    while node is not None and len(votes) < count:
        votes.append(signals(node.version, deployment))
        node = node.prev
    return votes[::-1]


def state_since(
    name: str, prev: HeaderContext | None, params: ChainParams, cache: StateCache | None = None
) -> int:
    """Height of the first block in the state that the block after prev is in; 0 for what never changes."""
    deployment = params.deployments[name]
    if deployment.start_time in (ALWAYS_ACTIVE, NEVER_ACTIVE):
        return 0
    if cache is None:
        cache = {}
    state = deployment_state(name, prev, params, cache)
    if state is ThresholdState.DEFINED:
        return 0
    node = period_end(prev, deployment.period)
    assert node is not None  # the first period is DEFINED
    while node.height >= deployment.period:
        earlier = node.ancestor(node.height - deployment.period)
        if deployment_state(name, earlier, params, cache) is not state:
            break
        node = earlier
    return node.height + 1


def is_deployment_active(
    name: str, prev: HeaderContext | None, params: ChainParams, cache: StateCache | None = None
) -> bool:
    """Whether the deployment name, buried or by version bits, holds in the block after prev."""
    if name in params.deployments:
        return deployment_state(name, prev, params, cache) is ThresholdState.ACTIVE
    return is_active(name, -1 if prev is None else prev.height, params)


def compute_block_version(
    prev: HeaderContext | None, params: ChainParams, cache: StateCache | None = None
) -> int:
    """Version of a new block after prev: it votes for all that is started or locked in."""
    version = VERSION_TOP_BITS
    for name, deployment in params.deployments.items():
        state = deployment_state(name, prev, params, cache)
        if state in (ThresholdState.STARTED, ThresholdState.LOCKED_IN):
            version |= 1 << deployment.bit
    return version


@dataclass(frozen=True, slots=True)
class SignalStatistics:
    """Votes in the period a block is in, up to that block (Core BIP9Stats).

    threshold is 0 and possible False once locked in, when votes no longer count.
    """

    period: int
    threshold: int
    elapsed: int
    count: int
    possible: bool
    signalling: tuple[bool, ...]


class DeploymentInfo(NamedTuple):
    """What getdeploymentinfo says of a version bits deployment at a block (Core BIP9Info)."""

    state: ThresholdState
    next_state: ThresholdState
    since: int
    statistics: SignalStatistics | None
    active_since: int | None


def deployment_info(
    name: str, node: HeaderContext, params: ChainParams, cache: StateCache | None = None
) -> DeploymentInfo:
    """How the version bits deployment name stands in the block node and the one after it."""
    deployment = params.deployments[name]
    if cache is None:
        cache = {}
    state = deployment_state(name, node.prev, params, cache)
    next_state = deployment_state(name, node, params, cache)
    since = state_since(name, node.prev, params, cache)
    statistics = None
    if state in (ThresholdState.STARTED, ThresholdState.LOCKED_IN):
        started = state is ThresholdState.STARTED
        elapsed = 1 + node.height % deployment.period
        votes = _signalling(node, elapsed, deployment)
        missed = elapsed - sum(votes)
        statistics = SignalStatistics(
            period=deployment.period,
            threshold=deployment.threshold if started else 0,
            elapsed=elapsed,
            count=sum(votes),
            possible=started and deployment.period - deployment.threshold >= missed,
            signalling=tuple(votes),
        )
    active_since = None
    if state is ThresholdState.ACTIVE:
        active_since = since
    elif next_state is ThresholdState.ACTIVE:
        active_since = node.height + 1
    return DeploymentInfo(state, next_state, since, statistics, active_since)

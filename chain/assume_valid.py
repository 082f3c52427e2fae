"""When the scripts of a block need no checking: far below a block known to be good (-assumevalid)."""

from __future__ import annotations

from .consensus.pow import proof_equivalent_time
from .header_tree import HeaderNode, HeaderTree
from .params import ChainParams
from .primitives.hashes import ZERO_HASH

_TWO_WEEKS = 14 * 24 * 60 * 60


def script_check_reason(
    node: HeaderNode,
    tree: HeaderTree,
    assume_valid: bytes,
    minimum_chainwork: int,
    params: ChainParams,
) -> str | None:
    """Why the scripts of node are to be checked, in Core's words; None if they need not.

    assume_valid: hash of a block whose whole history is known to be good; zero to check always. The
    conditions on work and time see to it that nobody can pass off a chain of his own by telling users to
    set the option.
    """
    if assume_valid == ZERO_HASH:
        return "assumevalid=0 (always verify)"
    assumed = tree.get(assume_valid)
    if assumed is None:
        return "assumevalid hash not in headers"
    if not assumed.descends_from(node):
        if node.height > assumed.height:
            return "block height above assumevalid height"
        return "block not in assumevalid chain"
    best = tree.best_header
    if best is None or not best.descends_from(node):
        return "block not in best header chain"
    if best.chainwork < minimum_chainwork:
        return "best header chainwork below minimumchainwork"
    if proof_equivalent_time(best.chainwork, node.chainwork, best.bits, params) <= _TWO_WEEKS:
        return "block too recent relative to best header"
    return None

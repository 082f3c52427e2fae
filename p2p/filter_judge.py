"""Whether a block shows that a filter said to be its own is false (BIP 157, BIP 158). Pure.

The block alone does not tell all scripts it spends, so a filter may also stay undecided. But it tells the
scripts it pays to, and most inputs reveal the script they spend: then a filter that lacks it is false.
"""

from __future__ import annotations

from collections.abc import Iterator

from pybitcoind.chain.block_filter import BlockFilter
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash160, sha256
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction
from pybitcoind.chain.script.checker import TxChecker
from pybitcoind.chain.script.encoding import is_compressed, is_compressed_or_uncompressed, is_strict_der
from pybitcoind.chain.script.flags import ScriptFlags
from pybitcoind.chain.script.script import ANNEX_TAG, is_witness_program, last_push, push_data
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.taproot import (
    CONTROL_BASE_SIZE,
    LEAF_MASK,
    is_control_size,
    merkle_root_of,
    output_key,
    tapleaf_hash,
)
from pybitcoind.chain.script.verify import verify_script

_OP_RETURN = 0x6A
_SCHNORR_SIZES = (64, 65)
_LEGACY_FLAGS = ScriptFlags.P2SH | ScriptFlags.DERSIG
"""What every block that can be disputed today was connected with; only legacy inputs are checked."""

Alternatives = tuple[bytes, ...]
"""Scripts of which an input surely spends one; () where it reveals nothing."""


def revealed_scripts(tx: Transaction, index: int) -> Alternatives:
    """The scripts that input index of a valid tx may spend, where it tells them: one of them it does spend.

    It could be another only if that one were of no standard kind and made to accept just such an input.
    """
    txin, witness = tx.vin[index], tx.witness_of(index)
    if not txin.script_sig:
        return _of_witness(witness)
    last = last_push(txin.script_sig)
    if not last:
        return ()
    if witness:  # only a P2SH that holds a witness program may have both, and its script_sig pushes just that
        return (_p2sh(last),) if is_witness_program(last) and txin.script_sig == push_data(last) else ()
    candidates = [_p2sh(last)]
    if is_compressed_or_uncompressed(last):
        candidates.append(b"\x76\xa9\x14" + hash160(last) + b"\x88\xac")
    # A signature at the end belongs to P2PK or bare multisig, which do not show their keys. Nothing in these
    # forms signs an amount, so the input itself tells whether it could spend the script.
    checker = TxChecker(tx, index, 0, TxDigests(tx, None))
    return tuple(
        script
        for script in candidates
        if verify_script(txin.script_sig, script, (), _LEGACY_FLAGS, checker) is None
    )


def _p2sh(redeem_script: bytes) -> bytes:
    return b"\xa9\x14" + hash160(redeem_script) + b"\x87"


def _of_witness(witness: tuple[bytes, ...]) -> Alternatives:
    """Of a native witness program: P2WPKH, P2WSH, or a taproot script path."""
    if not witness:
        return ()
    last = witness[-1]
    if len(witness) == 1 and len(last) in _SCHNORR_SIZES:
        return ()  # a taproot key path, most likely, whose key is not shown
    if len(witness) >= 2 and last[:1] == bytes((ANNEX_TAG,)):
        return ()  # may be a taproot key path with an annex
    found = [b"\x00\x20" + sha256(last)]
    if len(witness) == 2 and is_compressed(last) and is_strict_der(witness[0]):
        found.append(b"\x00\x14" + hash160(last))
    if len(witness) >= 2 and is_control_size(len(last)):
        leaf = tapleaf_hash(last[0] & LEAF_MASK, witness[-2])
        key = output_key(last[1:CONTROL_BASE_SIZE], merkle_root_of(last, leaf))
        if key is not None:
            found.append(b"\x51\x20" + key[0])
    return tuple(found)


def output_scripts(block: Block) -> dict[bytes, None]:
    """What a true filter holds of the block's outputs: all scripts but empty ones and OP_RETURN."""
    return {script: None for tx in block.vtx for _, script in tx.vout if script and script[0] != _OP_RETURN}


def _spent(block: Block) -> Iterator[Alternatives]:
    """For each input what it may spend. A coin made in the same block is shown by it."""
    made: dict[OutPoint, bytes] = {}
    for tx in block.vtx:
        if not tx.is_coinbase:
            for index, txin in enumerate(tx.vin):
                script = made.get(txin.prevout)
                if script is not None:
                    yield (script,) if script else ()  # no filter holds the empty script
                else:
                    yield revealed_scripts(tx, index)
        for n, out in enumerate(tx.vout):
            made[OutPoint(tx.txid, n)] = out.script_pubkey


def find_fault(encoded: bytes, block: Block) -> str | None:
    """Why encoded, as in a cfilter message, cannot be the filter of block; None if block does not refute it.

    A filter that holds more than it should is not refuted: it hides nothing.
    """
    try:
        held = BlockFilter(block.hash, encoded)
    except DecodeError as error:
        return f"it cannot be read ({error})"
    lacks = held.missing(output_scripts(block))
    if lacks:
        return f"it lacks the output script {lacks[0].hex()}"
    spends = list(_spent(block))
    absent = set(held.missing(script for alternatives in spends for script in alternatives))
    for alternatives in spends:
        if alternatives and absent.issuperset(alternatives):
            return f"it lacks the script {alternatives[-1].hex()} that an input reveals"
    return None

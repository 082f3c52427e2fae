"""Signet: blocks signed by those who hold the keys of a challenge script (BIP 325).

The signature stands in the witness commitment of the coinbase and is checked as if the block were a
transaction that spends the challenge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from ..params import ChainParams
from ..primitives.block import Block, BlockHeader
from ..primitives.merkle import merkle_root
from ..primitives.serialize import DecodeError, Reader, Writer
from ..primitives.transaction import NULL_OUTPOINT, OutPoint, Transaction, TxIn, TxOut
from ..script.checker import TxChecker
from ..script.flags import ScriptFlags
from ..script.script import ScriptParseError, iter_ops, push_data
from ..script.sighash import TxDigests
from ..script.verify import verify_script
from .witness_commitment import witness_commitment_index

SIGNET_HEADER = bytes.fromhex("ecc7daa2")
"""Marks the push that holds the solution."""
_FLAGS = ScriptFlags.P2SH | ScriptFlags.WITNESS | ScriptFlags.DERSIG | ScriptFlags.NULLDUMMY
_OP_0, _OP_RETURN = b"\x00", b"\x6a"


def check_signet_solution(block: Block, params: ChainParams) -> bool:
    """Whether block holds a solution of the network's challenge; genesis needs none."""
    if block.hash == params.genesis.hash:
        return True
    spend = signet_transactions(block, params.signet_challenge)
    if spend is None:
        return False
    to_spend, to_sign = spend
    challenge = to_spend.vout[0]
    checker = TxChecker(to_sign, 0, challenge.value, TxDigests(to_sign, [challenge]))
    script_sig = to_sign.vin[0].script_sig
    return verify_script(script_sig, challenge.script_pubkey, to_sign.witness_of(0), _FLAGS, checker) is None


def signet_transactions(block: Block, challenge: bytes) -> tuple[Transaction, Transaction] | None:
    """(to_spend, to_sign): the two transactions that stand for the block; None if it cannot be read so.

    to_sign carries the block's solution; where it has none, it is empty, which a challenge of OP_TRUE takes.
    """
    index = witness_commitment_index(block)
    if index is None:
        return None
    script, solution = _without_solution(block.vtx[0].vout[index].script_pubkey)
    try:
        script_sig, witness = _decode_solution(solution)
    except DecodeError:
        return None
    root = _with_commitment(block, index, script).header.merkle_root
    w = Writer()
    w.i32(block.header.version)
    w.hash(block.header.prev_hash)
    w.hash(root)
    w.u32(block.header.time)
    to_spend = Transaction.make(
        [TxIn(NULL_OUTPOINT, _OP_0 + push_data(w.getvalue()), 0)], [TxOut(0, challenge)], version=0
    )
    to_sign = Transaction.make(
        [TxIn(OutPoint(to_spend.txid, 0), script_sig, 0)],
        [TxOut(0, _OP_RETURN)],
        version=0,
        witness=[witness],
    )
    return to_spend, to_sign


def _without_solution(script: bytes) -> tuple[bytes, bytes]:
    """(script with only the header left of the push that holds the solution, the solution).

    A push cut short ends the script; all others are written anew, the shortest way.
    """
    parts, solution = [], None
    with suppress(ScriptParseError):
        for opcode, data, _ in iter_ops(script):
            if not data:
                parts.append(bytes((opcode,)))
                continue
            if solution is None and len(data) > len(SIGNET_HEADER) and data.startswith(SIGNET_HEADER):
                solution, data = data[len(SIGNET_HEADER) :], SIGNET_HEADER
            parts.append(push_data(data))
    if solution is None:
        return script, b""
    return b"".join(parts), solution


def _decode_solution(solution: bytes) -> tuple[bytes, list[bytes]]:
    """(script_sig, witness stack); both empty from nothing."""
    if not solution:
        return b"", []
    r = Reader(solution)
    script_sig, witness = r.var_bytes(), r.list(Reader.var_bytes)
    r.finish()
    return script_sig, witness


def sign_block(
    block: Block,
    challenge: bytes,
    sign: Callable[[Transaction, Transaction], tuple[bytes, Sequence[bytes]]],
) -> Block:
    """block, which has a witness commitment and no solution, with one. Its proof of work comes after.

    sign: gets (to_spend, to_sign) and gives the script_sig and witness with which to_sign spends.
    """
    index = witness_commitment_index(block)
    if index is None:
        raise ValueError("a signet block needs a witness commitment")
    _, script = block.vtx[0].vout[index]
    prepared = _with_commitment(block, index, script + push_data(SIGNET_HEADER))
    spend = signet_transactions(prepared, challenge)
    assert spend is not None
    solution = encode_solution(*sign(*spend))
    return _with_commitment(block, index, script + push_data(SIGNET_HEADER + solution))


def _with_commitment(block: Block, index: int, script: bytes) -> Block:
    """block with another script in output index of its coinbase, and the merkle root that goes with it."""
    coinbase, header = block.vtx[0], block.header
    outputs = list(coinbase.vout)
    outputs[index] = TxOut(outputs[index].value, script)
    coinbase = Transaction.make(
        coinbase.vin,
        outputs,
        version=coinbase.version,
        locktime=coinbase.locktime,
        witness=coinbase.witness,
    )
    root, _ = merkle_root([coinbase.txid, *(tx.txid for tx in block.vtx[1:])])
    header = BlockHeader(header.version, header.prev_hash, root, header.time, header.bits, header.nonce)
    return Block(header, (coinbase, *block.vtx[1:]))


def encode_solution(script_sig: bytes, witness: Sequence[bytes]) -> bytes:
    """What stands behind SIGNET_HEADER in a push of the witness commitment's script."""
    w = Writer()
    w.var_bytes(script_sig)
    w.list(witness, Writer.var_bytes)
    return w.getvalue()

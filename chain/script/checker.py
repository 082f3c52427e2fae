"""What a script asks of the transaction it unlocks an input of."""

from __future__ import annotations

from ..primitives.transaction import SEQUENCE_FINAL, Transaction
from .errors import ScriptError
from .machine import ExecutionData, SignatureChecker, SigVersion
from .script import LOCKTIME_THRESHOLD
from .secp import verify_ecdsa, verify_schnorr
from .sighash import TxDigests, legacy_sighash, segwit_v0_sighash, taproot_sighash

_SEQUENCE_LOCK_DISABLED = 1 << 31
_SEQUENCE_LOCK_TIME = 1 << 22
"""The lock counts units of 512 seconds, not blocks (BIP 68)."""
_SEQUENCE_LOCK_MASK = _SEQUENCE_LOCK_TIME | 0xFFFF


class TxChecker(SignatureChecker):
    """Checks for input index of tx. amount: satoshis of the output spent; inputs may share the digests."""

    __slots__ = ("_hashes", "amount", "digests", "index", "tx")

    def __init__(self, tx: Transaction, index: int, amount: int, digests: TxDigests | None = None) -> None:
        self.tx, self.index, self.amount = tx, index, amount
        self.digests = TxDigests(tx) if digests is None else digests
        self._hashes: dict[tuple[int, bytes], bytes] = {}

    def check_ecdsa(self, sig: bytes, pubkey: bytes, script_code: bytes, version: SigVersion) -> bool:
        if not sig:
            return False
        hash_type = sig[-1]
        digest = self._hashes.get((hash_type, script_code))  # the keys of a multisig all sign the same
        if digest is None:
            if version is SigVersion.WITNESS_V0:
                digest = segwit_v0_sighash(
                    script_code, self.tx, self.index, hash_type, self.amount, self.digests
                )
            else:
                digest = legacy_sighash(script_code, self.tx, self.index, hash_type, self.digests)
            self._hashes[hash_type, script_code] = digest
        return verify_ecdsa(pubkey, sig[:-1], digest)

    def check_schnorr(
        self, sig: bytes, pubkey: bytes, version: SigVersion, execution: ExecutionData
    ) -> ScriptError | None:
        hash_type = 0
        if len(sig) == 65:
            hash_type = sig[64]
            if hash_type == 0:
                return ScriptError.SCHNORR_SIG_HASHTYPE
        elif len(sig) != 64:
            return ScriptError.SCHNORR_SIG_SIZE
        digest = taproot_sighash(
            self.tx,
            self.index,
            hash_type,
            self.digests,
            annex_hash=execution.annex_hash,
            leaf_hash=execution.leaf_hash,
            code_separator_pos=execution.code_separator_pos,
        )
        if digest is None:
            return ScriptError.SCHNORR_SIG_HASHTYPE
        return None if verify_schnorr(pubkey, sig[:64], digest) else ScriptError.SCHNORR_SIG

    def check_lock_time(self, lock_time: int) -> bool:
        """Both must count blocks, or both seconds. A final input would turn the lock time off."""
        actual = self.tx.locktime
        if (actual < LOCKTIME_THRESHOLD) != (lock_time < LOCKTIME_THRESHOLD):
            return False
        return lock_time <= actual and self.tx.vin[self.index].sequence != SEQUENCE_FINAL

    def check_sequence(self, sequence: int) -> bool:
        actual = self.tx.vin[self.index].sequence
        if self.tx.version < 2 or actual & _SEQUENCE_LOCK_DISABLED:
            return False
        actual &= _SEQUENCE_LOCK_MASK
        sequence &= _SEQUENCE_LOCK_MASK
        if (actual < _SEQUENCE_LOCK_TIME) != (sequence < _SEQUENCE_LOCK_TIME):
            return False
        return sequence <= actual

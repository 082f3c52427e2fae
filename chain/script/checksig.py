"""The opcodes of signatures: OP_CHECKSIG, OP_CHECKMULTISIG, OP_CHECKSIGADD and the forms that verify."""

from __future__ import annotations

from . import opcodes as op
from .encoding import check_pubkey_encoding, check_signature_encoding
from .errors import ScriptError
from .flags import ScriptFlags
from .machine import Machine, ScriptFailure, SigVersion
from .operations import operation
from .script import (
    MAX_OPS_PER_SCRIPT,
    MAX_PUBKEYS_PER_MULTISIG,
    find_and_delete,
    push_data,
    script_num,
)

_NULLFAIL, _NULLDUMMY = int(ScriptFlags.NULLFAIL), int(ScriptFlags.NULLDUMMY)
_CONST_SCRIPTCODE = int(ScriptFlags.CONST_SCRIPTCODE)
_DISCOURAGE_PUBKEYTYPE = int(ScriptFlags.DISCOURAGE_UPGRADABLE_PUBKEYTYPE)

WEIGHT_PER_SIGOP = 50
"""What a signature of a tapscript takes from the budget of its witness (BIP 342)."""


def _script_code(vm: Machine, sigs: list[bytes]) -> bytes:
    """What signatures sign of the script. Outside witnesses the signatures themselves are cut out of it."""
    code = vm.script[vm.code_start :]
    if vm.version is SigVersion.BASE:
        for sig in sigs:
            code, found = find_and_delete(code, push_data(sig))
            if found and vm.flags & _CONST_SCRIPTCODE:
                raise ScriptFailure(ScriptError.SIG_FINDANDDELETE)
    return code


def _check_ecdsa(vm: Machine, sig: bytes, pubkey: bytes, code: bytes) -> bool:
    error = check_signature_encoding(sig, vm.flags) or check_pubkey_encoding(
        pubkey, vm.flags, vm.version is SigVersion.WITNESS_V0
    )
    if error:
        raise ScriptFailure(error)
    return vm.checker.check_ecdsa(sig, pubkey, code, vm.version)


def _check_tapscript(vm: Machine, sig: bytes, pubkey: bytes) -> bool:
    """The order is consensus. Keys of other sizes pass with any signature, at the same cost."""
    if sig:
        vm.execution.weight_left -= WEIGHT_PER_SIGOP
        if vm.execution.weight_left < 0:
            raise ScriptFailure(ScriptError.TAPSCRIPT_VALIDATION_WEIGHT)
    if not pubkey:
        raise ScriptFailure(ScriptError.TAPSCRIPT_EMPTY_PUBKEY)
    if len(pubkey) == 32:
        if sig:
            error = vm.checker.check_schnorr(sig, pubkey, vm.version, vm.execution)
            if error:
                raise ScriptFailure(error)
    elif vm.flags & _DISCOURAGE_PUBKEYTYPE:
        raise ScriptFailure(ScriptError.DISCOURAGE_UPGRADABLE_PUBKEYTYPE)
    return bool(sig)


def _check_one(vm: Machine, sig: bytes, pubkey: bytes) -> bool:
    if vm.version is SigVersion.TAPSCRIPT:
        return _check_tapscript(vm, sig, pubkey)
    good = _check_ecdsa(vm, sig, pubkey, _script_code(vm, [sig]))
    if not good and sig and vm.flags & _NULLFAIL:
        raise ScriptFailure(ScriptError.SIG_NULLFAIL)
    return good


@operation(op.OP_CHECKSIG, needs=2)
def _checksig(vm: Machine) -> None:
    good = _check_one(vm, vm.stack[-2], vm.stack[-1])
    del vm.stack[-2:]
    vm.push_bool(good)


@operation(op.OP_CHECKSIGVERIFY, needs=2)
def _checksigverify(vm: Machine) -> None:
    if not _check_one(vm, vm.stack[-2], vm.stack[-1]):
        raise ScriptFailure(ScriptError.CHECKSIGVERIFY)
    del vm.stack[-2:]


@operation(op.OP_CHECKSIGADD)
def _checksigadd(vm: Machine) -> None:
    if vm.version is not SigVersion.TAPSCRIPT:
        raise ScriptFailure(ScriptError.BAD_OPCODE)
    vm.need(3)
    number = vm.number(-2)
    good = _check_one(vm, vm.stack[-3], vm.stack[-1])
    vm.stack[-3:] = [script_num(number + good)]


@operation(op.OP_CHECKMULTISIG)
def _checkmultisig(vm: Machine) -> None:
    vm.push_bool(_check_multisig(vm))


@operation(op.OP_CHECKMULTISIGVERIFY)
def _checkmultisigverify(vm: Machine) -> None:
    if not _check_multisig(vm):
        raise ScriptFailure(ScriptError.CHECKMULTISIGVERIFY)


def _check_multisig(vm: Machine) -> bool:
    """Take dummy sig... m key... n off the stack; whether each signature has its key, in the same order."""
    if vm.version is SigVersion.TAPSCRIPT:
        raise ScriptFailure(ScriptError.TAPSCRIPT_CHECKMULTISIG)
    stack = vm.stack
    vm.need(1)
    key_count = vm.number(-1)
    if not 0 <= key_count <= MAX_PUBKEYS_PER_MULTISIG:
        raise ScriptFailure(ScriptError.PUBKEY_COUNT)
    vm.op_count += key_count
    if vm.op_count > MAX_OPS_PER_SCRIPT:
        raise ScriptFailure(ScriptError.OP_COUNT)
    vm.need(key_count + 2)
    sig_count = vm.number(-key_count - 2)
    if not 0 <= sig_count <= key_count:
        raise ScriptFailure(ScriptError.SIG_COUNT)
    total = key_count + sig_count + 3
    vm.need(total)
    taken = stack[-total:]
    dummy, sigs, keys = taken[0], taken[1 : 1 + sig_count], taken[2 + sig_count : -1]

    good = _match_signatures(vm, sigs, keys, _script_code(vm, sigs[::-1]))
    if not good and vm.flags & _NULLFAIL and any(sigs):
        raise ScriptFailure(ScriptError.SIG_NULLFAIL)
    if dummy and vm.flags & _NULLDUMMY:  # a bug of 2009 eats one item too many; consensus
        raise ScriptFailure(ScriptError.SIG_NULLDUMMY)
    del stack[-total:]
    return good


def _match_signatures(vm: Machine, sigs: list[bytes], keys: list[bytes], code: bytes) -> bool:
    """From the last of each on, as Core does: with STRICTENC the pairs looked at tell an error from false."""
    sig_left, key_left = len(sigs), len(keys)
    while sig_left:
        if _check_ecdsa(vm, sigs[sig_left - 1], keys[key_left - 1], code):
            sig_left -= 1
        key_left -= 1
        if sig_left > key_left:
            return False
    return True

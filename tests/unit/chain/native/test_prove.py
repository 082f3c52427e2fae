"""What the compiled part proves, the interpreter accepts: wallets' forms and near misses, under flags by lot.

The oracles draw all there is; here most signatures are of the kinds that C knows, so that it often says yes.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from oracle import signer, spends
from oracle.judge import SETS
from oracle.scripts import SCRIPTS, Made, Place
from oracle.signer import LONG_PUBKEYS, PUBKEYS
from oracle.spends import Draft, Spend, damaged, draft, key_hash, key_path, scripted

from pybitcoind.chain import native
from pybitcoind.chain.primitives.transaction import OutPoint, TxIn, TxOut
from pybitcoind.chain.script.flags import MANDATORY_FLAGS, STANDARD_FLAGS
from pybitcoind.chain.script.script import push_data, push_int
from pybitcoind.chain.script.sighash import TxDigests
from pybitcoind.chain.script.verify import verify_input

SEED = 20261128
COUNT = 1000
MANY = (31, 32, 33, 64, 65, 253)
"""Numbers of inputs about those where the legacy hash keeps a state, and where a count takes three bytes."""

FORMS: dict[str, Callable[[random.Random], Spend]] = {
    "key hash": lambda rng: key_hash(rng, start),
    "key path": lambda rng: key_path(rng, start),
    "bare multisig": lambda rng: scripted(rng, "bare", "plain multisig", start),
    "p2sh multisig": lambda rng: scripted(rng, "p2sh", "plain multisig", start),
    "p2wsh multisig": lambda rng: scripted(rng, "p2wsh", "plain multisig", start),
    "p2sh-p2wsh multisig": lambda rng: scripted(rng, "p2sh-p2wsh", "plain multisig", start),
    "leaf": lambda rng: scripted(rng, "tapscript", "wallet form", start),
}

pytestmark = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


def start(rng: random.Random) -> Draft:
    """Now and then of many inputs and outputs, of amounts that are none."""
    made = draft(rng)
    if rng.randrange(8) == 1:
        more = rng.choice(MANY) - len(made.vin)
        made.vin += [TxIn(OutPoint(rng.randbytes(32), n), b"", rng.randrange(2**32)) for n in range(more)]
        made.spent += [
            TxOut(rng.choice((-1, 0, 2**63 - 1)), rng.randbytes(rng.randrange(300))) for _ in range(more)
        ]
        made.vout += [TxOut(n, b"") for n in range(rng.choice((0, 252)))]
        made.index = rng.randrange(len(made.vin))
    return made


def plain_multisig(place: Place) -> Made:
    """m of n, signed in order; one key may be there more than once."""
    rng = place.rng
    n = rng.choice((1, 2, 2, 3, 3, 15, 16, 17))
    m = rng.choice((1, 1, 2, 2, n))
    keys = [rng.choice(LONG_PUBKEYS if rng.randrange(25) == 1 else PUBKEYS) for _ in range(n)]
    signers = sorted(rng.sample(range(n), min(m, n)))
    place.wanted = {b"sig %d" % number: keys[at] for number, at in enumerate(signers)}
    script = push_int(m) + b"".join(map(push_data, keys)) + push_int(n) + b"\xae"
    return script, [b"", *place.wanted]


def test_what_is_proved_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", SEED)
    rng, proved, sets = random.Random(SEED), dict.fromkeys(FORMS, 0), [*SETS, STANDARD_FLAGS]
    monkeypatch.setitem(SCRIPTS, "plain multisig", plain_multisig)
    for module in (signer, spends):
        monkeypatch.setattr(module, "HASH_TYPES", (*[1] * 200, *signer.HASH_TYPES))
        monkeypatch.setattr(module, "TAPROOT_TYPES", (*[0, 1] * 8, *signer.TAPROOT_TYPES))
    assert native.part is not None
    for n in range(COUNT):
        name = list(FORMS)[n % len(FORMS)]
        spend = FORMS[name](rng)
        for _, tx, index, spent in (spend, damaged(rng, spend)):
            for flags in (int(MANDATORY_FLAGS), int(rng.choice(sets))):
                if native.part.prove([(tx.raw, spent, index, index + 1)], flags):
                    continue
                digests = TxDigests(tx, spent)
                error = verify_input(tx, index, spent[index], flags, digests, templates_enabled=False)
                assert error is None, (name, error, tx.raw.hex(), index, spent, flags)
                proved[name] += 1
    print(proved)
    assert min(proved.values()) > 20, proved

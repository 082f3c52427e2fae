"""Serialized transactions, whole and damaged: what we can read, Core's engine can, and reads the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import Transaction

from .engine import BytesEngine
from .spends import make_spend

_SIZES = (b"\xfd\x00\x00", b"\xfd\xfc\x00", b"\xfd\xfd\x00", b"\xfe\xff\xff\x00\x00", b"\xfe\x00\x00\x01\x00")
"""Compact sizes, some of them longer than they may be."""
_HUGE = (b"\xfe\x01\x00\x00\x02", b"\xfe\xff\xff\xff\xff", b"\xff" + b"\xff" * 8, b"\xff\x00" + bytes(7))


@dataclass
class BytesTally:
    count: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


def damaged_bytes(rng: random.Random) -> bytes:
    """A transaction with up to three places changed: sizes, marker and flag, any byte, its length."""
    raw = bytearray(make_spend(rng).tx.raw)
    for _ in range(rng.randrange(4)):
        at, kind = rng.randrange(len(raw) + 1), rng.randrange(8)
        if rng.randrange(3) == 1:
            at = min(rng.randrange(8), len(raw))  # version, marker, flag, number of inputs
        if kind == 0:
            raw[at : at + 1] = rng.choice(_SIZES)
        elif kind == 1:
            raw[at : at + 1] = rng.choice(_HUGE)
        elif kind == 2:
            raw[at:at] = rng.randbytes(rng.randrange(1, 4))
        elif kind == 3:
            del raw[at : at + rng.randrange(1, 4)]
        elif kind == 4:
            raw[4:6] = rng.choice((b"\x00\x00", b"\x00\x02", b"\x00\x03", b"\x00\x81", b"\x00\x01", b"\x00"))
        elif kind == 5:
            del raw[at:]
        elif at < len(raw):
            raw[at] = rng.choice((0, 1, raw[at] ^ 1 << rng.randrange(8)))
        if not raw:
            break
    return bytes(raw)


def we_read(raw: bytes) -> str:
    """txid and serialization of the transaction at the start of raw; "" if there is none."""
    try:
        tx, end = Transaction.parse(raw)
    except DecodeError:
        return ""
    assert (
        Transaction.make(tx.vin, tx.vout, version=tx.version, locktime=tx.locktime, witness=tx.witness) == tx
    )
    return f"{tx.txid.hex()} {raw[:end].hex()}"


def compare(
    seed: str, first: int, count: int, progress: Callable[[BytesTally], None] | None = None
) -> BytesTally:
    tally, engine = BytesTally(), BytesEngine()
    try:
        for number in range(first, first + count):
            raw = damaged_bytes(random.Random(f"{seed}/{number}"))
            ours, theirs = we_read(raw), engine.read(raw)
            tally.count += 1
            tally.answers["read" if theirs else "refused"] += 1
            if ours != theirs:
                tally.differences.append(
                    f"{number} of seed {seed}: {raw.hex()}: Core {theirs!r}, we {ours!r}"
                )
            if progress is not None and number % 500 == 0:
                progress(tally)
            if len(tally.differences) >= 3:
                break
    finally:
        engine.close()
    return tally

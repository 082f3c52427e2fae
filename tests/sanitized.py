"""A child process: the compiled part, built with the compiler's sanitizers, on whole and broken input.

sanitized.py LIBRARY SECONDS SEED: LIBRARY stands in for the one that is installed. Prints how many
transactions it read, inputs it proved and blocks it spent; the sanitizers end it at the first wrong step.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from importlib.machinery import ExtensionFileLoader
from typing import Any

NAME = "pybitcoind.chain.native._part"


def load(path: str) -> None:
    loader = ExtensionFileLoader(NAME, path)
    spec = importlib.util.spec_from_loader(NAME, loader)
    assert spec is not None
    sys.modules[NAME] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)


def broken(rng: random.Random, raw: bytes) -> bytes:
    """raw, mostly with some bytes changed or without its end; a copy of its own, with nothing behind it."""
    odd = bytearray(raw)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        odd[rng.randrange(len(odd))] = rng.choice((0, 1, 0x4C, 0x4D, 253, 254, 255, rng.randrange(256)))
    if rng.random() < 0.2:
        del odd[rng.randrange(len(odd)) :]
    return bytes(odd)


def prove(part: Any, rng: random.Random) -> tuple[int, int]:
    """Transactions read and inputs proved of one spend, broken again and again."""
    from oracle.spends import make_spend

    from pybitcoind.chain.script.flags import MANDATORY_FLAGS, STANDARD_FLAGS

    _, tx, _, spent = make_spend(rng)
    outputs = [tuple(output[:2]) for output in spent]
    read = proved = 0
    for _ in range(30):
        odd = list(outputs)
        if rng.random() < 0.3:
            n = rng.randrange(len(odd))
            odd[n] = odd[n][0], broken(rng, odd[n][1]) if odd[n][1] else b""
        raw = broken(rng, tx.raw)
        read += part.transaction(raw, 0, rng.random() < 0.9) is not None
        for made in (part.inputs, part.outputs, part.witness):
            made(raw)
        flags = rng.choice((MANDATORY_FLAGS, STANDARD_FLAGS))
        proved += len(odd) - len(part.prove([(raw, odd, 0, len(odd))], int(flags)))
    return read, proved


def spend(part: Any, rng: random.Random) -> int:
    """How often a block is spent that is broken again and again, as are the coins that it spends."""
    from drawn_blocks import draw_block

    from pybitcoind.chain.primitives.transaction import Transaction

    drawn, spent = draw_block(rng), 0
    for _ in range(10):
        vtx = [Transaction.decode(tx.raw) for tx in drawn.block.vtx]
        caches: tuple[dict[Any, Any], ...] = ({}, {}, {})
        for outpoint, coin in drawn.coins.items():
            parts: list[Any] = list(coin)
            if rng.random() < 0.05:
                parts[rng.randrange(4)] = rng.choice((None, -1, 2**64, b"", b"\xac" * 22, "", True))
            if rng.random() < 0.02:
                del parts[rng.randrange(4)]
            rng.choice(caches)[outpoint] = type(coin)._make(parts) if len(parts) == 4 else tuple(parts)
        for tx in vtx:
            if rng.random() < 0.2:
                tx.raw = broken(rng, tx.raw)
            if rng.random() < 0.02:
                tx.sigops = rng.choice((None, -1, 10**9))
        told = part.spend(tuple(vtx), caches, drawn.prev.height + 1, drawn.flags)
        spent += isinstance(told, tuple)
    return spent


def main(path: str, seconds: str, seed: str) -> None:
    load(path)
    from pybitcoind.chain import native

    part, rng, read, proved, spent = native.part, random.Random(seed), 0, 0, 0
    assert part is not None and part.__file__ == path
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        more_read, more_proved = prove(part, rng)
        read, proved = read + more_read, proved + more_proved
        spent += spend(part, rng) if rng.random() < 0.3 else 0  # takes longer
    print(read, proved, spent)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A child process: the compiled part, built with the compiler's sanitizers, on whole and broken transactions.

sanitized.py LIBRARY SECONDS SEED: LIBRARY stands in for the one that is installed. Prints how many it read
and how many inputs it proved; the sanitizers end it at the first wrong step.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from importlib.machinery import ExtensionFileLoader

NAME = "pybitcoind.chain.native._part"


def load(path: str) -> None:
    loader = ExtensionFileLoader(NAME, path)
    spec = importlib.util.spec_from_loader(NAME, loader)
    assert spec is not None
    sys.modules[NAME] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)


def main(path: str, seconds: str, seed: str) -> None:
    load(path)
    from oracle.spends import make_spend

    from pybitcoind.chain import native
    from pybitcoind.chain.script.flags import MANDATORY_FLAGS, STANDARD_FLAGS

    part, rng, read, proved = native.part, random.Random(seed), 0, 0
    assert part is not None and part.__file__ == path
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        _, tx, _, spent = make_spend(rng)
        outputs = [tuple(output[:2]) for output in spent]
        for _ in range(30):
            raw = bytearray(tx.raw)
            for _ in range(rng.choice((0, 1, 1, 2, 5))):
                raw[rng.randrange(len(raw))] = rng.choice(
                    (0, 1, 0x4C, 0x4D, 253, 254, 255, rng.randrange(256))
                )
            if rng.random() < 0.2:
                del raw[rng.randrange(len(raw)) :]
            odd = list(outputs)
            if rng.random() < 0.3:
                n = rng.randrange(len(odd))
                script = bytearray(odd[n][1])
                if script:
                    script[rng.randrange(len(script))] = rng.randrange(256)
                    del script[rng.choice((len(script), rng.randrange(len(script) + 1))) :]
                odd[n] = odd[n][0], bytes(script)
            # Exact copies: what is read behind their end is somebody else's memory.
            exact = bytes(raw)
            read += part.transaction(exact, 0, rng.random() < 0.9) is not None
            part.witness(exact)
            flags = rng.choice((MANDATORY_FLAGS, STANDARD_FLAGS))
            proved += len(odd) - len(part.prove([(exact, odd, 0, len(odd))], int(flags)))
    print(read, proved)


if __name__ == "__main__":
    main(*sys.argv[1:])

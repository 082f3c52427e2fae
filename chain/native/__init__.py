"""The compiled part, in C, where it was built: reads transactions, spends blocks, proves common inputs.

It is the twin of what Python does: of `Transaction.parse`, of `check_transaction`, of `spend_block`, whose
coins it looks up in the coins cache itself, and of the templates (chain/script/templates.py).
It works on bytes, proves without the interpreter's lock, so that threads are enough to use all cores, and
only ever says yes: what it does not read, spend or prove goes Python's way, and Python names what is wrong.

Nothing in it hashes or computes on the curve: it calls the OpenSSL of hashlib and coincurve's libsecp256k1.
"""

from __future__ import annotations

import os
from types import ModuleType

SWITCH = "PYBITCOIND_NATIVE"
"""Environment: 0 leaves the compiled part alone, as if it had not been built."""


def _load() -> ModuleType | None:
    if os.environ.get(SWITCH) == "0":
        return None
    try:
        import _hashlib

        from . import _part  # type: ignore[attr-defined]

        _part.bind_hashing(_hashlib.__file__)
    except (ImportError, AttributeError):  # the latter where _hashlib is a part of Python's program, no file
        return None
    built: ModuleType = _part
    return built


part = _load()
"""The functions of module.c; None where they were not built."""

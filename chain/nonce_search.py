"""The search for a proof of work, for those who mine; imports nothing, so a worker process starts at once."""

from __future__ import annotations

import hashlib
import struct

MAX_NONCE = 0xFFFFFFFF


def grind(header: bytes, target: int, start_nonce: int = 0, limit: int = MAX_NONCE) -> tuple[int | None, int]:
    """Looks for a nonce from start_nonce on: (nonce or None, hashes tried in vain).

    header: its 80 bytes, of which the last 4 are replaced. At most limit hashes; never nonce 0xffffffff,
    which Core's search takes for its end.
    """
    sha256 = hashlib.sha256
    middle = sha256(header[:76])  # the state after the part that stays
    copy, pack, as_int = middle.copy, struct.Struct("<I").pack, int.from_bytes
    end = min(start_nonce + limit, MAX_NONCE)
    for nonce in range(start_nonce, end):
        state = copy()
        state.update(pack(nonce))
        if as_int(sha256(state.digest()).digest(), "little") <= target:
            return nonce, nonce - start_nonce
    return None, max(end - start_nonce, 0)

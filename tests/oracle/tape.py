"""Randomness that is written down, and how to shrink what was made from it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence


class Tape(random.Random):
    """Draws as random.Random(seed) does and keeps what it drew in `drawn`; or plays a list of draws again.

    A draw that does not fit any more is cut to its bits, and what comes behind the end is zero: so any list
    of numbers plays, and smaller lists and numbers make smaller things.
    """

    def __init__(self, seed: str = "", given: Sequence[int] | None = None) -> None:
        super().__init__(seed)
        self.given = given
        self.drawn: list[int] = []

    def _keep(self, bits: int, make: Callable[[], int]) -> int:
        if self.given is None:
            value = make()
        else:
            at = len(self.drawn)
            value = self.given[at] & ((1 << bits) - 1) if at < len(self.given) else 0
        self.drawn.append(value)
        return value

    def getrandbits(self, k: int) -> int:
        return self._keep(k, lambda: super(Tape, self).getrandbits(k))

    def random(self) -> float:
        return self._keep(53, lambda: int(super(Tape, self).random() * 2**53)) / 2**53


class Copied(Tape):
    """Draws from another source, hypothesis's for instance, and keeps what it drew."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._source = source

    def getrandbits(self, k: int) -> int:
        return self._keep(k, lambda: self._source.getrandbits(k))

    def random(self) -> float:
        return self._keep(53, lambda: self._source.getrandbits(53)) / 2**53


def shrink(drawn: Sequence[int], still: Callable[[Tape], bool], tries: int = 2000) -> list[int]:
    """A list of draws that is shorter or smaller, as far as tries allow, and for which still(tape) holds.

    still plays the tape it is given. First whole stretches are left out, then numbers are made smaller.
    """
    best = list(drawn)

    def works(candidate: list[int]) -> bool:
        nonlocal best, tries
        if tries <= 0 or candidate == best:
            return False
        tries -= 1
        tape = Tape(given=candidate)
        if not still(tape):
            return False
        best = candidate[: len(tape.drawn)]
        return True

    improved = True
    while improved and tries > 0:
        improved = False
        size = max(1, len(best) // 2)
        while size:
            at = 0
            while at < len(best):
                if works(best[:at] + best[at + size :]):
                    improved = True
                else:
                    at += size
            size //= 2
        for at in range(len(best)):
            for smaller in (0, 1, best[at] >> 8, best[at] >> 1, best[at] - 1) if at < len(best) else ():
                if 0 <= smaller < best[at] and works([*best[:at], smaller, *best[at + 1 :]]):
                    improved = True
                    break
    return best

"""What rules need to know of the headers below a block. chain/header_tree.py's HeaderNode is one."""

from __future__ import annotations

from typing import Protocol


class HeaderContext(Protocol):
    """A header in its chain."""

    @property
    def hash(self) -> bytes: ...
    @property
    def prev(self) -> HeaderContext | None:
        """None below the genesis block."""
        ...

    @property
    def height(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def time(self) -> int: ...
    @property
    def bits(self) -> int: ...
    @property
    def chainwork(self) -> int:
        """Work of all headers up to this one."""
        ...

    def mtp(self) -> int:
        """Median of the times of this header and the 10 below it (fewer near genesis)."""
        ...

    def ancestor(self, height: int) -> HeaderContext:
        """The header at height, 0 to its own, in this one's chain, itself included."""
        ...

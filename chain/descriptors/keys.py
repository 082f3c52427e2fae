"""Key expressions: one public key, or a tree of them, with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Protocol

from ..params import ChainParams
from ..primitives.hashes import hash160
from .hd import HARDENED, DerivationError, ExtPubKey, format_path


class KeyOrigin(NamedTuple):
    """The master key's fingerprint (4 bytes) and the steps from it."""

    fingerprint: bytes
    path: tuple[int, ...]

    def __str__(self) -> str:
        return self.fingerprint.hex() + format_path(self.path)


class KeySink(Protocol):
    """Takes the private keys that a descriptor text holds; made by the wallet."""

    def wif(self, text: str, params: ChainParams) -> bytes | None:
        """The public key of a WIF text, whose private key is now kept; None if text is no WIF."""

    def xprv(self, text: str, params: ChainParams) -> ExtPubKey | None:
        """The public side of an extended private key, now kept; None if text is none."""

    def derive(self, root: ExtPubKey, path: tuple[int, ...]) -> ExtPubKey | None:
        """The child below root along path with hardened steps; None where root's private key is not kept."""


class Wildcard(Enum):
    NONE = ""
    UNHARDENED = "/*"
    HARDENED = "/*h"


@dataclass(slots=True)
class SingleKey:
    """A public key as it stands: 33 or 65 bytes; x_only keys are written with 32."""

    pubkey: bytes
    x_only: bool = False
    origin: KeyOrigin | None = None
    private: bool = False

    is_range = False

    def at(self, index: int) -> tuple[bytes, KeyOrigin]:
        return self.pubkey, self.origin or KeyOrigin(hash160(self.pubkey)[:4], ())

    def text(self, params: ChainParams, *, normalized: bool = False) -> str:
        prefix = f"[{self.origin}]" if self.origin else ""
        return prefix + (self.pubkey[1:] if self.x_only else self.pubkey).hex()


@dataclass(slots=True)
class TreeKey:
    """An extended key, steps below it and perhaps a wildcard. Hardened steps go through sink."""

    root: ExtPubKey
    path: tuple[int, ...] = ()
    wildcard: Wildcard = Wildcard.NONE
    origin: KeyOrigin | None = None
    sink: KeySink | None = None
    private: bool = False
    apostrophe: bool = False
    _parent: ExtPubKey | None = None

    @property
    def is_range(self) -> bool:
        return self.wildcard is not Wildcard.NONE

    def at(self, index: int) -> tuple[bytes, KeyOrigin]:
        """The key at index (of the wildcard) and its origin; DerivationError if a private key is needed."""
        steps = self.steps(index)[len(self.path) :]
        if self.wildcard is Wildcard.HARDENED:
            key = self._derive(self.path + steps)
        else:
            if self._parent is None:
                self._parent = self._derive(self.path)
            key = self._parent.derive_path(steps)
        return key.pubkey, KeyOrigin(self._origin().fingerprint, self._origin().path + self.path + steps)

    def steps(self, index: int) -> tuple[int, ...]:
        """The path from root to the key at index."""
        if self.wildcard is Wildcard.NONE:
            return self.path
        return (*self.path, index | HARDENED if self.wildcard is Wildcard.HARDENED else index)

    def text(self, params: ChainParams, *, normalized: bool = False) -> str:
        """normalized: an xpub behind the last hardened step, so that no private key is needed below."""
        if normalized:
            return self.normalized().text(params)
        prefix = f"[{self.origin}]" if self.origin else ""
        steps = format_path(self.path, apostrophe=self.apostrophe)
        wildcard = self.wildcard.value
        if self.wildcard is Wildcard.HARDENED and self.apostrophe:
            wildcard = "/*'"
        return prefix + self.root.encode(params) + steps + wildcard

    def normalized(self) -> TreeKey:
        last = max((i for i, step in enumerate(self.path) if step & HARDENED), default=-1) + 1
        if last == 0 or self.wildcard is Wildcard.HARDENED:
            return self
        origin = KeyOrigin(self._origin().fingerprint, self._origin().path + self.path[:last])
        return replace(
            self, root=self._derive(self.path[:last]), path=self.path[last:], origin=origin, _parent=None
        )

    def _origin(self) -> KeyOrigin:
        return self.origin or KeyOrigin(self.root.fingerprint, ())

    def _derive(self, path: tuple[int, ...]) -> ExtPubKey:
        if not any(step & HARDENED for step in path):
            return self.root.derive_path(path)
        key = self.sink.derive(self.root, path) if self.sink else None
        if key is None:
            raise DerivationError("a hardened step needs the private key")
        return key


KeyExpression = SingleKey | TreeKey

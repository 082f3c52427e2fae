"""Descriptors as RPC takes them: parsed with Core's errors, expanded over a range, private keys allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from pybitcoind.chain.descriptors import Descriptor, DescriptorError, parse_descriptors
from pybitcoind.chain.descriptors.descriptor import Expansion
from pybitcoind.chain.descriptors.hd import DerivationError
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Clock
from pybitcoind.wallet.hd import KeyStore
from pybitcoind.wallet.signing import Keyring

from .amounts import Json
from .arguments import parse_descriptor_range, parse_str
from .errors import RpcCode, RpcError, invalid_parameter

DEFAULT_RANGE = 1000
KEYS_AT_ONCE = 50


def descriptors_of(text: str, params: ChainParams, *, require_checksum: bool = False) -> list[Descriptor]:
    """One, or those of a multipath descriptor."""
    try:
        return parse_descriptors(text, params, require_checksum=require_checksum, sink=KeyStore())
    except DescriptorError as error:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, str(error)) from None


async def expansions_of(
    clock: Clock, descriptor: Descriptor, low: int, high: int, *, told_as: str = ""
) -> AsyncIterator[Expansion]:
    """The expansions at low to high, both included. RpcError -5, which names told_as, without private keys.

    The loop breathes in between: a million keys take a minute and more.
    """
    for index in range(low, high + 1):
        try:
            yield descriptor.expand(index)
        except DerivationError:
            named = f": '{told_as}'" if told_as else ""
            raise RpcError(
                RpcCode.INVALID_ADDRESS_OR_KEY, f"Cannot derive script without private keys{named}"
            ) from None
        if index % KEYS_AT_ONCE == 0:
            await clock.sleep(0)


class Scan(Protocol):
    """A search that runs on a node, of its kind one at a time."""

    aborted: bool

    def status(self) -> dict[str, Json]:
        """What action "status" tells of it."""


def answer_about(action: str, running: Scan | None) -> Json:
    """To "status" and "abort". RpcError -8 for an action that is none."""
    if action == "status":
        return None if running is None else running.status()
    if action == "abort":
        if running is not None:
            running.aborted = True
        return running is not None
    raise invalid_parameter(f"Invalid action '{action}'")


def check_may_start(running: Scan | None) -> None:
    """RpcError -8 while one runs."""
    if running is not None:
        raise invalid_parameter('Scan already in progress, use action "abort" or "status"')


async def scan_object_scripts(
    value: Json, params: ChainParams, keyring: Keyring, clock: Clock
) -> list[bytes]:
    """The scripts of a scan object: a descriptor, or an object of desc and range."""
    low, high = 0, DEFAULT_RANGE
    if isinstance(value, str):
        text = value
    elif isinstance(value, dict):
        if value.get("desc") is None:
            raise invalid_parameter("Descriptor needs to be provided in scan object")
        text = parse_str(value["desc"])
        if value.get("range") is not None:
            low, high = parse_descriptor_range(value["range"])
    else:
        raise invalid_parameter("Scan object needs to be either a string or an object")
    scripts: list[bytes] = []
    for descriptor in descriptors_of(text, params):
        first, last = (low, high) if descriptor.is_range else (0, 0)
        async for expansion in expansions_of(clock, descriptor, first, last, told_as=text):
            scripts += expansion.scripts
            keyring.add_expansion(expansion)
    return scripts

"""Descriptors as RPC takes them: parsed with Core's errors, expanded over a range, private keys allowed."""

from __future__ import annotations

from pybitcoind.chain.descriptors import Descriptor, DescriptorError, parse_descriptor, parse_descriptors
from pybitcoind.chain.descriptors.hd import DerivationError
from pybitcoind.chain.params import ChainParams
from pybitcoind.wallet.hd import KeyStore
from pybitcoind.wallet.signing import Keyring

from .amounts import Json
from .arguments import parse_descriptor_range, parse_str
from .errors import RpcCode, RpcError, invalid_parameter

DEFAULT_RANGE = 1000


def descriptor_of(text: str, params: ChainParams, *, require_checksum: bool = False) -> Descriptor:
    """RpcError -5 with Core's message if text is no (single) descriptor."""
    try:
        return parse_descriptor(text, params, require_checksum=require_checksum, sink=KeyStore())
    except DescriptorError as error:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, str(error)) from None


def descriptors_of(text: str, params: ChainParams, *, require_checksum: bool = False) -> list[Descriptor]:
    """One, or those of a multipath descriptor."""
    try:
        return parse_descriptors(text, params, require_checksum=require_checksum, sink=KeyStore())
    except DescriptorError as error:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, str(error)) from None


def scripts_of(descriptor: Descriptor, low: int, high: int, keyring: Keyring | None = None) -> list[bytes]:
    """Output scripts at low to high, both included; what is learnt of keys and scripts goes to keyring."""
    scripts: list[bytes] = []
    for index in range(low, high + 1):
        try:
            expansion = descriptor.expand(index)
        except DerivationError:
            raise RpcError(
                RpcCode.INVALID_ADDRESS_OR_KEY,
                f"Cannot derive script without private keys: '{descriptor.text()}'",
            ) from None
        scripts += expansion.scripts
        if keyring is not None:
            keyring.add_expansion(expansion)
    return scripts


def scan_object_scripts(value: Json, params: ChainParams, keyring: Keyring) -> list[bytes]:
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
        if descriptor.is_range:
            scripts += scripts_of(descriptor, low, high, keyring)
        else:
            scripts += scripts_of(descriptor, 0, 0, keyring)
    return scripts

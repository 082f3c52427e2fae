"""Importing descriptors into a wallet. Messages are Core's (src/wallet/rpc/backup.cpp)."""

from __future__ import annotations

from dataclasses import dataclass

from pybitcoind.chain.descriptors import Descriptor, DescriptorError, parse_descriptor, parse_descriptors
from pybitcoind.chain.descriptors.hd import DerivationError

from .errors import WalletError, WalletFault
from .hd import KeyStore
from .scripts import WalletDescriptor
from .store import AddressEntry
from .wallet import Wallet


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """range: first and last index, both included. created: seconds. None: not given."""

    text: str
    created: int
    active: bool = False
    range: tuple[int, int] | None = None
    next_index: int | None = None
    internal: bool | None = None
    label: str | None = None


async def import_descriptor(wallet: Wallet, request: ImportRequest, warnings: list[str]) -> None:
    """Adds the descriptor, or updates a known one. Looks for no transactions. WalletError if refused."""
    keys = KeyStore()
    try:
        descriptors = parse_descriptors(request.text, wallet.params, require_checksum=True, sink=keys)
    except DescriptorError as error:
        raise WalletError(str(error), WalletFault.INVALID_ADDRESS) from None
    if request.internal is not None and len(descriptors) > 1:
        raise WalletError(
            "Cannot have multipath descriptor while also specifying 'internal'", WalletFault.INVALID_ADDRESS
        )
    start, end, following = _range_of(wallet, request, descriptors[0], warnings)
    _check(wallet, request, descriptors, keys)
    for n, descriptor in enumerate(descriptors):
        internal = n == 1 if len(descriptors) == 2 else bool(request.internal)
        _check_keys(wallet, descriptor, keys, warnings)
        entry = await _add(wallet, descriptor, keys, request, (start, end, following))
        if entry.is_range is False and not internal:
            for script, _ in entry.derive(0, 1):
                address = wallet.address_of(script)
                if address is not None:
                    wallet.set_address(address, AddressEntry(request.label or "", "receive"))
        _set_active(wallet, entry, request.active, internal, warnings)
    await wallet.save(keys=keys)


def _range_of(
    wallet: Wallet, request: ImportRequest, descriptor: Descriptor, warnings: list[str]
) -> tuple[int, int, int]:
    """(start, end not included, next index)."""
    if not descriptor.is_range:
        if request.range is not None:
            raise WalletError(
                "Range should not be specified for an un-ranged descriptor", WalletFault.INVALID_PARAMETER
            )
        return 0, 1, 0
    if request.range is not None:
        start, end = request.range[0], request.range[1] + 1
    else:
        warnings.append("Range not given, using default keypool range")
        start, end = 0, wallet.settings.keypool
    following = start if request.next_index is None else request.next_index
    if not start <= following < end:
        raise WalletError("next_index is out of range", WalletFault.INVALID_PARAMETER)
    return start, end, following


def _check(wallet: Wallet, request: ImportRequest, descriptors: list[Descriptor], keys: KeyStore) -> None:
    first = descriptors[0]

    def refuse(message: str) -> WalletError:
        return WalletError(message, WalletFault.INVALID_PARAMETER)

    if request.active and not first.is_range:
        raise refuse("Active descriptors must be ranged")
    if request.label is not None:
        if len(descriptors) > 1:
            raise refuse("Multipath descriptors should not have a label")
        if first.is_range:
            raise refuse("Ranged descriptors should not have a label")
        if request.internal:
            raise refuse("Internal addresses should not have a label")
    if request.active and not first.is_single_type:
        raise WalletError("Combo descriptors cannot be set to active")
    if not wallet.private_keys_enabled and (keys.secrets or keys.roots):
        raise WalletError("Cannot import private keys to a wallet with private keys disabled")


def _check_keys(wallet: Wallet, descriptor: Descriptor, keys: KeyStore, warnings: list[str]) -> None:
    try:
        descriptor.expand(0)
    except DerivationError:
        raise WalletError(
            "Cannot expand descriptor. Probably because of hardened derivations without private keys provided"
        ) from None
    if wallet.private_keys_enabled:
        if not keys.secrets and not keys.roots:
            raise WalletError(
                "Cannot import descriptor without private keys to a wallet with private keys enabled"
            )
        known = wallet.book.keys
        wallet.book.keys = keys
        complete = wallet.book.has_all_secrets(descriptor)
        wallet.book.keys = known
        if not complete:
            warnings.append(
                "Not all private keys provided. Some wallet functionality may return unexpected errors"
            )


async def _add(
    wallet: Wallet,
    descriptor: Descriptor,
    keys: KeyStore,
    request: ImportRequest,
    place: tuple[int, int, int],
) -> WalletDescriptor:
    start, end, following = place
    entry = wallet.book.find(descriptor)
    if entry is not None:
        if entry.is_range and (start > entry.range_start or end < entry.range_end):
            raise WalletError(
                f"Could not add descriptor '{request.text}': new range must include current range = "
                f"[{entry.range_start},{entry.range_end - 1}]"
            )
        derived = await wallet.ports.workers.run(entry.derive, start, entry.range_start)
        wallet.take_scripts(entry, derived, entry.range_end)
        entry.range_start, entry.next_index = start, following
        entry.created = request.created
        wallet.touch(entry)
    else:
        wallet.book.keys.secrets.update(keys.secrets)
        wallet.book.keys.roots.update(keys.roots)
        own = parse_descriptor(str(descriptor), wallet.params, sink=wallet.book.keys)
        entry = WalletDescriptor(wallet.next_id(), own, request.created, start, start, following)
        wallet.book.add_descriptor(entry)
    await wallet.top_up(entry, max(wallet.settings.keypool, end - following))
    return entry


def _set_active(
    wallet: Wallet, entry: WalletDescriptor, active: bool, internal: bool, warnings: list[str]
) -> None:
    output_type = entry.descriptor.output_type
    if output_type is None:
        if active:
            warnings.append("Unknown output type, cannot set descriptor to active.")
        return
    old = wallet.book.active(output_type, internal)
    if active:
        if old is not None and old is not entry:
            old.active, old.internal = False, None
            wallet.touch(old)
        entry.active, entry.internal = True, internal
    elif old is entry:
        entry.active, entry.internal = False, None
    wallet.touch(entry)

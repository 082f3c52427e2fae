"""The scripts of a wallet: its descriptors with their look-ahead, and from a script back to its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pybitcoind.chain.descriptors import Descriptor, add_checksum, parse_descriptor
from pybitcoind.chain.descriptors.keys import KeyExpression, SingleKey
from pybitcoind.chain.params import ChainParams

from .hd import ExtKey, KeyStore, encode_wif
from .settings import OUTPUT_TYPES
from .signing import Keyring

DerivedScript = tuple[bytes, int]
"""A script and the index it is at."""

_TEMPLATES = {
    "legacy": ("pkh({})", 44),
    "p2sh-segwit": ("sh(wpkh({}))", 49),
    "bech32": ("wpkh({})", 84),
    "bech32m": ("tr({})", 86),
}


def standard_descriptors(root: ExtKey, params: ChainParams, keys: KeyStore) -> list[tuple[Descriptor, bool]]:
    """(descriptor, internal): the eight of a new wallet (BIP 44, 49, 84, 86). root is kept in keys."""
    xprv = root.encode(params)
    made = []
    for internal in (False, True):
        for output_type in OUTPUT_TYPES:
            template, purpose = _TEMPLATES[output_type]
            path = f"{xprv}/{purpose}h/{params.coin_type}h/0h/{int(internal)}/*"
            made.append((parse_descriptor(template.format(path), params, sink=keys), internal))
    return made


@dataclass(slots=True, eq=False)
class WalletDescriptor:
    """One descriptor of a wallet. Its scripts are known from range_start up to range_end, not included.

    next_index: of the next new address. created: seconds; nothing was paid to it before. active: new
    addresses of its output type come from it. internal: for change; None where that was never said.
    """

    id: int
    descriptor: Descriptor
    created: int
    range_start: int = 0
    range_end: int = 0
    next_index: int = 0
    active: bool = False
    internal: bool | None = None

    @property
    def is_range(self) -> bool:
        return self.descriptor.is_range

    @property
    def unused(self) -> int:
        """Addresses of the look-ahead that are still to be given out."""
        return self.range_end - self.next_index

    def derive(self, start: int, stop: int) -> list[DerivedScript]:
        """The scripts at start up to stop, not included. For the workers, where they are many."""
        return [(script, i) for i in range(start, stop) for script in self.descriptor.expand(i).scripts]

    def wanted_end(self, look_ahead: int) -> int:
        """Where the range must end so that look_ahead scripts wait from next_index on."""
        if not self.is_range:
            return 1
        return max(self.next_index + look_ahead, self.range_end)


def key_expressions(descriptor: Descriptor) -> Iterator[KeyExpression]:
    yield from descriptor.keys
    if descriptor.inner is not None:
        yield from key_expressions(descriptor.inner)


class ScriptBook:
    """All scripts of one wallet and who they belong to."""

    def __init__(self, params: ChainParams) -> None:
        self.params = params
        self.keys = KeyStore()
        self.descriptors: dict[int, WalletDescriptor] = {}
        self._places: dict[bytes, list[tuple[WalletDescriptor, int]]] = {}

    def __contains__(self, script: object) -> bool:
        return script in self._places

    @property
    def scripts(self) -> dict[bytes, list[tuple[WalletDescriptor, int]]]:
        """All scripts to watch, in order of derivation; a live view."""
        return self._places

    def add_descriptor(self, entry: WalletDescriptor) -> None:
        self.descriptors[entry.id] = entry

    def add_scripts(self, entry: WalletDescriptor, derived: Iterable[DerivedScript]) -> None:
        for script, index in derived:
            places = self._places.setdefault(script, [])
            if not any(known is entry for known, _ in places):
                places.append((entry, index))

    def places(self, script: bytes) -> Sequence[tuple[WalletDescriptor, int]]:
        """The descriptors that give script, and where."""
        return self._places.get(script, ())

    def active(self, output_type: str, internal: bool) -> WalletDescriptor | None:
        for entry in self.descriptors.values():
            if (
                entry.active
                and bool(entry.internal) == internal
                and entry.descriptor.output_type == output_type
            ):
                return entry
        return None

    def find(self, descriptor: Descriptor) -> WalletDescriptor | None:
        """The entry with the same text."""
        text = str(descriptor)
        return next((e for e in self.descriptors.values() if str(e.descriptor) == text), None)

    # Keys

    def keyring(self, scripts: Iterable[bytes], *, secrets: bool) -> Keyring:
        """What is known of the keys behind scripts, with the private ones if secrets."""
        ring = Keyring()
        for script in scripts:
            for entry, index in self.places(script):
                ring.add_expansion(entry.descriptor.expand(index))
                if secrets:
                    for key in key_expressions(entry.descriptor):
                        self._add_secret(ring, key, index)
        return ring

    def _add_secret(self, ring: Keyring, key: KeyExpression, index: int) -> None:
        if isinstance(key, SingleKey):
            for pubkey in (key.pubkey, b"\x02" + key.pubkey[1:], b"\x03" + key.pubkey[1:]):
                secret = self.keys.secrets.get(pubkey)
                if secret is not None and (pubkey == key.pubkey or key.x_only):
                    ring.secrets[pubkey] = secret
            return
        pubkey, _ = key.at(index)
        derived = self.keys.derive_private(key.root, key.steps(index))
        if derived is not None:
            ring.secrets[pubkey] = derived.secret

    def has_all_secrets(self, descriptor: Descriptor) -> bool:
        return all(self._has_secret(key) for key in key_expressions(descriptor))

    def _has_secret(self, key: KeyExpression) -> bool:
        if not isinstance(key, SingleKey):
            return key.root.pubkey in self.keys.roots
        pubkeys = [key.pubkey]
        if key.x_only:
            pubkeys = [b"\x02" + key.pubkey[1:], b"\x03" + key.pubkey[1:]]
        return any(pubkey in self.keys.secrets for pubkey in pubkeys)

    def private_text(self, descriptor: Descriptor) -> str:
        """With checksum, and with each private key that is kept in the place of its public one."""
        text = descriptor.text()
        for key in key_expressions(descriptor):
            if not isinstance(key, SingleKey):
                root = self.keys.roots.get(key.root.pubkey)
                if root is not None:
                    text = text.replace(key.root.encode(self.params), root.encode(self.params))
                continue
            for pubkey in (key.pubkey, b"\x02" + key.pubkey[1:], b"\x03" + key.pubkey[1:]):
                secret = self.keys.secrets.get(pubkey)
                if secret is not None and (pubkey == key.pubkey or key.x_only):
                    wif = encode_wif(secret, self.params, compressed=len(pubkey) == 33)
                    text = text.replace((pubkey[1:] if key.x_only else pubkey).hex(), wif)
                    break
        return add_checksum(text)

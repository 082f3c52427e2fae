"""One wallet: its scripts, transactions, addresses and locks, kept in step with its file.

`wallet.follow` keeps it in step with the chain, `wallet.spending` spends. Everything here runs on the event
loop; between two awaits nothing else changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxOut
from pybitcoind.chain.script.address import encode_address, extract_destination

from .balance import Balance, Trust, balance
from .chain_client import BlockRef, ChainClient
from .errors import WalletError, WalletFault
from .hd import ExtKey, KeyStore
from .ledger import Ledger, TxState, WalletTx
from .scripts import ScriptBook, WalletDescriptor, standard_descriptors
from .settings import WalletSettings
from .signing import Keyring
from .store import AddressEntry, Changes, WalletStore

DISABLE_PRIVATE_KEYS, BLANK = "disable_private_keys", "blank"
FLAGS = (
    "avoid_reuse",
    "key_origin_metadata",
    "last_hardened_xpub_cached",
    DISABLE_PRIVATE_KEYS,
    BLANK,
    "descriptor_wallet",
)
"""In the order of Core's bits."""
_ALWAYS = ("last_hardened_xpub_cached", "descriptor_wallet")


@dataclass(slots=True)
class Reserved:
    """A change script taken from a descriptor; `give_back` if it was not used after all."""

    script: bytes
    entry: WalletDescriptor
    index: int

    def give_back(self) -> None:
        if self.entry.next_index == self.index + 1:
            self.entry.next_index = self.index


class Wallet:
    """Made with `create` or `load`."""

    def __init__(
        self,
        name: str,
        store: WalletStore,
        ports: Ports,
        params: ChainParams,
        client: ChainClient,
        settings: WalletSettings,
    ) -> None:
        self.name, self.store = name, store
        self.ports, self.params, self.client, self.settings = ports, params, client, settings
        self.book = ScriptBook(params)
        self.ledger = Ledger(self.book.__contains__)
        self.addresses: dict[str, AddressEntry] = {}
        """The address book: what we gave out, and what got a label. Change is not in it."""
        self.locked: dict[OutPoint, bool] = {}
        """Coins not to be spent, and whether the file knows it."""
        self.flags: list[str] = []
        self.best: BlockRef | None = None
        """The last block processed."""
        self.on_transaction: Callable[[WalletTx], None] = lambda wtx: None
        """Called with each transaction that comes in or is seen again, perhaps in another state."""
        self.spending = asyncio.Lock()
        """Held from choosing coins until their spend is in the ledger."""
        self._dirty_descriptors: dict[int, WalletDescriptor] = {}
        self._dirty_scripts: list[tuple[int, tuple[bytes, int]]] = []
        self._dirty_addresses: dict[str, AddressEntry] = {}
        self._unlocked: list[OutPoint] = []

    # Life

    @classmethod
    async def create(
        cls,
        name: str,
        store: WalletStore,
        ports: Ports,
        params: ChainParams,
        client: ChainClient,
        settings: WalletSettings,
        *,
        seed: bytes | None,
        private_keys: bool = True,
    ) -> Wallet:
        """A new wallet in an empty file. seed: 16 to 64 bytes for its descriptors; None for a blank one."""
        wallet = cls(name, store, ports, params, client, settings)
        flags = set(_ALWAYS)
        if not private_keys:
            flags.add(DISABLE_PRIVATE_KEYS)
        elif seed is None:
            flags.add(BLANK)
        wallet.flags = [flag for flag in FLAGS if flag in flags]
        wallet.processed(client.tip)
        if seed is not None and private_keys:
            await wallet._add_standard_descriptors(ExtKey.from_seed(seed))
        await wallet.save(flags=True, keys=wallet.book.keys, locator=True)
        return wallet

    @classmethod
    async def load(
        cls,
        name: str,
        store: WalletStore,
        ports: Ports,
        params: ChainParams,
        client: ChainClient,
        settings: WalletSettings,
    ) -> Wallet:
        """What the file holds; it may be behind the chain."""
        wallet = cls(name, store, ports, params, client, settings)
        stored = await store.load()
        if not stored.flags:  # a process that was killed while it made the wallet
            raise WalletError(f"Error loading {name}: Wallet corrupted")
        wallet.flags, wallet.addresses = stored.flags, stored.addresses
        wallet.book.keys = stored.keys
        for entry in stored.descriptors:
            wallet.book.add_descriptor(entry)
            wallet.book.add_scripts(entry, stored.scripts.get(entry.id, ()))
        for wtx in stored.transactions:
            wallet.ledger.load(wtx)
        wallet.locked = dict.fromkeys(stored.locked, True)
        wallet.processed(client.find_fork(stored.locator))
        return wallet

    async def _add_standard_descriptors(self, root: ExtKey) -> None:
        now = self.ports.clock.time()
        for descriptor, internal in standard_descriptors(root, self.params, self.book.keys):
            entry = WalletDescriptor(self.next_id(), descriptor, now, active=True, internal=internal)
            self.book.add_descriptor(entry)
            await self.top_up(entry, self.settings.keypool)

    async def close(self) -> None:
        try:
            await self.save(locator=True)
        finally:
            await self.store.close()

    async def save(self, *, locator: bool = False, flags: bool = False, keys: KeyStore | None = None) -> None:
        """Writes what changed, in one transaction; and the best block along with it."""
        changes = Changes(
            list(self.ledger.changed.values()),
            list(self._dirty_descriptors.values()),
            self._dirty_scripts,
            self._dirty_addresses,
            self._unlocked,
            flags=self.flags if flags else None,
            keys=keys,
        )
        if (locator or changes) and self.best is not None:
            changes.locator = self.client.locator(self.best.hash)
        self.ledger.changed.clear()
        self._dirty_descriptors, self._dirty_scripts, self._dirty_addresses = {}, [], {}
        self._unlocked = []
        await self.store.write(changes)

    def log(self, text: str) -> None:
        self.ports.log.info(f"[{self.name or 'default wallet'}] {text}")

    def processed(self, ref: BlockRef) -> None:
        """ref is the best block that the ledger speaks of."""
        self.best = ref
        self.ledger.height = ref.height

    @property
    def private_keys_enabled(self) -> bool:
        return DISABLE_PRIVATE_KEYS not in self.flags

    @property
    def birth_time(self) -> int | None:
        """Nothing happened before; None if the wallet has no descriptors."""
        times = [entry.created for entry in self.book.descriptors.values()]
        times += [wtx.smart_time for wtx in self.ledger]
        return min(times, default=None)

    # Scripts and addresses

    def next_id(self) -> int:
        return max(self.book.descriptors, default=0) + 1

    def touch(self, entry: WalletDescriptor) -> None:
        """entry is to be written."""
        self._dirty_descriptors[entry.id] = entry

    async def top_up(self, entry: WalletDescriptor, look_ahead: int) -> None:
        """Derives on the workers what is missing of the look-ahead."""
        start, stop = entry.range_end if entry.is_range else 0, entry.wanted_end(look_ahead)
        start = max(start, entry.range_start)
        derived = await self.ports.workers.run(entry.derive, start, stop)
        self.take_scripts(entry, derived, stop)

    def top_up_now(self, entry: WalletDescriptor) -> None:
        """The same for the few scripts that one use of an address asks for."""
        stop = entry.wanted_end(self.settings.keypool)
        if entry.is_range and stop > entry.range_end:
            self.take_scripts(entry, entry.derive(entry.range_end, stop), stop)

    def take_scripts(self, entry: WalletDescriptor, derived: list[tuple[bytes, int]], stop: int) -> None:
        """derived are entry's scripts up to stop, not included."""
        entry.range_end = max(entry.range_end, stop)
        self.book.add_scripts(entry, derived)
        self._dirty_scripts += [(entry.id, item) for item in derived]
        self.touch(entry)

    def next_script(self, entry: WalletDescriptor) -> tuple[bytes, int]:
        """A fresh script of entry, which is used up with that, and its index."""
        self.top_up_now(entry)
        index = entry.next_index
        if index >= entry.range_end:
            raise WalletError(
                "Error: Keypool ran out, please call keypoolrefill first", WalletFault.KEYPOOL_RAN_OUT
            )
        entry.next_index += 1
        self.touch(entry)
        return entry.descriptor.expand(index).scripts[0], index

    def _active(self, output_type: str, internal: bool) -> WalletDescriptor:
        entry = self.book.active(output_type, internal)
        if entry is None:
            raise WalletError(f"Error: No {output_type} addresses available.", WalletFault.KEYPOOL_RAN_OUT)
        return entry

    def can_give_addresses(self, internal: bool = False) -> bool:
        return any(
            entry.active and bool(entry.internal) == internal for entry in self.book.descriptors.values()
        )

    async def new_address(self, output_type: str | None = None, label: str = "") -> str:
        script, _ = self.next_script(self._active(output_type or self.settings.address_type, False))
        address = self.address_of(script)
        assert address is not None, "all output types have addresses"
        self.set_address(address, AddressEntry(label, "receive"))
        await self.save()
        return address

    async def new_change_address(self, output_type: str | None = None) -> str:
        wanted = output_type or self.settings.change_type or self.settings.address_type
        script, _ = self.next_script(self._active(wanted, True))
        address = self.address_of(script)
        assert address is not None, "all output types have addresses"
        await self.save()
        return address

    def reserve_change(self, output_type: str) -> Reserved:
        """Written with the spend that uses it. WalletError if there is none."""
        entry = self._active(output_type, True)
        script, index = self.next_script(entry)
        return Reserved(script, entry, index)

    def address_of(self, script: bytes) -> str | None:
        destination = extract_destination(script)
        return None if destination is None else encode_address(destination, self.params)

    def set_address(self, address: str, entry: AddressEntry) -> None:
        self.addresses[address] = self._dirty_addresses[address] = entry

    def label_of(self, script: bytes) -> str | None:
        """None if the script's address is not in the address book."""
        address = self.address_of(script)
        entry = self.addresses.get(address) if address is not None else None
        return None if entry is None else entry.label

    def is_mine(self, script: bytes) -> bool:
        return script in self.book

    def is_change(self, script: bytes) -> bool:
        """Ours, and never given to anybody (Core's ScriptIsChange)."""
        return script in self.book and self.label_of(script) is None

    def mark_used(self, script: bytes) -> None:
        """A transaction uses script: it and what comes before it are no longer fresh."""
        for entry, index in self.book.places(script):
            if not entry.is_range or index < entry.next_index:
                continue
            used = range(entry.next_index, index + 1)
            entry.next_index = index + 1
            self.top_up_now(entry)
            self.touch(entry)
            if entry.active and not entry.internal:
                for i in used:
                    address = self.address_of(entry.descriptor.expand(i).scripts[0])
                    if address is not None and address not in self.addresses:
                        self.set_address(address, AddressEntry("", "receive"))

    def keyring(self, scripts: Iterable[bytes], *, secrets: bool = False) -> Keyring:
        return self.book.keyring(scripts, secrets=secrets and self.private_keys_enabled)

    # Transactions

    def add_transaction(
        self, tx: Transaction, state: TxState, *, rescan: bool = False, extra: dict[str, str] | None = None
    ) -> WalletTx:
        """Takes a transaction that concerns us, with the addresses it uses."""
        for out in tx.vout:
            if out.script_pubkey in self.book:
                self.mark_used(out.script_pubkey)
        for txin in tx.vin:
            if self.locked.pop(txin.prevout, False):
                self._unlocked.append(txin.prevout)
        wtx = self.ledger.add(tx, state, self.ports.clock.time(), rescan=rescan)
        if extra:
            wtx.extra.update(extra)
            self.ledger.changed[wtx.txid] = wtx
        self.on_transaction(wtx)
        return wtx

    def trust(self) -> Trust:
        return Trust(self.ledger, self.settings.spend_zero_conf_change)

    def balance(self, *, min_depth: int = 0, include_nonmempool: bool = False) -> Balance:
        return balance(
            self.ledger,
            min_depth=min_depth,
            spend_zero_conf=self.settings.spend_zero_conf_change,
            include_nonmempool=include_nonmempool,
        )

    def outputs_spent_by(self, tx: Transaction) -> dict[OutPoint, TxOut]:
        """Those of tx's inputs that spend transactions we know."""
        spent = {}
        for txin in tx.vin:
            parent = self.ledger.txs.get(txin.prevout.txid)
            if parent is not None and txin.prevout.vout < len(parent.tx.vout):
                spent[txin.prevout] = parent.tx.vout[txin.prevout.vout]
        return spent

    async def abandon(self, wtx: WalletTx) -> None:
        """WalletError unless wtx is unconfirmed, not in the mempool and not abandoned already."""
        if wtx.abandoned or wtx.in_mempool or self.ledger.depth(wtx) != 0:
            raise WalletError("Transaction not eligible for abandonment", WalletFault.NOT_FOUND_TX)
        self.ledger.abandon(wtx)
        await self.save()

    # Locked coins

    async def lock_coins(self, outpoints: Sequence[OutPoint], *, persistent: bool) -> None:
        for outpoint in outpoints:
            self.locked[outpoint] = self.locked.get(outpoint, False) or persistent
            if persistent:
                await self.store.lock_coin(outpoint)

    async def unlock_coins(self, outpoints: Sequence[OutPoint]) -> None:
        written = [outpoint for outpoint in outpoints if self.locked.pop(outpoint, False)]
        if written:
            await self.store.unlock_coins(written)

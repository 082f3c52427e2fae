"""The wallets of a node: created, loaded, unloaded, and all kept in step with the chain.

The node makes one `WalletManager`, awaits `open` if wallets are to be loaded at once, calls `run`, later
`stop`, and awaits `close` once the task that `run` gave has ended, which it does when the event bus is
finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from pybitcoind.chain.events import Event, Subscription
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import PathKind, Ports
from pybitcoind.chain.storage.database import StorageError

from .chain_client import BlocksMissing, ChainClient
from .errors import WalletError, WalletFault, WalletMissing
from .follow import Follower
from .hd import new_seed
from .ledger import WalletTx
from .settings import WalletSettings
from .store import FILE, WalletStore
from .wallet import Wallet

T = TypeVar("T")

FOLDER = "wallets"
RESEND_CHECK = 60.0
"""Seconds between looks at whether something is to be sent again."""

RememberWallet = Callable[[str, bool], bool]
"""Whether a wallet (by name) is loaded at the next start: adds or removes it; False if that failed."""


Spawn = Callable[[str, Coroutine[Any, Any, object]], asyncio.Task[None]]
"""Runs a coroutine as a task of the node, under a name; its failure is fatal to the node."""


class WalletManager:
    """Wallets by name. wallets_path: how messages call the folder of the wallets."""

    def __init__(
        self,
        ports: Ports,
        params: ChainParams,
        client: ChainClient,
        settings: WalletSettings,
        *,
        names: Sequence[str] = (),
        wallets_path: str = FOLDER,
        remember: RememberWallet = lambda name, load: False,
        new_seed: Callable[[], bytes] = new_seed,
        on_transaction: Callable[[str, WalletTx], None] = lambda name, wtx: None,
    ) -> None:
        """names: wallets to load in `open`; remember: see RememberWallet. new_seed: of each new wallet.

        on_transaction: as each wallet's, with its name.
        """
        self.ports, self.params, self.client, self.settings = ports, params, client, settings
        self.wallets: dict[str, Wallet] = {}
        self.followers: dict[str, Follower] = {}
        self._names, self._wallets_path, self._remember = list(names), wallets_path, remember
        self._new_seed, self._on_transaction = new_seed, on_transaction
        self._busy: dict[str, None] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._spawn: Spawn | None = None
        self._subscription: Subscription | None = None

    # Life

    async def open(self) -> list[str]:
        """Loads the wallets to be loaded at start; gives warnings. WalletError if one cannot be."""
        warnings = []
        for name in dict.fromkeys(self._names):
            try:
                self._find(name)
            except WalletMissing as error:
                message = f"Skipping -wallet path that doesn't exist. {error}"
                self.ports.log.warning(message)
                warnings.append(message)
                continue
            await self._load(name, prefix="")
        self._subscribe()
        return warnings

    def _subscribe(self) -> Subscription:
        if self._subscription is None:
            self._subscription = self.client.events.subscribe("wallet", self._handle)
        return self._subscription

    def run(self, spawn: Spawn) -> asyncio.Task[None]:
        """Starts following the chain; the wallets catch up in the background. The task that follows it."""
        subscription = self._subscribe()
        self._spawn = spawn
        self._tasks[""] = spawn("wallet resend", self._resend())
        for name, follower in self.followers.items():
            self._start_catching_up(name, follower)
        return spawn("wallet", subscription.run())

    def _start_catching_up(self, name: str, follower: Follower) -> asyncio.Task[None]:
        assert self._spawn is not None
        task = self._tasks["/" + name] = self._spawn(f"wallet {name}", self._catch_up(name, follower))
        return task

    async def _catch_up(self, name: str, follower: Follower) -> None:
        try:
            await follower.catch_up()
        except BlocksMissing as error:
            self.ports.log.error(f"[{name}] The wallet is behind the chain, and blocks are missing: {error}")
            follower.failed = str(error)

    def stop(self) -> None:
        """No more scans; events are still handled, and what is pending is saved by `close`."""
        for follower in self.followers.values():
            if follower.scan is not None:
                follower.scan.aborted = True
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def close(self) -> None:
        """Writes and closes every wallet; the events must have been drained, or nobody be running.

        One that cannot be written does not keep the others from it; the first failure is raised then.
        """
        self.stop()
        failures: list[Exception] = []
        for wallet in self.wallets.values():
            try:
                await wallet.close()
            except Exception as error:
                failures.append(error)
        self.wallets.clear()
        self.followers.clear()
        if failures:
            raise failures[0]

    async def _handle(self, event: Event) -> None:
        for follower in list(self.followers.values()):
            await follower.handle(event)

    async def _resend(self) -> None:
        while True:
            await self.ports.clock.sleep(RESEND_CHECK)
            for follower in list(self.followers.values()):
                await follower.resend_if_due()

    # Wallets

    @staticmethod
    def _folder(name: str) -> str:
        return f"{FOLDER}/{name}" if name else FOLDER

    def _path(self, name: str) -> str:
        if name.startswith("/"):
            return name
        return f"{self._wallets_path}/{name}" if name else self._wallets_path

    def exists(self, name: str) -> bool:
        """WalletError for what can be no path. An absolute name, or one with "..", is anywhere."""
        return self._ask(name, self.ports.storage.exists, f"{self._folder(name)}/{FILE}")

    def _what_is(self, name: str) -> PathKind:
        return self._ask(name, self.ports.storage.what_is, self._folder(name))

    def _ask(self, name: str, question: Callable[[str], T], path: str) -> T:
        reason: str | None = "embedded null byte"
        try:
            if "\0" not in name:
                return question(path)
        except OSError as error:  # too long
            reason = error.strerror
        raise WalletError(f"filesystem error: {reason} [{self._path(name)}]")

    def _find(self, name: str) -> None:
        """WalletError if there is no wallet of that name, with what there is instead."""
        if self.exists(name):
            return
        kind = self._check_path(name)
        complaint = f"Failed to load database path '{self._path(name)}'. "
        if kind is PathKind.NOTHING:
            raise WalletMissing(f"{complaint}Path does not exist.", WalletFault.NOT_FOUND)
        raise WalletError(f"{complaint}Data is not in recognized format.", WalletFault.NOT_FOUND)

    def _check_path(self, name: str) -> PathKind:
        """What lies where the wallet's folder is or would be. WalletError if it could be none, as in Core."""
        kind = self._what_is(name)
        if kind is PathKind.OTHER or (kind is PathKind.FILE and "/" in name):
            raise WalletError(
                f"Invalid -wallet path '{name}'. -wallet path should point to a directory where wallet.dat "
                "and database/log.?????????? files can be stored, a location where such a directory could be "
                "created, or (for backwards compatibility) the name of an existing data file in -walletdir "
                f'("{self._wallets_path}")'
            )
        return kind

    def _check_room(self, name: str) -> None:
        """WalletError if no folder can be made there."""
        self._check_path(name)
        parts = name.split("/")
        above = ("/".join(parts[: count + 1]) for count in range(len(parts)))
        if any(self._what_is(each) is PathKind.FILE for each in above if each):
            raise WalletError(
                f"filesystem error: cannot create directories: Not a directory [{self._path(name)}]"
            )

    def names_on_disk(self) -> list[str]:
        """All wallets in the folder, loaded or not; "" for one in the folder itself."""
        return ["" if name == "." else name for name in self.ports.storage.folders(FOLDER, FILE)]

    def first(self) -> Wallet | None:
        return next(iter(self.wallets.values()), None)

    async def create(
        self,
        name: str,
        *,
        private_keys: bool = True,
        blank: bool = False,
        seed: bytes | None = None,
        load_on_startup: bool | None = None,
    ) -> tuple[Wallet, list[str]]:
        """A new wallet, loaded, and warnings. seed: None for a new one."""
        if not name:
            raise WalletError("Wallet name cannot be empty", WalletFault.INVALID_PARAMETER)
        if self.exists(name) or name in self._busy:
            raise WalletError(
                f"Wallet file verification failed. Failed to create database path '{self._path(name)}'. "
                "Database already exists."
            )
        self._busy[name] = None
        try:
            try:
                self._check_room(name)
                store = await WalletStore.open(self.ports.storage, self._folder(name), self.params)
            except (StorageError, WalletError) as error:
                raise WalletError(f"Wallet file verification failed. {error}") from None
            if private_keys and not blank and seed is None:
                seed = self._new_seed()
            wallet = await Wallet.create(
                name,
                store,
                self.ports,
                self.params,
                self.client,
                self.settings,
                seed=None if blank else seed,
                private_keys=private_keys,
            )
        finally:
            del self._busy[name]
        await self._add(wallet)
        return wallet, self._remembered(name, load_on_startup)

    async def load(self, name: str, *, load_on_startup: bool | None = None) -> tuple[Wallet, list[str]]:
        """A wallet from its file, in step with the chain if the node has the blocks; and warnings."""
        if name in self.wallets:
            raise WalletError(f'Wallet "{name}" is already loaded.', WalletFault.ALREADY_LOADED)
        if name in self._busy:
            raise WalletError("Wallet already loading.")
        self._what_is(name)
        try:
            self._find(name)
        except WalletError as error:
            raise WalletError(f"Wallet file verification failed. {error}", error.fault) from None
        wallet = await self._load(name)
        return wallet, self._remembered(name, load_on_startup)

    async def _load(self, name: str, prefix: str = "Wallet file verification failed. ") -> Wallet:
        """prefix: of the complaint about a file that cannot be used."""
        self._busy[name] = None
        try:
            store = await WalletStore.open(self.ports.storage, self._folder(name), self.params, create=False)
            try:
                wallet = await Wallet.load(name, store, self.ports, self.params, self.client, self.settings)
                Follower(wallet).check_blocks()
            except BaseException:
                await store.close()
                raise
        except StorageError as error:
            raise WalletError(f"{prefix}{error}") from None
        finally:
            del self._busy[name]
        await self._add(wallet)
        return wallet

    async def _add(self, wallet: Wallet) -> None:
        self.wallets[wallet.name] = wallet
        wallet.on_transaction = partial(self._on_transaction, wallet.name)
        follower = self.followers[wallet.name] = Follower(wallet)
        if self._spawn is not None:
            task = self._start_catching_up(wallet.name, follower)
            if self.client.has_blocks:
                await asyncio.wait((task,))

    def _remembered(self, name: str, load_on_startup: bool | None) -> list[str]:
        if load_on_startup is None or self._remember(name, load_on_startup):
            return []
        end = "may not be loaded next" if load_on_startup else "may still be loaded next"
        return [f"Wallet load on startup setting could not be updated, so wallet {end} node startup."]

    async def unload(self, name: str, *, load_on_startup: bool | None = None) -> list[str]:
        """Writes and closes a wallet; warnings."""
        wallet = self.wallets.get(name)
        if wallet is None:
            raise WalletError("Requested wallet does not exist or is not loaded", WalletFault.NOT_FOUND)
        if self.followers[name].scan is not None:
            raise WalletError("Wallet is currently rescanning. Abort existing rescan or wait.")
        warnings = self._remembered(name, load_on_startup)
        del self.wallets[name], self.followers[name]
        task = self._tasks.pop("/" + name, None)
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,))
        await self.client.events.drained()  # an event in hand may still write
        await wallet.close()
        return warnings

    # For others

    async def mining_script(self) -> bytes | None:
        """The script of a fresh address of the first wallet that can give one; None if there is none."""
        for wallet in self.wallets.values():
            entry = wallet.book.active(self.settings.address_type, False)
            if entry is not None:
                script, _ = wallet.next_script(entry)
                await wallet.save()
                return script
        return None

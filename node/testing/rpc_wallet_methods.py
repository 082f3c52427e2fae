"""The RPC methods of a wallet as typed coroutines.

Written by scripts/testing_methods.py from the declarations in node/rpc: do not edit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Amount = Decimal | int | float | str
"""BTC."""
Object = dict[str, Any]


class WalletMethods:
    """Arguments by Core's names and in Core's order; None leaves one out."""

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Any method, by name: its result, numbers that are not whole as Decimal. Raises RpcFailure."""
        raise NotImplementedError

    async def createwallet(
        self,
        wallet_name: str,
        disable_private_keys: bool | None = None,
        blank: bool | None = None,
        passphrase: str | None = None,
        avoid_reuse: bool | None = None,
        descriptors: bool | None = None,
        load_on_startup: bool | None = None,
        external_signer: bool | None = None,
    ) -> Object:
        """Creates and loads a new wallet."""
        result: Object = await self.call(
            "createwallet",
            wallet_name,
            disable_private_keys,
            blank,
            passphrase,
            avoid_reuse,
            descriptors,
            load_on_startup,
            external_signer,
        )
        return result

    async def loadwallet(self, filename: str, load_on_startup: bool | None = None) -> Object:
        """Loads a wallet from a wallet file or directory."""
        result: Object = await self.call("loadwallet", filename, load_on_startup)
        return result

    async def unloadwallet(
        self, wallet_name: str | None = None, load_on_startup: bool | None = None
    ) -> Object:
        """Unloads the wallet referenced by the request endpoint or the wallet_name argument."""
        result: Object = await self.call("unloadwallet", wallet_name, load_on_startup)
        return result

    async def listwallets(self) -> list[str]:
        """Returns a list of currently loaded wallets."""
        result: list[str] = await self.call("listwallets")
        return result

    async def listwalletdir(self) -> Object:
        """Returns a list of wallets in the wallet directory."""
        result: Object = await self.call("listwalletdir")
        return result

    async def getwalletinfo(self) -> Object:
        """Returns an object containing various wallet state info."""
        result: Object = await self.call("getwalletinfo")
        return result

    async def keypoolrefill(self, newsize: int | None = None) -> None:
        """Refills each descriptor keypool in the wallet up to the specified number of new keys."""
        await self.call("keypoolrefill", newsize)

    async def getnewaddress(self, label: str | None = None, address_type: str | None = None) -> str:
        """Returns a new Bitcoin address for receiving payments."""
        result: str = await self.call("getnewaddress", label, address_type)
        return result

    async def getrawchangeaddress(self, address_type: str | None = None) -> str:
        """Returns a new Bitcoin address, for receiving change."""
        result: str = await self.call("getrawchangeaddress", address_type)
        return result

    async def getaddressinfo(self, address: str) -> Object:
        """Return information about the given bitcoin address."""
        result: Object = await self.call("getaddressinfo", address)
        return result

    async def setlabel(self, address: str, label: str) -> None:
        """Sets the label associated with the given address."""
        await self.call("setlabel", address, label)

    async def getaddressesbylabel(self, label: str) -> Object:
        """Returns the list of addresses assigned the specified label."""
        result: Object = await self.call("getaddressesbylabel", label)
        return result

    async def listlabels(self, purpose: str | None = None) -> list[str]:
        """Returns the list of all labels, or labels that are assigned to addresses with a specific
        purpose."""
        result: list[str] = await self.call("listlabels", purpose)
        return result

    async def getbalance(
        self,
        dummy: str | None = None,
        minconf: int | None = None,
        include_watchonly: bool | None = None,
        avoid_reuse: bool | None = None,
    ) -> Decimal:
        """Returns the total available balance."""
        result: Decimal = await self.call("getbalance", dummy, minconf, include_watchonly, avoid_reuse)
        return result

    async def getbalances(self) -> Object:
        """Returns an object with all balances in BTC."""
        result: Object = await self.call("getbalances")
        return result

    async def listunspent(
        self,
        minconf: int | None = None,
        maxconf: int | None = None,
        addresses: list[Any] | None = None,
        include_unsafe: bool | None = None,
        query_options: Object | None = None,
    ) -> list[Object]:
        """Returns array of unspent transaction outputs with between minconf and maxconf (inclusive)
        confirmations."""
        result: list[Object] = await self.call(
            "listunspent", minconf, maxconf, addresses, include_unsafe, query_options
        )
        return result

    async def lockunspent(
        self, unlock: bool, transactions: list[Any] | None = None, persistent: bool | None = None
    ) -> bool:
        """Updates list of temporarily unspendable outputs."""
        result: bool = await self.call("lockunspent", unlock, transactions, persistent)
        return result

    async def listlockunspent(self) -> list[Object]:
        """Returns list of temporarily unspendable outputs."""
        result: list[Object] = await self.call("listlockunspent")
        return result

    async def importdescriptors(self, requests: list[Any]) -> list[Object]:
        """Import descriptors."""
        result: list[Object] = await self.call("importdescriptors", requests)
        return result

    async def listdescriptors(self, private: bool | None = None) -> Object:
        """List all descriptors present in a wallet."""
        result: Object = await self.call("listdescriptors", private)
        return result

    async def rescanblockchain(
        self, start_height: int | None = None, stop_height: int | None = None
    ) -> Object:
        """Rescan the local blockchain for wallet related transactions."""
        result: Object = await self.call("rescanblockchain", start_height, stop_height)
        return result

    async def abortrescan(self) -> bool:
        """Stops current wallet rescan triggered by an RPC call, e.g."""
        result: bool = await self.call("abortrescan")
        return result

    async def listtransactions(
        self,
        label: str | None = None,
        count: int | None = None,
        skip: int | None = None,
        include_watchonly: bool | None = None,
    ) -> list[Object]:
        """If a label name is provided, this will return only incoming transactions paying to addresses
        with the specified label."""
        result: list[Object] = await self.call("listtransactions", label, count, skip, include_watchonly)
        return result

    async def listsinceblock(
        self,
        blockhash: str | None = None,
        target_confirmations: int | None = None,
        include_watchonly: bool | None = None,
        include_removed: bool | None = None,
        include_change: bool | None = None,
        label: str | None = None,
    ) -> Object:
        """Get all transactions in blocks since block [blockhash], or all transactions if omitted."""
        result: Object = await self.call(
            "listsinceblock",
            blockhash,
            target_confirmations,
            include_watchonly,
            include_removed,
            include_change,
            label,
        )
        return result

    async def gettransaction(
        self, txid: str, include_watchonly: bool | None = None, verbose: bool | None = None
    ) -> Object:
        """Get detailed information about in-wallet transaction <txid>"""
        result: Object = await self.call("gettransaction", txid, include_watchonly, verbose)
        return result

    async def signmessage(self, address: str, message: str) -> str:
        """Sign a message with the private key of an address Requires wallet passphrase to be set with
        walletpassphrase call if wallet is encrypted."""
        result: str = await self.call("signmessage", address, message)
        return result

    async def sendtoaddress(
        self,
        address: str,
        amount: Amount,
        comment: str | None = None,
        comment_to: str | None = None,
        subtractfeefromamount: bool | None = None,
        replaceable: bool | None = None,
        conf_target: int | None = None,
        estimate_mode: str | None = None,
        avoid_reuse: bool | None = None,
        fee_rate: Amount | None = None,
        verbose: bool | None = None,
    ) -> Any:
        """Send an amount to a given address."""
        return await self.call(
            "sendtoaddress",
            address,
            amount,
            comment,
            comment_to,
            subtractfeefromamount,
            replaceable,
            conf_target,
            estimate_mode,
            avoid_reuse,
            fee_rate,
            verbose,
        )

    async def sendmany(
        self,
        dummy: str | None,
        amounts: Object,
        minconf: int | None = None,
        comment: str | None = None,
        subtractfeefrom: list[Any] | None = None,
        replaceable: bool | None = None,
        conf_target: int | None = None,
        estimate_mode: str | None = None,
        fee_rate: Amount | None = None,
        verbose: bool | None = None,
    ) -> Any:
        """Send multiple times."""
        return await self.call(
            "sendmany",
            dummy,
            amounts,
            minconf,
            comment,
            subtractfeefrom,
            replaceable,
            conf_target,
            estimate_mode,
            fee_rate,
            verbose,
        )

    async def signrawtransactionwithwallet(
        self, hexstring: str, prevtxs: list[Any] | None = None, sighashtype: str | None = None
    ) -> Object:
        """Sign inputs for raw transaction (serialized, hex-encoded)."""
        result: Object = await self.call("signrawtransactionwithwallet", hexstring, prevtxs, sighashtype)
        return result

    async def abandontransaction(self, txid: str) -> None:
        """Mark in-wallet transaction <txid> as abandoned This will mark this transaction and all its in-
        wallet descendants as abandoned which will allow for their inputs to be respent."""
        await self.call("abandontransaction", txid)

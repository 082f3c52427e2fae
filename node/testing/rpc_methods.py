"""The RPC methods of a node as typed coroutines.

Written by scripts/testing_methods.py from the declarations in node/rpc: do not edit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Amount = Decimal | int | float | str
"""BTC."""
Object = dict[str, Any]


class NodeMethods:
    """Arguments by Core's names and in Core's order; None leaves one out."""

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Any method, by name: its result, numbers that are not whole as Decimal. Raises RpcFailure."""
        raise NotImplementedError

    async def help(self, command: str | None = None) -> Any:
        """List all commands, or get help for a specified command."""
        return await self.call("help", command)

    async def stop(self, wait: int | None = None) -> str:
        """Request a graceful shutdown of Bitcoin Core."""
        result: str = await self.call("stop", wait)
        return result

    async def uptime(self) -> int:
        """Returns the total uptime of the server."""
        result: int = await self.call("uptime")
        return result

    async def getrpcinfo(self) -> Object:
        """Returns details of the RPC server."""
        result: Object = await self.call("getrpcinfo")
        return result

    async def getmemoryinfo(self, mode: str | None = None) -> Any:
        """Returns an object containing information about memory usage."""
        return await self.call("getmemoryinfo", mode)

    async def logging(self, include: list[Any] | None = None, exclude: list[Any] | None = None) -> Object:
        """Gets and sets the logging configuration."""
        result: Object = await self.call("logging", include, exclude)
        return result

    async def setmocktime(self, timestamp: int) -> None:
        """Set the local time to given timestamp (-regtest only)"""
        await self.call("setmocktime", timestamp)

    async def mockscheduler(self, delta_time: int) -> None:
        """Bump the scheduler into the future (-regtest only)"""
        await self.call("mockscheduler", delta_time)

    async def echo(
        self,
        arg0: str | None = None,
        arg1: str | None = None,
        arg2: str | None = None,
        arg3: str | None = None,
        arg4: str | None = None,
        arg5: str | None = None,
        arg6: str | None = None,
        arg7: str | None = None,
        arg8: str | None = None,
        arg9: str | None = None,
    ) -> Any:
        """Simply echo back the input arguments."""
        return await self.call("echo", arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7, arg8, arg9)

    async def echojson(
        self,
        arg0: str | None = None,
        arg1: str | None = None,
        arg2: str | None = None,
        arg3: str | None = None,
        arg4: str | None = None,
        arg5: str | None = None,
        arg6: str | None = None,
        arg7: str | None = None,
        arg8: str | None = None,
        arg9: str | None = None,
    ) -> Any:
        """Simply echo back the input arguments."""
        return await self.call("echojson", arg0, arg1, arg2, arg3, arg4, arg5, arg6, arg7, arg8, arg9)

    async def syncwithvalidationinterfacequeue(self) -> None:
        """Waits for the validation interface queue to catch up on everything that was there when we
        entered this function."""
        await self.call("syncwithvalidationinterfacequeue")

    async def getblockcount(self) -> int:
        """Returns the height of the most-work fully-validated chain."""
        result: int = await self.call("getblockcount")
        return result

    async def getbestblockhash(self) -> str:
        """Returns the hash of the best (tip) block in the most-work fully-validated chain."""
        result: str = await self.call("getbestblockhash")
        return result

    async def getdifficulty(self) -> Decimal | int:
        """Returns the proof-of-work difficulty as a multiple of the minimum difficulty."""
        result: Decimal | int = await self.call("getdifficulty")
        return result

    async def getblockhash(self, height: int) -> str:
        """Returns hash of block in best-block-chain at height provided."""
        result: str = await self.call("getblockhash", height)
        return result

    async def getblockheader(self, blockhash: str, verbose: bool | None = None) -> Any:
        """If verbose is false, returns a string that is serialized, hex-encoded data for blockheader
        'hash'."""
        return await self.call("getblockheader", blockhash, verbose)

    async def getblock(self, blockhash: str, verbosity: int | bool | None = None) -> Any:
        """If verbosity is 0, returns a string that is serialized, hex-encoded data for block 'hash'."""
        return await self.call("getblock", blockhash, verbosity)

    async def getblockchaininfo(self) -> Object:
        """Returns an object containing various state info regarding blockchain processing."""
        result: Object = await self.call("getblockchaininfo")
        return result

    async def getchaintips(self) -> list[Object]:
        """Return information about all known tips in the block tree, including the main chain as well as
        orphaned branches."""
        result: list[Object] = await self.call("getchaintips")
        return result

    async def waitfornewblock(self, timeout: int | None = None, current_tip: str | None = None) -> Object:
        """Waits for any new block and returns useful info about it."""
        result: Object = await self.call("waitfornewblock", timeout, current_tip)
        return result

    async def waitforblock(self, blockhash: str, timeout: int | None = None) -> Object:
        """Waits for a specific new block and returns useful info about it."""
        result: Object = await self.call("waitforblock", blockhash, timeout)
        return result

    async def waitforblockheight(self, height: int, timeout: int | None = None) -> Object:
        """Waits for (at least) block height and returns the height and hash of the current tip."""
        result: Object = await self.call("waitforblockheight", height, timeout)
        return result

    async def getblockfilter(self, blockhash: str, filtertype: str | None = None) -> Object:
        """Retrieve a BIP 157 content filter for a particular block."""
        result: Object = await self.call("getblockfilter", blockhash, filtertype)
        return result

    async def invalidateblock(self, blockhash: str) -> None:
        """Permanently marks a block as invalid, as if it violated a consensus rule."""
        await self.call("invalidateblock", blockhash)

    async def reconsiderblock(self, blockhash: str) -> None:
        """Removes invalidity status of a block, its ancestors and its descendants, reconsider them for
        activation."""
        await self.call("reconsiderblock", blockhash)

    async def preciousblock(self, blockhash: str) -> None:
        """Treats a block as if it were received before others with the same work."""
        await self.call("preciousblock", blockhash)

    async def verifychain(self, checklevel: int | None = None, nblocks: int | None = None) -> bool:
        """Verifies blockchain database."""
        result: bool = await self.call("verifychain", checklevel, nblocks)
        return result

    async def pruneblockchain(self, height: Decimal | int | float) -> int:
        """Attempts to delete block and undo data up to a specified height or timestamp, if eligible for
        pruning."""
        result: int = await self.call("pruneblockchain", height)
        return result

    async def gettxout(self, txid: str, n: int, include_mempool: bool | None = None) -> Object | None:
        """Returns details about an unspent transaction output."""
        result: Object | None = await self.call("gettxout", txid, n, include_mempool)
        return result

    async def gettxoutsetinfo(
        self,
        hash_type: str | None = None,
        hash_or_height: int | str | None = None,
        use_index: bool | None = None,
    ) -> Object:
        """Returns statistics about the unspent transaction output set."""
        result: Object = await self.call("gettxoutsetinfo", hash_type, hash_or_height, use_index)
        return result

    async def scantxoutset(self, action: str, scanobjects: list[Any] | None = None) -> Any:
        """Scans the unspent transaction output set for entries that match certain output descriptors."""
        return await self.call("scantxoutset", action, scanobjects)

    async def scanblocks(
        self,
        action: str,
        scanobjects: list[Any] | None = None,
        start_height: int | None = None,
        stop_height: int | None = None,
        filtertype: str | None = None,
        options: Object | None = None,
    ) -> Any:
        """Return relevant blockhashes for given descriptors (requires blockfilterindex)."""
        return await self.call(
            "scanblocks", action, scanobjects, start_height, stop_height, filtertype, options
        )

    async def getdescriptoractivity(
        self, blockhashes: list[Any], scanobjects: list[Any], include_mempool: bool | None = None
    ) -> Object:
        """Get spend and receive activity associated with a set of descriptors for a set of blocks."""
        result: Object = await self.call("getdescriptoractivity", blockhashes, scanobjects, include_mempool)
        return result

    async def getmempoolinfo(self) -> Object:
        """Returns details on the active state of the TX memory pool."""
        result: Object = await self.call("getmempoolinfo")
        return result

    async def getrawmempool(self, verbose: bool | None = None, mempool_sequence: bool | None = None) -> Any:
        """Returns all transaction ids in memory pool as a json array of string transaction ids."""
        return await self.call("getrawmempool", verbose, mempool_sequence)

    async def getmempoolentry(self, txid: str) -> Object:
        """Returns mempool data for given transaction"""
        result: Object = await self.call("getmempoolentry", txid)
        return result

    async def getmempoolancestors(self, txid: str, verbose: bool | None = None) -> Any:
        """If txid is in the mempool, returns all in-mempool ancestors."""
        return await self.call("getmempoolancestors", txid, verbose)

    async def getmempooldescendants(self, txid: str, verbose: bool | None = None) -> Any:
        """If txid is in the mempool, returns all in-mempool descendants."""
        return await self.call("getmempooldescendants", txid, verbose)

    async def gettxspendingprevout(self, outputs: list[Any], options: Object | None = None) -> list[Object]:
        """Scans the mempool (and the txospenderindex, if available) to find transactions spending any of
        the given outputs"""
        result: list[Object] = await self.call("gettxspendingprevout", outputs, options)
        return result

    async def getorphantxs(self, verbosity: int | str | None = None) -> Any:
        """Shows transactions in the tx orphanage."""
        return await self.call("getorphantxs", verbosity)

    async def getmempoolcluster(self, txid: str) -> Object:
        """Returns mempool data for given cluster"""
        result: Object = await self.call("getmempoolcluster", txid)
        return result

    async def getmempoolfeeratediagram(self) -> list[Object]:
        """Returns the feerate diagram for the whole mempool."""
        result: list[Object] = await self.call("getmempoolfeeratediagram")
        return result

    async def savemempool(self) -> Object:
        """Dumps the mempool to disk."""
        result: Object = await self.call("savemempool")
        return result

    async def importmempool(self, filepath: str, options: Object | None = None) -> Object:
        """Import a mempool.dat file and attempt to add its contents to the mempool."""
        result: Object = await self.call("importmempool", filepath, options)
        return result

    async def sendrawtransaction(
        self, hexstring: str, maxfeerate: Amount | None = None, maxburnamount: Amount | None = None
    ) -> str:
        """Submit a raw transaction (serialized, hex-encoded) to the network."""
        result: str = await self.call("sendrawtransaction", hexstring, maxfeerate, maxburnamount)
        return result

    async def testmempoolaccept(self, rawtxs: list[Any], maxfeerate: Amount | None = None) -> list[Object]:
        """Returns result of mempool acceptance tests indicating if raw transaction(s) (serialized, hex-
        encoded) would be accepted by mempool."""
        result: list[Object] = await self.call("testmempoolaccept", rawtxs, maxfeerate)
        return result

    async def submitpackage(
        self, package: list[Any], maxfeerate: Amount | None = None, maxburnamount: Amount | None = None
    ) -> Object:
        """Submit a package of raw transactions (serialized, hex-encoded) to local node."""
        result: Object = await self.call("submitpackage", package, maxfeerate, maxburnamount)
        return result

    async def getrawtransaction(
        self, txid: str, verbosity: int | bool | None = None, blockhash: str | None = None
    ) -> Any:
        """By default, this call only returns a transaction if it is in the mempool."""
        return await self.call("getrawtransaction", txid, verbosity, blockhash)

    async def decoderawtransaction(self, hexstring: str, iswitness: bool | None = None) -> Object:
        """Return a JSON object representing the serialized, hex-encoded transaction."""
        result: Object = await self.call("decoderawtransaction", hexstring, iswitness)
        return result

    async def decodescript(self, hexstring: str) -> Object:
        """Decode a hex-encoded script."""
        result: Object = await self.call("decodescript", hexstring)
        return result

    async def createrawtransaction(
        self,
        inputs: list[Any],
        outputs: list[Any],
        locktime: int | None = None,
        replaceable: bool | None = None,
        version: int | None = None,
    ) -> str:
        """Create a transaction spending the given inputs and creating new outputs."""
        result: str = await self.call("createrawtransaction", inputs, outputs, locktime, replaceable, version)
        return result

    async def signrawtransactionwithkey(
        self,
        hexstring: str,
        privkeys: list[Any],
        prevtxs: list[Any] | None = None,
        sighashtype: str | None = None,
    ) -> Object:
        """Sign inputs for raw transaction (serialized, hex-encoded)."""
        result: Object = await self.call(
            "signrawtransactionwithkey", hexstring, privkeys, prevtxs, sighashtype
        )
        return result

    async def gettxoutproof(self, txids: list[Any], blockhash: str | None = None) -> str:
        """Returns a hex-encoded proof that 'txid' was included in a block."""
        result: str = await self.call("gettxoutproof", txids, blockhash)
        return result

    async def verifytxoutproof(self, proof: str) -> list[str]:
        """Verifies that a proof points to a transaction in a block, returning the transaction it commits
        to and throwing an RPC error if the block is not in our best chain"""
        result: list[str] = await self.call("verifytxoutproof", proof)
        return result

    async def createmultisig(
        self, nrequired: int, keys: list[Any], address_type: str | None = None
    ) -> Object:
        """Creates a multi-signature address with n signatures of m keys required."""
        result: Object = await self.call("createmultisig", nrequired, keys, address_type)
        return result

    async def combinerawtransaction(self, txs: list[Any]) -> str:
        """Combine multiple partially signed transactions into one transaction."""
        result: str = await self.call("combinerawtransaction", txs)
        return result

    async def verifymessage(self, address: str, signature: str, message: str) -> bool:
        """Verify a signed message."""
        result: bool = await self.call("verifymessage", address, signature, message)
        return result

    async def signmessagewithprivkey(self, privkey: str, message: str) -> str:
        """Sign a message with the private key of an address"""
        result: str = await self.call("signmessagewithprivkey", privkey, message)
        return result

    async def estimatesmartfee(self, conf_target: int, estimate_mode: str | None = None) -> Object:
        """Estimates the approximate fee per kilobyte needed for a transaction to begin confirmation
        within conf_target blocks if possible and return the number of blocks for which the estimate is
        valid."""
        result: Object = await self.call("estimatesmartfee", conf_target, estimate_mode)
        return result

    async def estimaterawfee(
        self, conf_target: int, threshold: Decimal | int | float | None = None
    ) -> Object:
        """WARNING: This interface is unstable and may disappear or change!"""
        result: Object = await self.call("estimaterawfee", conf_target, threshold)
        return result

    async def validateaddress(self, address: str) -> Object:
        """Return information about the given bitcoin address."""
        result: Object = await self.call("validateaddress", address)
        return result

    async def getdescriptorinfo(self, descriptor: str) -> Object:
        """Analyses a descriptor."""
        result: Object = await self.call("getdescriptorinfo", descriptor)
        return result

    async def deriveaddresses(self, descriptor: str, range: int | list[int] | None = None) -> Any:
        """Derives one or more addresses corresponding to an output descriptor."""
        return await self.call("deriveaddresses", descriptor, range)

    async def getindexinfo(self, index_name: str | None = None) -> Object:
        """Returns the status of one or all available indices currently running in the node."""
        result: Object = await self.call("getindexinfo", index_name)
        return result

    async def getnetworkhashps(self, nblocks: int | None = None, height: int | None = None) -> Decimal | int:
        """Returns the estimated network hashes per second based on the last n blocks."""
        result: Decimal | int = await self.call("getnetworkhashps", nblocks, height)
        return result

    async def getmininginfo(self) -> Object:
        """Returns a json object containing mining-related information."""
        result: Object = await self.call("getmininginfo")
        return result

    async def prioritisetransaction(
        self, txid: str, dummy: Decimal | int | float | None, fee_delta: int
    ) -> bool:
        """Accepts the transaction into mined blocks at a higher (or lower) priority"""
        result: bool = await self.call("prioritisetransaction", txid, dummy, fee_delta)
        return result

    async def getprioritisedtransactions(self) -> Object:
        """Returns a map of all user-created (see prioritisetransaction) fee deltas by txid, and whether
        the tx is present in mempool."""
        result: Object = await self.call("getprioritisedtransactions")
        return result

    async def submitblock(self, hexdata: str, dummy: str | None = None) -> str | None:
        """Attempts to submit new block to network."""
        result: str | None = await self.call("submitblock", hexdata, dummy)
        return result

    async def submitheader(self, hexdata: str) -> None:
        """Decode the given hexdata as a header and submit it as a candidate chain tip if valid."""
        await self.call("submitheader", hexdata)

    async def getblocktemplate(self, template_request: Object) -> Any:
        """If the request parameters include a 'mode' key, that is used to explicitly select between the
        default 'template' request or a 'proposal'."""
        return await self.call("getblocktemplate", template_request)

    async def generatetoaddress(self, nblocks: int, address: str, maxtries: int | None = None) -> list[str]:
        """Mine to a specified address and return the block hashes."""
        result: list[str] = await self.call("generatetoaddress", nblocks, address, maxtries)
        return result

    async def generatetodescriptor(
        self, num_blocks: int, descriptor: str, maxtries: int | None = None
    ) -> list[str]:
        """Mine to a specified descriptor and return the block hashes."""
        result: list[str] = await self.call("generatetodescriptor", num_blocks, descriptor, maxtries)
        return result

    async def generateblock(self, output: str, transactions: list[Any], submit: bool | None = None) -> Object:
        """Mine a set of ordered transactions to a specified address or descriptor and return the block
        hash."""
        result: Object = await self.call("generateblock", output, transactions, submit)
        return result

    async def getconnectioncount(self) -> int:
        """Returns the number of connections to other nodes."""
        result: int = await self.call("getconnectioncount")
        return result

    async def ping(self) -> None:
        """Requests that a ping be sent to all other nodes, to measure ping time."""
        await self.call("ping")

    async def getpeerinfo(self) -> list[Object]:
        """Returns data about each connected network peer as a json array of objects."""
        result: list[Object] = await self.call("getpeerinfo")
        return result

    async def addnode(self, node: str, command: str, v2transport: bool | None = None) -> None:
        """Attempts to add or remove a node from the addnode list."""
        await self.call("addnode", node, command, v2transport)

    async def addconnection(self, address: str, connection_type: str, v2transport: bool) -> Object:
        """Open an outbound connection to a specified node."""
        result: Object = await self.call("addconnection", address, connection_type, v2transport)
        return result

    async def disconnectnode(self, address: str | None = None, nodeid: int | None = None) -> None:
        """Immediately disconnects from the specified peer node."""
        await self.call("disconnectnode", address, nodeid)

    async def getaddednodeinfo(self, node: str | None = None) -> list[Object]:
        """Returns information about the given added node, or all added nodes (note that onetry addnodes
        are not listed here)"""
        result: list[Object] = await self.call("getaddednodeinfo", node)
        return result

    async def sendmsgtopeer(self, peer_id: int, msg_type: str, msg: str) -> Object:
        """Send a p2p message to a peer specified by id."""
        result: Object = await self.call("sendmsgtopeer", peer_id, msg_type, msg)
        return result

    async def getblockfrompeer(self, blockhash: str, peer_id: int) -> Object:
        """Attempt to fetch block from a given peer."""
        result: Object = await self.call("getblockfrompeer", blockhash, peer_id)
        return result

    async def setnetworkactive(self, state: bool) -> bool:
        """Disable/enable all p2p network activity."""
        result: bool = await self.call("setnetworkactive", state)
        return result

    async def getnettotals(self) -> Object:
        """Returns information about network traffic, including bytes in, bytes out, and current system
        time."""
        result: Object = await self.call("getnettotals")
        return result

    async def getnetworkinfo(self) -> Object:
        """Returns an object containing various state info regarding P2P networking."""
        result: Object = await self.call("getnetworkinfo")
        return result

    async def getnodeaddresses(self, count: int | None = None, network: str | None = None) -> list[Object]:
        """Return known addresses, after filtering for quality and recency."""
        result: list[Object] = await self.call("getnodeaddresses", count, network)
        return result

    async def addpeeraddress(self, address: str, port: int, tried: bool | None = None) -> Object:
        """Add the address of a potential peer to an address manager table."""
        result: Object = await self.call("addpeeraddress", address, port, tried)
        return result

    async def getaddrmaninfo(self) -> Object:
        """Provides information about the node's address manager by returning the number of addresses in
        the `new` and `tried` tables and their sum for all networks."""
        result: Object = await self.call("getaddrmaninfo")
        return result

    async def getrawaddrman(self) -> Object:
        """EXPERIMENTAL warning: this call may be changed in future releases."""
        result: Object = await self.call("getrawaddrman")
        return result

    async def setban(
        self,
        subnet: str,
        command: str,
        bantime: Decimal | int | float | None = None,
        absolute: bool | None = None,
    ) -> None:
        """Attempts to add or remove an IP/Subnet from the banned list."""
        await self.call("setban", subnet, command, bantime, absolute)

    async def listbanned(self) -> list[Object]:
        """List all manually banned IPs/Subnets."""
        result: list[Object] = await self.call("listbanned")
        return result

    async def clearbanned(self) -> None:
        """Clear all banned IPs."""
        await self.call("clearbanned")

    async def getdeploymentinfo(self, blockhash: str | None = None) -> Object:
        """Returns an object containing various state info regarding deployments of consensus changes."""
        result: Object = await self.call("getdeploymentinfo", blockhash)
        return result

    async def getchaintxstats(
        self, nblocks: Decimal | int | float | None = None, blockhash: str | None = None
    ) -> Object:
        """Compute statistics about the total number and rate of transactions in the chain."""
        result: Object = await self.call("getchaintxstats", nblocks, blockhash)
        return result

    async def getblockstats(self, hash_or_height: int | str, stats: list[Any] | None = None) -> Object:
        """Compute per block statistics for a given window."""
        result: Object = await self.call("getblockstats", hash_or_height, stats)
        return result

    async def dumptxoutset(self, path: str, type: str | None = None, options: Object | None = None) -> Object:
        """Write the serialized UTXO set to a file."""
        result: Object = await self.call("dumptxoutset", path, type, options)
        return result

    async def loadtxoutset(self, path: str) -> Object:
        """Load the serialized UTXO set from a file."""
        result: Object = await self.call("loadtxoutset", path)
        return result

    async def getchainstates(self) -> Object:
        """Return information about chainstates."""
        result: Object = await self.call("getchainstates")
        return result

    async def getscripthistory(
        self, script: str, skip: int | None = None, count: int | None = None, order: str | None = None
    ) -> Object:
        """Returns what paid to a script and what spent it, from the index of scripts (-scriptindex)."""
        result: Object = await self.call("getscripthistory", script, skip, count, order)
        return result

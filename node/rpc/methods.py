"""Which methods there are, and which file declares each: a category of Core's help, or one subject of it.

So a node knows its methods by name and imports a file when one of its methods is first called; most nodes are
never asked for most of them. A test compares this list with what the files declare.
"""

from __future__ import annotations

from collections.abc import Mapping

NODE = {
    "control": "help stop uptime getrpcinfo getmemoryinfo logging setmocktime mockscheduler echo echojson "
    "syncwithvalidationinterfacequeue",
    "blockchain": "getblockcount getbestblockhash getdifficulty getblockhash getblockheader getblock "
    "getblockchaininfo getchaintips waitfornewblock waitforblock waitforblockheight getblockfilter",
    "chain_orders": "invalidateblock reconsiderblock preciousblock verifychain pruneblockchain",
    "coins": "gettxout gettxoutsetinfo",
    "coin_scan": "scantxoutset",
    "block_scans": "scanblocks getdescriptoractivity",
    "mempool": "getmempoolinfo getrawmempool getmempoolentry getmempoolancestors getmempooldescendants "
    "gettxspendingprevout getorphantxs",
    "clusters": "getmempoolcluster getmempoolfeeratediagram",
    "mempool_file": "savemempool importmempool",
    "submission": "sendrawtransaction testmempoolaccept submitpackage",
    "rawtransactions": "getrawtransaction decoderawtransaction decodescript",
    "tx_making": "createrawtransaction",
    "tx_signing": "signrawtransactionwithkey",
    "txoutproof": "gettxoutproof verifytxoutproof",
    "multisig": "createmultisig combinerawtransaction",
    "messages": "verifymessage signmessagewithprivkey",
    "fees": "estimatesmartfee estimaterawfee",
    "util": "validateaddress getdescriptorinfo deriveaddresses getindexinfo",
    "mining": "getnetworkhashps getmininginfo prioritisetransaction getprioritisedtransactions submitblock "
    "submitheader",
    "getblocktemplate": "getblocktemplate",
    "generating": "generatetoaddress generatetodescriptor generateblock generate",
    "peers": "getconnectioncount ping getpeerinfo addnode addconnection disconnectnode getaddednodeinfo "
    "sendmsgtopeer getblockfrompeer",
    "network": "setnetworkactive getnettotals getnetworkinfo",
    "addresses": "getnodeaddresses addpeeraddress getaddrmaninfo getrawaddrman setban listbanned clearbanned",
    "chain_facts": "getdeploymentinfo getchaintxstats",
    "block_stats": "getblockstats",
    "snapshots": "dumptxoutset loadtxoutset getchainstates",
    "script_history": "getscripthistory",
}
WALLET = {
    "wallet": "createwallet loadwallet unloadwallet listwallets listwalletdir getwalletinfo keypoolrefill",
    "wallet_addresses": "getnewaddress getrawchangeaddress getaddressinfo setlabel getaddressesbylabel "
    "listlabels",
    "wallet_coins": "getbalance getbalances listunspent lockunspent listlockunspent",
    "wallet_descriptors": "importdescriptors listdescriptors rescanblockchain abortrescan",
    "wallet_history": "listtransactions listsinceblock gettransaction",
    "wallet_messages": "signmessage",
    "wallet_send": "sendtoaddress sendmany signrawtransactionwithwallet abandontransaction",
}


def declared(*, wallets: bool = True) -> dict[str, str]:
    """Method to the module that declares it. wallets: False leaves out a wallet's (-disablewallet)."""
    files: Mapping[str, str] = NODE | WALLET if wallets else NODE
    return {name: f"{__package__}.{file}" for file, names in files.items() for name in names.split()}

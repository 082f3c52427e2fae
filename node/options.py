"""The table of options: Core's names (31.99) and ours, with what the help prints.

An option is used, or accepted without effect so far (`NO_EFFECT_YET`: the help says so); anything else is an
error.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from textwrap import wrap
from typing import NamedTuple


class Category(Enum):
    """Sections of the help, in its order; values are their titles."""

    OPTIONS = "Options:"
    CONNECTION = "Connection options:"
    WALLET = "Wallet options:"
    WALLET_DEBUG = "Wallet debugging/testing options:"
    ZMQ = "ZeroMQ notification options:"
    DEBUG = "Debugging/Testing options:"
    CHAIN = "Chain selection options:"
    RELAY = "Node relay options:"
    MINING = "Block creation options:"
    RPC = "RPC server options:"
    WEB = "Explorer options:"
    HIDDEN = ""


class Option(NamedTuple):
    """param: how its value is shown in the help ("=<n>").

    network_only: in the top section of bitcoin.conf it counts for main only. sensitive: its value is not
    logged.
    negatable, elidable: -noNAME and -NAME without a value are allowed. debug: listed by -help-debug only.
    """

    name: str
    param: str
    help: str
    category: Category
    network_only: bool = False
    sensitive: bool = False
    negatable: bool = True
    elidable: bool = True
    debug: bool = False
    effect: bool = True


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NETWORK_ONLY = _names("addnode bind connect port rpcbind rpcport wallet walletdir web webbind")
_SENSITIVE = _names("rpcauth rpcpassword rpcuser torpassword")
_NOT_NEGATABLE = _names("datadir loglevel signetchallenge signetseednode")
_NEEDS_VALUE = _names("loglevel onion proxy")

_USED: dict[Category, tuple[tuple[str, str, str], ...]] = {
    Category.OPTIONS: (
        ("alertnotify", "<cmd>", "Run this command when there is a new warning; %s is its text"),
        ("allowignoredconf", "", "Only warn of a bitcoin.conf in the data directory that is not used"),
        ("assumevalid", "<hex>", "Skip script checks of this block and its ancestors (0: check all)"),
        (
            "blockfilterindex",
            "<type>",
            "Maintain an index of compact filters by block: 0, 1 or basic (default: 0)",
        ),
        ("blocknotify", "<cmd>", "Run this command when the best block changes; %s is its hash"),
        (
            "blockreconstructionextratxn",
            "<n>",
            "Extra transactions kept in memory to put compact blocks together (default: 100)",
        ),
        ("blocksdir", "<dir>", "Directory to hold the blocks directory (default: the data directory)"),
        ("blocksonly", "", "Reject transactions from network peers (default: 0)"),
        ("coinstatsindex", "", "Maintain an index of coin statistics, for gettxoutsetinfo (default: 0)"),
        ("conf", "<file>", "Configuration file, relative to the data directory (default: bitcoin.conf)"),
        ("daemon", "", "Run in the background as a daemon (default: 0)"),
        ("daemonwait", "", "As -daemon, but exit only when the start is done (default: 0)"),
        ("datadir", "<dir>", "Data directory (default: ~/.pybitcoind)"),
        ("dbcache", "<n>", "Cache for coins in MiB (minimum 4, default: 1024, with less than 4 GiB: 450)"),
        ("debuglogfile", "<file>", "Log file, relative to the network's directory (default: debug.log)"),
        ("help", "", "Print this help message and exit (also -h or -?)"),
        ("includeconf", "<file>", "Further configuration file; only in bitcoin.conf"),
        ("loadblock", "<file>", "Import blocks from an external file at start; may be given more than once"),
        ("maxmempool", "<n>", "Keep the mempool below <n> megabytes (default: 300)"),
        ("mempoolexpiry", "<n>", "Drop transactions after <n> hours in the mempool (default: 336)"),
        ("mineraddress", "<address>", "Role miner: where mined coins go (default: the node's own wallet)"),
        ("minerinterval", "<seconds>", "Role miner: seconds between blocks (default: 0, as fast as it can)"),
        ("minimumchainwork", "<hex>", "Minimum work of a chain to be taken seriously"),
        ("par", "<n>", "Script verification threads (0: one per core, <0: leave that many cores free)"),
        ("persistmempool", "", "Save the mempool on shutdown and load it at start (default: 1)"),
        ("pid", "<file>", "Process number file, relative to the network's directory (default: bitcoind.pid)"),
        ("prune", "<n>", "Delete old blocks: 1 by RPC, from 550 on keep below <n> MiB (default: 0)"),
        ("reindex", "", "Rebuild the block index and the chain state from the stored blocks"),
        ("reindex-chainstate", "", "Rebuild the chain state from the stored blocks"),
        ("role", "<role>", "What this node is: full, miner or spv (default: full)"),
        ("scriptindex", "", "Maintain an index of output scripts, for getscripthistory (default: 0)"),
        ("settings", "<file>", "File of settings made at run time (default: settings.json)"),
        ("shutdownnotify", "<cmd>", "Run this command before the shutdown begins"),
        ("startupnotify", "<cmd>", "Run this command when the start is done"),
        ("txindex", "", "Maintain an index of all transactions (default: 0)"),
        ("txospenderindex", "", "Maintain an index of spenders, for gettxspendingprevout (default: 0)"),
        ("version", "", "Print version and exit"),
    ),
    Category.CONNECTION: (
        ("addnode", "<ip>", "Connect to this node and keep the connection; may be given more than once"),
        ("bantime", "<n>", "Seconds that a manual ban lasts (default: 86400)"),
        ("bind", "<addr>[:<port>][=onion]", "Listen on this address (default: all)"),
        ("connect", "<ip>", "Connect to these nodes only; -noconnect: to none"),
        ("dns", "", "Look up names given to -addnode, -connect, -seednode, -proxy, -onion (default: 1)"),
        ("dnsseed", "", "Ask DNS for addresses of peers if low on them (default: 1 unless -connect)"),
        ("externalip", "<ip>", "An address of ours, told to others; may be given more than once"),
        ("forcednsseed", "", "Ask DNS for addresses of peers in any case (default: 0)"),
        ("listen", "", "Accept connections from outside (default: 1 if no -proxy, -connect)"),
        ("maxconnections", "<n>", "Maintain at most <n> automatic connections (default: 125)"),
        (
            "maxuploadtarget",
            "<n>",
            "Send no more than so much a day, apart from new blocks; k|K|m|M|g|G|t|T (default: 0M, no limit)",
        ),
        ("networkactive", "", "Enable all network activity (default: 1)"),
        ("onion", "<ip:port|path>", "SOCKS5 proxy for Tor's onion services; 0: none (default: -proxy)"),
        ("i2psam", "<ip:port>", "I2P router; not supported yet, refused"),
        ("onlynet", "<net>", "Connect to this network only; refused unless it is ipv4 or ipv6"),
        ("proxy", "<ip>[:<port>][=<network>]", "Connect through this SOCKS5 proxy"),
        ("peerblockfilters", "", "Serve compact block filters to peers, BIP 157 (default: 0)"),
        ("peerbloomfilters", "", "Serve blocks and transactions with bloom filters (default: 0)"),
        ("peertimeout", "<n>", "Seconds before a silent peer may be dropped (default: 60)"),
        ("port", "<port>", "Listen on this port (0: a free one)"),
        ("proxyrandomize", "", "Credentials of its own for each connection by proxy (default: 1)"),
        ("seednode", "<ip>", "Connect once to this node to learn addresses"),
        ("txreconciliation", "", "Settle with peers to reconcile transactions, BIP 330 (default: 0)"),
        ("whitebind", "<[permissions@]addr>", "Listen here, with permissions for who comes"),
        ("whitelist", "<[permissions@]network>", "Permissions for peers from this network"),
        ("timeout", "<n>", "Milliseconds for a connection to be made (default: 5000)"),
    ),
    Category.WALLET: (
        ("addresstype", "", "Type of new addresses: legacy, p2sh-segwit, bech32, bech32m (default: bech32)"),
        ("avoidpartialspends", "", "Spend all or none of an address's coins (default: 0)"),
        ("changetype", "", "Type of change addresses"),
        (
            "consolidatefeerate",
            "<amt>",
            "Feerate in BTC/kvB up to which to take more inputs (default: 0.0001)",
        ),
        ("discardfee", "<amt>", "Feerate in BTC/kvB at which small change becomes fee (default: 0.0001)"),
        ("disablewallet", "", "Run without wallets"),
        ("fallbackfee", "<amt>", "Feerate in BTC/kvB where none can be estimated (default: 0)"),
        ("keypool", "<n>", "Look-ahead of each descriptor (default: 1000)"),
        ("mintxfee", "<amt>", "Lowest feerate in BTC/kvB of own transactions (default: 0.00001)"),
        ("spendzeroconfchange", "", "Spend unconfirmed change (default: 1)"),
        ("txconfirmtarget", "<n>", "Blocks within which a transaction is to confirm (default: 6)"),
        ("walletbroadcast", "", "Send the wallet's transactions to peers (default: 1)"),
        ("walletdir", "<dir>", "Directory of the wallets (default: wallets/ below the network's directory)"),
        (
            "walletnotify",
            "<cmd>",
            "Run this command for each transaction of a wallet, new or changed; %s is its txid, %w the "
            "wallet, %b and %h its block's hash and height (unconfirmed, -1)",
        ),
        ("walletrbf", "", "Send transactions that can be replaced (default: 1)"),
        ("wallet", "<path>", "Load this wallet at start; may be given more than once"),
    ),
    Category.WALLET_DEBUG: (("walletrejectlongchains", "", "Make no long unconfirmed chains (default: 1)"),),
    Category.DEBUG: (
        ("acceptstalefeeestimates", "", "Read old fee estimates too (regtest, default: 0)"),
        ("checkblocks", "<n>", "Blocks to verify at start (default: 6, 0: all)"),
        ("checklevel", "<n>", "How thorough -checkblocks is, 0 to 4 (default: 3)"),
        (
            "debug",
            "<category>",
            "Log this category: 1 or all, 0 or none, or a name; may be given more than once",
        ),
        ("debugexclude", "<category>", "Do not log this category; stronger than -debug"),
        ("deprecatedrpc", "<method>", "Allow this deprecated method"),
        ("capturemessages", "", "Write every message of a peer to message_capture/ (default: 0)"),
        ("fastprune", "", "Smaller block files and lower minimum prune height"),
        (
            "fastscripts",
            "",
            "Check scripts by short cuts and in parallel, and remember what passed; 0: by the interpreter "
            "alone, one by one, to compare with (default: 1)",
        ),
        ("help-debug", "", "Print help with debugging options and exit"),
        ("limitclustercount", "<n>", "Transactions in a cluster of the mempool (default: 64)"),
        ("limitclustersize", "<n>", "Kilobytes (virtual) of a cluster of the mempool (default: 101)"),
        ("logips", "", "Write addresses of peers to the log (default: 0)"),
        (
            "loglevel",
            "<level>|<category>:<level>",
            "Lowest level that is logged: info, debug, trace (default: debug)",
        ),
        ("loglevelalways", "", "Write category and level on every line (default: 0)"),
        ("logsourcelocations", "", "Write file, line and function on every line (default: 0)"),
        ("logthreadnames", "", "Write the name of the thread on every line (default: 0)"),
        ("logtimemicros", "", "Microseconds in the log's times (default: 0)"),
        ("logtimestamps", "", "Write the time on every line (default: 1)"),
        ("maxtipage", "<n>", "Seconds a tip may be old before this is initial download (default: 86400)"),
        ("maxtxfee", "<amt>", "Highest fee in BTC of one transaction of a wallet (default: 0.1)"),
        ("mocktime", "<n>", "Take this for the time (default: 0)"),
        ("printtoconsole", "", "Write the log to the console (default: 1 if no -daemon)"),
        ("shrinkdebugfile", "", "Shrink the log at start (default: 1 if no -debug)"),
        ("stopafterblockimport", "", "Stop after importing blocks (default: 0)"),
        ("stopatheight", "<n>", "Stop when the chain reaches this height (default: 0)"),
        ("test", "<option>", "Test-only options"),
        (
            "testactivationheight",
            "name@height",
            "Activation height of segwit, bip34, dersig, cltv or csv (regtest)",
        ),
        ("uacomment", "<cmt>", "Append this comment to the user agent"),
    ),
    Category.CHAIN: (
        (
            "chain",
            "<chain>",
            "Chain to use: main, testnet4, signet, regtest, or a TOML file (default: main)",
        ),
        ("regtest", "", "Same as -chain=regtest"),
        ("signet", "", "Same as -chain=signet"),
        ("signetchallenge", "", "Script that blocks of a signet of one's own must satisfy, in hex"),
        ("signetseednode", "", "Seed node of the signet"),
        ("testnet", "", "Same as -chain=test, which is not supported: use -testnet4"),
        ("testnet4", "", "Same as -chain=testnet4"),
        (
            "vbparams",
            "deployment:start:end[:min_activation_height]",
            "Times of a version bits deployment (regtest)",
        ),
    ),
    Category.RELAY: (
        ("acceptnonstdtxn", "", "Relay and mine non-standard transactions (test networks, default: 0)"),
        ("bytespersigop", "", "Bytes that a signature operation counts for (default: 20)"),
        ("datacarrier", "", "Relay and mine data carrier transactions (default: 1)"),
        ("datacarriersize", "", "Bytes of data outputs in a transaction (default: 100000)"),
        ("dustrelayfee", "<amt>", "Feerate in BTC/kvB that defines dust (default: 0.00003)"),
        (
            "incrementalrelayfee",
            "<amt>",
            "Feerate in BTC/kvB that a replacement must add (default: 0.000001)",
        ),
        ("minrelaytxfee", "<amt>", "Lower feerates in BTC/kvB are not relayed (default: 0.000001)"),
        ("privatebroadcast", "", "Send own transactions by Tor or I2P; not supported yet, refused"),
        ("whitelistforcerelay", "", "Whitelisted peers get forcerelay by default (default: 0)"),
        ("whitelistrelay", "", "Whitelisted peers get relay by default (default: 1)"),
        ("permitbaremultisig", "", "Relay multisig outputs without P2SH (default: 1)"),
    ),
    Category.MINING: (
        ("blockmaxweight", "<n>", "Maximum weight of own blocks (default: 4000000)"),
        ("blockmintxfee", "<amt>", "Lowest feerate in BTC/kvB in own blocks (default: 0.00000001)"),
        ("blockreservedweight", "<n>", "Weight kept free for header and coinbase (default: 8000)"),
        ("blockversion", "<n>", "Version of own blocks, for tests"),
    ),
    Category.RPC: (
        ("rest", "", "Answer REST requests, which need no password, on the RPC port (default: 0)"),
        ("rpcallowip", "<ip>", "Who may ask: an address, network/netmask or network/CIDR; needs -rpcbind"),
        (
            "rpcauth",
            "<userpw>",
            "USERNAME:SALT$HASH, HMAC-SHA256 of the password; may be given more than once",
        ),
        (
            "rpcbind",
            "<addr>[:port]",
            "Listen on this address for RPC; needs -rpcallowip (default: localhost)",
        ),
        ("rpccookiefile", "<loc>", "Cookie file, relative to the network's directory (default: .cookie)"),
        ("rpccookieperms", "<readable-by>", "Who may read the cookie: owner, group, all (default: owner)"),
        ("rpcdoccheck", "", "Check that answers are as the help says (default: 0)"),
        ("rpcpassword", "<pw>", "Password for RPC"),
        ("rpcport", "<port>", "Listen on this port for RPC (0: a free one)"),
        ("rpcservertimeout", "<n>", "Seconds before an idle RPC connection is closed (default: 30)"),
        ("rpcthreads", "<n>", "Requests served at a time, with -rpcworkqueue the limit of all (default: 16)"),
        ("rpcuser", "<user>", "User name for RPC"),
        ("rpcwhitelist", "<whitelist>", "USER:method,method: what this user may call"),
        (
            "rpcwhitelistdefault",
            "",
            "Users without -rpcwhitelist may call nothing (default: 1 with -rpcwhitelist)",
        ),
        ("rpcworkqueue", "<n>", "Requests that may wait (default: 64)"),
        ("server", "", "Accept RPC (default: 1)"),
    ),
    Category.WEB: (
        ("web", "<port>", "Serve the explorer, web pages of this node, on this port (0: a free one)"),
        ("webbind", "<addr>", "Address on which the explorer is served (default: 127.0.0.1)"),
        (
            "webhost",
            "<name>",
            "A name under which the explorer may be asked for; may be given more than once (default: "
            "localhost and addresses)",
        ),
    ),
}

NO_EFFECT_YET: dict[Category, str] = {
    Category.OPTIONS: "blocksxor dbbatchsize persistmempoolv1",
    Category.CONNECTION: "asmap=<file> cjdnsreachable discover fixedseeds i2pacceptincoming listenonion "
    "maxreceivebuffer=<n> maxsendbuffer=<n> natpmp "
    "torcontrol=<ip>:<port> torpassword=<pass> v2transport",
    Category.WALLET: "maxapsfee=<n> signer=<cmd>",
    Category.WALLET_DEBUG: "unsafesqlitesync walletcrosschain",
    Category.ZMQ: "zmqpubhashblock=<address> zmqpubhashtx=<address> zmqpubrawblock=<address> "
    "zmqpubrawtx=<address> zmqpubsequence=<address> zmqpubhashblockhwm=<n> zmqpubhashtxhwm=<n> "
    "zmqpubrawblockhwm=<n> zmqpubrawtxhwm=<n> zmqpubsequencehwm=<n>",
    Category.DEBUG: "checkaddrman=<n> checkblockindex checkmempool=<n> "
    "limitancestorcount=<n> "
    "limitdescendantcount=<n> logratelimit maxsigcachesize=<n> printpriority",
    Category.HIDDEN: "choosedatadir dbcrashratio forcecompactdb lang min resetguisettings splash uiplatform",
}
"""Options of Core that are read and have no effect yet."""

_DEBUG_ONLY = _names(
    "fastscripts txreconciliation "
    "minimumchainwork fastprune dbbatchsize regtest testactivationheight vbparams checkblocks checklevel "
    "deprecatedrpc loglevel logtimemicros logratelimit stopafterblockimport stopatheight limitancestorcount "
    "limitclustercount limitclustersize limitdescendantcount test capturemessages mocktime maxsigcachesize "
    "maxtipage printpriority acceptnonstdtxn incrementalrelayfee dustrelayfee acceptstalefeeestimates "
    "blockmaxweight blockversion rpcdoccheck rpcservertimeout rpcworkqueue checkaddrman checkblockindex "
    "checkmempool peertimeout timeout unsafesqlitesync walletcrosschain walletrejectlongchains"
)


_HIDDEN_USED = ("h", "?", "checkpoints", "limitancestorsize", "limitdescendantsize")


def _options() -> Iterator[Option]:
    rows = [(category, *row, True) for category, table in _USED.items() for row in table]
    for category, names in NO_EFFECT_YET.items():
        for text in names.split():
            name, _, param = text.partition("=")
            rows.append((category, name, param, "Accepted; has no effect yet", False))
    rows += [(Category.HIDDEN, name, "", "", True) for name in _HIDDEN_USED]
    for category, name, param, text, effect in rows:
        yield Option(
            name,
            f"={param}" if param else "",
            text,
            category,
            network_only=name in _NETWORK_ONLY,
            sensitive=name in _SENSITIVE,
            negatable=name not in _NOT_NEGATABLE,
            elidable=name not in _NEEDS_VALUE,
            debug=name in _DEBUG_ONLY,
            effect=effect,
        )


OPTIONS: dict[str, Option] = {option.name: option for option in _options()}


def help_message(show_debug: bool = False, options: dict[str, Option] = OPTIONS) -> str:
    """All options under their titles, in Core's layout: 79 columns, sorted by name."""
    parts = []
    for category in Category:
        if category is Category.HIDDEN or (category is Category.WALLET_DEBUG and not show_debug):
            continue
        shown = [o for o in options.values() if o.category is category and (show_debug or not o.debug)]
        if not shown:
            continue
        parts.append(f"{category.value}\n\n")
        for option in sorted(shown, key=lambda o: o.name):
            text = "\n       ".join(wrap(option.help, 72))
            parts.append(f"  -{option.name}{option.param}\n       {text}\n\n")
    return "".join(parts)

"""Category "network": the peers one by one: who they are, dial, drop, send, ask for a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybitcoind.p2p.handshake import ConnectionType
from pybitcoind.p2p.messages import NetAddress
from pybitcoind.p2p.outbound import MAX_ADDNODE

from .amounts import Amount, Json, Real
from .arguments import BOOL, HASH, HEX_TEXT, NUM, STR
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import Arg, Result, ResultType, cli, curl, method

if TYPE_CHECKING:
    from pybitcoind.p2p.peer_manager import PeerManager

R = ResultType
P2P_V2 = 1 << 11
"""The service flag of BIP 324."""
MAX_MESSAGE_TYPE = 12


@method(
    "network",
    "Returns the number of connections to other nodes.\n",
    result=Result(R.NUM, "", "The connection count"),
    examples=cli("getconnectioncount") + curl("getconnectioncount"),
)
async def getconnectioncount(ctx: RpcContext) -> Json:
    return sum(ctx.peers.counts())


@method(
    "network",
    "Requests that a ping be sent to all other nodes, to measure ping time.\n"
    "Results are provided in getpeerinfo.\n"
    "Ping command is handled in queue with all other commands, so it measures processing backlog, not just "
    "network ping.\n",
    result=Result(R.NONE),
    examples=cli("ping") + curl("ping"),
)
async def ping(ctx: RpcContext) -> Json:
    ctx.peers.send_ping()
    return None


_CONNECTION_TYPES = (
    "outbound-full-relay (default automatic connections)",
    "block-relay-only (does not relay transactions or addresses)",
    "inbound (initiated by the peer)",
    "manual (added via addnode RPC or -addnode/-connect configuration options)",
    "addr-fetch (short-lived automatic connection for soliciting addresses)",
    "feeler (short-lived automatic connection for testing addresses)",
    "private-broadcast (short-lived automatic connection for broadcasting privacy-sensitive transactions)",
)
_TRANSPORTS = (
    "detecting (peer could be v1 or v2)",
    "v1 (plaintext transport protocol)",
    "v2 (BIP324 encrypted transport protocol)",
)
_PERMISSIONS = (
    "bloomfilter (allow requesting BIP37 filtered blocks and transactions)",
    "noban (do not ban for misbehavior; implies download)",
    "forcerelay (relay transactions that are already in the mempool; implies relay)",
    "relay (relay even in -blocksonly mode, and unlimited transaction announcements)",
    "mempool (allow requesting BIP35 mempool contents)",
    "download (allow getheaders during IBD, no disconnect after maxuploadtarget limit)",
    "addr (responses to GETADDR avoid hitting the cache and contain random records with the most up-to-date "
    "info)",
)
_PEER = Result(
    R.OBJ,
    inner=(
        Result(R.NUM, "id", "Peer index"),
        Result(R.STR, "addr", "(host:port) The IP address/hostname optionally followed by :port of the peer"),
        Result(R.STR, "addrbind", "(ip:port) Bind address of the connection to the peer", optional=True),
        Result(R.STR, "addrlocal", "(ip:port) Local address as reported by the peer", optional=True),
        Result(R.STR, "network", "Network (ipv4, ipv6, onion, i2p, cjdns, not_publicly_routable)"),
        Result(
            R.NUM,
            "mapped_as",
            "Mapped AS (Autonomous System) number at the end of the BGP route to the peer, used for "
            "diversifying\npeer selection (only displayed if the -asmap config option is set)",
            optional=True,
        ),
        Result(R.STR_HEX, "services", "The services offered"),
        Result(
            R.ARR,
            "servicesnames",
            "the services offered, in human-readable form",
            (Result(R.STR, "SERVICE_NAME", "the service name if it is recognised"),),
        ),
        Result(R.BOOL, "relaytxes", "Whether we relay transactions to this peer"),
        Result(R.NUM, "last_inv_sequence", "Mempool sequence number of this peer's last INV"),
        Result(R.NUM, "inv_to_send", "How many txs we have queued to announce to this peer"),
        Result(R.NUM_TIME, "lastsend", "The UNIX epoch time of the last send"),
        Result(R.NUM_TIME, "lastrecv", "The UNIX epoch time of the last receive"),
        Result(
            R.NUM_TIME,
            "last_transaction",
            "The UNIX epoch time of the last valid transaction received from this peer",
        ),
        Result(R.NUM_TIME, "last_block", "The UNIX epoch time of the last block received from this peer"),
        Result(R.NUM, "bytessent", "The total bytes sent"),
        Result(R.NUM, "bytesrecv", "The total bytes received"),
        Result(R.NUM_TIME, "conntime", "The UNIX epoch time of the connection"),
        Result(R.NUM, "timeoffset", "The time offset in seconds"),
        Result(R.NUM, "pingtime", "The last ping time in seconds, if any", optional=True),
        Result(R.NUM, "minping", "The minimum observed ping time in seconds, if any", optional=True),
        Result(
            R.NUM,
            "pingwait",
            "The duration in seconds of an outstanding ping (if non-zero)",
            optional=True,
        ),
        Result(R.NUM, "version", "The peer version, such as 70001"),
        Result(R.STR, "subver", "The string version"),
        Result(R.BOOL, "inbound", "Inbound (true) or Outbound (false)"),
        Result(R.BOOL, "bip152_hb_to", "Whether we selected peer as (compact blocks) high-bandwidth peer"),
        Result(R.BOOL, "bip152_hb_from", "Whether peer selected us as (compact blocks) high-bandwidth peer"),
        Result(
            R.NUM,
            "presynced_headers",
            "The current height of header pre-synchronization with this peer, or -1 if no low-work sync is "
            "in progress",
        ),
        Result(R.NUM, "synced_headers", "The last header we have in common with this peer"),
        Result(R.NUM, "synced_blocks", "The last block we have in common with this peer"),
        Result(
            R.ARR,
            "inflight",
            "",
            (Result(R.NUM, "n", "The heights of blocks we're currently asking from this peer"),),
        ),
        Result(R.BOOL, "addr_relay_enabled", "Whether we participate in address relay with this peer"),
        Result(
            R.NUM,
            "addr_processed",
            "The total number of addresses processed, excluding those dropped due to rate limiting",
        ),
        Result(R.NUM, "addr_rate_limited", "The total number of addresses dropped due to rate limiting"),
        Result(
            R.ARR,
            "permissions",
            "Any special permissions that have been granted to this peer",
            (Result(R.STR, "permission_type", ",\n".join(_PERMISSIONS) + ".\n"),),
        ),
        Result(R.NUM, "minfeefilter", "The minimum fee rate for transactions this peer accepts"),
        Result(
            R.OBJ_DYN,
            "bytessent_per_msg",
            "",
            (
                Result(
                    R.NUM,
                    "msg",
                    "The total bytes sent aggregated by message type\n"
                    "When a message type is not listed in this json object, the bytes sent are 0.\n"
                    "Only known message types can appear as keys in the object.",
                ),
            ),
        ),
        Result(
            R.OBJ_DYN,
            "bytesrecv_per_msg",
            "",
            (
                Result(
                    R.NUM,
                    "msg",
                    "The total bytes received aggregated by message type\n"
                    "When a message type is not listed in this json object, the bytes received are 0.\n"
                    "Only known message types can appear as keys in the object and all bytes received\n"
                    "of unknown message types are listed under '*other*'.",
                ),
            ),
        ),
        Result(
            R.STR,
            "connection_type",
            "Type of connection: \n" + ",\n".join(_CONNECTION_TYPES) + ".\n"
            "Please note this output is unlikely to be stable in upcoming releases as we iterate to\n"
            "best capture connection behaviors.",
        ),
        Result(
            R.STR,
            "transport_protocol_type",
            "Type of transport protocol: \n" + ",\n".join(_TRANSPORTS) + ".\n",
        ),
        Result(
            R.STR,
            "session_id",
            'The session ID for this connection, or "" if there is none ("v2" transport protocol only).\n',
        ),
    ),
)


@method(
    "network",
    "Returns data about each connected network peer as a json array of objects.",
    result=Result(R.ARR, inner=(_PEER,)),
    examples=cli("getpeerinfo") + curl("getpeerinfo"),
)
async def getpeerinfo(ctx: RpcContext) -> Json:
    rows = ctx.peers.peer_infos()
    for row in rows:
        row["minfeefilter"] = Amount(row["minfeefilter"])
        for key in ("pingtime", "minping", "pingwait"):
            if key in row:
                row[key] = Real(row[key])
    return rows


# Connecting and disconnecting


def _same_node(peers: PeerManager, one: str, other: str) -> bool:
    """Two ways to write the same address."""
    try:
        port = peers.params.port
        return NetAddress.parse(one, port) == NetAddress.parse(other, port)
    except ValueError:
        return one == other


def _require_v2(ctx: RpcContext, wanted: bool | None, complaint: str) -> None:
    if wanted and not ctx.peers.options.services & P2P_V2:
        raise invalid_parameter(complaint)


@method(
    "network",
    "Attempts to add or remove a node from the addnode list.\n"
    "Or try a connection to a node once.\n"
    "Nodes added using addnode (or -connect) are protected from DoS disconnection and are not required to "
    "be\nfull nodes/support SegWit as other outbound peers are (though such peers will not be synced from).\n"
    f"Addnode connections are limited to {MAX_ADDNODE} at a time and are counted separately from the "
    "-maxconnections limit.\n",
    args=(
        Arg("node", STR, "The IP address/hostname optionally followed by :port of the peer to connect to"),
        Arg(
            "command",
            STR,
            "'add' to add a node to the list, 'remove' to remove a node from the list, 'onetry' to try a "
            "connection to the node once",
        ),
        Arg(
            "v2transport",
            BOOL,
            "Attempt to connect using BIP324 v2 transport protocol (ignored for 'remove' command)",
            hint="set by -v2transport",
        ),
    ),
    result=Result(R.NONE),
    examples=cli("addnode", '"192.168.0.6:8333" "onetry" true')
    + curl("addnode", '"192.168.0.6:8333", "onetry" true'),
)
async def addnode(ctx: RpcContext, node: str, command: str, v2transport: bool | None) -> Json:
    if command not in ("onetry", "add", "remove"):
        raise misc_error(addnode.help)
    peers = ctx.peers
    _require_v2(ctx, v2transport, "Error: v2transport requested but not enabled (see -v2transport)")
    if command == "onetry":
        await ctx.node.until_stop(peers.connect(node, ConnectionType.MANUAL))
    elif command == "add":
        known = any(_same_node(peers, node, other) for other in peers.added_nodes)
        if known or not peers.add_node(node):
            raise RpcError(RpcCode.CLIENT_NODE_ALREADY_ADDED, "Error: Node already added")
    elif not peers.remove_node(node):
        raise RpcError(
            RpcCode.CLIENT_NODE_NOT_ADDED,
            "Error: Node could not be removed. It has not been added previously.",
        )
    return None


@method(
    "hidden",
    "Open an outbound connection to a specified node. This RPC is for testing only.\n",
    args=(
        Arg("address", STR, "The IP address and port to attempt connecting to."),
        Arg(
            "connection_type",
            STR,
            'Type of connection to open ("outbound-full-relay", "block-relay-only", "addr-fetch" or '
            '"feeler").',
        ),
        Arg("v2transport", BOOL, "Attempt to connect using BIP324 v2 transport protocol"),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "address", "Address of newly added connection."),
            Result(R.STR, "connection_type", "Type of connection opened."),
        ),
    ),
    examples=cli("addconnection", '"192.168.0.6:8333" "outbound-full-relay" true')
    + curl("addconnection", '"192.168.0.6:8333" "outbound-full-relay" true'),
)
async def addconnection(ctx: RpcContext, address: str, connection_type: str, v2transport: bool) -> Json:
    if ctx.params.name != "regtest":
        raise misc_error("addconnection is for regression testing (-regtest mode) only.")
    kinds = (
        ConnectionType.OUTBOUND_FULL_RELAY,
        ConnectionType.BLOCK_RELAY,
        ConnectionType.ADDR_FETCH,
        ConnectionType.FEELER,
    )
    wanted = connection_type.strip(" \f\n\r\t\v")
    kind = next((kind for kind in kinds if kind.value == wanted), None)
    if kind is None:
        raise invalid_parameter(addconnection.help)
    _require_v2(
        ctx,
        v2transport,
        "Error: Adding v2transport connections requires -v2transport init flag to be set.",
    )
    if not ctx.peers.has_slot(kind):
        raise RpcError(
            RpcCode.CLIENT_NODE_CAPACITY_REACHED,
            "Error: Already at capacity for specified connection type.",
        )
    await ctx.node.until_stop(ctx.peers.connect(address, kind))
    return {"address": address, "connection_type": wanted}


@method(
    "network",
    "Immediately disconnects from the specified peer node.\n"
    "\nStrictly one out of 'address' and 'nodeid' can be provided to identify the node.\n"
    "\nTo disconnect by nodeid, either set 'address' to the empty string, or call using the named 'nodeid' "
    "argument only.\n",
    args=(
        Arg("address", STR, "The IP address/port of the node", hint="fallback to nodeid"),
        Arg("nodeid", NUM, "The node ID (see getpeerinfo for node IDs)", hint="fallback to address"),
    ),
    result=Result(R.NONE),
    examples=cli("disconnectnode", '"192.168.0.6:8333"')
    + cli("disconnectnode", '"" 1')
    + curl("disconnectnode", '"192.168.0.6:8333"')
    + curl("disconnectnode", '"", 1'),
)
async def disconnectnode(ctx: RpcContext, address: str | None, nodeid: int | None) -> Json:
    if address is not None and nodeid is None:
        found = ctx.peers.disconnect(address=address)
    elif nodeid is not None and not address:
        found = nodeid in ctx.peers.peers and ctx.peers.disconnect(peer_id=nodeid)
    else:
        raise RpcError(RpcCode.INVALID_PARAMS, "Only one of address and nodeid should be provided.")
    if not found:
        raise RpcError(RpcCode.CLIENT_NODE_NOT_CONNECTED, "Node not found in connected nodes")
    return None


@method(
    "network",
    "Returns information about the given added node, or all added nodes\n"
    "(note that onetry addnodes are not listed here)\n",
    args=(
        Arg(
            "node",
            STR,
            "If provided, return information about this specific node, otherwise all nodes are returned.",
            hint="all nodes",
        ),
    ),
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR, "addednode", "The node IP address or name (as provided to addnode)"),
                    Result(R.BOOL, "connected", "If connected"),
                    Result(
                        R.ARR,
                        "addresses",
                        "Only when connected = true",
                        (
                            Result(
                                R.OBJ,
                                inner=(
                                    Result(
                                        R.STR,
                                        "address",
                                        "The bitcoin server IP and port we're connected to",
                                    ),
                                    Result(R.STR, "connected", "connection, inbound or outbound"),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getaddednodeinfo", '"192.168.0.201"') + curl("getaddednodeinfo", '"192.168.0.201"'),
)
async def getaddednodeinfo(ctx: RpcContext, node: str | None) -> Json:
    peers = ctx.peers
    added = peers.added_nodes
    if node is not None:
        if node not in added:
            raise RpcError(RpcCode.CLIENT_NODE_NOT_ADDED, "Error: Node has not been added.")
        added = [node]
    return [_added_json(peers, name) for name in added]


def _added_json(peers: PeerManager, name: str) -> dict[str, Json]:
    try:
        address = NetAddress.parse(name, peers.params.port)
        found = [peer for peer in peers.peers.values() if peer.address == address]
    except ValueError:
        found = [peer for peer in peers.peers.values() if peer.name == name]
    addresses = [
        {"address": str(peer.address), "connected": "inbound" if peer.inbound else "outbound"}
        for peer in found[-1:]
    ]
    return {"addednode": name, "connected": bool(addresses), "addresses": addresses}


@method(
    "hidden",
    "Send a p2p message to a peer specified by id.\n"
    "The message type and body must be provided, the message header will be generated.\n"
    "This RPC is for testing only.",
    args=(
        Arg("peer_id", NUM, "The peer to send the message to."),
        Arg("msg_type", STR, f"The message type (maximum length {MAX_MESSAGE_TYPE})"),
        Arg("msg", HEX_TEXT, "The serialized message body to send, in hex, without a message header"),
    ),
    result=Result(R.OBJ),
    examples=cli("sendmsgtopeer", '0 "addr" "ffffff"') + curl("sendmsgtopeer", '0 "addr" "ffffff"'),
)
async def sendmsgtopeer(ctx: RpcContext, peer_id: int, msg_type: str, msg: str) -> Json:
    if len(msg_type.encode()) > MAX_MESSAGE_TYPE:
        raise invalid_parameter(f"Error: msg_type too long, max length is {MAX_MESSAGE_TYPE}")
    try:
        payload = bytes.fromhex(msg)
    except ValueError:
        raise invalid_parameter("Error parsing input for msg") from None
    peer = ctx.peers.peers.get(peer_id)
    if peer is None or not peer.complete:
        raise misc_error("Error: Could not send message to peer")
    peer.connection.send_payload(msg_type, payload)
    return {}


@method(
    "blockchain",
    "Attempt to fetch block from a given peer.\n\n"
    "We must have the header for this block, e.g. using submitheader.\n"
    "The block will not have any undo data which can limit the usage of the block data in a context where "
    "the undo data is needed.\n"
    "Subsequent calls for the same block may cause the response from the previous peer to be ignored.\n"
    "Peers generally ignore requests for a stale block that they never fully verified, or one that is more "
    "than a month old.\n"
    "When a peer does not respond with a block, we will disconnect.\n"
    "Note: The block could be re-pruned as soon as it is received.\n\n"
    "Returns an empty JSON object if the request was successfully scheduled.",
    args=(
        Arg("blockhash", HASH, "The block hash to try to fetch"),
        Arg("peer_id", NUM, "The peer to fetch it from (see getpeerinfo for peer IDs)"),
    ),
    result=Result(R.OBJ),
    examples=cli("getblockfrompeer", '"00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09" 0')
    + curl("getblockfrompeer", '"00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09" 0'),
    needs_chain=True,
)
async def getblockfrompeer(ctx: RpcContext, blockhash: bytes, peer_id: int) -> Json:
    peers, node = ctx.peers, ctx.chain.headers.get(blockhash)
    if node is None:
        raise misc_error("Block header missing")
    if ctx.node.config.number("prune") and node.height > ctx.chain.tip.height:
        raise misc_error(
            "In prune mode, only blocks that the node has already synced previously can be fetched from a "
            "peer"
        )
    if node.have_data:
        raise misc_error("Block already downloaded")
    complaint = peers.fetch_block_from(peer_id, blockhash)
    if complaint is not None:
        raise misc_error(complaint)
    return {}

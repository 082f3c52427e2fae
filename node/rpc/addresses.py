"""Category "network": addresses of nodes we know of, and whom we do not talk to."""

from __future__ import annotations

import re
import socket

from pybitcoind.p2p.address_book import AddressBook, Entry
from pybitcoind.p2p.ban_list import BanList, Subnet
from pybitcoind.p2p.messages import NetAddress, PeerAddress, ServiceFlags

from .amounts import Json
from .arguments import BOOL, INT, NUM, REAL, STR, parse_int
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .network import NETWORKS
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType


def _book(ctx: RpcContext) -> AddressBook:
    book = ctx.peers.book
    if book is None:
        raise RpcError(
            RpcCode.CLIENT_P2P_DISABLED, "Error: Address manager functionality missing or disabled"
        )
    return book


def _bans(ctx: RpcContext) -> BanList:
    bans = ctx.peers.bans
    if bans is None:
        raise RpcError(RpcCode.DATABASE_ERROR, "Error: Ban database not loaded")
    return bans


def numeric_address(text: str, port: int) -> NetAddress:
    """An address without names, in all the ways in which the system's resolver reads them: "1" is 0.0.0.1.

    ValueError if it is none.
    """
    try:
        return NetAddress.from_host(text, port)
    except ValueError:
        if not re.fullmatch(r"[0-9a-fA-FxX.]+", text):
            raise
    try:
        return NetAddress.from_host(socket.inet_ntoa(socket.inet_aton(text)), port)
    except OSError as error:
        raise ValueError(str(error)) from None


@method(
    "network",
    "Return known addresses, after filtering for quality and recency.\n"
    "These can potentially be used to find new peers in the network.\n"
    "The total number of addresses known to the node may be higher.",
    args=(
        Arg(
            "count",
            INT,
            "The maximum number of addresses to return. Specify 0 to return all known addresses.",
            1,
        ),
        Arg(
            "network",
            STR,
            "Return only addresses of the specified network. Can be one of: " + ", ".join(NETWORKS) + ".",
            hint="all networks",
        ),
    ),
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.NUM_TIME, "time", "The UNIX epoch time when the node was last seen"),
                    Result(R.NUM, "services", "The services offered by the node"),
                    Result(R.STR, "address", "The address of the node"),
                    Result(R.NUM, "port", "The port number of the node"),
                    Result(
                        R.STR, "network", f"The network ({', '.join(NETWORKS)}) the node connected through"
                    ),
                ),
            ),
        ),
    ),
    examples=cli("getnodeaddresses", "8")
    + cli("getnodeaddresses", '4 "i2p"')
    + cli("-named getnodeaddresses", "network=onion count=12")
    + curl("getnodeaddresses", "8")
    + curl("getnodeaddresses", '4, "i2p"'),
)
async def getnodeaddresses(ctx: RpcContext, count: int, network: str | None) -> Json:
    if count < 0:
        raise invalid_parameter("Address count out of range")
    if network is not None and network.lower() not in NETWORKS:
        raise invalid_parameter(f"Network not recognized: {network}")
    bans = ctx.peers.bans
    rows = _book(ctx).get_addresses(
        ctx.clock.time(), limit=count, percent=0, network=network and network.lower()
    )
    return [
        {
            "time": row.time,
            "services": int(row.services),
            "address": row.address.host,
            "port": row.address.port,
            "network": row.address.network_name,
        }
        for row in rows
        if bans is None or not (bans.is_discouraged(row.address) or bans.is_banned(row.address))
    ]


@method(
    "hidden",
    "Add the address of a potential peer to an address manager table. This RPC is for testing only.",
    args=(
        Arg("address", STR, "The IP address of the peer"),
        Arg("port", NUM, "The port of the peer"),
        Arg("tried", BOOL, "If true, attempt to add the peer to the tried addresses table", False),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.BOOL,
                "success",
                "whether the peer address was successfully added to the address manager table",
            ),
            Result(R.STR, "error", "error description, if the address could not be added", optional=True),
        ),
    ),
    examples=cli("addpeeraddress", '"1.2.3.4" 8333 true') + curl("addpeeraddress", '"1.2.3.4", 8333, true'),
)
async def addpeeraddress(ctx: RpcContext, address: str, port: int, tried: bool) -> Json:
    book, now = _book(ctx), ctx.clock.time()
    if not 0 <= port <= 0xFFFF:
        raise misc_error("JSON integer out of range")
    try:
        where = numeric_address(address, port)
    except ValueError:
        raise RpcError(RpcCode.CLIENT_INVALID_IP_OR_SUBNET, "Invalid IP address") from None
    services = ServiceFlags.NETWORK | ServiceFlags.WITNESS
    if not book.add([PeerAddress(now, services, where)], where, now):
        return {"error": "failed-adding-to-new", "success": False}
    if tried and not book.good(where, now):
        return {"error": "failed-adding-to-tried", "success": False}
    return {"success": True}


@method(
    "network",
    "Provides information about the node's address manager by returning the number of addresses in the `new` "
    "and `tried` tables and their sum for all networks.\n",
    result=Result(
        R.OBJ_DYN,
        "",
        "json object with network type as keys",
        (
            Result(
                R.OBJ,
                "network",
                f"the network ({', '.join(NETWORKS)}, all_networks)",
                (
                    Result(
                        R.NUM,
                        "new",
                        "number of addresses in the new table, which represent potential peers the node has "
                        "discovered but hasn't yet successfully connected to.",
                    ),
                    Result(
                        R.NUM,
                        "tried",
                        "number of addresses in the tried table, which represent peers the node has "
                        "successfully connected to in the past.",
                    ),
                    Result(R.NUM, "total", "total number of addresses in both new/tried tables"),
                ),
            ),
        ),
    ),
    examples=cli("getaddrmaninfo") + curl("getaddrmaninfo"),
)
async def getaddrmaninfo(ctx: RpcContext) -> Json:
    book = _book(ctx)

    def row(network: str | None) -> dict[str, Json]:
        new, tried = book.count(network, tried=False), book.count(network, tried=True)
        return {"new": new, "tried": tried, "total": new + tried}

    return {name: row(name) for name in NETWORKS} | {"all_networks": row(None)}


_RAW_ENTRY = Result(
    R.OBJ,
    "bucket/position",
    "the location in the address manager table (<bucket>/<position>)",
    (
        Result(R.STR, "address", "The address of the node"),
        Result(
            R.NUM,
            "mapped_as",
            "Mapped AS (Autonomous System) number at the end of the BGP route to the peer, used for "
            "diversifying peer selection (only displayed if the -asmap config option is set)",
            optional=True,
        ),
        Result(R.NUM, "port", "The port number of the node"),
        Result(R.STR, "network", f"The network ({', '.join(NETWORKS)}) of the address"),
        Result(R.NUM, "services", "The services offered by the node"),
        Result(R.NUM_TIME, "time", "The UNIX epoch time when the node was last seen"),
        Result(R.STR, "source", "The address that relayed the address to us"),
        Result(R.STR, "source_network", f"The network ({', '.join(NETWORKS)}) of the source address"),
        Result(
            R.NUM,
            "source_mapped_as",
            "Mapped AS (Autonomous System) number at the end of the BGP route to the source, used for "
            "diversifying peer selection (only displayed if the -asmap config option is set)",
            optional=True,
        ),
    ),
)


@method(
    "hidden",
    "EXPERIMENTAL warning: this call may be changed in future releases.\n"
    "\nReturns information on all address manager entries for the new and tried tables.\n",
    result=Result(
        R.OBJ_DYN,
        inner=(
            Result(
                R.OBJ_DYN,
                "table",
                "buckets with addresses in the address manager table ( new, tried )",
                (_RAW_ENTRY,),
            ),
        ),
    ),
    examples=cli("getrawaddrman") + curl("getrawaddrman"),
)
async def getrawaddrman(ctx: RpcContext) -> Json:
    book = _book(ctx)
    return {
        name: {
            f"{bucket}/{position}": _entry_json(entry)
            for bucket, position, entry in book.entries(tried=tried)
        }
        for name, tried in (("new", False), ("tried", True))
    }


def _entry_json(entry: Entry) -> dict[str, Json]:
    return {
        "address": entry.address.host,
        "port": entry.address.port,
        "services": int(entry.services),
        "time": entry.time,
        "network": entry.address.network_name,
        "source": entry.source.host,
        "source_network": entry.source.network_name,
    }


# Bans


@method(
    "network",
    "Attempts to add or remove an IP/Subnet from the banned list.\n",
    args=(
        Arg(
            "subnet",
            STR,
            "The IP/Subnet (see getpeerinfo for nodes IP) with an optional netmask (default is /32 = single "
            "IP)",
        ),
        Arg(
            "command",
            STR,
            "'add' to add an IP/Subnet to the list, 'remove' to remove an IP/Subnet from the list",
        ),
        Arg(
            "bantime",
            REAL,
            "time in seconds how long (or until when if [absolute] is set) the IP is banned (0 or empty "
            "means using the default time of 24h which can also be overwritten by the -bantime startup "
            "argument)",
            0,
        ),
        Arg(
            "absolute",
            BOOL,
            "If set, the bantime must be an absolute timestamp expressed in UNIX epoch time",
            False,
        ),
    ),
    result=Result(R.NONE),
    examples=cli("setban", '"192.168.0.6" "add" 86400')
    + cli("setban", '"192.168.0.0/24" "add"')
    + curl("setban", '"192.168.0.6", "add", 86400'),
)
async def setban(ctx: RpcContext, subnet: str, command: str, bantime: Json, absolute: bool) -> Json:
    if command not in ("add", "remove"):
        raise misc_error(setban.help)
    bans = _bans(ctx)
    whom: Subnet | NetAddress
    try:
        whom = Subnet.parse(subnet) if "/" in subnet else numeric_address(subnet, 0)
        if isinstance(whom, NetAddress) and not whom.is_valid:
            raise ValueError(subnet)
    except ValueError:
        raise RpcError(RpcCode.CLIENT_INVALID_IP_OR_SUBNET, "Error: Invalid IP/Subnet") from None
    if command == "add":
        if bans.is_banned(whom):
            raise RpcError(RpcCode.CLIENT_NODE_ALREADY_ADDED, "Error: IP/Subnet already banned")
        bantime = parse_int(bantime)
        if absolute and bantime < ctx.clock.time():
            raise invalid_parameter("Error: Absolute timestamp is in the past")
        bans.ban(whom, bantime, absolute=absolute)
        ctx.peers.disconnect(subnet=whom if isinstance(whom, Subnet) else Subnet.of(whom))
    elif not bans.unban(whom):
        raise RpcError(
            RpcCode.CLIENT_INVALID_IP_OR_SUBNET,
            "Error: Unban failed. Requested address/subnet was not previously manually banned.",
        )
    return None


@method(
    "network",
    "List all manually banned IPs/Subnets.\n",
    result=Result(
        R.ARR,
        inner=(
            Result(
                R.OBJ,
                inner=(
                    Result(R.STR, "address", "The IP/Subnet of the banned node"),
                    Result(R.NUM_TIME, "ban_created", "The UNIX epoch time the ban was created"),
                    Result(R.NUM_TIME, "banned_until", "The UNIX epoch time the ban expires"),
                    Result(R.NUM_TIME, "ban_duration", "The ban duration, in seconds"),
                    Result(
                        R.NUM_TIME,
                        "time_remaining",
                        "The time remaining until the ban expires, in seconds",
                    ),
                ),
            ),
        ),
    ),
    examples=cli("listbanned") + curl("listbanned"),
)
async def listbanned(ctx: RpcContext) -> Json:
    now = ctx.clock.time()
    return [
        {
            "address": str(subnet),
            "ban_created": ban.created,
            "banned_until": ban.until,
            "ban_duration": ban.until - ban.created,
            "time_remaining": ban.until - now,
        }
        for subnet, ban in _bans(ctx).banned()
    ]


@method(
    "network",
    "Clear all banned IPs.\n",
    result=Result(R.NONE),
    examples=cli("clearbanned") + curl("clearbanned"),
)
async def clearbanned(ctx: RpcContext) -> Json:
    _bans(ctx).clear()
    return None

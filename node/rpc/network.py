"""Category "network": networks and traffic; peers.py has the peers, addresses.py addresses and bans."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from pybitcoind.chain.params import CORE_VERSION
from pybitcoind.p2p.messages import PROTOCOL_VERSION, service_names

from .amounts import Amount, Json
from .arguments import BOOL
from .context import RpcContext
from .registry import Arg, Result, ResultType, cli, curl, method

if TYPE_CHECKING:
    from pybitcoind.p2p.peer_manager import PeerManager

R = ResultType
NETWORKS = ("ipv4", "ipv6", "onion", "i2p", "cjdns")
UPLOAD_TIMEFRAME = 24 * 60 * 60
MIN_OFFSETS = 5
"""Outbound peers whose clocks must be known before their median says anything."""
LOCAL_MANUAL = 4
"""Score of an address given by -externalip."""

_WARNINGS = Result(
    R.ARR,
    "warnings",
    "any network and blockchain warnings (run with `-deprecatedrpc=warnings` to return the latest warning as "
    "a single string)",
    (Result(R.STR, "", "warning"),),
)


@method(
    "network",
    "Disable/enable all p2p network activity.\n",
    args=(Arg("state", BOOL, "true to enable networking, false to disable"),),
    result=Result(R.BOOL, "", "The value that was passed in"),
)
async def setnetworkactive(ctx: RpcContext, state: bool) -> Json:
    if ctx.peers.network_active != state:
        ctx.peers.set_network_active(state)
    return ctx.peers.network_active


@method(
    "network",
    "Returns information about network traffic, including bytes in, bytes out,\nand current system time.",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "totalbytesrecv", "Total bytes received"),
            Result(R.NUM, "totalbytessent", "Total bytes sent"),
            Result(R.NUM_TIME, "timemillis", "Current system UNIX epoch time in milliseconds"),
            Result(
                R.OBJ,
                "uploadtarget",
                "",
                (
                    Result(R.NUM, "timeframe", "Length of the measuring timeframe in seconds"),
                    Result(R.NUM, "target", "Target in bytes"),
                    Result(R.BOOL, "target_reached", "True if target is reached"),
                    Result(R.BOOL, "serve_historical_blocks", "True if serving historical blocks"),
                    Result(R.NUM, "bytes_left_in_cycle", "Bytes left in current time cycle"),
                    Result(R.NUM, "time_left_in_cycle", "Seconds left in current time cycle"),
                ),
            ),
        ),
    ),
    examples=cli("getnettotals") + curl("getnettotals"),
)
async def getnettotals(ctx: RpcContext) -> Json:
    received, sent = ctx.peers.totals
    budget = ctx.peers.context.upload
    return {
        "totalbytesrecv": received,
        "totalbytessent": sent,
        "timemillis": time.time_ns() // 1_000_000,  # the system's, whatever the mock time
        "uploadtarget": {
            "timeframe": UPLOAD_TIMEFRAME,
            "target": budget.limit,
            "target_reached": budget.reached,
            "serve_historical_blocks": budget.serves_historical,
            "bytes_left_in_cycle": budget.bytes_left,
            "time_left_in_cycle": budget.seconds_left,
        },
    }


@method(
    "network",
    "Returns an object containing various state info regarding P2P networking.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.NUM, "version", "the server version"),
            Result(R.STR, "subversion", "the server subversion string"),
            Result(R.NUM, "protocolversion", "the protocol version"),
            Result(R.STR_HEX, "localservices", "the services we offer to the network"),
            Result(
                R.ARR,
                "localservicesnames",
                "the services we offer to the network, in human-readable form",
                (Result(R.STR, "SERVICE_NAME", "the service name"),),
            ),
            Result(R.BOOL, "localrelay", "true if transaction relay is requested from peers"),
            Result(R.NUM, "timeoffset", "the time offset"),
            Result(R.NUM, "connections", "the total number of connections"),
            Result(R.NUM, "connections_in", "the number of inbound connections"),
            Result(R.NUM, "connections_out", "the number of outbound connections"),
            Result(R.BOOL, "networkactive", "whether p2p networking is enabled"),
            Result(
                R.ARR,
                "networks",
                "information per network",
                (
                    Result(
                        R.OBJ,
                        inner=(
                            Result(R.STR, "name", f"network ({', '.join(NETWORKS)})"),
                            Result(R.BOOL, "limited", "is the network limited using -onlynet?"),
                            Result(R.BOOL, "reachable", "is the network reachable?"),
                            Result(
                                R.STR,
                                "proxy",
                                '("host:port") the proxy that is used for this network, or empty if none',
                            ),
                            Result(
                                R.BOOL,
                                "proxy_randomize_credentials",
                                "Whether randomized credentials are used",
                            ),
                        ),
                    ),
                ),
            ),
            Result(R.NUM, "relayfee", "minimum relay fee rate for transactions in BTC/kvB"),
            Result(
                R.NUM,
                "incrementalfee",
                "minimum fee rate increment for mempool limiting or replacement in BTC/kvB",
            ),
            Result(
                R.ARR,
                "localaddresses",
                "list of local addresses",
                (
                    Result(
                        R.OBJ,
                        inner=(
                            Result(R.STR, "address", "network address"),
                            Result(R.NUM, "port", "network port"),
                            Result(R.NUM, "score", "relative score"),
                        ),
                    ),
                ),
            ),
            _WARNINGS,
        ),
    ),
    examples=cli("getnetworkinfo") + curl("getnetworkinfo"),
)
async def getnetworkinfo(ctx: RpcContext) -> Json:
    peers, mempool = ctx.peers, ctx.node.mempool
    options, services = peers.options, peers.context.services
    inbound, outbound = peers.counts()
    out: dict[str, Json] = {
        "version": CORE_VERSION,
        "subversion": options.user_agent.decode(),
        "protocolversion": PROTOCOL_VERSION,
        "localservices": f"{services:016x}",
        "localservicesnames": service_names(services),
        "localrelay": not options.blocks_only,
        "timeoffset": _median_offset(peers),
        "networkactive": peers.network_active,
        "connections": inbound + outbound,
        "connections_in": inbound,
        "connections_out": outbound,
        "networks": [_network_json(ctx, name) for name in NETWORKS],
    }
    if mempool is not None:
        out["relayfee"] = Amount(mempool.settings.min_relay_feerate)
        out["incrementalfee"] = Amount(mempool.settings.incremental_relay_feerate)
    out["localaddresses"] = [
        {"address": address.host, "port": address.port, "score": LOCAL_MANUAL}
        for address in sorted(peers.addresses.local)
    ]
    out["warnings"] = ctx.warnings()
    return out


def _median_offset(peers: PeerManager) -> int:
    """Seconds by which the clocks of outbound peers are ahead of ours; 0 while there are few of them."""
    offsets = [p.features.time_offset for p in peers.peers.values() if not p.inbound and p.complete]
    return int(statistics.median(offsets)) if len(offsets) >= MIN_OFFSETS else 0


def _network_json(ctx: RpcContext, name: str) -> dict[str, Json]:
    """IP can be reached, and Tor's onion services where there is a proxy for them."""
    only, proxies = ctx.node.config.values("onlynet"), ctx.node.proxies
    proxy = proxies.text(name) if proxies else ""
    reachable = name in ("ipv4", "ipv6") or (name == "onion" and bool(proxy))
    reachable = reachable and (not only or name in only)
    return {
        "name": name,
        "limited": not reachable,
        "reachable": reachable,
        "proxy": proxy,
        "proxy_randomize_credentials": bool(proxies and proxy and proxies.randomize),
    }

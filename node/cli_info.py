"""The readable reports of pybitcoin-cli: -getinfo and -netinfo, in Core's layout."""

from __future__ import annotations

from typing import Any

NETWORKS = ("not_publicly_routable", "ipv4", "ipv6", "onion", "i2p", "cjdns", "internal")
SHORT_NAMES = {"not_publicly_routable": "npr", "internal": "int"}
_CONNECTION_TYPES = {
    "outbound-full-relay": "full",
    "block-relay-only": "block",
    "manual": "manual",
    "feeler": "feeler",
    "addr-fetch": "addr",
    "private-broadcast": "priv",
}

NETINFO_HELP = """-netinfo (level [outonly]) | help

Connections of the server and its local addresses.

level 0: counts and addresses only. 1: and the peers. 2: with addresses. 3: with versions. 4: with both.
outonly (or o): outbound peers only; with a level from 1 on.

Columns: <-> direction; type of connection; net; serv: services by first letter (l: network limited, 2: v2);
v: transport protocol; mping, ping: lowest and last ping in ms; send, recv: seconds since the last message;
txn, blk: minutes since the last new transaction and block; hb: high-bandwidth compact blocks (. to, * from);
addrp, addrl: addresses processed and dropped; age in minutes; id."""

_COLORS = {
    "chain": "\x1b[34m",
    "network": "\x1b[32m",
    "wallet": "\x1b[35m",
    "balance": "\x1b[36m",
    "warnings": "\x1b[33m",
}


def get_info(
    network: dict[str, Any],
    chain: dict[str, Any],
    wallet: dict[str, Any] | None,
    balances: dict[str, Any] | None,
    by_wallet: dict[str, str],
    colors: bool,
) -> str:
    """The -getinfo report; numbers are as the server wrote them."""

    def paint(what: str) -> tuple[str, str]:
        return (_COLORS[what], "\x1b[0m") if colors else ("", "")

    progress = float(chain["verificationprogress"])
    bar = _progress_bar(progress) + " " if progress < 0.99 else ""
    on, off = paint("chain")
    lines = [
        f"{on}Chain: {chain['chain']}{off}",
        f"Blocks: {chain['blocks']}",
        f"Headers: {chain['headers']}",
        f"Verification progress: {bar}{progress * 100:.4f}%",
        f"Difficulty: {chain['difficulty']}",
        "",
    ]
    on, off = paint("network")
    lines += [
        f"{on}Network: in {network['connections_in']}, out {network['connections_out']}, "
        f"total {network['connections']}{off}",
        f"Version: {network['version']}",
        f"Time offset (s): {network['timeoffset']}",
        f"Proxies: {_proxies(network['networks'])}",
        f"Min tx relay fee rate (BTC/kvB): {network['relayfee']}",
        "",
    ]
    if wallet is not None:
        on, off = paint("wallet")
        name = wallet["walletname"] or '""'
        lines += [f"{on}Wallet: {name}{off}", f"Keypool size: {wallet['keypoolsize']}"]
        if wallet.get("unlocked_until") is not None:
            lines.append(f"Unlocked until: {wallet['unlocked_until']}")
    on, off = paint("balance")
    if balances is not None:
        lines += [f"{on}Balance:{off} {balances['mine']['trusted']}", ""]
    if by_wallet:
        width = max(10, *map(len, by_wallet.values()))
        lines.append(f"{on}Balances{off}")
        lines += [f"{amount:>{width}} {name or chr(34) * 2}" for name, amount in by_wallet.items()]
        lines.append("")
    on, off = paint("warnings")
    warnings = network["warnings"]
    text = "\n".join(warnings) if isinstance(warnings, list) else str(warnings)
    lines.append(f"{on}Warnings:{off} {text or '(none)'}")
    return "\n".join(lines)


def _progress_bar(progress: float) -> str:
    if not 0 <= progress <= 1:
        return ""
    done = sum(1 for i in range(21) if i < progress / 0.05)
    left = sum(1 for i in range(21) if i < (1 - progress) / 0.05)
    return "▒" * done + "░" * left


def _proxies(networks: list[dict[str, Any]]) -> str:
    by_proxy: dict[str, list[str]] = {}
    for network in networks:
        if network["proxy"]:
            by_proxy.setdefault(network["proxy"], []).append(network["name"])
    return ", ".join(f"{proxy} ({', '.join(names)})" for proxy, names in by_proxy.items()) or "n/a"


def net_info(
    peers: list[dict[str, Any]],
    network: dict[str, Any],
    chain: str,
    level: int,
    outbound_only: bool,
    now: float,
) -> str:
    """The -netinfo report. now: seconds since 1970."""
    services = f" - services {_letters(network['localservicesnames'])}" if level else ""
    where = "" if chain == "main" else f" {chain}"
    parts = [
        f"pybitcoind client v0.1.0{where} - server "
        f"{network['protocolversion']}{network['subversion']}{services}\n"
    ]
    if level and peers:
        shown = [peer for peer in peers if not (outbound_only and peer["inbound"])]
        if shown:
            parts.append(_peer_table(shown, level, int(now)))
    parts.append(_counts(peers, network))
    if not level:
        names = ", ".join(name.replace("_", " ").lower() for name in network["localservicesnames"])
        parts.append(f"Local services: {names}\n")
    parts.append(_local_addresses(network["localaddresses"]))
    return "\n".join(parts)


def _letters(services: list[str]) -> str:
    special = {"NETWORK_LIMITED": "l", "P2P_V2": "2"}
    return "".join(special.get(name, name[0].lower()) for name in services)


def _milliseconds(peer: dict[str, Any], key: str) -> str:
    if peer.get(key) is None:
        return ""
    value = round(1000 * float(peer[key]))
    return "-" if value > 999_999 else str(value)


def _peer_table(peers: list[dict[str, Any]], level: int, now: int) -> str:
    """One line a peer, inbound first, each group by lowest ping; columns widen with what is in them."""

    def since(peer: dict[str, Any], key: str, unit: int) -> str:
        when = int(peer[key])
        return str((now - when) // unit) if when else ""

    def count(peer: dict[str, Any], key: str) -> str:
        return str(peer[key]) if int(peer.get(key) or 0) else ""

    peers = sorted(peers, key=lambda p: (not p["inbound"], float(p.get("minping") or -1)))
    services = _column(6, [_letters(peer["servicesnames"]) for peer in peers])
    processed = _column(
        5, [count(p, "addr_processed") or ("" if p.get("addr_relay_enabled") else ".") for p in peers]
    )
    limited = _column(6, [count(peer, "addr_rate_limited") for peer in peers])
    ages = _column(5, [since(peer, "conntime", 60) for peer in peers])
    ids = _column(2, [str(peer["id"]) for peer in peers])
    addresses = _column(0, [peer["addr"] for peer in peers] if level in (2, 4) else [""])
    width = len(addresses[0]) + 1 if level in (2, 4) else 0
    columns = zip(
        ("serv", "addrp", "addrl", "age", "id"), (services, processed, limited, ages, ids), strict=True
    )
    serv, addrp, addrl, age, number = (name.rjust(len(cells[0])) for name, cells in columns)
    lines = [
        f"<->   type   net {serv}  v  mping   ping send recv  txn  blk  hb {addrp}{addrl}{age} {number} "
        + ("address" if width else "").ljust(width)
        + ("version" if level in (3, 4) else "")
    ]
    for i, peer in enumerate(peers):
        direction, kind = (
            "in" if peer["inbound"] else "out",
            _CONNECTION_TYPES.get(peer["connection_type"], ""),
        )
        network = SHORT_NAMES.get(peer["network"], peer["network"])
        transport = str(peer.get("transport_protocol_type", "v1"))[-1]
        transactions = since(peer, "last_transaction", 60) or ("" if peer.get("relaytxes", True) else "*")
        marks = ("." if peer["bip152_hb_to"] else " ") + ("*" if peer["bip152_hb_from"] else " ")
        lines.append(
            f"{direction:>3} {kind:>6} {network:>5} {services[i]} {transport:>2}"
            f"{_milliseconds(peer, 'minping'):>7}{_milliseconds(peer, 'pingtime'):>7}"
            f"{since(peer, 'lastsend', 1):>5}{since(peer, 'lastrecv', 1):>5}{transactions:>5}"
            f"{since(peer, 'last_block', 60):>5}  {marks} {processed[i]}{limited[i]}{ages[i]} {ids[i]} "
            + (peer["addr"].ljust(width) if width else "")
            + (f"{peer['version']}{peer['subver']}" if level in (3, 4) else "")
        )
    units = "        ms     ms  sec  sec  min  min                "
    lines.append(" " * (17 + len(services[0])) + units + "min".rjust(len(ages[0])))
    return "\n".join(lines) + "\n"


def _column(least: int, cells: list[str]) -> list[str]:
    """cells to the right in a column at least so wide."""
    width = max(least, *map(len, cells))
    return [cell.rjust(width) for cell in cells]


def _counts(peers: list[dict[str, Any]], network: dict[str, Any]) -> str:
    """How many peers come in and go out, by network."""
    shown = [row["name"] for row in network["networks"] if row["reachable"]]
    shown += [name for name in SHORT_NAMES if any(peer["network"] == name for peer in peers)]
    block = sum(peer["connection_type"] == "block-relay-only" for peer in peers)
    manual = sum(peer["connection_type"] == "manual" for peer in peers)
    head = "     " + "".join(f"{SHORT_NAMES.get(name, name):>8}" for name in shown) + "   total   block"
    lines = [head + ("  manual" if manual else "")]
    for title, wanted in (("in", (True,)), ("out", (False,)), ("total", (True, False))):
        rows = [peer for peer in peers if peer["inbound"] in wanted]
        line = f"{title:<5}" + "".join(f"{sum(p['network'] == name for p in rows):8}" for name in shown)
        line += f"   {len(rows):5}"
        if title == "out":
            line += f"   {block:5}" + (f"   {manual:5}" if manual else "")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _local_addresses(addresses: list[dict[str, Any]]) -> str:
    if not addresses:
        return "Local addresses: n/a\n"
    width = max(len(row["address"]) for row in addresses)
    lines = [
        f"{row['address']:<{width}}    port {row['port']:>6}    score {row['score']:>6}" for row in addresses
    ]
    return "Local addresses\n" + "\n".join(lines) + "\n"

"""How to deal with peers, from the options."""

from __future__ import annotations

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.ports import Endpoint
from pybitcoind.p2p.context import Bind, P2POptions, user_agent
from pybitcoind.p2p.messages import ServiceFlags
from pybitcoind.p2p.permissions import BadPermission, Permission, WhitelistEntry, parse_permissions

from .checks import filter_index_wanted
from .config import Config, ConfigError


def p2p_options(config: Config, params: ChainParams) -> P2POptions:
    """Raises ConfigError in Core's words."""
    spv = config.text("role", "full") == "spv"
    connect = config.values("connect")
    only: list[str] | None = None
    if connect or config.negated("connect"):
        only = [] if connect in ([], ["0"]) else connect
    try:
        whitelist = [WhitelistEntry.parse(text) for text in config.values("whitelist")]
    except BadPermission as error:
        raise ConfigError(str(error)) from None
    return P2POptions(
        binds=_binds(config, params),
        connect=only,
        addnodes=config.values("addnode"),
        seednodes=config.values("seednode"),
        max_connections=config.number("maxconnections", 125),
        peer_timeout=config.number("peertimeout", 60),
        connect_timeout=max(config.number("timeout", 5000), 1) / 1000,
        look_up_names=config.flag("dns", True),
        user_agent=user_agent(config.values("uacomment")),
        services=_services(config, spv),
        blocks_only=config.flag("blocksonly"),
        tx_reconciliation=config.flag("txreconciliation"),
        extra_transactions=max(config.number("blockreconstructionextratxn", 100), 0),
        whitelist=whitelist,
        whitelist_relay=config.flag("whitelistrelay", True),
        whitelist_force_relay=config.flag("whitelistforcerelay"),
        log_ips=config.flag("logips"),
        network_active=config.flag("networkactive", True),
        headers_only=spv,
        max_upload=_byte_count(config.text("maxuploadtarget", "0"), "maxuploadtarget"),
        external_addresses=config.values("externalip"),
    )


_UNITS: dict[str, int] = {unit: 1000**i for i, unit in enumerate("kmgt", 1)} | {
    unit: 1024**i for i, unit in enumerate("KMGT", 1)
}


def _byte_count(text: str, option: str) -> int:
    """Bytes of "5", "5M" (both 5 MiB), "5m" (5,000,000) and so on; ConfigError otherwise."""
    unit = _UNITS.get(text[-1:])
    digits = text if unit is None else text[:-1]
    if digits.isascii() and digits.isdecimal():
        count = int(digits) * (unit or _UNITS["M"])
        if count < 2**64:
            return count
    raise ConfigError(f"Unable to parse -{option}: '{text}'")


def _services(config: Config, spv: bool) -> int:
    if spv:
        return ServiceFlags.NONE
    services = ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS
    if not config.number("prune"):
        services |= ServiceFlags.NETWORK
    if config.flag("peerblockfilters") and filter_index_wanted(config):
        services |= ServiceFlags.COMPACT_FILTERS
    if config.flag("peerbloomfilters"):
        services |= ServiceFlags.BLOOM
    return services


def _binds(config: Config, params: ChainParams) -> list[Bind]:
    """Where to listen: -bind and -whitebind, or all addresses; empty with -listen=0.

    With all addresses goes the next port of 127.0.0.1, as in Core: connections that come there are Tor's.
    """
    if not config.flag("listen", True):
        return []
    port = config.number("port", params.port)
    binds = []
    for text in config.values("bind"):
        address, onion, kind = text.rpartition("=")
        if onion and kind != "onion":
            raise ConfigError(f"Cannot resolve -bind address: '{text}'")
        binds.append(Bind(_endpoint(address if onion else text, port + bool(onion), "bind", text)))
    for text in config.values("whitebind"):
        try:
            permissions, _, _, address = parse_permissions(text, directions=False)
        except BadPermission as error:
            raise ConfigError(str(error)) from None
        endpoint = _endpoint(address, 0, "whitebind", address)
        if endpoint[1] == 0:
            raise ConfigError(f"Need to specify a port with -whitebind: '{address}'")
        binds.append(Bind(endpoint, Permission(permissions)))
    for i, bind in enumerate(binds):
        if bind.endpoint[1] and bind.endpoint in [other.endpoint for other in binds[:i]]:
            host, number = bind.endpoint
            raise ConfigError(
                f"Duplicate binding configuration for address {_text(host, number)}. "
                "Please check your -bind, -bind=...=onion and -whitebind settings."
            )
    if binds:
        return binds
    everywhere = [Bind(("0.0.0.0", port)), Bind(("::", port))]
    return [*everywhere, Bind(("127.0.0.1", port + 1))] if port else everywhere


def _text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _endpoint(text: str, port: int, option: str, given: str) -> Endpoint:
    """A numeric address with or without port; "localhost" is 127.0.0.1."""
    import ipaddress

    host, colon, number = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host = text
    elif number.isdecimal():
        port = int(number)
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise ConfigError(f"Cannot resolve -{option} address: '{given}'") from None
    return str(address), port

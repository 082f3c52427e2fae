"""What some peers may do that others may not: -whitelist and -whitebind (Bitcoin Core net_permissions)."""

from __future__ import annotations

from enum import IntFlag
from typing import NamedTuple

from .ban_list import Subnet


class Permission(IntFlag):
    """Names as in getpeerinfo, in capitals. NOBAN implies DOWNLOAD, FORCERELAY implies RELAY."""

    NONE = 0
    BLOOMFILTER = 1 << 1
    RELAY = 1 << 3
    FORCERELAY = 1 << 2 | RELAY
    DOWNLOAD = 1 << 6
    NOBAN = 1 << 4 | DOWNLOAD
    MEMPOOL = 1 << 5
    ADDR = 1 << 7
    IMPLICIT = 1 << 31
    """None was named: the usual ones are meant."""
    ALL = BLOOMFILTER | FORCERELAY | NOBAN | MEMPOOL | ADDR


_ORDER = ("bloomfilter", "noban", "forcerelay", "relay", "mempool", "download", "addr")


def permission_names(permissions: Permission) -> list[str]:
    """In Core's order."""
    return [name for name in _ORDER if permissions & Permission[name.upper()] == Permission[name.upper()]]


class BadPermission(ValueError):
    """A -whitelist or -whitebind value that is none; str() is Core's message."""


def parse_permissions(text: str, *, directions: bool = True) -> tuple[Permission, bool, bool, str]:
    """(permissions, inbound, outbound, rest) of "noban,in,out@rest"; BadPermission with Core's words."""
    head, at, rest = text.partition("@")
    if not at:
        return Permission.IMPLICIT, True, False, text
    flags, inbound, outbound = Permission.NONE, False, False
    for word in head.split(","):
        if word == "":
            continue
        if word == "in":
            inbound = True
        elif word == "out":
            if not directions:
                raise BadPermission('whitebind may only be used for incoming connections ("out" was passed)')
            outbound = True
        elif word == "all" or word in _ORDER:
            flags |= Permission[word.upper()]
        elif word == "bloom":
            flags |= Permission.BLOOMFILTER
        else:
            raise BadPermission(f"Invalid P2P permission: '{word}'")
    if not inbound and not outbound:
        inbound = True
    elif flags == Permission.NONE:
        raise BadPermission(f"Only direction was set, no permissions: '{text}'")
    return flags, inbound, outbound, rest


class WhitelistEntry(NamedTuple):
    """What peers of a subnet may do, whichever side the connection comes from."""

    subnet: Subnet
    permissions: Permission
    inbound: bool
    outbound: bool

    @classmethod
    def parse(cls, text: str) -> WhitelistEntry:
        """A -whitelist value."""
        flags, inbound, outbound, rest = parse_permissions(text)
        try:
            subnet = Subnet.parse(rest)
        except ValueError:
            raise BadPermission(f"Invalid netmask specified in -whitelist: '{rest}'") from None
        return cls(subnet, flags, inbound, outbound)


def resolve_implicit(permissions: Permission, *, relay: bool = True, force_relay: bool = False) -> Permission:
    """IMPLICIT spelled out: as -whitelistrelay and -whitelistforcerelay say."""
    if not permissions & Permission.IMPLICIT:
        return permissions
    permissions &= ~Permission.IMPLICIT
    if force_relay:
        permissions |= Permission.FORCERELAY
    if relay:
        permissions |= Permission.RELAY
    return permissions | Permission.MEMPOOL | Permission.NOBAN

"""Bitcoin's messages: one file per family, one table over all. Knows bytes only, no sockets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pybitcoind.chain.primitives.serialize import DecodeError, Reader, Writer

from .addresses import Addr, AddrV2, PeerAddress
from .blocks import BlockMessage, GetBlocks, GetHeaders, Headers, MerkleBlockMessage
from .compact import BlockTxn, CmpctBlock, GetBlockTxn
from .control import FeeFilter, GetAddr, MempoolRequest, Ping, Pong
from .filters import (
    CFCheckpt,
    CFHeaders,
    CFilter,
    FilterAdd,
    FilterClear,
    FilterLoad,
    GetCFCheckpt,
    GetCFHeaders,
    GetCFilters,
)
from .handshake import SendAddrV2, SendCmpct, SendHeaders, SendTxRcncl, Verack, Version, WtxidRelay
from .inventory import GetData, Inv, InvMessage, InvType, NotFound
from .message import (
    KNOWN_COMMANDS,
    MAX_PROTOCOL_MESSAGE_LENGTH,
    PROTOCOL_VERSION,
    Disconnect,
    Message,
    Misbehaviour,
    ServiceFlags,
    sanitize,
    service_names,
)
from .netaddress import UNKNOWN_ADDRESS, NetAddress, NetworkId
from .transactions import TxMessage

_ALL: tuple[type[Message], ...] = (
    *(Version, Verack, WtxidRelay, SendAddrV2, SendTxRcncl, SendHeaders, SendCmpct),
    *(Ping, Pong, FeeFilter, GetAddr, MempoolRequest),
    *(Addr, AddrV2),
    *(InvMessage, GetData, NotFound),
    *(GetHeaders, Headers, GetBlocks, BlockMessage, MerkleBlockMessage),
    *(CmpctBlock, GetBlockTxn, BlockTxn),
    TxMessage,
    *(GetCFilters, CFilter, GetCFHeaders, CFHeaders, GetCFCheckpt, CFCheckpt),
    *(FilterLoad, FilterAdd, FilterClear),
)

MESSAGES: dict[str, type[Message]] = {m.COMMAND: m for m in _ALL}
BY_V2_ID: dict[int, type[Message]] = {m.V2_ID: m for m in _ALL if m.V2_ID is not None}


@dataclass(slots=True)
class Unknown:
    """A message we have no class for; ignored by the peer."""

    COMMAND: ClassVar[str] = ""
    V2_ID: ClassVar[int | None] = None
    command: str
    payload: bytes


def encode_payload(message: Message) -> bytes:
    """The payload alone, without a transport's header."""
    w = Writer()
    message.encode(w)
    return w.getvalue()


def decode_message(command: str, payload: bytes) -> Message | Unknown:
    """The message that payload starts with; bytes behind it are ignored, as in Core.

    DecodeError if it is malformed; its subclasses Misbehaviour and Disconnect if it breaks a limit.
    """
    kind = MESSAGES.get(command)
    return Unknown(command, payload) if kind is None else kind.decode(Reader(payload))


__all__ = [
    "BY_V2_ID",
    "KNOWN_COMMANDS",
    "MAX_PROTOCOL_MESSAGE_LENGTH",
    "MESSAGES",
    "PROTOCOL_VERSION",
    "UNKNOWN_ADDRESS",
    "Addr",
    "AddrV2",
    "BlockMessage",
    "BlockTxn",
    "CFCheckpt",
    "CFHeaders",
    "CFilter",
    "CmpctBlock",
    "DecodeError",
    "Disconnect",
    "FeeFilter",
    "FilterAdd",
    "FilterClear",
    "FilterLoad",
    "GetAddr",
    "GetBlockTxn",
    "GetBlocks",
    "GetCFCheckpt",
    "GetCFHeaders",
    "GetCFilters",
    "GetData",
    "GetHeaders",
    "Headers",
    "Inv",
    "InvMessage",
    "InvType",
    "MempoolRequest",
    "MerkleBlockMessage",
    "Message",
    "Misbehaviour",
    "NetAddress",
    "NetworkId",
    "NotFound",
    "PeerAddress",
    "Ping",
    "Pong",
    "SendAddrV2",
    "SendCmpct",
    "SendHeaders",
    "SendTxRcncl",
    "ServiceFlags",
    "TxMessage",
    "Unknown",
    "Verack",
    "Version",
    "WtxidRelay",
    "decode_message",
    "encode_payload",
    "sanitize",
    "service_names",
]

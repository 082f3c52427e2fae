"""RPC failures: Core's codes (src/rpc/protocol.h, 31.99) and the exception that carries one to the client."""

from __future__ import annotations

from enum import IntEnum


class RpcCode(IntEnum):
    """Core's RPC error codes, without the RPC_ prefix."""

    INVALID_REQUEST = -32600
    METHOD_NOT_FOUND = -32601
    INVALID_PARAMS = -32602
    INTERNAL_ERROR = -32603
    PARSE_ERROR = -32700

    MISC_ERROR = -1
    TYPE_ERROR = -3
    INVALID_ADDRESS_OR_KEY = -5
    OUT_OF_MEMORY = -7
    INVALID_PARAMETER = -8
    DATABASE_ERROR = -20
    DESERIALIZATION_ERROR = -22
    VERIFY_ERROR = -25
    VERIFY_REJECTED = -26
    VERIFY_ALREADY_IN_UTXO_SET = -27
    IN_WARMUP = -28
    METHOD_DEPRECATED = -32

    TRANSACTION_ERROR = -25
    TRANSACTION_REJECTED = -26

    CLIENT_NOT_CONNECTED = -9
    CLIENT_IN_INITIAL_DOWNLOAD = -10
    CLIENT_NODE_ALREADY_ADDED = -23
    CLIENT_NODE_NOT_ADDED = -24
    CLIENT_NODE_NOT_CONNECTED = -29
    CLIENT_INVALID_IP_OR_SUBNET = -30
    CLIENT_P2P_DISABLED = -31
    CLIENT_NODE_CAPACITY_REACHED = -34
    CLIENT_MEMPOOL_DISABLED = -33

    WALLET_ERROR = -4
    WALLET_INSUFFICIENT_FUNDS = -6
    WALLET_INVALID_LABEL_NAME = -11
    WALLET_KEYPOOL_RAN_OUT = -12
    WALLET_UNLOCK_NEEDED = -13
    WALLET_PASSPHRASE_INCORRECT = -14
    WALLET_WRONG_ENC_STATE = -15
    WALLET_ENCRYPTION_FAILED = -16
    WALLET_ALREADY_UNLOCKED = -17
    WALLET_NOT_FOUND = -18
    WALLET_NOT_SPECIFIED = -19
    WALLET_ALREADY_LOADED = -35
    WALLET_ALREADY_EXISTS = -36


class RpcError(Exception):
    """A method says no. code: one of RpcCode; message: Core's words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = int(code), message

    def as_json(self) -> dict[str, object]:
        return {"code": self.code, "message": self.message}


def misc_error(message: str) -> RpcError:
    """What Core throws as a plain std::runtime_error: code -1."""
    return RpcError(RpcCode.MISC_ERROR, message)


def invalid_parameter(message: str) -> RpcError:
    return RpcError(RpcCode.INVALID_PARAMETER, message)


def type_error(message: str) -> RpcError:
    return RpcError(RpcCode.TYPE_ERROR, message)


def internal_bug(what: str) -> RpcError:
    """Our own mistake, in Core's form (STR_INTERNAL_BUG), so that clients know it for one."""
    return misc_error(
        f"Internal bug detected: {what}\nPlease report this issue with the debug.log attached.\n"
    )

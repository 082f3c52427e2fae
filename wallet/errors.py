"""What a wallet refuses, with what kind of failure it is; node/rpc gives each kind Core's code."""

from __future__ import annotations

from enum import Enum, auto


class WalletFault(Enum):
    GENERAL = auto()
    NOT_FOUND = auto()
    ALREADY_LOADED = auto()
    INVALID_PARAMETER = auto()
    INVALID_ADDRESS = auto()
    KEYPOOL_RAN_OUT = auto()
    INSUFFICIENT_FUNDS = auto()
    NOT_FOUND_TX = auto()


class WalletError(Exception):
    """The message is Core's."""

    def __init__(self, message: str, fault: WalletFault = WalletFault.GENERAL) -> None:
        super().__init__(message)
        self.fault = fault


class WalletMissing(WalletError):
    """Nothing is where the wallet should be."""

"""What the wallet's methods share: finding the wallet, Core's codes for its refusals, common results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.wallet.chain_client import BlocksMissing
from pybitcoind.wallet.errors import WalletError, WalletFault
from pybitcoind.wallet.follow import Follower
from pybitcoind.wallet.manager import WalletManager
from pybitcoind.wallet.settings import OUTPUT_TYPES
from pybitcoind.wallet.wallet import Wallet

from .amounts import Json
from .context import RpcContext
from .errors import RpcCode, RpcError, misc_error
from .registry import Result, ResultType

R = ResultType

_CODES = {
    WalletFault.GENERAL: RpcCode.WALLET_ERROR,
    WalletFault.NOT_FOUND: RpcCode.WALLET_NOT_FOUND,
    WalletFault.ALREADY_LOADED: RpcCode.WALLET_ALREADY_LOADED,
    WalletFault.INVALID_PARAMETER: RpcCode.INVALID_PARAMETER,
    WalletFault.INVALID_ADDRESS: RpcCode.INVALID_ADDRESS_OR_KEY,
    WalletFault.KEYPOOL_RAN_OUT: RpcCode.WALLET_KEYPOOL_RAN_OUT,
    WalletFault.INSUFFICIENT_FUNDS: RpcCode.WALLET_INSUFFICIENT_FUNDS,
    WalletFault.NOT_FOUND_TX: RpcCode.INVALID_ADDRESS_OR_KEY,
}

LAST_PROCESSED = Result(
    R.OBJ,
    "lastprocessedblock",
    "hash and height of the block this information was generated on",
    (
        Result(R.STR_HEX, "hash", "hash of the block this information was generated on"),
        Result(R.NUM, "height", "height of the block this information was generated on"),
    ),
)
WARNINGS = Result(R.ARR, "warnings", "Warning messages, if any.", (Result(R.STR),), optional=True)


def manager(ctx: RpcContext) -> WalletManager:
    """RpcError where the node has no wallets (-disablewallet)."""
    wallets = ctx.node.wallets
    if wallets is None:
        raise RpcError(RpcCode.METHOD_NOT_FOUND, "Method not found")
    return wallets


async def wallet_of(ctx: RpcContext, *, wait: bool = True) -> Wallet:
    """The wallet that the call is for, up to date with every event until now. RpcError -18, -19.

    wait: until a wallet that was loaded has reached the tip, where that needs no peer.
    """
    wallets = manager(ctx).wallets
    if ctx.wallet_name is not None:
        wallet = wallets.get(ctx.wallet_name)
        if wallet is None:
            raise RpcError(RpcCode.WALLET_NOT_FOUND, "Requested wallet does not exist or is not loaded")
    elif len(wallets) == 1:
        (wallet,) = wallets.values()
    elif not wallets:
        raise RpcError(
            RpcCode.WALLET_NOT_FOUND,
            "No wallet is loaded. Load a wallet using loadwallet or create a new one with createwallet. "
            "(Note: A default wallet is no longer automatically created)",
        )
    else:
        raise RpcError(
            RpcCode.WALLET_NOT_SPECIFIED,
            "Multiple wallets are loaded. Please select which wallet to use by requesting the RPC through "
            "the /wallet/<walletname> URI path.",
        )
    if wait and wallet.client.has_blocks:
        await follower_of(ctx, wallet).synced.wait()
    await ctx.node.events.drained()
    return wallet


def follower_of(ctx: RpcContext, wallet: Wallet) -> Follower:
    return manager(ctx).followers[wallet.name]


@contextmanager
def wallet_errors() -> Iterator[None]:
    """A wallet's refusal as the RpcError that Core gives for it."""
    try:
        yield
    except WalletError as error:
        raise RpcError(_CODES[error.fault], str(error)) from None
    except BlocksMissing as error:
        raise misc_error(str(error)) from None


def parse_label(value: Json) -> str:
    label = "" if value is None else str(value)
    if label == "*":
        raise RpcError(RpcCode.WALLET_INVALID_LABEL_NAME, "Invalid label name")
    return label


def parse_output_type(value: str | None) -> str | None:
    if value is not None and value not in OUTPUT_TYPES:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f"Unknown address type '{value}'")
    return value


def last_processed(wallet: Wallet) -> Json:
    assert wallet.best is not None
    return {"hash": hash_hex(wallet.best.hash), "height": wallet.best.height}


def parent_descriptors(wallet: Wallet, script: bytes) -> list[Json]:
    return [entry.descriptor.normalized() for entry, _ in wallet.book.places(script)]

"""Category "wallet": messages signed with a key of the wallet."""

from __future__ import annotations

from pybitcoind.chain.script.address import PubKeyHash

from .amounts import Json
from .arguments import STR
from .context import RpcContext
from .errors import RpcCode, RpcError
from .messages import UNLOCK_EXAMPLE, key_hash_of, signature_text
from .registry import Arg, Result, ResultType, curl, method
from .wallet_common import wallet_of


@method(
    "wallet",
    "Sign a message with the private key of an address"
    "\nRequires wallet passphrase to be set with walletpassphrase call if wallet is encrypted.\n",
    args=(
        Arg("address", STR, "The bitcoin address to use for the private key."),
        Arg("message", STR, "The message to create a signature of."),
    ),
    result=Result(ResultType.STR, "signature", "The signature of the message encoded in base 64"),
    examples=UNLOCK_EXAMPLE + curl("signmessage", '"1D1ZrZNe3JUo7ZycKEYQQiQAWd9y54F4XX", "my message"'),
)
async def signmessage(ctx: RpcContext, address: str, message: str) -> Json:
    wallet = await wallet_of(ctx)
    key_hash = key_hash_of(address, ctx.params)
    keyring = wallet.keyring([PubKeyHash(key_hash).script_pubkey], secrets=True)
    pubkey = keyring.pubkey(key_hash)
    secret = keyring.secret(pubkey) if pubkey is not None else None
    if pubkey is None or secret is None:
        raise RpcError(RpcCode.WALLET_ERROR, "Private key not available")
    return signature_text(message, secret, len(pubkey) == 33)

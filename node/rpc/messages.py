"""Category "util": messages signed with the key of an address."""

from __future__ import annotations

from base64 import b64decode, b64encode

from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.script.address import AddressError, PubKeyHash, decode_address
from pybitcoind.chain.script.signed_message import is_signed_by, sign_message
from pybitcoind.wallet.hd import decode_wif

from .amounts import Json
from .arguments import STR
from .context import RpcContext
from .errors import RpcCode, RpcError, type_error
from .registry import Arg, Result, ResultType, cli, curl, method

R = ResultType
_ADDRESS = '"1D1ZrZNe3JUo7ZycKEYQQiQAWd9y54F4XX"'
VERIFY_EXAMPLE = "\nVerify the signature\n" + cli("verifymessage", f'{_ADDRESS} "signature" "my message"')
UNLOCK_EXAMPLE = (
    "\nUnlock the wallet for 30 seconds\n"
    + cli("walletpassphrase", '"mypassphrase" 30')
    + "\nCreate the signature\n"
    + cli("signmessage", f'{_ADDRESS} "my message"')
    + VERIFY_EXAMPLE
    + "\nAs a JSON-RPC call\n"
)


def key_hash_of(address: str, params: ChainParams) -> bytes:
    """HASH160 of the key that a P2PKH address stands for, the one kind that can sign. RpcError -5, -3."""
    try:
        destination = decode_address(address, params)
    except AddressError:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Invalid address") from None
    if not isinstance(destination, PubKeyHash):
        raise type_error("Address does not refer to key")
    return destination.hash


def signature_text(text: str, secret: bytes, compressed: bool) -> str:
    """The signature of text as clients exchange it: base64."""
    return b64encode(sign_message(text, secret, compressed)).decode()


def _decode_signature(text: str) -> bytes:
    """RpcError -3 unless text is base64 as an encoder writes it, with all its padding."""
    try:
        data = b64decode(text, validate=True)
    except ValueError:
        data = None
    if data is None or b64encode(data).decode() != text:
        raise type_error("Malformed base64 encoding")
    return data


@method(
    "util",
    "Verify a signed message.",
    args=(
        Arg("address", STR, "The bitcoin address to use for the signature."),
        Arg(
            "signature",
            STR,
            "The signature provided by the signer in base 64 encoding (see signmessage).",
        ),
        Arg("message", STR, "The message that was signed."),
    ),
    result=Result(R.BOOL, "", "If the signature is verified or not."),
    examples=UNLOCK_EXAMPLE + curl("verifymessage", f'{_ADDRESS}, "signature", "my message"'),
)
async def verifymessage(ctx: RpcContext, address: str, signature: str, message: str) -> Json:
    key_hash = key_hash_of(address, ctx.params)
    return is_signed_by(message, _decode_signature(signature), key_hash)


@method(
    "util",
    "Sign a message with the private key of an address\n",
    args=(
        Arg("privkey", STR, "The private key to sign the message with."),
        Arg("message", STR, "The message to create a signature of."),
    ),
    result=Result(R.STR, "signature", "The signature of the message encoded in base 64"),
    examples="\nCreate the signature\n"
    + cli("signmessagewithprivkey", '"privkey" "my message"')
    + VERIFY_EXAMPLE
    + "\nAs a JSON-RPC call\n"
    + curl("signmessagewithprivkey", '"privkey", "my message"'),
)
async def signmessagewithprivkey(ctx: RpcContext, privkey: str, message: str) -> Json:
    found = decode_wif(privkey, ctx.params)
    if found is None:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Invalid private key")
    return signature_text(message, *found)

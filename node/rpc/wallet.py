"""Category "wallet": wallets created, loaded, unloaded and listed, and what state one is in."""

from __future__ import annotations

from .amounts import Json, Real
from .arguments import BOOL, NUM, STR
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter
from .registry import OPTIONAL, Arg, Result, ResultType, cli, curl, method
from .wallet_common import (
    LAST_PROCESSED,
    WARNINGS,
    follower_of,
    last_processed,
    manager,
    wallet_errors,
    wallet_of,
)

R = ResultType
_LATEST_VERSION = 169900
_LOAD_ON_STARTUP = Arg(
    "load_on_startup",
    BOOL,
    "Save wallet name to persistent settings and load on startup. True to add wallet to startup list, false "
    "to remove, null to leave unchanged.",
    OPTIONAL,
)


def _named(name: str, warnings: list[str]) -> Json:
    out: dict[str, Json] = {"name": name}
    if warnings:
        out["warnings"] = list(warnings)
    return out


@method(
    "wallet",
    "Creates and loads a new wallet.\n",
    args=(
        Arg(
            "wallet_name",
            STR,
            "The name for the new wallet. If this is a path, the wallet will be created at the "
            "path location.",
        ),
        Arg(
            "disable_private_keys",
            BOOL,
            "Disable the possibility of private keys (only watchonlys are possible in this mode).",
            False,
        ),
        Arg("blank", BOOL, "Create a blank wallet. A blank wallet has no keys.", False),
        Arg("passphrase", STR, "Encrypt the wallet with this passphrase.", OPTIONAL),
        Arg(
            "avoid_reuse",
            BOOL,
            "Keep track of coin reuse, and treat dirty and clean coins differently with privacy "
            "considerations in mind.",
            False,
        ),
        Arg("descriptors", BOOL, 'If set, must be "true"', True),
        _LOAD_ON_STARTUP,
        Arg("external_signer", BOOL, "Use an external signer such as a hardware wallet.", False),
    ),
    result=Result(
        R.OBJ,
        inner=(Result(R.STR, "name", "The wallet name if created successfully."), WARNINGS),
    ),
    examples=cli("createwallet", '"testwallet"') + curl("createwallet", '"testwallet"'),
)
async def createwallet(
    ctx: RpcContext,
    wallet_name: str,
    disable_private_keys: bool,
    blank: bool,
    passphrase: str | None,
    avoid_reuse: bool,
    descriptors: bool,
    load_on_startup: bool | None,
    external_signer: bool,
) -> Json:
    warnings = []
    if passphrase == "":
        warnings.append("Empty string given as passphrase, wallet will not be encrypted.")
    if not descriptors:
        raise RpcError(
            RpcCode.WALLET_ERROR,
            'descriptors argument must be set to "true"; it is no longer possible to create a legacy wallet.',
        )
    if external_signer:
        raise RpcError(
            RpcCode.WALLET_ERROR,
            "Compiled without external signing support (required for external signing)",
        )
    if passphrase and disable_private_keys:
        raise RpcError(
            RpcCode.WALLET_ERROR,
            "Passphrase provided but private keys are disabled. A passphrase is only used to encrypt private "
            "keys, so cannot be used for wallets with private keys disabled.",
        )
    if passphrase:
        raise RpcError(RpcCode.WALLET_ENCRYPTION_FAILED, "Wallet encryption is not supported yet.")
    if avoid_reuse:
        raise RpcError(RpcCode.WALLET_ERROR, "The avoid_reuse flag is not supported yet.")
    with wallet_errors():
        wallet, more = await manager(ctx).create(
            wallet_name,
            private_keys=not disable_private_keys,
            blank=blank or disable_private_keys,
            load_on_startup=load_on_startup,
        )
    return _named(wallet.name, warnings + more)


@method(
    "wallet",
    "Loads a wallet from a wallet file or directory."
    "\nNote that all wallet command-line options used when starting bitcoind will be"
    "\napplied to the new wallet.\n",
    args=(
        Arg(
            "filename",
            STR,
            'The path to the directory of the wallet to be loaded, relative to the "wallets" directory.',
        ),
        _LOAD_ON_STARTUP,
    ),
    result=Result(
        R.OBJ,
        inner=(Result(R.STR, "name", "The wallet name if loaded successfully."), WARNINGS),
    ),
    examples=cli("loadwallet", '"walletname"') + curl("loadwallet", '"walletname"'),
)
async def loadwallet(ctx: RpcContext, filename: str, load_on_startup: bool | None) -> Json:
    with wallet_errors():
        wallet, warnings = await manager(ctx).load(filename, load_on_startup=load_on_startup)
    return _named(wallet.name, warnings)


@method(
    "wallet",
    "Unloads the wallet referenced by the request endpoint or the wallet_name argument.\n"
    "If both are specified, they must be identical.",
    args=(
        Arg(
            "wallet_name",
            STR,
            "The name of the wallet to unload. If provided both here and in the RPC endpoint, the two must "
            "be identical.",
            hint="the wallet name from the RPC endpoint",
        ),
        _LOAD_ON_STARTUP,
    ),
    result=Result(R.OBJ, inner=(WARNINGS,)),
    examples=cli("unloadwallet", "wallet_name") + curl("unloadwallet", "wallet_name"),
)
async def unloadwallet(ctx: RpcContext, wallet_name: str | None, load_on_startup: bool | None) -> Json:
    name = ctx.wallet_name
    if name is not None and wallet_name is not None and wallet_name != name:
        raise invalid_parameter(
            "The RPC endpoint wallet and the wallet name parameter specify different wallets"
        )
    name = wallet_name if name is None else name
    if name is None:
        raise invalid_parameter(
            "Either the RPC endpoint wallet or the wallet name parameter must be provided"
        )
    with wallet_errors():
        warnings = await manager(ctx).unload(name, load_on_startup=load_on_startup)
    return {"warnings": list(warnings)} if warnings else {}


@method(
    "wallet",
    'Returns a list of currently loaded wallets.\nFor full information on the wallet, use "getwalletinfo"\n',
    result=Result(R.ARR, inner=(Result(R.STR, "walletname", "the wallet name"),)),
    examples=cli("listwallets") + curl("listwallets"),
)
async def listwallets(ctx: RpcContext) -> Json:
    return list(manager(ctx).wallets)


@method(
    "wallet",
    "Returns a list of wallets in the wallet directory.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(
                R.ARR,
                "wallets",
                inner=(Result(R.OBJ, inner=(Result(R.STR, "name", "The wallet name"), WARNINGS)),),
            ),
        ),
    ),
    examples=cli("listwalletdir") + curl("listwalletdir"),
)
async def listwalletdir(ctx: RpcContext) -> Json:
    return {"wallets": [{"name": name, "warnings": []} for name in manager(ctx).names_on_disk()]}


@method(
    "wallet",
    "Returns an object containing various wallet state info.\n",
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR, "walletname", "the wallet name"),
            Result(
                R.NUM,
                "walletversion",
                "(DEPRECATED) only related to unsupported legacy wallet, returns the latest version 169900 "
                "for backwards compatibility",
            ),
            Result(R.STR, "format", "the database format (only sqlite)"),
            Result(R.NUM, "txcount", "the total number of transactions in the wallet"),
            Result(R.NUM, "keypoolsize", "how many new keys are pre-generated (only counts external keys)"),
            Result(
                R.NUM,
                "keypoolsize_hd_internal",
                "how many new keys are pre-generated for internal use",
                optional=True,
            ),
            Result(R.BOOL, "private_keys_enabled", "false if privatekeys are disabled for this wallet"),
            Result(R.BOOL, "avoid_reuse", "whether this wallet tracks clean/dirty coins in terms of reuse"),
            Result(
                R.OBJ,
                "scanning",
                "current scanning details, or false if no scan is in progress",
                (
                    Result(R.NUM, "duration", "elapsed seconds since scan start"),
                    Result(R.NUM, "progress", "scanning progress percentage [0.0, 1.0]"),
                ),
                check=False,
            ),
            Result(R.BOOL, "descriptors", "whether this wallet uses descriptors"),
            Result(R.BOOL, "external_signer", "whether this wallet is configured to use an external signer"),
            Result(R.BOOL, "blank", "Whether this wallet intentionally does not contain any keys"),
            Result(R.NUM_TIME, "birthtime", "The start time for blocks scanning.", optional=True),
            Result(
                R.ARR,
                "flags",
                "The flags currently set on the wallet",
                (Result(R.STR, "flag", "The name of the flag"),),
            ),
            LAST_PROCESSED,
        ),
    ),
    examples=cli("getwalletinfo") + curl("getwalletinfo"),
)
async def getwalletinfo(ctx: RpcContext) -> Json:
    wallet = await wallet_of(ctx, wait=False)
    scan = follower_of(ctx, wallet).scan
    scanning: Json = False
    if scan is not None:
        duration = int(ctx.clock.monotonic() - scan.started)
        scanning = {"duration": duration, "progress": Real(scan.progress)}
    unused = {True: 0, False: 0}
    for entry in wallet.book.descriptors.values():
        if entry.active:
            unused[bool(entry.internal)] += entry.unused
    out: dict[str, Json] = {
        "walletname": wallet.name,
        "walletversion": _LATEST_VERSION,
        "format": "sqlite",
        "txcount": len(wallet.ledger.txs),
        "keypoolsize": unused[False],
        "keypoolsize_hd_internal": unused[True],
        "private_keys_enabled": wallet.private_keys_enabled,
        "avoid_reuse": False,
        "scanning": scanning,
        "descriptors": True,
        "external_signer": False,
        "blank": "blank" in wallet.flags,
    }
    if wallet.birth_time is not None:
        out["birthtime"] = wallet.birth_time
    out["flags"] = list(wallet.flags)
    out["lastprocessedblock"] = last_processed(wallet)
    return out


@method(
    "wallet",
    "Refills each descriptor keypool in the wallet up to the specified number of new keys.\n"
    "By default, descriptor wallets have 4 active ranged descriptors (legacy, p2sh-segwit, bech32, bech32m), "
    "each with 1000 entries.\n",
    args=(Arg("newsize", NUM, "The new keypool size", hint="1000, or as set by -keypool"),),
    result=Result(R.NONE),
    examples=cli("keypoolrefill") + curl("keypoolrefill"),
)
async def keypoolrefill(ctx: RpcContext, newsize: int | None) -> Json:
    wallet = await wallet_of(ctx)
    if newsize is not None and newsize < 0:
        raise invalid_parameter("Invalid parameter, expected valid size.")
    for entry in list(wallet.book.descriptors.values()):
        if entry.active:
            await wallet.top_up(entry, newsize or wallet.settings.keypool)
    wallet.ledger.refresh_outputs()
    await wallet.save()
    return None

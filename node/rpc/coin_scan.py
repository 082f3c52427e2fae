"""Category "blockchain": a search through all coins for those of some descriptors."""

from __future__ import annotations

from dataclasses import dataclass, field

from pybitcoind.chain.descriptors import infer_descriptor
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Coin, OutPoint
from pybitcoind.chain.storage.records import unpack_coin
from pybitcoind.wallet.signing import Keyring

from .amounts import Amount, Json
from .context import RpcContext
from .documents import MORE_ON_DESCRIPTORS, NO_SCAN, SCAN_ABORTED, SCAN_ACTION, SCAN_OBJECTS
from .errors import misc_error, type_error
from .registry import Result, ResultType, cli, curl, method
from .scan_objects import answer_about, check_may_start, scan_object_scripts

R = ResultType
_SCAN = '["raw(76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac)#fm24fxxy"]'


@dataclass(slots=True)
class CoinScan:
    """The scan that runs on a node, of which there is one at a time."""

    progress: int = 0
    aborted: bool = False
    found: list[tuple[OutPoint, Coin]] = field(default_factory=list)
    count: int = 0

    def status(self) -> dict[str, Json]:
        return {"progress": self.progress}

    def look(self, rows: list[tuple[bytes, bytes]], needles: dict[bytes, str]) -> None:
        """Takes the coins of needles out of rows; runs on the workers."""
        for key, value in rows:
            coin = unpack_coin(value)
            if coin.script_pubkey in needles:
                self.found.append((OutPoint(key[:32], int.from_bytes(key[32:], "big")), coin))
        self.count += len(rows)
        self.progress = int.from_bytes(rows[-1][0][:2], "big") * 100 // 0x10000


_UNSPENT = (
    Result(R.STR_HEX, "txid", "The transaction id"),
    Result(R.NUM, "vout", "The vout value"),
    Result(R.STR_HEX, "scriptPubKey", "The output script"),
    Result(R.STR, "desc", "A specialized descriptor for the matched output script"),
    Result(R.STR_AMOUNT, "amount", "The total amount in BTC of the unspent output"),
    Result(R.BOOL, "coinbase", "Whether this is a coinbase output"),
    Result(R.NUM, "height", "Height of the unspent transaction output"),
    Result(R.STR_HEX, "blockhash", "Blockhash of the unspent transaction output"),
    Result(
        R.NUM,
        "confirmations",
        "Number of confirmations of the unspent transaction output when the scan was done",
    ),
)


@method(
    "blockchain",
    "Scans the unspent transaction output set for entries that match certain output descriptors.\n"
    "Examples of output descriptors are:\n"
    "    addr(<address>)                      Outputs whose output script corresponds to the specified "
    "address (does not include P2PK)\n"
    "    raw(<hex script>)                    Outputs whose output script equals the specified hex-encoded "
    "bytes\n"
    "    combo(<pubkey>)                      P2PK, P2PKH, P2WPKH, and P2SH-P2WPKH outputs for the given "
    "pubkey\n"
    "    pkh(<pubkey>)                        P2PKH outputs for the given pubkey\n"
    "    sh(multi(<n>,<pubkey>,<pubkey>,...)) P2SH-multisig outputs for the given threshold and pubkeys\n"
    "    tr(<pubkey>)                         P2TR\n"
    "    tr(<pubkey>,{pk(<pubkey>)})          P2TR with single fallback pubkey in tapscript\n"
    "    rawtr(<pubkey>)                      P2TR with the specified key as output key rather than inner\n"
    "    wsh(and_v(v:pk(<pubkey>),after(2)))  P2WSH miniscript with mandatory pubkey and a timelock\n"
    "\nIn the above, <pubkey> either refers to a fixed public key in hexadecimal notation, or to an "
    "xpub/xprv optionally followed by one\nor more path elements separated by "
    '"/", and optionally ending in "/*" '
    '(unhardened), or "/*\'" or "/*h" (hardened) to specify all\nunhardened or hardened child keys.\n'
    "In the latter case, a range needs to be specified by below if different from 1000.\n"
    + MORE_ON_DESCRIPTORS,
    args=(SCAN_ACTION, SCAN_OBJECTS),
    result=(
        Result(
            R.OBJ,
            condition="when action=='start'; only returns after scan completes",
            inner=(
                Result(R.BOOL, "success", "Whether the scan was completed"),
                Result(R.NUM, "txouts", "The number of unspent transaction outputs scanned"),
                Result(R.NUM, "height", "The block height at which the scan was done"),
                Result(R.STR_HEX, "bestblock", "The hash of the block at the tip of the chain"),
                Result(R.ARR, "unspents", "", (Result(R.OBJ, inner=_UNSPENT),)),
                Result(R.STR_AMOUNT, "total_amount", "The total amount of all found unspent outputs in BTC"),
            ),
        ),
        SCAN_ABORTED,
        Result(
            R.OBJ,
            condition="when action=='status' and a scan is currently in progress",
            inner=(Result(R.NUM, "progress", "Approximate percent complete"),),
        ),
        NO_SCAN,
    ),
    examples=cli("scantxoutset", f"start '{_SCAN}'")
    + cli("scantxoutset", "status")
    + cli("scantxoutset", "abort")
    + curl("scantxoutset", f'"start", {_SCAN}')
    + curl("scantxoutset", '"status"')
    + curl("scantxoutset", '"abort"'),
    needs_chain=True,
)
async def scantxoutset(ctx: RpcContext, action: str, scanobjects: Json) -> Json:
    if action != "start":
        return answer_about(action, ctx.node.coin_scan)
    check_may_start(ctx.node.coin_scan)
    if scanobjects is None:
        if ctx.given < 2:
            raise misc_error("scanobjects argument is required for the start action")
        raise type_error("JSON value of type null is not of expected type array")
    scan = ctx.node.coin_scan = CoinScan()
    try:
        return await _scan(ctx, scan, scanobjects)
    finally:
        ctx.node.coin_scan = None


async def _scan(ctx: RpcContext, scan: CoinScan, scanobjects: list[Json]) -> Json:
    needles: dict[bytes, str] = {}
    for value in scanobjects:
        keyring = Keyring()
        for script in await scan_object_scripts(value, ctx.params, keyring, ctx.clock):
            needles.setdefault(script, str(infer_descriptor(script, ctx.params, keyring)))
    await ctx.chain.flush()
    async with ctx.chain.chainstate.store.snapshot() as view:
        best = await view.best_block()
        tip = ctx.chain.headers.get(best or b"") or ctx.chain.tip
        with ctx.ports.long_work("Scanning the coins") as show:
            async for rows in view.scan():
                if scan.aborted:
                    break
                await ctx.ports.workers.run(scan.look, rows, needles)
                show(scan.progress / 100)
    unspents: list[Json] = []
    for outpoint, coin in scan.found:
        unspents.append(
            {
                "txid": hash_hex(outpoint.txid),
                "vout": outpoint.vout,
                "scriptPubKey": coin.script_pubkey.hex(),
                "desc": needles[coin.script_pubkey],
                "amount": Amount(coin.value),
                "coinbase": coin.coinbase,
                "height": coin.height,
                "blockhash": hash_hex(tip.ancestor(coin.height).hash),
                "confirmations": tip.height - coin.height + 1,
            }
        )
    return {
        "success": not scan.aborted,
        "txouts": scan.count,
        "height": tip.height,
        "bestblock": hash_hex(tip.hash),
        "unspents": unspents,
        "total_amount": Amount(sum(coin.value for _, coin in scan.found)),
    }

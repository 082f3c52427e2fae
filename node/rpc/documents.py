"""Documentation that several methods share: transactions, output scripts, blocks, mempool entries."""

from __future__ import annotations

from .arguments import ARR, OBJ, RANGE, STR
from .registry import OPTIONAL, Arg, Result, ResultType, cli

R = ResultType

SCRIPT_TYPES = (
    "nonstandard, anchor, pubkey, pubkeyhash, scripthash, multisig, nulldata, witness_v0_scripthash, "
    "witness_v0_keyhash, witness_v1_taproot, witness_unknown"
)
RPC_WAIT_NOTE = "\nMake sure to use no RPC timeout (bitcoin-cli -rpcclienttimeout=0)"
MORE_ON_DESCRIPTORS = (
    "For more information on output descriptors, see the documentation in the doc/descriptors.md file.\n"
)
CREATE_AND_SIGN = (
    "\nCreate a transaction\n"
    + cli(
        "createrawtransaction",
        '"[{\\"txid\\" : \\"mytxid\\",\\"vout\\":0}]" "{\\"myaddress\\":0.01}"',
    )
    + "Sign the transaction, and get back the hex\n"
    + cli("signrawtransactionwithwallet", '"myhex"')
)

SCRIPT_PUBKEY = Result(
    R.OBJ,
    "scriptPubKey",
    inner=(
        Result(R.STR, "asm", "Disassembly of the output script"),
        Result(R.STR, "desc", "Inferred descriptor for the output"),
        Result(R.STR_HEX, "hex", "The raw output script bytes, hex-encoded"),
        Result(
            R.STR, "address", "The Bitcoin address (only if a well-defined address exists)", optional=True
        ),
        Result(R.STR, "type", f"The type (one of: {SCRIPT_TYPES})"),
    ),
)

INPUT_FIELDS = (
    Result(R.STR_HEX, "coinbase", "The coinbase value (only if coinbase transaction)", optional=True),
    Result(R.STR_HEX, "txid", "The transaction id (if not coinbase transaction)", optional=True),
    Result(R.NUM, "vout", "The output number (if not coinbase transaction)", optional=True),
    Result(
        R.OBJ,
        "scriptSig",
        "The script (if not coinbase transaction)",
        (
            Result(R.STR, "asm", "Disassembly of the signature script"),
            Result(R.STR_HEX, "hex", "The raw signature script bytes, hex-encoded"),
        ),
        optional=True,
    ),
    Result(
        R.ARR,
        "txinwitness",
        "",
        (Result(R.STR_HEX, "hex", "hex-encoded witness data (if any)"),),
        optional=True,
    ),
    Result(R.NUM, "sequence", "The script sequence number"),
)
OUTPUTS = Result(
    R.ARR,
    "vout",
    "",
    (
        Result(
            R.OBJ,
            inner=(
                Result(R.STR_AMOUNT, "value", "The value in BTC"),
                Result(R.NUM, "n", "index"),
                SCRIPT_PUBKEY,
            ),
        ),
    ),
)


def transaction_fields(txid: str = "The transaction id") -> tuple[Result, ...]:
    """txid: what to say of it."""
    return (
        Result(R.STR_HEX, "txid", txid),
        Result(R.STR_HEX, "hash", "The transaction hash (differs from txid for witness transactions)"),
        Result(R.NUM, "size", "The serialized transaction size"),
        Result(R.NUM, "vsize", "The virtual transaction size (differs from size for witness transactions)"),
        Result(R.NUM, "weight", "The transaction's weight (between vsize*4-3 and vsize*4)"),
        Result(R.NUM, "version", "The version"),
        Result(R.NUM_TIME, "locktime", "The lock time"),
        Result(R.ARR, "vin", "", (Result(R.OBJ, inner=INPUT_FIELDS),)),
        OUTPUTS,
    )


def prevout(description: str, *, optional: bool) -> Result:
    return Result(
        R.OBJ,
        "prevout",
        description,
        (
            Result(R.BOOL, "generated", "Coinbase or not"),
            Result(R.NUM, "height", "The height of the prevout"),
            Result(R.STR_AMOUNT, "value", "The value in BTC"),
            SCRIPT_PUBKEY,
        ),
        optional=optional,
    )


def elided(results: tuple[Result, ...], text: str, *shown: str) -> tuple[Result, ...]:
    """The same for the check of results, but all except those shown are printed as "...": the first with
    text, the others not at all."""
    first, out = True, []
    for result in results:
        if result.key in shown:
            out.append(result)
        else:
            out.append(result._replace(elision=text if first else ""))
            first = False
    return tuple(out)


SCAN_ACTION = Arg(
    "action",
    STR,
    "The action to execute\n"
    '"start" for starting a scan\n'
    '"abort" for aborting the current scan (returns true when abort was successful)\n'
    '"status" for progress report (in %) of the current scan',
)
DESCRIPTORS = (
    Arg("descriptor", STR, "An output descriptor", OPTIONAL),
    Arg(
        "",
        OBJ,
        "An object with output descriptor and metadata",
        OPTIONAL,
        inner=(
            Arg("desc", STR, "An output descriptor"),
            Arg("range", RANGE, "The range of HD chain indexes to explore (either end or [begin,end])", 1000),
        ),
    ),
)
SCAN_OBJECTS = Arg(
    "scanobjects",
    ARR,
    'Array of scan objects. Required for "start" action\n'
    "Every scan object is either a string descriptor or an object:",
    OPTIONAL,
    inner=DESCRIPTORS,
    oneline="[scanobjects,...]",
)
SCAN_ABORTED = Result(
    R.BOOL,
    condition="when action=='abort'",
    description="True if scan will be aborted (not necessarily before this RPC returns), or false if "
    "there is no scan to abort",
)
NO_SCAN = Result(
    R.NONE, condition="when action=='status' and no scan is in progress - possibly already completed"
)

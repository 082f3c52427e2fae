"""Hidden methods that mine blocks at once, for tests: generatetoaddress, generatetodescriptor, generateblock.

The blocks are byte for byte those of Core's methods of the same names, given the same time.
"""

from __future__ import annotations

from pybitcoind.chain.block_template import BlockTemplate, with_nonce, with_transactions
from pybitcoind.chain.consensus.errors import BlockInvalid
from pybitcoind.chain.consensus.pow import bits_to_target
from pybitcoind.chain.descriptors import DescriptorError, parse_descriptors
from pybitcoind.chain.descriptors.hd import DerivationError
from pybitcoind.chain.nonce_search import MAX_NONCE, grind
from pybitcoind.chain.params import ChainParams
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.transaction import Transaction
from pybitcoind.chain.script.address import AddressError, decode_address
from pybitcoind.wallet.hd import KeyStore

from .amounts import Json
from .arguments import ARR, BOOL, HEX_TEXT, INT, STR, UINT64, is_hex, parse_str
from .context import RpcContext
from .errors import RpcCode, RpcError, invalid_parameter, misc_error
from .registry import OPTIONAL, Arg, Result, ResultType, cli, method
from .tx_hex import tx_from_hex

R = ResultType
DEFAULT_MAX_TRIES = 1_000_000
PIECE = 2_000
"""Hashes between two looks at what else the node has to do; some milliseconds."""

_MAX_TRIES = Arg("maxtries", INT, "How many iterations to try.", DEFAULT_MAX_TRIES)
_HASHES = Result(R.ARR, "", "hashes of blocks generated", (Result(R.STR_HEX, "", "blockhash"),))


async def make_template(ctx: RpcContext, script_pubkey: bytes, *, use_mempool: bool = True) -> BlockTemplate:
    """RpcError -1 if the template would be no valid block, which only a bug of ours makes possible."""
    try:
        return await ctx.chain.create_template(script_pubkey, use_mempool=use_mempool)
    except BlockInvalid as error:
        raise misc_error(f"TestBlockValidity failed: {error}") from None


def descriptor_script(text: str, params: ChainParams) -> bytes:
    """The one script to pay to of a descriptor; DescriptorError if it is none, RpcError if it has no such."""
    parsed = parse_descriptors(text, params, sink=KeyStore())
    if len(parsed) > 1:
        raise invalid_parameter("Multipath descriptor not accepted")
    descriptor = parsed[0]
    if descriptor.is_range:
        raise invalid_parameter("Ranged descriptor not accepted. Maybe pass through deriveaddresses first?")
    try:
        scripts = descriptor.expand(0).scripts
    except DerivationError:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, "Cannot derive script without private keys") from None
    # combo() has pk, pkh and, with a compressed key, wpkh and sh(wpkh): the best of them
    return scripts[{1: 0, 4: 2}.get(len(scripts), 1)]


def _address_script(text: str, params: ChainParams, complaint: str) -> bytes:
    try:
        return decode_address(text, params).script_pubkey
    except AddressError:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, complaint) from None


async def search(ctx: RpcContext, block: Block, tries: int) -> tuple[Block | None, int]:
    """(block with its proof of work, tries left); None where tries or nonces ran out or the node stops.

    The loop breathes between pieces of the search.
    """
    target, _, _ = bits_to_target(block.header.bits)
    start = block.header.nonce
    while tries > 0 and start < MAX_NONCE and not ctx.node.stopping.is_set():
        nonce, tried = grind(block.header.raw, target, start, min(PIECE, tries))
        tries -= tried
        if nonce is not None:
            return with_nonce(block, nonce), tries
        start += tried
        await ctx.clock.sleep(0)
    return None, tries


async def _submit(ctx: RpcContext, block: Block) -> None:
    result = await ctx.chain.process_block(block, requested=True)
    if result.error is not None and not result.checked:
        raise RpcError(RpcCode.INTERNAL_ERROR, "ProcessNewBlock, block not accepted")


async def generate_blocks(ctx: RpcContext, script_pubkey: bytes, count: int, tries: int) -> list[bytes]:
    """Hashes of the blocks mined: fewer than count where tries ran out, which are for all of them."""
    hashes: list[bytes] = []
    while len(hashes) < count and not ctx.node.stopping.is_set():
        template = await make_template(ctx, script_pubkey)
        block, tries = await search(ctx, template.block, tries)
        if block is not None:
            await _submit(ctx, block)
            hashes.append(block.hash)
        elif tries <= 0:
            break
    return hashes


def _max_tries(value: int) -> int:
    return value if value >= 0 else value + 2**64


@method(
    "hidden",
    "Mine to a specified address and return the block hashes.",
    args=(
        Arg("nblocks", INT, "How many blocks are generated."),
        Arg("address", STR, "The address to send the newly generated bitcoin to."),
        _MAX_TRIES,
    ),
    result=_HASHES,
    examples="\nGenerate 11 blocks to myaddress\n"
    + cli("generatetoaddress", '11 "myaddress"')
    + "If you are using the Bitcoin Core wallet, you can get a new address to send the newly generated "
    "bitcoin to with:\n" + cli("getnewaddress"),
    needs_chain=True,
)
async def generatetoaddress(ctx: RpcContext, nblocks: int, address: str, maxtries: int) -> Json:
    script = _address_script(address, ctx.params, "Error: Invalid address")
    return [hash_hex(h) for h in await generate_blocks(ctx, script, nblocks, _max_tries(maxtries))]


@method(
    "hidden",
    "Mine to a specified descriptor and return the block hashes.",
    args=(
        Arg("num_blocks", INT, "How many blocks are generated."),
        Arg("descriptor", STR, "The descriptor to send the newly generated bitcoin to."),
        Arg("maxtries", UINT64, "How many iterations to try.", DEFAULT_MAX_TRIES),
    ),
    result=_HASHES,
    examples="\nGenerate 11 blocks to mydesc\n" + cli("generatetodescriptor", '11 "mydesc"'),
    needs_chain=True,
)
async def generatetodescriptor(ctx: RpcContext, num_blocks: int, descriptor: str, maxtries: int) -> Json:
    try:
        script = descriptor_script(descriptor, ctx.params)
    except DescriptorError as error:
        raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, str(error)) from None
    return [hash_hex(h) for h in await generate_blocks(ctx, script, num_blocks, maxtries)]


def _transaction(ctx: RpcContext, text: str) -> Transaction:
    """From the mempool by txid, or decoded."""
    if len(text) == 64 and is_hex(text):
        entry = ctx.mempool.get(bytes.fromhex(text)[::-1])
        if entry is None:
            raise RpcError(RpcCode.INVALID_ADDRESS_OR_KEY, f"Transaction {text} not in mempool.")
        return entry.tx
    return tx_from_hex(text, complaint=f"Transaction decode failed for {text}.")


@method(
    "hidden",
    "Mine a set of ordered transactions to a specified address or descriptor and return the block hash.\n"
    "Transaction fees are not collected in the block reward.",
    args=(
        Arg("output", STR, "The address or descriptor to send the newly generated bitcoin to."),
        Arg(
            "transactions",
            ARR,
            "An array of hex strings which are either txids or raw transactions.\n"
            "Txids must reference transactions currently in the mempool.\n"
            "All transactions must be valid and in valid order, otherwise the block will be rejected.",
            inner=(Arg("rawtx/txid", HEX_TEXT, "", OPTIONAL),),
        ),
        Arg(
            "submit",
            BOOL,
            "Whether to submit the block before the RPC call returns or to return it as hex.",
            True,
        ),
    ),
    result=Result(
        R.OBJ,
        inner=(
            Result(R.STR_HEX, "hash", "hash of generated block"),
            Result(R.STR_HEX, "hex", "hex of generated block, only present when submit=false", optional=True),
        ),
    ),
    examples="\nGenerate a block to myaddress, with txs rawtx and mempool_txid\n"
    + cli("generateblock", '"myaddress" \'["rawtx", "mempool_txid"]\''),
    needs_chain=True,
)
async def generateblock(ctx: RpcContext, output: str, transactions: list[Json], submit: bool) -> Json:
    try:
        script = descriptor_script(output, ctx.params)
    except DescriptorError:
        script = _address_script(output, ctx.params, "Error: Invalid address or descriptor")
    txs = [_transaction(ctx, parse_str(text)) for text in transactions]

    async def make() -> Block:
        template = await ctx.chain.create_template(script, use_mempool=False)
        made = with_transactions(template.block, txs)
        await ctx.chain.test_block_validity(made, check_pow=False, check_merkle=False)
        return made

    try:
        unsolved = await ctx.chain.submit(make)
    except BlockInvalid as error:
        raise RpcError(RpcCode.VERIFY_ERROR, f"TestBlockValidity failed: {error}") from None
    block, _ = await search(ctx, unsolved, DEFAULT_MAX_TRIES)
    if block is None:
        raise misc_error("Failed to make block.")
    if submit:
        await _submit(ctx, block)
        return {"hash": hash_hex(block.hash)}
    return {"hash": hash_hex(block.hash), "hex": block.raw.hex()}


@method(
    "hidden",
    "has been replaced by the -generate cli option. Refer to -help for more information.",
)
async def generate(ctx: RpcContext) -> Json:
    raise RpcError(RpcCode.METHOD_NOT_FOUND, generate.help)

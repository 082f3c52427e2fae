"""REST: unauthenticated, read-only questions over HTTP, below /rest/ on the RPC port (-rest).

Paths, formats (.bin, .hex, .json), statuses and messages are Core's (src/rest.cpp, 31.99; described there in
doc/REST-interface.md). Each path is one function here; it returns an `Answer`, or raises `RestError`.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import unquote_plus

from pybitcoind.chain.owner import OwnerStopped
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.primitives.serialize import DecodeError, Reader, compact_size, var_bytes
from pybitcoind.chain.primitives.transaction import Coin, OutPoint, TxOut
from pybitcoind.chain.storage.database import StorageError

from .rpc import aiohttp_parts as web
from .rpc.amounts import Amount, Json, write_json
from .rpc.arguments import is_hex
from .rpc.blockchain import getblockchaininfo
from .rpc.chain_facts import getdeploymentinfo
from .rpc.context import RpcContext
from .rpc.errors import RpcError
from .rpc.mempool import getmempoolinfo, getrawmempool
from .rpc.rawtransactions import find_transaction
from .rpc.render import block_json, header_json, script_json, tx_json
from .rpc.server import Refused

if TYPE_CHECKING:
    from pybitcoind.chain.header_tree import HeaderNode
    from pybitcoind.chain.indexes.block_filters import BlockFilterIndex

    from .app import Node
    from .rpc.server import RpcServer

MAX_OUTPOINTS = 15
MAX_HEADERS = 2000
UINT32_MAX, INT32_MAX, SIZE_MAX = 2**32 - 1, 2**31 - 1, 2**64 - 1
BASIC_FILTER = b"\x00"
"""The filter type's number in a serialized filter (BIP 158)."""
FORMATS = ("bin", "hex", "json")
_BAD_URI = "URI parsing failed, it likely contained RFC 3986 invalid characters"
_URI = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?#]|%[0-9A-Fa-f]{2})*")
_UNSAFE = re.compile(r"[^A-Za-z0-9\-_.~!*'();:@&=+$,/?#\[\]%]")


class RestError(Exception):
    """The answer is this HTTP status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def bad_request(message: str) -> RestError:
    return RestError(400, message)


def not_found(message: str) -> RestError:
    return RestError(404, message)


@dataclass(frozen=True, slots=True)
class Answer:
    """raw: for .bin, and in hex for .hex; None where there is .json alone. json: made if it is asked for.

    hex: where .hex is not that of raw.
    """

    raw: bytes | None = None
    json: Callable[[], Json] | None = None
    hex: str | None = None

    @property
    def formats(self) -> Sequence[str]:
        return FORMATS if self.raw is not None else ("json",)


@dataclass(slots=True)
class Request:
    """path: behind the endpoint's prefix, without format and query. format: "" for none that is known.

    body: the bytes sent along.
    """

    ctx: RpcContext
    uri: str
    path: str
    format: str
    body: bytes
    _query: dict[str, str] | None = field(default=None, init=False)

    def query(self, name: str, default: str) -> str:
        """The first parameter of that name behind "?"; RestError 400 if the URI is none (RFC 3986)."""
        if self._query is None:
            self._query = parse_query(self.uri)
        return self._query.get(name, default)


Handler = Callable[[Request], Awaitable[Answer]]
_HANDLERS: list[tuple[str, Handler]] = []
"""In the order in which they are tried: a prefix stands before those that it begins with."""


def endpoint(prefix: str) -> Callable[[Handler], Handler]:
    """Declares the function below as what answers on paths that begin with prefix."""

    def declare(handler: Handler) -> Handler:
        _HANDLERS.append((prefix, handler))
        return handler

    return declare


def add_rest(server: RpcServer, node: Node) -> None:
    """Serves REST on the RPC server's port."""
    for prefix, handler in _HANDLERS:
        server.route(prefix, _http_handler(server, node, prefix, handler))


def _http_handler(
    server: RpcServer, node: Node, prefix: str, handler: Handler
) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    async def handle(http: web.BaseRequest) -> web.Response:
        if server.warm_up is not None:
            return _text(503, f"Service temporarily unavailable: {server.warm_up}\r\n")
        path, kind = split_format(http.raw_path.removeprefix(prefix))

        body = await server.read_body(http)
        request = Request(RpcContext(node), http.raw_path, path, kind, body)
        try:
            with server.around_answer():
                return _response(await handler(request), kind)
        except RestError as error:
            return _text(error.status, f"{error.message}\r\n")
        except RpcError as error:  # of a method that a path shares with RPC
            return _text(404, f"{error.message}\r\n")
        except OwnerStopped:
            return _text(503, "Shutting down\r\n")
        except StorageError as error:
            node.fail(error)
            return _text(500, f"I/O error reading {path}\r\n")
        except Refused:
            raise
        except Exception:
            node.ports.log.error(f"{http.raw_path[:100]} failed:\n{traceback.format_exc()}")
            return _text(500, "Internal error\r\n")

    return handle


def _response(answer: Answer, kind: str) -> web.Response:
    if kind not in answer.formats:
        raise _unknown_format(answer.formats)
    if kind == "bin" and answer.raw is not None:
        return web.Response(body=answer.raw, headers={"Content-Type": "application/octet-stream"})
    if kind == "hex" and answer.raw is not None:
        return _text(200, (answer.raw.hex() if answer.hex is None else answer.hex) + "\n")
    assert answer.json is not None
    body = (write_json(answer.json()) + "\n").encode()
    return web.Response(body=body, headers={"Content-Type": "application/json"})


def _unknown_format(formats: Sequence[str] = FORMATS) -> RestError:
    listed = ", ".join(f".{name}" for name in formats) if len(formats) > 1 else formats[0]
    return not_found(f"output format not found (available: {listed})")


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, body=text.encode(), headers={"Content-Type": "text/plain"})


# Parsing


def split_format(path: str) -> tuple[str, str]:
    """What stands before the format's dot, and the format, "" if it is none of ours; without the query."""
    path = path.rpartition("?")[0] if "?" in path else path
    stem, dot, suffix = path.rpartition(".")
    return (stem, suffix) if dot and suffix in ("", *FORMATS) else (path, "")


def parse_query(uri: str) -> dict[str, str]:
    """The parameters, the first of each name. RestError 400 if uri is none.

    One that is no name=value makes all of them go unheard, as in the library that Core uses.
    """
    if not _URI.fullmatch(uri):
        raise bad_request(_BAD_URI)
    query = uri.partition("#")[0].partition("?")[2]
    found: dict[str, str] = {}
    for part in query.removesuffix("&").split("&") if query else ():
        name, equals, value = part.partition("=")
        if not name or not equals:
            return {}
        found.setdefault(name, unquote_plus(value))
    return found


def parse_number(text: str, largest: int) -> int | None:
    """A number up to largest, of digits and nothing else; None otherwise."""
    digits = text.lstrip("0")
    if not text.isascii() or not text.isdecimal() or len(digits) > len(str(largest)):
        return None
    number = int(digits or "0")
    return number if number <= largest else None


def find_hash(text: str) -> bytes | None:
    """A hash in internal order from display hex; None if it is none."""
    return bytes.fromhex(text)[::-1] if len(text) == 64 and is_hex(text) else None


def parse_hash(text: str) -> bytes:
    found = find_hash(text)
    if found is None:
        raise bad_request(f"Invalid hash: {text}")
    return found


def parse_count(text: str) -> int:
    count = parse_number(text, MAX_HEADERS)
    if not count:
        raise bad_request(f"Header count is invalid or out of acceptable range (1-{MAX_HEADERS}): {text}")
    return count


# Blocks


def _chain_from(ctx: RpcContext, block_hash: bytes, count: int) -> list[HeaderNode]:
    """Up to count blocks of the active chain, the first that of block_hash; none if it is not on it."""
    headers = ctx.chain.headers
    node = headers.get(block_hash)
    if node is None or not headers.in_chain(node):
        return []
    return list(headers.chain[node.height : node.height + count])


@endpoint("/rest/headers/")
async def headers(request: Request) -> Answer:
    parts = request.path.split("/")
    if len(parts) == 2:  # deprecated in Core, still there
        count_text, hash_text = parts
    elif len(parts) == 1:
        hash_text, count_text = parts[0], request.query("count", "5")
    else:
        raise bad_request("Invalid URI format. Expected /rest/headers/<hash>.<ext>?count=<count>")
    count = parse_count(count_text)
    tree = request.ctx.chain.headers
    nodes = _chain_from(request.ctx, parse_hash(hash_text), count)
    return Answer(b"".join(node.raw for node in nodes), lambda: [header_json(node, tree) for node in nodes])


def _need_blocks(ctx: RpcContext) -> None:
    if ctx.node.role == "spv":
        raise not_found("This node runs as SPV: it keeps no blocks. Ask a full node.")


def _find_block(request: Request) -> HeaderNode:
    """The block that the path names; RestError if its transactions are not stored."""
    _need_blocks(request.ctx)
    node = request.ctx.chain.headers.get(parse_hash(request.path))
    if node is None:
        raise not_found(f"{request.path} not found")
    if not node.have_data:
        why = "pruned data" if node.tx_count > 0 else "not fully downloaded"
        raise not_found(f"{request.path} not available ({why})")
    return node


async def _block(request: Request, verbosity: int) -> Answer:
    node, ctx = _find_block(request), request.ctx
    raw = await ctx.chain.read_block_bytes(node)
    if request.format != "json":
        return Answer(raw)
    block = Block.decode(raw)
    undo = None
    if verbosity >= 3 and node.have_undo and node.prev is not None:
        undo = (await ctx.chain.read_undo(node)).txs
    return Answer(raw, lambda: block_json(block, node, ctx.chain.headers, ctx.params, verbosity, undo))


@endpoint("/rest/block/notxdetails/")
async def block_without_details(request: Request) -> Answer:
    return await _block(request, 1)


@endpoint("/rest/block/")
async def block(request: Request) -> Answer:
    return await _block(request, 3)


@endpoint("/rest/blockpart/")
async def block_part(request: Request) -> Answer:
    offset = parse_number(request.query("offset", ""), SIZE_MAX)
    if offset is None:
        raise bad_request("Block part offset missing or invalid")
    size = parse_number(request.query("size", ""), SIZE_MAX)
    if size is None:
        raise bad_request("Block part size missing or invalid")
    raw = await request.ctx.chain.read_block_bytes(_find_block(request))
    if size == 0 or offset + size > len(raw):
        raise bad_request(f"Bad block part offset/size {offset}/{size} for {request.path}")
    if request.format == "json":
        raise bad_request("JSON output is not supported for this request type")
    return Answer(raw[offset : offset + size])


@endpoint("/rest/blockhashbyheight/")
async def block_hash_by_height(request: Request) -> Answer:
    height = 0 if request.path == "-0" else parse_number(request.path, INT32_MAX)
    if height is None:
        raise bad_request(f"Invalid height: {_UNSAFE.sub('', request.path)}")
    chain = request.ctx.chain.headers.chain
    if height >= len(chain):
        raise not_found("Block height out of range")
    found = chain[height].hash
    return Answer(found, lambda: {"blockhash": hash_hex(found)}, hash_hex(found))


def _txout_json(ctx: RpcContext, coin: Coin) -> dict[str, Json]:
    return {"value": Amount(coin.value), "scriptPubKey": script_json(coin.script_pubkey, ctx.params)}


@endpoint("/rest/spenttxouts/")
async def spent_txouts(request: Request) -> Answer:
    """For each transaction of a block the outputs that it spends, the coinbase's none."""
    if "/" in request.path:
        raise bad_request("Invalid URI format. Expected /rest/spenttxouts/<hash>.<ext>")
    ctx = request.ctx
    _need_blocks(ctx)
    node = ctx.chain.headers.get(parse_hash(request.path))
    if node is None:
        raise not_found(f"{request.path} not found")
    spent: list[Sequence[Coin]] = [[]]
    if node.prev is not None:
        if not node.have_undo:
            raise not_found(f"{request.path} undo not available")
        spent += (await ctx.chain.read_undo(node)).txs
    raw = compact_size(len(spent)) + b"".join(
        compact_size(len(coins)) + b"".join(TxOut(c.value, c.script_pubkey).serialize() for c in coins)
        for coins in spent
    )
    return Answer(raw, lambda: [[_txout_json(ctx, coin) for coin in coins] for coins in spent])


# Filters


def _filter_index(ctx: RpcContext, kind: str) -> BlockFilterIndex:
    if kind != "basic":
        raise bad_request(f"Unknown filtertype {kind}")
    index = ctx.filter_index
    if index is None:
        raise bad_request(f"Index is not enabled for filtertype {kind}")
    return index


def _missing_filter(index: BlockFilterIndex, connected: bool = True) -> NoReturn:
    if not connected:
        why = "Block was not connected to active chain."
    elif not index.synced:
        why = "Block filters are still in the process of being indexed."
    else:
        why = "This error is unexpected and indicates index corruption."
    raise not_found(f"Filter not found. {why}")


@endpoint("/rest/blockfilterheaders/")
async def block_filter_headers(request: Request) -> Answer:
    parts = request.path.split("/")
    if len(parts) == 3:  # deprecated in Core, still there
        kind, count_text, hash_text = parts
    elif len(parts) == 2:
        kind, hash_text = parts
        count_text = request.query("count", "5")
    else:
        raise bad_request(
            "Invalid URI format. "
            "Expected /rest/blockfilterheaders/<filtertype>/<blockhash>.<ext>?count=<count>"
        )
    count = parse_count(count_text)
    block_hash = parse_hash(hash_text)
    index = _filter_index(request.ctx, kind)
    nodes = _chain_from(request.ctx, block_hash, count)
    await request.ctx.chain.events.drained()
    found = await index.headers_of(nodes)
    if found is None:
        _missing_filter(index)
    return Answer(b"".join(found), lambda: [hash_hex(header) for header in found])


@endpoint("/rest/blockfilter/")
async def block_filter(request: Request) -> Answer:
    parts = request.path.split("/")
    if len(parts) != 2:
        raise bad_request("Invalid URI format. Expected /rest/blockfilter/<filtertype>/<blockhash>")
    kind, hash_text = parts
    block_hash = parse_hash(hash_text)
    index = _filter_index(request.ctx, kind)
    node = request.ctx.chain.headers.get(block_hash)
    if node is None:
        raise not_found(f"{hash_text} not found")
    await request.ctx.chain.events.drained()
    entry = await index.entry(node.hash)
    if entry is None:
        _missing_filter(index, node.scripts_valid)
    raw = BASIC_FILTER + node.hash + var_bytes(entry.encoded)
    return Answer(raw, lambda: {"filter": entry.encoded.hex()})


# The chain, the mempool


async def _json_only(request: Request, make: Callable[[], Awaitable[Json]]) -> Answer:
    if request.format != "json":
        raise _unknown_format(("json",))
    made = await make()
    return Answer(json=lambda: made)


@endpoint("/rest/chaininfo")
async def chain_info(request: Request) -> Answer:
    return await _json_only(request, lambda: getblockchaininfo(request.ctx))


@endpoint("/rest/deploymentinfo")
async def deployment_info(request: Request) -> Answer:
    """Of the tip, or of the block that the path names."""
    block_hash: bytes | None = None
    text = request.path.removeprefix("/")
    if text and request.format == "json":
        block_hash = parse_hash(text)
        if request.ctx.chain.headers.get(block_hash) is None:
            raise bad_request("Block not found")
    return await _json_only(request, lambda: getdeploymentinfo(request.ctx, block_hash))


@endpoint("/rest/mempool/")
async def mempool(request: Request) -> Answer:
    if request.path not in ("contents", "info"):
        raise bad_request("Invalid URI format. Expected /rest/mempool/<info|contents>.json")
    ctx = request.ctx
    _ = ctx.mempool
    if request.path == "info" or request.format != "json":
        return await _json_only(request, lambda: getmempoolinfo(ctx))
    verbose = _flag(request, "verbose", "true")
    sequence = _flag(request, "mempool_sequence", "false")
    if verbose and sequence:
        raise bad_request(
            'Verbose results cannot contain mempool sequence values. (hint: set "verbose=false")'
        )
    return await _json_only(request, lambda: getrawmempool(ctx, verbose, sequence))


def _flag(request: Request, name: str, default: str) -> bool:
    text = request.query(name, default)
    if text not in ("true", "false"):
        raise bad_request(f'The "{name}" query parameter must be either "true" or "false".')
    return text == "true"


# Transactions and coins


@endpoint("/rest/tx/")
async def transaction(request: Request) -> Answer:
    """One of the mempool, or with -txindex of any block."""
    ctx = request.ctx
    txid = parse_hash(request.path)
    tx, node = await find_transaction(ctx, txid)
    if tx is None:
        raise not_found(f"{request.path} not found")

    def as_json() -> Json:
        out = tx_json(tx, ctx.params)
        if node is not None:
            raw = out.pop("hex")
            out |= {"blockhash": hash_hex(node.hash), "hex": raw}
        return out

    return Answer(tx.raw, as_json)


@endpoint("/rest/getutxos")
async def get_utxos(request: Request) -> Answer:
    """Which of some outpoints are unspent, and what they are (BIP 64)."""
    ctx = request.ctx
    _need_blocks(ctx)
    body = request.body
    parts = request.path[1:].split("/") if len(request.path) > 1 else []
    if not body and not parts:
        raise bad_request("Error: empty request")
    check_mempool, outpoints = _outpoints_of_path(parts)
    if not request.format:
        raise _unknown_format()
    if request.format == "json":
        if not parts:
            raise bad_request("Error: empty request")
    else:
        if request.format == "hex":
            text = b"".join(body.split()).decode("latin-1")
            body = bytes.fromhex(text) if is_hex(text) else b""
        if body:
            if parts:
                raise bad_request("Combination of URI scheme inputs and raw post data is not allowed")
            check_mempool, outpoints = _outpoints_of_body(body)
    if len(outpoints) > MAX_OUTPOINTS:
        raise bad_request(f"Error: max outpoints exceeded (max: {MAX_OUTPOINTS}, tried: {len(outpoints)})")
    tip, coins = await _find_coins(ctx, outpoints, check_mempool)
    found = [coin for coin in coins if coin is not None]
    bits = "".join("0" if coin is None else "1" for coin in coins)
    bitmap = int(bits[::-1] or "0", 2).to_bytes((len(bits) + 7) // 8, "little")
    raw = (
        tip.height.to_bytes(4, "little")
        + tip.hash
        + var_bytes(bitmap)
        + compact_size(len(found))
        + b"".join(
            bytes(4) + c.height.to_bytes(4, "little") + TxOut(c.value, c.script_pubkey).serialize()
            for c in found
        )
    )
    return Answer(
        raw,
        lambda: {
            "chainHeight": tip.height,
            "chaintipHash": hash_hex(tip.hash),
            "bitmap": bits,
            "utxos": [{"height": coin.height, **_txout_json(ctx, coin)} for coin in found],
        },
    )


def _outpoints_of_path(parts: list[str]) -> tuple[bool, list[OutPoint]]:
    """From /checkmempool/TXID-N/TXID-N: whether the mempool is looked at, and the outpoints."""
    check_mempool = bool(parts) and parts[0] == "checkmempool"
    outpoints = []
    for text in parts[1:] if check_mempool else parts:
        txid_text, _, vout_text = text.partition("-")
        txid, vout = find_hash(txid_text), parse_number(vout_text, UINT32_MAX)
        if txid is None or vout is None:
            raise bad_request("Parse error")
        outpoints.append(OutPoint(txid, vout))
    if parts and not outpoints:
        raise bad_request("Error: empty request")
    return check_mempool, outpoints


def _outpoints_of_body(body: bytes) -> tuple[bool, list[OutPoint]]:
    """Core reads the body behind the body's own length: that stands where BIP 64 has checkmempool.

    So a body that Core understands is a list of outpoints and nothing else, and the mempool is looked at.
    """
    reader = Reader(var_bytes(body))
    try:
        check_mempool = reader.bool()
        return check_mempool, [OutPoint(reader.hash(), reader.u32()) for _ in range(reader.compact_size())]
    except DecodeError:
        raise bad_request("Parse error") from None


async def _find_coins(
    ctx: RpcContext, outpoints: list[OutPoint], check_mempool: bool
) -> tuple[HeaderNode, list[Coin | None]]:
    """The tip and, for each of outpoints, its coin there; with the mempool as if that were in a block."""
    pool = ctx.mempool if check_mempool else None
    while True:
        tip = ctx.chain.tip
        stored = await ctx.chain.get_coins(outpoints)
        if tip is ctx.chain.tip:
            break
    if pool is None:
        return tip, [stored[outpoint] for outpoint in outpoints]
    return tip, [
        None if pool.spender_of(outpoint) is not None else pool.coin(outpoint) or stored[outpoint]
        for outpoint in outpoints
    ]

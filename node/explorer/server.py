"""The explorer (-web): every page, from the node's own parts; the same facts as by RPC."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from pybitcoind.chain.consensus.limits import MAX_BLOCK_WEIGHT
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.hashes import hash_from_hex, hash_hex, sha256
from pybitcoind.chain.script.address import AddressError, decode_address
from pybitcoind.chain.script.script import MAX_SCRIPT_SIZE

from ..config import ConfigError
from ..rpc.blockchain import getblockchaininfo, getchaintips
from ..rpc.chain_facts import getdeploymentinfo
from ..rpc.context import RpcContext
from ..rpc.mempool import entry_json, getmempoolinfo
from ..rpc.network import getnetworkinfo
from ..rpc.peers import getpeerinfo
from ..rpc.render import header_json
from ..rpc.web import web
from . import search
from .blocks import Blocks, Summary, rows_of
from .departed import DepartedTransactions
from .histories import Histories
from .live import MEMPOOL_PAUSE, Channel, MempoolNews, message, tip_facts
from .mempool_view import MempoolView
from .pictures import block_map, branch_picture, branches_of, queue
from .site import HEADERS, NotHere, Site, page_number, url_with, whole_number
from .transactions import Transactions, inputs, script_view
from .utxo import UtxoTotals

if TYPE_CHECKING:
    from pybitcoind.chain.events import Event, Subscription

    from ..app import Node

RECENT = 12
LISTED = 30
BLOCK_TXS = 25
TX_PARTS = 25
NEXT_TXS = 25

_HEADERS_ONLY = (
    "This node runs as SPV: it keeps the headers of all blocks, and of transactions those of its wallets.",
    "A full node's explorer shows blocks whole.",
)


class Explorer(Site):
    """One node's pages."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.ports.log, node.config.values("webhost"))
        self._node, self._ctx = node, RpcContext(node)
        self._clock = node.ports.clock
        self._blocks = Blocks(node.chain)
        self._departed = DepartedTransactions()
        self._transactions = Transactions(self._ctx, self._blocks, self._departed)
        self._histories = Histories(self._ctx)
        self._utxo = UtxoTotals(self._ctx)
        self._mempool = None if node.mempool is None else MempoolView(node.mempool)
        self._pictures: tuple[str, str] = ("", "")
        self._pictured = -1
        """The mempool's state (its updates) that the pictures are of."""
        self._channel = Channel(self._clock)
        self._news = MempoolNews()
        self._subscription: Subscription | None = None
        self._tasks: list[asyncio.Task[None]] = []
        for path, handler in (
            ("/", self._home),
            ("/blocks", self._list),
            ("/height/{height}", self._height),
            ("/block/{hash}", self._block),
            ("/tx/{txid}", self._tx),
            ("/address/{address}", self._address),
            ("/script/{script}", self._script),
            ("/mempool", self._mempool_page),
            ("/utxo", self._utxo_page),
            ("/branches", self._branches),
            ("/peers", self._peers),
            ("/rules", self._rules),
            ("/search", self._search),
            ("/events", self._events),
        ):
            self.app.router.add_get(path, handler)
        self.app.router.add_post("/utxo", self._count_utxo)

    # Life

    async def open(self, host: str, port: int) -> None:
        """Follows the node and serves. ConfigError where it cannot listen."""
        try:
            await self.start(host, port)
        except (OSError, ValueError) as error:
            raise ConfigError(f"Unable to bind the explorer to {host} port {port}: {error}") from None
        self._log_place(host)
        node = self._node
        if node.mempool is not None:
            self._subscription = node.events.subscribe("web", self._handle)
            self._tasks.append(node.spawn("web events", self._subscription.run()))
            self._tasks.append(node.spawn("web mempool", self._tell_mempool()))
        self._tasks.append(node.spawn("web tip", self._tell_tips()))
        self._tasks.append(node.spawn("web templates", node.ports.workers.run(self.warm_up)))

    def _log_place(self, host: str) -> None:
        shown = f"[{host}]" if ":" in host else host
        self.log.info(f"Explorer listens on http://{shown}:{self.port}/")
        if host in ("0.0.0.0", "::"):
            self.log.warning("The explorer shows to everybody what this node knows")

    async def close(self) -> None:
        self._channel.close()
        if self._subscription is not None:
            self._node.events.unsubscribe(self._subscription)
            self._subscription = None
        await self._utxo.stop()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self.stop()

    async def _handle(self, event: Event) -> None:
        self._departed.handle(event)
        self._news.handle(event)

    async def _tell_tips(self) -> None:
        chain = self._node.chain
        last = chain.tip
        while True:
            last = await chain.wait_for_tip(partial(_differs, last.hash))
            self._channel.tell("tip", tip_facts(last))

    async def _tell_mempool(self) -> None:
        while True:
            await self._news.changed.wait()
            self._channel.tell("mempool", self._mempool_facts())
            await self._clock.sleep(MEMPOOL_PAUSE)

    def _mempool_facts(self) -> dict[str, object]:
        pool = self._ctx.mempool
        return {"size": len(pool), "vsize": pool.total_vsize, "txids": self._news.take()}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        first = message("tip", tip_facts(self._node.chain.tip))
        if self._node.mempool is not None:
            pool = self._node.mempool
            first += message("mempool", {"size": len(pool), "vsize": pool.total_vsize, "txids": []})
        return await self._channel.serve(request, HEADERS, first)

    # What all pages show

    def common(self, request: web.Request) -> dict[str, Any]:
        node = self._node
        return {
            "network": node.params.name,
            "role": node.role,
            "now": self._clock.time(),
            "tip_height": node.chain.tip.height,
            "has_blocks": node.role != "spv",
            "query": request.query.get("q", "") if request.path == "/search" else "",
            "live": True,
        }

    def _needs_blocks(self) -> None:
        if self._node.role == "spv":
            raise NotHere("This node keeps headers only", *_HEADERS_ONLY)

    # Pages

    async def _home(self, request: web.Request) -> web.Response:
        ctx, chain = self._ctx, self._node.chain
        network = await getnetworkinfo(ctx) if self._node.peers is not None else None
        mempool = await getmempoolinfo(ctx) if self._node.mempool is not None else None
        return self.page(
            request,
            "home.html",
            info=await getblockchaininfo(ctx) if self._node.role != "spv" else None,
            tip=chain.tip,
            tip_hash=hash_hex(chain.tip.hash),
            best_header=chain.best_header.height,
            rows=[await self._row(chain.headers.chain[height]) for height in _down(chain.tip.height, RECENT)],
            to_be=self._mempool.blocks()[:1] if self._mempool else [],
            mempool=mempool,
            network_info=network,
            indexes={n: (i.synced, i.best_height) for n, i in self._node.indexes.items()},
            uptime=int(self._clock.monotonic() - self._node.started_at),
            max_weight=MAX_BLOCK_WEIGHT,
        )

    async def _row(self, node: HeaderNode) -> dict[str, Any]:
        summary: Summary | None = await self._blocks.summary(node) if self._node.role != "spv" else None
        return {
            "height": node.height,
            "hash": hash_hex(node.hash),
            "time": node.time,
            "txs": node.tx_count,
            "summary": summary,
        }

    async def _list(self, request: web.Request) -> web.Response:
        """By heights, so that an address shows the same blocks when the chain has grown."""
        chain = self._node.chain.headers.chain
        tip = len(chain) - 1
        top = whole_number(request, "from", tip, "Heights are numbers from 0.")
        if top > tip:
            raise NotHere("The chain is not that long", f"It ends at height {tip:,}.")
        heights = _down(top, LISTED)
        return self.page(
            request,
            "blocks.html",
            rows=[await self._row(chain[height]) for height in heights],
            top=top,
            bottom=heights[-1],
            follows="from" not in request.query,
            newer="" if top == tip else url_with(request, **{"from": min(top + LISTED, tip)}),
            older="" if not heights[-1] else url_with(request, **{"from": heights[-1] - 1}),
            max_weight=MAX_BLOCK_WEIGHT,
        )

    async def _height(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(await search.find(self._ctx, self._transactions, request.match_info["height"]))

    async def _block(self, request: web.Request) -> web.Response:
        node = self._find_block(request.match_info["hash"])
        headers, page = self._node.chain.headers, page_number(request)
        values: dict[str, Any] = {
            "node": node,
            "header": header_json(node, headers),
            "on_chain": headers.in_chain(node),
            "page": page,
            "last_page": 1,
            "rows": [],
            "summary": None,
            "max_weight": MAX_BLOCK_WEIGHT,
            "suffix": "" if self._ctx.tx_index is not None else f"?block={hash_hex(node.hash)}",
        }
        if self._node.role != "spv":
            values["summary"] = await self._blocks.summary(node)
        if values["summary"] is not None:
            block, spent = await self._blocks.read(node)
            values["last_page"] = max(1, -(-len(block.vtx) // BLOCK_TXS))
            if page > values["last_page"]:
                raise NotHere("The block is not that long", f"It has {len(block.vtx):,} transactions.")
            values["rows"] = rows_of(block, spent, (page - 1) * BLOCK_TXS, BLOCK_TXS)
            values["coinbase"] = block.vtx[0].vin[0].script_sig.hex()
        return self.page(request, "block.html", **values)

    def _find_block(self, text: str) -> HeaderNode:
        node = self._node.chain.headers.get(_hash(text, "a block"))
        if node is None:
            raise NotHere(
                "No block has this hash here",
                "It may be on a branch that this node never saw, or on another network "
                f"than {self._node.params.name}.",
            )
        return node

    async def _tx(self, request: web.Request) -> web.Response:
        self._needs_blocks()
        txid = _hash(request.match_info["txid"], "a transaction")
        where = self._find_block(request.query["block"]) if "block" in request.query else None
        found = await self._transactions.find(txid, where)
        if found is None:
            raise NotHere("No transaction has this id here", *search.why_unknown(self._ctx))
        tx, params = found.tx, self._node.params
        in_page, out_page = page_number(request, "inputs"), page_number(request, "outputs")
        last_in, last_out = max(1, -(-len(tx.vin) // TX_PARTS)), max(1, -(-len(tx.vout) // TX_PARTS))
        if in_page > last_in or out_page > last_out:
            raise NotHere("The transaction is not that long")
        entry, tip = None, self._node.chain.tip
        if found.entry is not None and self._node.mempool is not None:
            entry = entry_json(self._node.mempool, found.entry)
        return self.page(
            request,
            "tx.html",
            found=found,
            tx=tx,
            txid=hash_hex(tx.txid),
            wtxid=hash_hex(tx.wtxid),
            block_hash=hash_hex(found.node.hash) if found.node is not None else "",
            confirmations=tip.height - found.node.height + 1 if found.node is not None else 0,
            entry=entry,
            place=self._mempool.place_of(txid) if self._mempool and entry else None,
            inputs=inputs(found, params, (in_page - 1) * TX_PARTS, TX_PARTS),
            outputs=await self._transactions.outputs(found, (out_page - 1) * TX_PARTS, TX_PARTS),
            paid=sum(out.value for out in tx.vout),
            in_page=in_page,
            out_page=out_page,
            last_in=last_in,
            last_out=last_out,
            signals_replacement=not tx.is_coinbase and any(i.sequence < 0xFFFFFFFE for i in tx.vin),
            raw=tx.raw.hex() if tx.size <= 10_000 else "",
        )

    async def _address(self, request: web.Request) -> web.Response:
        address = request.match_info["address"]
        try:
            destination = decode_address(address, self._node.params)
        except AddressError as error:
            raise NotHere(
                f"This is no address of {self._node.params.name}",
                f"{error.message}.",
                "An address is bound to its network: those of main, test networks and regtest differ.",
            ) from None
        return await self._history(request, destination.script_pubkey, address)

    async def _script(self, request: web.Request) -> web.Response:
        text = request.match_info["script"]
        try:
            script = bytes.fromhex(text)
        except ValueError:
            raise NotHere("A script is written in hex here", "Two digits a byte, nothing between.") from None
        if len(script) > MAX_SCRIPT_SIZE:
            raise NotHere("No output with so long a script can be spent")
        return await self._history(request, script, "")

    async def _history(self, request: web.Request, script: bytes, address: str) -> web.Response:
        self._needs_blocks()
        view = script_view(script, self._node.params)
        history = await self._histories.of(script, page_number(request))
        return self.page(
            request,
            "address.html",
            address=address or view.address,
            by_script=not address,
            script=view,
            scripthash=hash_hex(sha256(script)),
            history=history,
        )

    async def _mempool_page(self, request: web.Request) -> web.Response:
        self._needs_blocks()
        assert self._mempool is not None and self._node.mempool is not None
        blocks, page = self._mempool.blocks(), page_number(request)
        pool = self._node.mempool
        last = max(1, -(-len(pool) // NEXT_TXS))
        if page > last:
            raise NotHere("The mempool is not that full", f"It has {len(pool):,} transactions.")
        in_order = (txid for block in blocks for chunk in block.chunks for txid in chunk.txids)
        shown = [pool.entries[txid] for txid in islice(in_order, (page - 1) * NEXT_TXS, page * NEXT_TXS)]
        if pool.updates != self._pictured:
            self._pictures = (queue(blocks), block_map(blocks[0])) if blocks else ("", "")
            self._pictured = pool.updates
        return self.page(
            request,
            "mempool.html",
            info=await getmempoolinfo(self._ctx),
            blocks=blocks,
            queue=self._pictures[0],
            map=self._pictures[1],
            rows=[
                {
                    "txid": hash_hex(entry.txid),
                    "fee": entry.fee,
                    "weight": entry.adjusted_weight,
                    "vsize": entry.vsize,
                    "time": entry.time,
                    "block": self._mempool.place_of(entry.txid),
                }
                for entry in shown
            ],
            page=page,
            last_page=last,
        )

    async def _utxo_page(self, request: web.Request) -> web.Response:
        self._needs_blocks()
        return self.page(request, "utxo.html", totals=self._utxo)

    async def _count_utxo(self, request: web.Request) -> web.Response:
        self._needs_blocks()
        await self._utxo.count()
        raise web.HTTPSeeOther("/utxo")

    async def _branches(self, request: web.Request) -> web.Response:
        chain = self._node.chain
        tips = await getchaintips(self._ctx)
        statuses = {hash_from_hex(tip["hash"]): tip["status"] for tip in tips}
        branches = branches_of(chain.headers, statuses)
        page = page_number(request)
        last = max(1, -(-len(tips) // LISTED))
        if page > last:
            raise NotHere("There are not so many branches")
        return self.page(
            request,
            "branches.html",
            tips=tips[(page - 1) * LISTED : page * LISTED],
            count=len(tips),
            drawn=len(branches),
            picture=branch_picture(chain.headers, branches),
            page=page,
            last_page=last,
        )

    async def _peers(self, request: web.Request) -> web.Response:
        has_peers = self._node.peers is not None
        return self.page(
            request,
            "peers.html",
            info=await getnetworkinfo(self._ctx) if has_peers else None,
            peers=await getpeerinfo(self._ctx) if has_peers else [],
        )

    async def _rules(self, request: web.Request) -> web.Response:
        return self.page(request, "rules.html", info=await getdeploymentinfo(self._ctx, None))

    async def _search(self, request: web.Request) -> web.Response:
        query = request.query.get("q", "")
        raise web.HTTPFound(await search.find(self._ctx, self._transactions, query))


def _differs(block_hash: bytes, tip: HeaderNode) -> bool:
    return tip.hash != block_hash


def _down(top: int, count: int) -> range:
    """count heights from top down, none below 0."""
    return range(top, max(top - count, -1), -1)


def _hash(text: str, what: str) -> bytes:
    if len(text) != 64 or not all(char in "0123456789abcdefABCDEF" for char in text):
        raise NotHere(f"This is not the hash of {what}", "A hash has 64 hex digits.")
    return hash_from_hex(text.lower())

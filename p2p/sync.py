"""Headers and blocks: receives them, and asks for what is missing.

The decisions are in headers_sync and block_download; here they meet peers and the chain. Behaviour is that of
Bitcoin Core 31.99 (net_processing.cpp), log lines included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from pybitcoind.chain.consensus.blocks import check_block_mutated, has_valid_proof_of_work
from pybitcoind.chain.consensus.errors import BlockFault, BlockInvalid
from pybitcoind.chain.consensus.pow import block_work
from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.primitives.block import Block, BlockHeader
from pybitcoind.chain.primitives.hashes import hash_hex

from .block_announcer import BlockAnnouncer
from .block_download import MAX_BLOCKS_IN_TRANSIT_PER_PEER, BlockDownload
from .block_fetcher import BlockFetcher
from .compact_relay import CompactRelay
from .handshake import ConnectionType
from .headers_sync import (
    HEADERS_RESPONSE_TIME,
    MAX_HEADERS_RESULTS,
    HeadersSync,
    LagVerdict,
    anti_dos_threshold,
    are_continuous,
    claimed_work,
)
from .messages import BlockMessage, GetData, GetHeaders, Headers, Inv, InvType
from .permissions import Permission

if TYPE_CHECKING:
    from .context import Context
    from .peer import Peer

CATCHING_UP = 32
"""Blocks behind the best header from which on blocks are stored without waiting for their turn."""
MIN_BLOCK_PATIENCE = 60
"""Seconds. A peer gets as long for a block as a block takes, on a chain of one's own perhaps nothing."""
MAX_PROTECTED_OUTBOUND = 4
"""Outbound peers with a good chain that are never dropped for lagging behind."""


class BlockSync:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.headers = HeadersSync(context.params, context.ports.random)
        self.download = BlockDownload(context.headers, segwit_height=context.params.segwit_height)
        self.compact = CompactRelay(context, self)
        self.announcer = BlockAnnouncer(context, self.download, self.compact)
        self.fetcher = BlockFetcher(context, self.download)
        self.last_tip_update = 0.0
        self.on_learned: Callable[[], None] = lambda: None
        """Called when a peer showed what chain it has."""
        self._accepting = 0
        """headers messages that wait for the owner."""
        self._sources: dict[bytes, tuple[int, bool]] = {}
        """Who sent a block whose verdict is still out, and whether as a compact block."""

    # Peers come and go

    def add_peer(self, peer: Peer) -> None:
        """Its version message came."""
        peer.preferred = (
            (not peer.inbound or peer.has(Permission.NOBAN))
            and peer.kind is not ConnectionType.ADDR_FETCH
            and peer.serves_blocks
        )
        peer.headers = self.headers.add_peer(peer.id)
        peer.blocks = self.download.add_peer(
            peer.id,
            serves=peer.serves_blocks,
            limited=peer.limited,
            witness=peer.serves_witnesses,
            inbound=peer.inbound,
        )
        self.announcer.add_peer(peer)

    def remove_peer(self, peer: Peer) -> None:
        self.headers.remove_peer(peer.id)
        self.download.remove_peer(peer.id)
        self.announcer.remove_peer(peer)
        self.fetcher.remove_peer(peer)
        for block_hash in [h for h, (source, _) in self._sources.items() if source == peer.id]:
            del self._sources[block_hash]

    def _preferred_count(self) -> int:
        return sum(peer.preferred for peer in self.context.peers.values())

    # Asking for headers

    def ask_headers(self, peer: Peer, locator: Sequence[bytes]) -> bool:
        """Sends getheaders unless an answer is still owed."""
        if not self.headers.may_ask(peer.id, self.context.now()):
            return False
        peer.send(GetHeaders(list(locator)))
        return True

    def _ask_after(self, peer: Peer, node: HeaderNode) -> bool:
        return self.ask_headers(peer, self.context.headers.locator(node))

    # Headers received

    @contextmanager
    def accepting(self) -> Iterator[None]:
        """Meanwhile blocks that headers announced are asked of nobody but who sent these."""
        self._accepting += 1
        try:
            yield
        finally:
            self._accepting -= 1
            self.context.wake()

    async def on_headers(self, peer: Peer, message: Headers, *, via_compact: bool = False) -> None:
        headers, context = message.headers, self.context
        if context.chain.loading_blocks:
            context.log.debug("net", f"Unexpected headers message received from peer {peer.id}")
            return None
        if not headers:  # an answer: it has nothing more
            self.headers.answered(peer.id)
            peer.headers.low_work = None
            return None
        if not has_valid_proof_of_work(headers, context.params):
            return peer.misbehaving("header with invalid proof of work")
        if not are_continuous(headers):
            return peer.misbehaving("non-continuous headers sequence")
        full = len(headers) == MAX_HEADERS_RESULTS
        checked = self._continue_low_work(peer, headers, full)
        if checked is not None:
            headers = checked
            if not headers:
                return None
        in_low_work = peer.headers.low_work is not None
        start = context.headers.get(headers[0].prev_hash)
        if start is None:
            return self._unconnecting(peer, headers)
        self.headers.connected(peer.id)
        known = context.headers.get(headers[-1].hash)
        trusted = checked is not None or self._on_best_chain(known) or peer.has(Permission.NOBAN)
        if not trusted and self._low_work(peer, start, headers, full):
            return None
        with self.accepting():
            try:
                last = await context.chain.accept_headers(headers, min_pow_checked=True)
                if last is not None and not peer.disconnecting:
                    self._accepted(peer, last, new=known is None, full=full, in_low_work=in_low_work)
            except BlockInvalid as error:
                if not peer.inbound and error.fault is BlockFault.CACHED_INVALID:
                    context.log.warning(
                        f"{error.detail} (received from peer={peer.id}). If this happens with all peers, "
                        "consider database corruption (that -reindex may fix) or a potential consensus "
                        "incompatibility."
                    )
                self.punish(peer, error, "invalid header received", via_compact=via_compact)
        return None

    def _accepted(self, peer: Peer, last: HeaderNode, *, new: bool, full: bool, in_low_work: bool) -> None:
        if new:
            self.log_new_header(peer, last)
        if full and not in_low_work and self._ask_after(peer, last):
            peer.debug(f"more getheaders ({last.height}) to end to")
        self._learned(peer, last, new=new, full=full)
        self._direct_fetch(peer, last)

    def _continue_low_work(
        self, peer: Peer, headers: Sequence[BlockHeader], full: bool
    ) -> list[BlockHeader] | None:
        """Headers whose chain was shown to have enough work; None if the peer has no such sync."""
        low_work = peer.headers.low_work
        progress = self.headers.continue_low_work(peer.id, headers, full=full)
        if progress is None or low_work is None:
            return None
        if progress.request_more:
            locator = [low_work.asked_from, *self.context.headers.locator(low_work.start)]
            if self.ask_headers(peer, locator):
                peer.debug(f"more getheaders (from {hash_hex(low_work.asked_from)}) to")
        return progress.headers

    def _low_work(self, peer: Peer, start: HeaderNode, headers: Sequence[BlockHeader], full: bool) -> bool:
        """Whether the headers' chain has too little work to be stored; then a sync by its work begins."""
        threshold = anti_dos_threshold(self.context.tip, self.context.chain.minimum_chainwork)
        if start.chainwork + claimed_work(headers) >= threshold:
            return False
        if full:
            self.headers.begin_low_work(peer.id, start, threshold, self.context.now())
            self._continue_low_work(peer, headers, full)
        else:
            height = start.height + len(headers)
            peer.debug(f"Ignoring low-work chain (height={height}) from")
        return True

    def _unconnecting(self, peer: Peer, headers: Sequence[BlockHeader]) -> None:
        """Asks for what is in between, and remembers that the peer has the last one."""
        self.headers.unconnecting(peer.id)
        best = self.context.best_header
        if self._ask_after(peer, best):
            self.context.log.debug(
                "net",
                f"received header {hash_hex(headers[0].hash)}: missing prev block "
                f"{hash_hex(headers[0].prev_hash)}, sending getheaders ({best.height}) to end "
                f"(peer={peer.id})",
            )
        self.download.announced(peer.id, headers[-1].hash)

    def _on_best_chain(self, node: HeaderNode | None) -> bool:
        """Taking such a header again costs nothing and tells nothing."""
        if node is None:
            return False
        return self.context.best_header.descends_from(node) or self.context.headers.in_chain(node)

    def log_new_header(self, peer: Peer, node: HeaderNode, *, via: str = "") -> None:
        """via: "cmpctblock ", if it came so."""
        text = f"Saw new {via}header hash={hash_hex(node.hash)} height={node.height} {peer.log_name}"
        if self.context.is_ibd:
            self.context.log.debug("validation", text)
        else:
            self.context.log.info(text)

    def _learned(self, peer: Peer, last: HeaderNode, *, new: bool, full: bool) -> None:
        """The peer has this chain: it is judged by it."""
        context, tip = self.context, self.context.tip
        self.download.announced(peer.id, last.hash)
        self.on_learned()
        best = peer.blocks.best_known
        if new and last.chainwork > tip.chainwork:
            peer.blocks.last_announcement = context.now()
        short = best is not None and best.chainwork < context.chain.minimum_chainwork
        if context.is_ibd and not full and short and peer.outbound_or_block_relay:
            peer.disconnect("outbound peer headers chain has insufficient work", info=True)
            return
        good = best is not None and best.chainwork >= tip.chainwork
        if peer.kind is ConnectionType.OUTBOUND_FULL_RELAY and good and not peer.headers.protected:
            protected = sum(state.protected for state in self.headers.peers.values())
            if protected < MAX_PROTECTED_OUTBOUND:
                peer.headers.protected = True
                context.log.debug("net", f"Protecting outbound peer={peer.id} from eviction")

    def _direct_fetch(self, peer: Peer, last: HeaderNode) -> None:
        """Asks at once for announced blocks when we are near the tip."""
        if self.context.options.headers_only or not self.context.can_direct_fetch or not peer.complete:
            return
        nodes = self.download.direct_fetch(peer.id, last, self.context.tip)
        if len(nodes) > 1:
            self.context.log.debug(
                "net",
                f"Downloading blocks toward {hash_hex(last.hash)} ({last.height}) via headers direct fetch",
            )
        self.ask_blocks(peer, nodes, compact=self._may_be_compact(peer, last))

    def _may_be_compact(self, peer: Peer, last: HeaderNode) -> bool:
        """Our mempool may have most of it: it comes next, and nothing else is under way."""
        return (
            not self.context.options.blocks_only
            and peer.features.provides_cmpctblocks
            and not self.download.in_flight
            and last.prev is not None
            and (last.prev.scripts_valid or last.prev.prev is None)
        )

    # Blocks

    def ask_blocks(self, peer: Peer, nodes: Sequence[HeaderNode], *, compact: bool = False) -> None:
        """compact: one alone as a compact block."""
        kind = InvType.WITNESS_BLOCK if peer.serves_witnesses else InvType.BLOCK
        now, items = self.context.now(), []
        for node in nodes:
            if self.download.requested(peer.id, node, now):
                items.append(Inv(kind, node.hash))
                peer.debug(f"Requesting block {hash_hex(node.hash)} ({node.height})")
        if compact and len(items) == 1:
            items = [Inv(InvType.CMPCT_BLOCK, items[0].hash)]
        if items:
            peer.send(GetData(items))

    def is_mutated(self, block: Block, parent: HeaderNode) -> bool:
        """The body is not the one that the header commits to."""
        try:
            check_block_mutated(block, parent.height + 1 >= self.context.params.segwit_height)
        except BlockInvalid as error:
            self.context.log.debug("validation", f"Block mutated: {error}")
            return True
        return False

    async def on_block(self, peer: Peer, message: BlockMessage) -> None:
        context, block = self.context, message.block
        if context.chain.loading_blocks:
            context.log.debug("net", f"Unexpected block message received from peer {peer.id}")
            return None
        block_hash, download = block.hash, self.download
        peer.debug(f"received block {hash_hex(block_hash)}")
        parent = context.headers.get(block.header.prev_hash)
        if parent is not None and self.is_mutated(block, parent):
            peer.debug("Received mutated block from")
            download.done(block_hash, context.now(), only_from=peer.id)
            self.fetcher.undelivered(peer, block_hash)
            return peer.misbehaving("mutated block")
        if context.options.headers_only:
            self.fetcher.deliver(block)
            return None
        threshold = anti_dos_threshold(context.tip, context.chain.minimum_chainwork)
        enough = parent is not None and parent.chainwork + block_work(block.header.bits) >= threshold
        await self.process(peer, block, requested=block_hash in download.in_flight, enough_work=enough)
        return None

    async def process(
        self, peer: Peer, block: Block, *, requested: bool, enough_work: bool, via_compact: bool = False
    ) -> None:
        """Through the chain, to the verdict if there is one at once."""
        context, download, block_hash = self.context, self.download, block.hash
        download.begin_processing(block_hash, peer.id, context.now())
        # Far behind the headers nobody waits for the block to be connected, so the next can come.
        behind = context.best_header.height - context.tip.height > CATCHING_UP
        process = context.chain.accept_block if behind else context.chain.process_block
        peer.unsettled = behind
        self._sources[block_hash] = peer.id, via_compact
        try:
            result = await process(block, requested=requested, min_pow_checked=enough_work)
        finally:
            download.end_processing(block_hash)
        if result.new:
            peer.last_block_time = context.ports.clock.time()
            download.done(block_hash, context.now())
        if result.error is not None or result.checked:
            self.block_checked(block_hash, result.error)
        elif not result.new:
            self._sources.pop(block_hash, None)
        context.wake()

    def block_checked(self, block_hash: bytes, error: BlockInvalid | None) -> None:
        """What came of a block, perhaps long after it was received: its sender answers for it."""
        source, via_compact = self._sources.pop(block_hash, (None, False))
        peer = None if source is None else self.context.peers.get(source)
        if peer is None:
            return
        if error is not None:
            self.punish(peer, error, "", via_compact=via_compact)
        else:
            self.compact.valid_block_from(peer)

    def punish(self, peer: Peer, error: BlockInvalid, message: str, *, via_compact: bool = False) -> None:
        """What a refused block or header means for its sender.

        via_compact: it may not have been able to know; but it must know the chain that it builds on.
        """
        match error.fault:
            case BlockFault.CONSENSUS | BlockFault.MUTATED if not via_compact:
                peer.misbehaving(message)
            case BlockFault.INVALID_HEADER | BlockFault.INVALID_PREV | BlockFault.MISSING_PREV:
                peer.misbehaving(message)
            case BlockFault.CACHED_INVALID if not peer.inbound and not via_compact:
                peer.misbehaving(message)
            case _:
                if message:
                    self.context.log.debug("net", f"peer={peer.id}: {message}")

    # Blocks announced to us by inv

    def on_block_invs(self, peer: Peer, hashes: Sequence[bytes]) -> None:
        """The last unknown one should be the highest: headers up to it are asked for."""
        context, best = self.context, None
        verbose = context.log.enabled("net")
        for block_hash in hashes:
            known = context.headers.get(block_hash) is not None
            if verbose:
                peer.debug(f"got inv: block {hash_hex(block_hash)} {'have' if known else 'new'}")
            self.download.announced(peer.id, block_hash)
            if not (known or block_hash in self.download.in_flight or context.chain.loading_blocks):
                best = block_hash
        if best is not None and self.headers.block_inv(peer.id, best):
            node = context.best_header
            if self._ask_after(peer, node):
                peer.debug(f"getheaders ({node.height}) {hash_hex(best)} to")

    # What is due for a peer

    def tick(self, peer: Peer, now: float) -> None:
        """Sends what is due; may disconnect the peer. Called for complete peers, about ten times a second."""
        self.announcer.maybe_sendheaders(peer)
        self._maybe_start(peer, now)
        self.announcer.announce(peer)
        if self._give_up(peer, now):
            return
        self._check_lag(peer, now)
        if not peer.disconnecting and not self.context.options.headers_only:
            self._request_blocks(peer, now)

    def rests_until(self, peer: Peer, now: float) -> float:
        """Until then `tick` has nothing to do, unless something comes."""
        chain, headers, blocks = self.context.chain, peer.headers, peer.blocks
        best, tip = blocks.best_known, self.context.tip
        ahead = best is not None and best.chainwork > tip.chainwork and not self.context.options.headers_only
        if ahead or blocks.in_flight or chain.loading_blocks or chain.background is not None:
            return now
        times = [headers.sync_timeout, headers.lag_timeout]
        if headers.last_getheaders is not None:
            times.append(headers.last_getheaders + HEADERS_RESPONSE_TIME)
        return min((when for when in times if when is not None and when >= now), default=inf)

    def _may_sync_from(self, peer: Peer) -> bool:
        """Preferred peers first; an inbound one if there is no other, or nothing is being downloaded."""
        if peer.preferred:
            return True
        return (
            peer.serves_blocks
            and peer.kind is not ConnectionType.ADDR_FETCH
            and (self._preferred_count() == 0 or not self.download.in_flight)
        )

    def _maybe_start(self, peer: Peer, now: float) -> None:
        if peer.headers.sync_started or not peer.serves_blocks or self.context.chain.loading_blocks:
            return
        best = self.context.best_header
        preferred = self._may_sync_from(peer)
        if not self.headers.should_start(peer.id, preferred=preferred, best_header_time=best.time, now=now):
            return
        start = best.prev or best  # one below, so that the answer is not empty and tells its best block
        if self._ask_after(peer, start):
            peer.debug(f"initial getheaders ({start.height}) to")
            self.headers.start(peer.id, best_header_time=best.time, now=now)

    def _give_up(self, peer: Peer, now: float) -> bool:
        download = self.download
        before = download.stalling_timeout
        if download.stalled_too_long(peer.id, now):
            peer.disconnect("Peer is stalling block download", info=True)
            if download.stalling_timeout != before:
                seconds = int(download.stalling_timeout)
                self.context.log.debug("net", f"Increased stalling timeout temporarily to {seconds} seconds")
            return True
        spacing = max(self.context.params.pow_target_spacing, MIN_BLOCK_PATIENCE)
        late = download.overdue(peer.id, spacing, now)
        if late is not None:
            peer.disconnect(f"Timeout downloading block {hash_hex(late.hash)}", info=True)
            return True
        others = self._preferred_count() - peer.preferred
        if self.headers.timed_out(
            peer.id, best_header_time=self.context.best_header.time, other_preferred=others, now=now
        ):
            if not peer.has(Permission.NOBAN):
                peer.disconnect("Timeout downloading headers", info=True)
                return True
            self.context.log.info(
                f"Timeout downloading headers from noban peer, not disconnecting {peer.log_name}"
            )
            self.headers.restart(peer.id)
        return False

    def _check_lag(self, peer: Peer, now: float) -> None:
        if not peer.outbound_or_block_relay:
            return
        best = peer.blocks.best_known
        known = "<none>" if best is None else hash_hex(best.hash)
        verdict = self.headers.check_lag(peer.id, best, self.context.tip, now)
        if verdict is LagVerdict.DISCONNECT:
            peer.disconnect(f"Outbound peer has old chain, best known block = {known}", info=True)
        elif verdict is LagVerdict.ASK:
            benchmark = peer.headers.lag_header
            assert benchmark is not None
            self._ask_after(peer, benchmark.prev or benchmark)
            self.context.log.debug(
                "net",
                f"sending getheaders to outbound peer={peer.id} to verify chain work (current best known "
                f"block:{known}, benchmark blockhash: {hash_hex(benchmark.hash)})",
            )

    def _request_blocks(self, peer: Peer, now: float) -> None:
        ibd = self.context.is_ibd
        if (
            self._accepting
            or not peer.serves_blocks
            or (ibd and (peer.limited or not self._may_sync_from(peer)))
        ):
            return
        if len(peer.blocks.in_flight) >= MAX_BLOCKS_IN_TRANSIT_PER_PEER:
            return
        nodes, staller = self._next_blocks(peer)
        self.ask_blocks(peer, nodes)
        if staller is not None and not peer.blocks.in_flight and self.download.stalls(staller, now):
            self.context.log.debug("net", f"Stall started peer={staller}")

    def _next_blocks(self, peer: Peer) -> tuple[list[HeaderNode], int | None]:
        """Towards the tip first; then, with a loaded snapshot, those below it."""
        chain, download = self.context.chain, self.download
        background, nodes, staller = chain.background, list[HeaderNode](), None
        download.resolve(peer.id)
        if background is not None and download.is_elsewhere(peer.id, background.target, self.context.tip):
            # We could not go over to its chain: below the snapshot nothing can be disconnected yet.
            self.context.log.debug(
                "net",
                f"Not downloading blocks from peer={peer.id}, which doesn't have the snapshot block in its "
                "best chain.",
            )
        else:
            nodes, staller = download.next_blocks(peer.id, self.context.tip, chain.minimum_chainwork)
        if background is not None and not peer.limited:
            room = download.room(peer.id) - len(nodes)
            nodes += download.historical_blocks(peer.id, background.tip, background.target, room)
        return nodes, staller

    def block_connected(self) -> None:
        self.last_tip_update = self.context.now()
        before = self.download.stalling_timeout
        self.download.block_connected()
        if self.download.stalling_timeout != before:
            seconds = int(self.download.stalling_timeout)
            self.context.log.debug("net", f"Decreased stalling timeout to {seconds} seconds")

"""Taking blocks from files: Core's -loadblock form (magic, length, block), and -reindex from our own.

Reading and parsing run ahead on a worker while the owner connects what was read before. Where scripts may be
assumed valid the headers of all files are read first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import SEEK_END
from typing import TYPE_CHECKING, NamedTuple

from .consensus.blocks import check_block
from .consensus.errors import BlockInvalid
from .consensus.limits import MAX_BLOCK_SERIALIZED_SIZE
from .header_tree import HeaderNode
from .owner import OwnerStopped
from .params import ChainParams
from .primitives.block import HEADER_SIZE, Block, BlockHeader
from .primitives.serialize import DecodeError
from .storage.block_store import Position, StoredBlock

if TYPE_CHECKING:
    from .manager import ChainManager

BATCH_BYTES = 1 << 20
FIRST_BYTES = 1 << 17
"""Blocks that are read in one go; few at first, so that the owner has something to do soon."""
WAITING_BATCHES = 2
"""So many are read while the owner is busy with a block."""
READ_BYTES = 4 << 20
HEADERS = 5000
"""Headers handed to the owner at once."""
HEADING, LOADING, REINDEXING = "Reading headers", "Loading blocks", "Reindexing block files"
"""What is shown of the progress."""


class ParsedBlock(NamedTuple):
    """A block of the file. checked: it passed check_block; offset: of its first byte in the file."""

    block: Block
    checked: bool
    offset: int


class Batch(NamedTuple):
    """blocks: in the order of the file. offset: where to read on. done: the end of the file was reached.

    size: of the file, bytes.
    """

    blocks: list[ParsedBlock]
    offset: int
    done: bool
    complaints: list[str]
    size: int


def read_batch(path: str, offset: int, params: ChainParams) -> Batch:
    """The next blocks of the file, parsed and checked; runs on a worker. OSError if it cannot be read.

    What is no block is skipped: files that a crash or an old bug left with gaps in them are still of use.
    """
    blocks: list[ParsedBlock] = []
    complaints: list[str] = []
    magic, size = params.magic, 0
    with open(path, "rb") as file:
        file_size = file.seek(0, SEEK_END)
        file.seek(offset)
        data = file.read(READ_BYTES)
        pos = 0
        while size < (BATCH_BYTES if offset else FIRST_BYTES):
            start = data.find(magic, pos)
            at_end = len(data) < READ_BYTES
            if start < 0:
                if at_end:
                    return Batch(blocks, offset + len(data), True, complaints, file_size)
                pos = len(data) - len(magic) + 1
                break
            length = int.from_bytes(data[start + 4 : start + 8], "little")
            end = start + 8 + length
            if start + 8 > len(data) or (
                end > len(data) and HEADER_SIZE <= length <= MAX_BLOCK_SERIALIZED_SIZE
            ):
                if at_end:  # cut short: no more whole block
                    pos = start + 1
                    continue
                pos = start
                break
            if not HEADER_SIZE <= length <= MAX_BLOCK_SERIALIZED_SIZE:
                pos = start + 1
                continue
            raw = data[start + 8 : end]
            try:
                block = Block.decode(raw)
            except DecodeError as error:
                complaints.append(
                    f"unexpected data at file offset 0x{offset + start:x} - {error}. continuing"
                )
                pos = start + 1
                continue
            blocks.append(ParsedBlock(block, _passes(block, params), offset + start + 8))
            size += length
            pos = end
        return Batch(blocks, offset + pos, False, complaints, file_size)


def _passes(block: Block, params: ChainParams) -> bool:
    try:
        check_block(block, params)
    except BlockInvalid:
        return False
    return True


async def load_external(chain: ChainManager, path: str, progress: Callable[[int], None] | None = None) -> int:
    """Accepts and connects the blocks of a file; how many were new.

    Blocks may come before their parents. Bad ones are logged and left out. Ends early when the node stops.
    progress: called with the count so far after every batch.
    """
    log, clock, workers = chain.ports.log, chain.ports.clock, chain.ports.workers
    started = clock.monotonic()
    log.info(f"Importing blocks file {path}...")
    loader = _Loader(chain, path)
    chain.ibd.loading = True
    ahead: asyncio.Future[Batch] | None = None
    accepting: asyncio.Future[None] | None = None
    try:
        ahead = asyncio.ensure_future(workers.run(read_batch, path, 0, chain.params))
        while True:
            batch = await ahead
            ahead = None
            if not batch.done:
                ahead = asyncio.ensure_future(workers.run(read_batch, path, batch.offset, chain.params))
            for complaint in batch.complaints:
                log.debug("reindex", f"LoadExternalBlockFile: {complaint}")
            # The owner connects a block meanwhile, and then takes all that was read: so whatever block it
            # connects, the next one is there already, and is begun before the first is done. If it has
            # nothing to do, two batches come at once.
            loader.waiting.append(batch.blocks)
            few = ahead is not None and len(loader.waiting) < WAITING_BATCHES
            if accepting is None and not (few and loader.all_connected):
                connected = loader.last
                accepting = asyncio.ensure_future(chain.submit(loader.accept_waiting))
            if accepting is not None and (not few or accepting.done()):
                await accepting
                accepting = None
                if loader.waiting:  # read when the owner had just looked
                    await chain.submit(loader.accept_waiting)
                while connected is not None and not chain.headers.in_chain(connected):
                    if not await chain.owner.step_taken():
                        break
            chain.ports.progress(LOADING, batch.offset / max(1, batch.size))
            if progress is not None:
                progress(loader.loaded)
            if ahead is None:
                break
        await chain.activate_best()
    except OwnerStopped:
        log.info("Interrupt requested. Exit block importing.")
    except OSError as error:
        log.warning(f"Could not open blocks file {path} ({error.strerror})")
        with suppress(OwnerStopped):  # what was read before is taken all the same
            await chain.submit(loader.accept_waiting)
    finally:
        chain.ports.progress(LOADING, None)
        chain.ibd.loading = False
        loader.waiting.clear()
        for left in (ahead, accepting):
            if left is not None:
                left.cancel()
    chain.update_ibd()
    elapsed = round((clock.monotonic() - started) * 1000)
    log.info(f"Loaded {loader.loaded} blocks from external file in {elapsed}ms")
    return loader.loaded


class _Loader:
    """Accepts the blocks of one file; keeps in mind where those are whose parent has not come yet."""

    def __init__(self, chain: ChainManager, path: str) -> None:
        self._chain, self._path = chain, path
        self._orphans: dict[bytes, list[tuple[int, int]]] = {}
        """By parent: offset and length of blocks."""
        self.loaded = 0
        self.last: HeaderNode | None = None
        """The last block that was accepted."""
        self.waiting: deque[list[ParsedBlock]] = deque()
        """Batches that were read and not yet accepted."""

    @property
    def all_connected(self) -> bool:
        """The owner has nothing to do."""
        return self.last is None or self._chain.headers.in_chain(self.last)

    async def accept_waiting(self) -> None:
        """On the owner task."""
        while self.waiting:
            await self._accept_batch(self.waiting.popleft())

    async def _accept_batch(self, blocks: list[ParsedBlock]) -> None:
        for block, checked, offset in blocks:
            if not _parent_known(self._chain, block):
                self._orphans.setdefault(block.header.prev_hash, []).append((offset, len(block.raw)))
                continue
            self._accept(block, checked)
            ready = [block.hash]
            while ready:
                for at, length in self._orphans.pop(ready.pop(), ()):
                    child = await self._chain.ports.workers.run(_read_block, self._path, at, length)
                    self._accept(child, False)
                    ready.append(child.hash)
            if self._chain.owner.stopping:
                break

    def _accept(self, block: Block, checked: bool) -> None:
        node = self._chain.headers.get(block.hash)
        if node is not None and node.have_data:
            if node.height % 1000 == 0 and node.height:
                self._chain.ports.log.debug(
                    "reindex",
                    f"Block Import: already had block {block.hash[::-1].hex()} at height {node.height}",
                )
            return
        result = self._chain._accept_block(block, True, True, checked)
        self.loaded += result.new
        self.last = result.node or self.last


def _parent_known(chain: ChainManager, block: Block) -> bool:
    """The parent's header is known, or block is the genesis block."""
    header = block.header
    if header.prev_hash in chain.headers or header.hash == chain.params.genesis.hash:
        return True
    chain.ports.log.debug(
        "reindex",
        f"LoadExternalBlockFile: Out of order block {header.hash[::-1].hex()}, parent "
        f"{header.prev_hash[::-1].hex()} not known",
    )
    return False


def _read_block(path: str, offset: int, length: int) -> Block:
    with open(path, "rb") as file:
        file.seek(offset)
        return Block.decode(file.read(length))


async def reindex(chain: ChainManager) -> None:
    """Takes every block of our own block files into a new index, then connects the best chain.

    Nothing is connected before all headers are known: which chain is best, and how far scripts may be assumed
    valid, shows only then.
    """
    log, workers, blocks = chain.ports.log, chain.ports.workers, chain.index.blocks
    orphans: dict[bytes, list[Position]] = {}

    async def accept(parsed: list[tuple[Position, Block | None]]) -> None:
        for position, block in parsed:
            if block is None:
                log.debug("reindex", f"unexpected data in block file {position.file}. continuing")
                continue
            if not _parent_known(chain, block):
                orphans.setdefault(block.header.prev_hash, []).append(position)
                continue
            chain._accept_block(block, True, True, position=position)
            ready = [block.hash]
            while ready:
                for at in orphans.pop(ready.pop(), ()):
                    child = Block.decode(await blocks.get_block(at))
                    chain._accept_block(child, True, True, position=at)
                    ready.append(child.hash)

    chain.ibd.loading = True
    try:
        last = -1
        async for stored in blocks.scan():
            if stored[0].position.file != last:
                last = stored[0].position.file
                share = last * 100 // max(1, len(blocks.files))
                chain.ports.progress(REINDEXING, share / 100)
                log.info(f"Reindexing block file blk{last:05}.sqlite ({share}% complete)...")
            parsed = await workers.run(_parse_stored, stored)
            await chain.submit(lambda parsed=parsed: accept(parsed))  # type: ignore[misc]
        await chain.submit(chain.end_reindex)
        log.info("Reindexing finished")
        chain.ports.progress(REINDEXING, None)
        await chain.activate_best()
    except OwnerStopped:
        log.info("Interrupt requested. Exit reindexing.")
    finally:
        chain.ports.progress(REINDEXING, None)
        chain.ibd.loading = False
    chain.update_ibd()


def _parse_stored(stored: list[StoredBlock]) -> list[tuple[Position, Block | None]]:
    parsed: list[tuple[Position, Block | None]] = []
    for one in stored:
        try:
            parsed.append((one.position, Block.decode(one.raw)))
        except DecodeError:
            parsed.append((one.position, None))
    return parsed


class HeaderBatch(NamedTuple):
    """headers: in the order of the file. offset: where to read on. done: the end of the file was reached."""

    headers: list[BlockHeader]
    offset: int
    done: bool
    size: int


def read_headers(path: str, offset: int, params: ChainParams) -> HeaderBatch:
    """The next headers of a file of blocks, whose bodies are skipped; runs on a worker."""
    headers: list[BlockHeader] = []
    with open(path, "rb") as file:
        size = file.seek(0, SEEK_END)
        while len(headers) < HEADERS:
            file.seek(offset)
            data = file.read(8 + HEADER_SIZE)
            if len(data) < 8 + HEADER_SIZE:
                return HeaderBatch(headers, offset, True, size)
            length = int.from_bytes(data[4:8], "little")
            if not data.startswith(params.magic) or not HEADER_SIZE <= length <= MAX_BLOCK_SERIALIZED_SIZE:
                more = data[1:] + file.read(READ_BYTES)
                found = more.find(params.magic)
                offset += 1 + (found if found >= 0 else len(more) - len(params.magic) + 1)
                continue
            headers.append(BlockHeader.decode(data[8:]))
            offset += 8 + length
    return HeaderBatch(headers, offset, False, size)


async def learn_headers(chain: ChainManager, paths: Sequence[str]) -> None:
    """Takes the headers of the files, before `load_external` takes the blocks.

    Core connects nothing before it has read all files, so it knows how far scripts may be assumed valid
    (-assumevalid). We connect while we read, and must know it first. What is wrong with a file is told later.
    """
    waiting: dict[bytes, list[BlockHeader]] = {}

    async def accept(headers: Sequence[BlockHeader]) -> None:
        node: HeaderNode | None = None
        for header in headers:
            ready = [header]
            while ready:
                one = ready.pop()
                if one.prev_hash not in chain.headers and one.hash != chain.params.genesis.hash:
                    waiting.setdefault(one.prev_hash, []).append(one)
                    continue
                with suppress(BlockInvalid):  # its block is told of
                    node = chain._intake.accept_header(one, True)
                    ready += waiting.pop(one.hash, ())
        chain._header_tip_moved(node)

    try:
        for path in paths:
            batch = HeaderBatch([], 0, False, 0)
            while not batch.done:
                try:
                    batch = await chain.ports.workers.run(read_headers, path, batch.offset, chain.params)
                except OSError:
                    break
                await chain.submit(lambda batch=batch: accept(batch.headers))  # type: ignore[misc]
                chain.ports.progress(HEADING, batch.offset / max(1, batch.size))
    except OwnerStopped:
        pass
    finally:
        chain.ports.progress(HEADING, None)

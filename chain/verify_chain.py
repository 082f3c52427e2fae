"""Looking through the last blocks: -checkblocks and -checklevel at start, and verifychain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum

from .block_index import BlockIndex
from .chainstate import Chainstate
from .coins_cache import CoinsCache
from .consensus.blocks import check_block
from .consensus.errors import BlockInvalid
from .ports import Ports
from .primitives.transaction import Coin, OutPoint
from .storage.database import StorageError
from .storage.records import coin_key, outpoint_of


class VerifyResult(Enum):
    """How it ended. Only CORRUPTED is bad news."""

    SUCCESS = "success"
    CORRUPTED = "corrupted"
    INTERRUPTED = "interrupted"
    SKIPPED_MISSING_BLOCKS = "skipped missing blocks"


class _Overlay:
    """The coins of a chainstate as the store of a cache above it, which is never flushed."""

    def __init__(self, coins: CoinsCache) -> None:
        self._coins = coins

    async def get_many(self, keys: list[bytes]) -> dict[bytes, Coin]:
        found = await self._coins.peek([outpoint_of(key) for key in keys])
        return {coin_key(outpoint): coin for outpoint, coin in found.items()}

    async def flush(
        self, changes: Mapping[OutPoint, Coin | None], best_block: bytes, *more: Mapping[OutPoint, Coin]
    ) -> None:
        raise AssertionError("an overlay is never flushed")


async def verify_chain(
    ports: Ports,
    index: BlockIndex,
    chainstate: Chainstate,
    level: int,
    depth: int,
    interrupted: Callable[[], bool],
) -> VerifyResult:
    """Goes down from the tip over depth blocks (0 or too many: all). Runs on the owner task, changes nothing.

    level: 0 the block can be read, 1 and follows the rules, 2 its undo data too, 3 it can be disconnected,
    4 and connected again.
    """
    with ports.long_work("Verifying blocks") as show:
        return await _verify(ports, index, chainstate, level, depth, interrupted, show)


async def _verify(
    ports: Ports,
    index: BlockIndex,
    chainstate: Chainstate,
    level: int,
    depth: int,
    interrupted: Callable[[], bool],
    show: Callable[[float], None],
) -> VerifyResult:
    log, tip = ports.log, chainstate.tip
    if tip is None or tip.prev is None:
        return VerifyResult.SUCCESS
    if depth <= 0 or depth > tip.height:
        depth = tip.height
    level = max(0, min(4, level))
    log.info(f"Verifying last {depth} blocks at level {level}")
    log.info("Verification progress: 0%")
    report = _Progress(ports, show, depth, 50 if level >= 4 else 100)
    overlay = chainstate.overlay(_Overlay(chainstate.coins))
    skipped = False
    transactions = 0
    node = tip
    while node.prev is not None and node.height > tip.height - depth:
        report.at(tip.height - node.height)
        if not node.have_data:
            log.info(
                f"Block verification stopping at height {node.height} (no data). This could be due to "
                "pruning or use of an assumeutxo snapshot."
            )
            skipped = True
            break
        where = f"at {node.height}, hash={node.hash[::-1].hex()}"
        try:
            block = await index.read_block(node)
            if level >= 1:
                await ports.workers.run(check_block, block, index.params)
            if level >= 2 and node.have_undo:
                try:
                    undo = await index.read_undo(node)
                except StorageError as error:
                    log.error(f"Verification error: found bad undo data {where} ({error})")
                    return VerifyResult.CORRUPTED
                if level >= 3:
                    step = await overlay.prepare_disconnect(block, node, undo)
                    if not step.clean:
                        log.error(
                            "Verification error: coin database inconsistencies found (last "
                            f"{tip.height - node.height + 1} blocks, {transactions} good transactions "
                            "before that)"
                        )
                        return VerifyResult.CORRUPTED
                    overlay.apply(step)
        except BlockInvalid as error:
            log.error(f"Verification error: found bad block {where} ({error})")
            return VerifyResult.CORRUPTED
        except (StorageError, LookupError, ValueError) as error:
            log.error(f"Verification error: ReadBlock failed {where} ({error})")
            return VerifyResult.CORRUPTED
        transactions += len(block.vtx)
        if interrupted():
            return VerifyResult.INTERRUPTED
        await ports.clock.sleep(0)
        node = node.prev
    count = tip.height - node.height
    if level >= 4:
        while overlay.tip is not tip and overlay.tip is not None:
            node = tip.ancestor(overlay.tip.height + 1)
            report.at(depth + node.height - (tip.height - count))
            try:
                block = await index.read_block(node)
                overlay.apply(await overlay.prepare_connect(block, node, check_scripts=True))
            except BlockInvalid as error:
                log.error(
                    f"Verification error: found unconnectable block at {node.height}, "
                    f"hash={node.hash[::-1].hex()} ({error})"
                )
                return VerifyResult.CORRUPTED
            except (StorageError, LookupError) as error:
                log.error(
                    f"Verification error: ReadBlock failed at {node.height}, "
                    f"hash={node.hash[::-1].hex()} ({error})"
                )
                return VerifyResult.CORRUPTED
            if interrupted():
                return VerifyResult.INTERRUPTED
    log.info(
        f"Verification: No coin database inconsistencies in last {count} blocks ({transactions} transactions)"
    )
    return VerifyResult.SKIPPED_MISSING_BLOCKS if skipped else VerifyResult.SUCCESS


class _Progress:
    """A line in the log for every ten percent."""

    def __init__(self, ports: Ports, show: Callable[[float], None], depth: int, share: int) -> None:
        self._ports, self._show = ports, show
        self._depth, self._share, self._told = depth, share, 0

    def at(self, done: int) -> None:
        self._show(done * self._share / 100 / self._depth)
        percent = max(1, min(99, done * self._share // self._depth))
        if percent // 10 > self._told:
            self._told = percent // 10
            self._ports.log.info(f"Verification progress: {percent}%")

"""A chain manager in a process of its own, to be killed: loads the snapshot and has it validated.

python snapshot_child.py FOLDER WRITE: kills itself at that write to a database (0: never).
Each stage that was reached is printed.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ports import make_ports, thread_workers
from running import running_chain
from snapshot_chain import BASE_HEIGHT, snapshot_chain, snapshot_file

from pybitcoind.chain import snapshot_load
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.snapshot import SnapshotReader
from pybitcoind.chain.storage.database import FileDatabase
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats

START = 20
CHAIN = snapshot_chain(230)


def die_at_write(number: int) -> None:
    """An even number dies before its write, an odd one after it."""
    real, count = FileDatabase.write, 0

    async def write(self: FileDatabase, fn: Any) -> Any:
        nonlocal count
        count += 1
        if count == number and number % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await real(self, fn)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    FileDatabase.write = write  # type: ignore[method-assign]


async def main(folder: str, number: str) -> None:
    snapshot_load.BATCH = 10  # as many steps as a large set has
    die_at_write(int(number))
    with thread_workers(2) as workers:
        # No room for coins: both chainstates are written again and again.
        options = ChainOptions(db_cache=4000)
        async with running_chain(make_ports(Path(folder), workers=workers), options) as chain:
            print("open", chain.tip.height, chain.validated_tip.height, flush=True)
            await go_on(chain)
            await chain.flush()
            kind = UtxoHashType.HASH_SERIALIZED_3
            stats = await utxo_set_stats(chain.chainstate.store, kind, workers)
            assert stats.hash is not None
            print("done", chain.tip.height, stats.hash.hex(), chain.loaded_snapshot is not None, flush=True)


async def go_on(chain: ChainManager) -> None:
    for block in CHAIN[:START]:
        await chain.accept_block(block, requested=True)
    await chain.accept_headers([block.header for block in CHAIN])
    await chain.activate_best()
    if chain.tip.height < BASE_HEIGHT:
        await snapshot_load.load(chain, SnapshotReader(io.BytesIO(snapshot_file()), chain.params))
        print("loaded", flush=True)
    for block in (*CHAIN[BASE_HEIGHT:], *CHAIN[START:BASE_HEIGHT]):
        await chain.accept_block(block, requested=True)
    await chain.activate_best()
    while chain.background is not None:  # noqa: ASYNC110 (its steps are the owner's)
        await asyncio.sleep(0.001)
    print("validated", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

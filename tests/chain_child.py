"""A chain manager in a process of its own, to be killed: loads a file of blocks, then prints tip and coins.

python chain_child.py FOLDER FILE CACHE_BYTES
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ports import make_ports, thread_workers
from running import running_chain

from pybitcoind.chain.manager import ChainOptions
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats


async def main(folder: str, file: str, cache: str) -> None:
    with thread_workers(2) as workers:
        ports = make_ports(Path(folder), workers=workers)
        async with running_chain(ports, ChainOptions(db_cache=int(cache))) as chain:
            print("open", chain.tip.height, flush=True)
            await chain.load_external(file)
            await chain.flush()
            kind = UtxoHashType.HASH_SERIALIZED_3
            stats = await utxo_set_stats(chain.chainstate.store, kind, workers)
            assert stats.hash is not None
            print("done", chain.tip.hash.hex(), stats.hash.hex(), stats.txouts, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

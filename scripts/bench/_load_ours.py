"""Our chain manager loads a file of blocks; a process of its own, run by load_chain.py.

_load_ours.py FILE FOLDER THREADS [PROFILE]: prints seconds to the tip, seconds to write and close, height,
tip, and the two hashes of the UTXO set. PROFILE: a file for cProfile's statistics of the loading.
"""

from __future__ import annotations

import asyncio
import cProfile
import sys
import time
from pathlib import Path

from pybitcoind.chain.events import EventBus
from pybitcoind.chain.manager import ChainManager, ChainOptions
from pybitcoind.chain.params import regtest
from pybitcoind.chain.ports import Ports
from pybitcoind.chain.primitives.hashes import hash_hex
from pybitcoind.chain.storage.database import FileStorage
from pybitcoind.chain.utxo_set_hash import UtxoHashType, utxo_set_stats
from pybitcoind.node.interpreter import prepare_start, settle
from pybitcoind.node.log import DebugLog
from pybitcoind.node.ports import SystemClock, SystemRandom, ThreadWorkers
from pybitcoind.node.tcp_network import TcpNetwork


async def main(file: str, folder: str, threads: str, profile: str = "") -> None:
    prepare_start()
    workers, log = ThreadWorkers(int(threads)), DebugLog()
    log.path = Path(folder) / "debug.log"
    log.open()
    storage = FileStorage(Path(folder))
    ports = Ports(SystemClock(), SystemRandom(), TcpNetwork(), workers, storage, log)
    # No block is assumed valid: all signatures are checked, as in the other engine.
    chain = await ChainManager.open(ports, regtest(), ChainOptions(db_cache=450 << 20), EventBus())
    owner = asyncio.create_task(chain.run_owner())
    settle()
    profiler = cProfile.Profile() if profile else None
    started = time.perf_counter()
    if profiler:
        profiler.enable()
    await chain.load_external(file)
    if profiler:
        profiler.disable()
        profiler.dump_stats(profile)
    loaded = time.perf_counter()
    await chain.flush()
    written = time.perf_counter()
    hashes = []
    for kind in (UtxoHashType.HASH_SERIALIZED_3, UtxoHashType.MUHASH):
        stats = await utxo_set_stats(chain.chainstate.store, kind, workers)
        hashes.append(hash_hex(stats.hash))
    tip = chain.tip
    closing = time.perf_counter()
    chain.stop_owner()
    await owner
    await chain.close()
    after = written - loaded + time.perf_counter() - closing
    workers.close()
    print(loaded - started, after, tip.height, hash_hex(tip.hash), *hashes)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

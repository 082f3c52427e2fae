"""Our chain manager loads a file of blocks; a process of its own, run by _loads.py.

_load_ours.py FILE FOLDER THREADS [DBCACHE [PROFILE]]: prints a line of JSON, see _loads.Load. THREADS: as of
the daemon's -par. DBCACHE: megabytes. PROFILE: a file for cProfile's statistics of the loading thread.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import resource
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
from pybitcoind.node.ports import SystemClock, SystemRandom, daemon_workers
from pybitcoind.node.tcp_network import TcpNetwork


async def main(file: str, folder: str, threads: str, dbcache: str = "450", profile: str = "") -> None:
    prepare_start()
    workers, log = daemon_workers(int(threads)), DebugLog()
    log.path = Path(folder) / "debug.log"
    log.open()
    storage = FileStorage(Path(folder))
    ports = Ports(SystemClock(), SystemRandom(), TcpNetwork(), workers, storage, log)
    # No block is assumed valid: all signatures are checked, as in the other engine.
    options = ChainOptions(db_cache=int(dbcache) << 20)
    chain = await ChainManager.open(ports, regtest(), options, EventBus())
    owner = asyncio.create_task(chain.run_owner())
    settle()
    profiler = cProfile.Profile() if profile else None
    ready, ready_cpu = time.monotonic(), time.process_time()
    if profiler:
        profiler.enable()
    await chain.load_external(file)
    if profiler:
        profiler.disable()
        profiler.dump_stats(profile)
    loaded, loaded_cpu = time.monotonic(), time.process_time()
    await chain.flush()
    written = time.monotonic()
    hashes = []
    if os.environ.get("UTXO_HASHES"):
        for kind in (UtxoHashType.HASH_SERIALIZED_3, UtxoHashType.MUHASH):
            stats = await utxo_set_stats(chain.chainstate.store, kind, workers)
            hashes.append(hash_hex(stats.hash))
    tip = chain.tip
    closing = time.monotonic()
    chain.stop_owner()
    await owner
    await chain.close()
    workers.close()
    # Worker processes did nothing but this load.
    apart = resource.getrusage(resource.RUSAGE_CHILDREN)
    apart_cpu = apart.ru_utime + apart.ru_stime
    loaded_cpu += apart_cpu
    print(
        json.dumps(
            {
                "ready": ready,
                "load": loaded - ready,
                "load_cpu": loaded_cpu - ready_cpu,
                "apart": apart_cpu,
                "close": written - loaded + time.monotonic() - closing,
                "height": tip.height,
                "tip": hash_hex(tip.hash),
                "hashes": hashes,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""Bitcoin Core's validation engine loads a file of blocks; a process of its own, run by _loads.py.

_load_kernel.py FILE FOLDER THREADS: prints a line of JSON, see _loads.Load. THREADS: of all threads, the
calling one among them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pbk


def main(file: str, folder: str, threads: str) -> None:
    context = pbk.make_context(pbk.ChainType.REGTEST)
    options = pbk.ChainstateManagerOptions(context, folder, str(Path(folder) / "blocks"))
    options.set_worker_threads_num(int(threads) - 1)
    manager = pbk.ChainstateManager(options)
    ready, ready_cpu = time.monotonic(), time.process_time()
    manager.import_blocks([Path(file)])
    loaded, loaded_cpu = time.monotonic(), time.process_time()
    chain = manager.get_active_chain()
    height, tip = chain.height, str(chain.block_tree_entries[-1].block_hash)
    closing = time.monotonic()
    del manager, chain
    closed = time.monotonic()
    print(
        json.dumps(
            {
                "ready": ready,
                "load": loaded - ready,
                "load_cpu": loaded_cpu - ready_cpu,
                "close": closed - closing,
                "height": height,
                "tip": tip,
                "hashes": [],
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Bitcoin Core's validation engine loads a file of blocks; a process of its own, run by load_chain.py.

_load_kernel.py FILE FOLDER THREADS: prints seconds to the tip, seconds to write and close, height and tip.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pbk


def main(file: str, folder: str, threads: str) -> None:
    context = pbk.make_context(pbk.ChainType.REGTEST)
    options = pbk.ChainstateManagerOptions(context, folder, str(Path(folder) / "blocks"))
    options.set_worker_threads_num(int(threads))
    manager = pbk.ChainstateManager(options)
    started = time.perf_counter()
    manager.import_blocks([Path(file)])
    loaded = time.perf_counter()
    tip = manager.get_active_chain()
    height, tip_hash = tip.height, str(tip.block_tree_entries[-1].block_hash)
    before_close = time.perf_counter()
    del manager, tip
    print(loaded - started, time.perf_counter() - before_close, height, tip_hash)


if __name__ == "__main__":
    main(*sys.argv[1:])

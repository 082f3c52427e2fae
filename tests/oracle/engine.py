"""Bitcoin Core's engine (py-bitcoinkernel) in processes of its own: a wrong argument is a C assert there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pybitcoind.chain.primitives.block import Block, BlockHeader

from .spends import Spend

_SCRIPTS = """
import sys
import pbk
from pbk.script import PrecomputedTransactionData
sets = [pbk.ScriptVerificationFlags(int(text)) for text in sys.argv[1].split(",")]
for line in sys.stdin:
    raw, index, *outputs = line.split(" ")
    tx = pbk.Transaction(bytes.fromhex(raw))
    spent = []
    for output in outputs:
        value, _, script = output.partition(":")
        spent.append((pbk.ScriptPubkey(bytes.fromhex(script)), int(value)))
    data = PrecomputedTransactionData(tx, [pbk.TransactionOutput(script, value) for script, value in spent])
    index = int(index)
    script, value = spent[index]
    verdicts = 0
    for n, flags in enumerate(sets):
        verdicts |= script.verify(value, tx, data, index, flags) << n
    print(verdicts, flush=True)
"""


_BLOCKS = """
import json, sys
import pbk
told = []
pbk.logging_set_options(pbk.LoggingOptions(log_timestamps=False))
pbk.set_log_level_category(pbk.LogCategory.VALIDATION, pbk.LogLevel.DEBUG)
pbk.enable_log_category(pbk.LogCategory.VALIDATION)

def log(line):
    if "BlockChecked: block hash=" in line and "Enqueuing" not in line:
        told.append(line[line.index("BlockChecked"):].rstrip("\\n"))

connection = pbk.LoggingConnection(log)
callbacks = pbk.ValidationInterfaceCallbacks()
chain = None
for line in sys.stdin:
    what, data = line.split()
    told.clear()
    new = False
    if what == "folder":
        del chain
        context = pbk.make_context(pbk.ChainType.REGTEST, validation_callbacks=callbacks)
        options = pbk.ChainstateManagerOptions(context, data, data + "/blocks")
        options.set_worker_threads_num(1)  # as the daemon: scripts are told last, not where they stand
        options.update_block_tree_db_in_memory(True)
        options.update_chainstate_db_in_memory(True)
        chain = pbk.ChainstateManager(options)
    elif what == "header":
        try:
            state = chain.process_block_header(pbk.BlockHeader(bytes.fromhex(data)))
            new = state.validation_mode == pbk.ValidationMode.VALID
        except pbk.ProcessBlockHeaderException:
            pass
    else:
        try:
            new = chain.process_block(pbk.Block(bytes.fromhex(data)))
        except pbk.ProcessBlockException:
            pass
    active = chain.get_active_chain()
    tip = active.block_tree_entries[active.height]
    print(json.dumps([bytes(tip.block_hash)[::-1].hex(), bool(new), told]), flush=True)
"""


class ScriptEngine:
    """Judges spends under the given sets of flags."""

    def __init__(self, sets: Sequence[int]) -> None:
        self._child = _Child(_SCRIPTS, ",".join(str(int(flags)) for flags in sets))

    def judge(self, spend: Spend) -> int:
        """A bit per set of flags, the first the lowest: whether the spend passes."""
        outputs = " ".join(f"{out.value}:{out.script_pubkey.hex()}" for out in spend.spent)
        return int(self._child.ask(f"{spend.tx.raw.hex()} {spend.index} {outputs}"))

    def close(self) -> None:
        self._child.close()


_BYTES = """
import sys
import pbk
for line in sys.stdin:
    try:
        tx = pbk.Transaction(bytes.fromhex(line))
    except RuntimeError:
        print("", flush=True)
        continue
    print(bytes(tx.txid).hex(), bytes(tx).hex(), flush=True)
"""


class BytesEngine:
    """Reads serialized transactions."""

    def __init__(self) -> None:
        self._child = _Child(_BYTES)

    def read(self, raw: bytes) -> str:
        """txid, in internal order, and bytes of the transaction at the start of raw; "" if there is none."""
        return self._child.ask(raw.hex())

    def close(self) -> None:
        self._child.close()


class Told(NamedTuple):
    """What became of a delivery."""

    tip: str
    """Hash as displayed."""
    new: bool
    """The block was not known before and is stored; or the header is good."""
    checked: list[str]
    """The lines "BlockChecked: block hash=HASH state=Valid" or TOKEN and detail, in order."""


class ChainEngine:
    """A regtest chain of Core's; `start` begins a new one."""

    def __init__(self) -> None:
        self._child = _Child(_BLOCKS)

    def start(self, folder: Path) -> None:
        self._child.ask(f"folder {folder}")

    def process_block(self, block: Block) -> Told:
        return Told(*json.loads(self._child.ask(f"block {block.raw.hex()}")))

    def process_header(self, header: BlockHeader) -> Told:
        return Told(*json.loads(self._child.ask(f"header {header.raw.hex()}")))

    def close(self) -> None:
        self._child.close()


class _Child:
    def __init__(self, program: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, line: str) -> str:
        """The answer to line, both without their line ends."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the engine stopped at {line[:20_000]}")
        return answer.rstrip("\n")

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

"""Bitcoin Core's engine (py-bitcoinkernel) in processes of its own: a wrong argument is a C assert there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

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

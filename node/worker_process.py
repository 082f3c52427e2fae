"""A process that runs functions from bytes to bytes until its standard input ends (see worker_processes.py).

A call is the function, pickled by its name, and its argument; an answer is a byte that says whether it ended
well, and the result. Each of the parts comes with its length before it.
"""

from __future__ import annotations

import gc
import pickle
import signal
import sys
from typing import IO

LENGTH_SIZE = 4
DONE, FAILED = b"\1", b"\0"


def write_part(stream: IO[bytes], data: bytes) -> None:
    stream.write(len(data).to_bytes(LENGTH_SIZE, "little"))
    stream.write(data)


def read_part(stream: IO[bytes]) -> bytes:
    """EOFError where the other side is gone."""
    head = stream.read(LENGTH_SIZE)
    data = stream.read(int.from_bytes(head, "little"))
    if len(head) < LENGTH_SIZE or len(data) < int.from_bytes(head, "little"):
        raise EOFError
    return data


def main() -> None:
    """Ends with the process that started it, whatever end that takes; Ctrl-C is that one's to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls, answers = sys.stdin.buffer, sys.stdout.buffer
    gc.disable()
    while True:
        try:
            named, data = read_part(calls), read_part(calls)
        except EOFError:
            return
        try:
            status, result = DONE, pickle.loads(named)(data)
        except Exception:
            status, result = FAILED, b""
        try:
            answers.write(status)
            write_part(answers, result)
            answers.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()

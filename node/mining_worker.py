"""The process that searches for nonces, so that the node's loop never stalls.

`python -m pybitcoind.node.mining_worker` reads jobs from stdin and writes answers to stdout, both of fixed
size; the latest job counts. It ends when stdin does, so it never outlives the node, however that went. It
opens no file and no socket.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import sys
from typing import NamedTuple

from pybitcoind.chain.nonce_search import MAX_NONCE, grind

SLICE = 20_000
"""Hashes between two looks at stdin: some 20 ms."""
_JOB = struct.Struct("<I80s32s")
_ANSWER = struct.Struct("<II")
JOB_SIZE, ANSWER_SIZE = _JOB.size, _ANSWER.size
EXHAUSTED = MAX_NONCE


class Job(NamedTuple):
    """number: names the answer; 0 means rest. header: 80 bytes, whose nonce the search begins with."""

    number: int
    header: bytes
    target: int

    def pack(self) -> bytes:
        return _JOB.pack(self.number, self.header, self.target.to_bytes(32, "little"))

    @classmethod
    def unpack(cls, data: bytes) -> Job:
        number, header, target = _JOB.unpack(data)
        return cls(number, header, int.from_bytes(target, "little"))


REST = Job(0, bytes(80), 0)


class Answer(NamedTuple):
    """nonce: EXHAUSTED if none does it."""

    number: int
    nonce: int

    def pack(self) -> bytes:
        return _ANSWER.pack(self.number, self.nonce)

    @classmethod
    def unpack(cls, data: bytes) -> Answer:
        return cls(*_ANSWER.unpack(data))


class _Jobs:
    """The jobs that come in on a file descriptor; of several the last counts."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""

    def next(self, *, wait: bool) -> Job | None:
        """A newer job, None if there is none; EOFError once nobody will send one."""
        newest = None
        while (newest is None and wait) or select.select([self.fd], [], [], 0)[0]:
            data = os.read(self.fd, 65536)
            if not data:
                raise EOFError
            self._buffer += data
            while len(self._buffer) >= JOB_SIZE:
                newest = Job.unpack(self._buffer[:JOB_SIZE])
                self._buffer = self._buffer[JOB_SIZE:]
        return newest


def serve(jobs_fd: int, answers_fd: int) -> None:
    """Works until jobs_fd ends."""
    jobs = _Jobs(jobs_fd)
    job, nonce = REST, 0
    try:
        while True:
            newer = jobs.next(wait=job.number == 0)
            if newer is not None:
                job, nonce = newer, int.from_bytes(newer.header[76:], "little")
            if job.number == 0:
                continue
            found, tried = grind(job.header, job.target, nonce, SLICE)
            nonce += tried
            if found is not None or nonce >= MAX_NONCE:
                os.write(answers_fd, Answer(job.number, EXHAUSTED if found is None else found).pack())
                job = REST
    except (EOFError, BrokenPipeError):
        pass


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's; it closes our stdin
    os.nice(5)
    serve(sys.stdin.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    main()

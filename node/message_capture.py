"""-capturemessages: every message of a peer to a file, as Core's contrib/message-capture reads it.

message_capture/ADDRESS/msgs_recv.dat and msgs_sent.dat, ":" of the address as "_". A record: microseconds
since 1970 (int64), the command in 12 bytes, the payload's length (uint32), the payload; all little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from pybitcoind.chain.ports import Clock, Log

FOLDER = "message_capture"
_HEAD = struct.Struct("<q12sI")


def message_capture(net_dir: Path, clock: Clock, log: Log) -> Callable[[str, bool, str, bytes], None]:
    """What writes a message down: (peer's address, whether it came in, command, payload).

    A file that cannot be written is told in the log and leaves the node as it is: this is for looking on.
    """

    def write(peer: str, incoming: bool, command: str, payload: bytes) -> None:
        folder = net_dir / FOLDER / peer.replace(":", "_")
        record = _HEAD.pack(clock.time() * 1_000_000, command.encode("latin-1")[:12], len(payload))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / ("msgs_recv.dat" if incoming else "msgs_sent.dat")).open("ab") as file:
                file.write(record + payload)
        except OSError as error:
            log.warning(f"-capturemessages: {folder}: {error.strerror}")

    return write

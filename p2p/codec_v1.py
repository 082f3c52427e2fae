"""The v1 transport: magic, command, length and checksum in front of each payload. Sans-I/O.

Source: Bitcoin Core src/net.cpp V1Transport; protocol.h CMessageHeader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pybitcoind.chain.primitives.hashes import sha256d

from .messages import MAX_PROTOCOL_MESSAGE_LENGTH, Message, encode_payload, sanitize

HEADER_SIZE = 24
_HEADER = struct.Struct("<4s12sI4s")


class ProtocolError(Exception):
    """The stream is broken beyond this point: disconnect. str() is the reason as Core logs it."""


@dataclass(slots=True)
class Frame:
    """One whole message. raw_size: bytes on the wire, header included."""

    command: str
    payload: bytes
    raw_size: int


@dataclass(slots=True)
class BadFrame:
    """A message to drop; the connection goes on. reason: as Core logs it."""

    command: str
    reason: str
    raw_size: int


class BadChecksum(BadFrame):
    """The payload is not what its sender hashed."""


class BadCommand(BadFrame):
    """The command is not printable text padded with zeros."""


def _command_text(field: bytes) -> str:
    return field.split(b"\x00", 1)[0].decode("latin-1")


def _command_valid(field: bytes) -> bool:
    text = field.rstrip(b"\x00")
    return all(0x20 <= byte <= 0x7E for byte in text)


class V1Codec:
    """Turns bytes into frames and messages into bytes.

    A payload is gathered in a buffer that grows with what arrives, never with what a header promises, and
    is copied once more when it is whole.
    """

    TRANSPORT = "v1"

    def __init__(self, magic: bytes) -> None:
        self.magic = magic
        self._buffer = bytearray()
        self._header: tuple[bytes, int, bytes] | None = None
        """Command field, payload size and checksum of the message under way."""

    def feed(self, data: bytes) -> Iterator[Frame | BadFrame]:
        """Frames that data completes. To be run through to its end, or to the ProtocolError it raises
        (wrong magic, oversize); after that the codec is of no more use."""
        buffer = self._buffer
        buffer += data
        pos = 0
        try:
            while True:
                if self._header is None:
                    if len(buffer) - pos < HEADER_SIZE:
                        break
                    self._header = self._parse_header(_HEADER.unpack_from(buffer, pos))
                    pos += HEADER_SIZE
                field, size, checksum = self._header
                if len(buffer) - pos < size:
                    break
                with memoryview(buffer) as view:
                    payload = bytes(view[pos : pos + size])
                pos += size
                self._header = None
                yield self._frame(field, payload, checksum)
        finally:
            del buffer[:pos]

    def _parse_header(self, header: tuple[bytes, bytes, int, bytes]) -> tuple[bytes, int, bytes]:
        magic, field, size, checksum = header
        if magic != self.magic:
            raise ProtocolError(f"Header error: Wrong MessageStart {magic.hex()} received")
        if size > MAX_PROTOCOL_MESSAGE_LENGTH:
            name = sanitize(_command_text(field))
            raise ProtocolError(f"Header error: Size too large ({name}, {size} bytes)")
        return field, size, checksum

    @staticmethod
    def _frame(field: bytes, payload: bytes, checksum: bytes) -> Frame | BadFrame:
        command, raw_size = _command_text(field), HEADER_SIZE + len(payload)
        what = f"({sanitize(command)}, {len(payload)} bytes)"
        expected = sha256d(payload)[:4]
        if checksum != expected:
            reason = f"Header error: Wrong checksum {what}, expected {expected.hex()} was {checksum.hex()}"
            return BadChecksum(command, reason, raw_size)
        if not _command_valid(field):
            return BadCommand(command, f"Header error: Invalid message type {what}", raw_size)
        return Frame(command, payload, raw_size)

    @property
    def pending(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._buffer)

    def encode(self, message: Message) -> bytes:
        return self.encode_payload(message.COMMAND, encode_payload(message))

    def encode_payload(self, command: str, payload: bytes) -> bytes:
        """A message whose payload is at hand already, such as a block from disk."""
        field = command.encode("ascii")
        if len(field) > 12:
            raise ValueError("a command has at most 12 bytes")
        return _HEADER.pack(self.magic, field, len(payload), sha256d(payload)[:4]) + payload

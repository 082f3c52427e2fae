"""-capturemessages: two nodes write down what they say to each other, and it is the same on both sides."""

from __future__ import annotations

import struct
from pathlib import Path

from node_process import Daemon, running


def records(path: Path) -> list[tuple[int, str, bytes]]:
    """Time, command and payload of each record; a record that is cut short fails."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        when, command, size = struct.unpack_from("<q12sI", data, at)
        found.append((when, command.rstrip(b"\0").decode(), data[at + 24 : at + 24 + size]))
        at += 24 + size
    assert at == len(data)
    return found


def captured(node: Daemon, name: str) -> list[tuple[int, str, bytes]]:
    (path,) = node.net_dir.glob(f"message_capture/127.0.0.1_*/{name}.dat")
    return records(path)


def test_both_sides_tell_the_same(tmp_path: Path) -> None:
    now = 1_700_000_000
    options = ("-capturemessages", "-connect=0", f"-mocktime={now}")
    with running(tmp_path / "a", *options) as a, running(tmp_path / "b", *options) as b:
        a.call("addnode", f"127.0.0.1:{b.ports['p2p']}", "onetry")
        block = a.call("generatetodescriptor", 1, "raw(51)")[0]
        b.until("the block", lambda: b.call("getbestblockhash") == block)
        a.stop_well()
        b.until("the peer to be gone", lambda: b.call("getconnectioncount") == 0)
        b.stop_well()
    sent, received = captured(a, "msgs_sent"), captured(b, "msgs_recv")
    assert [row[1] for row in received[:1]] == ["version"] and "verack" in [row[1] for row in received]
    assert received == sent[: len(received)]
    assert {row[0] for row in sent} == {now * 1_000_000}
    assert captured(a, "msgs_recv") == captured(b, "msgs_sent")[: len(captured(a, "msgs_recv"))]


def test_nothing_is_written_without_it(tmp_path: Path) -> None:
    with running(tmp_path / "a", "-connect=0") as a:
        a.call("addnode", f"127.0.0.1:{a.ports['p2p']}", "onetry")
    assert not (tmp_path / "a" / "regtest" / "message_capture").exists()

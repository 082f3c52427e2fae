"""Options with good and bad values: both daemons start, or end with the same words and the same code.

-testactivationheight and -vbparams are read before anything is opened, -whitelist and -whitebind at the end.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from core_process import CoreDaemon
from node_process import Daemon

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

HEIGHTS = """csv;;@;@5;csv@;csv@-1;csv@2147483647;csv@7x;csv@99999999999999999999;csv@1@2;csv@+5;csv@ 5
csv@0x5;CSV@5;taproot@5;x@5;csv@2147483646"""
VBPARAMS = """testdummy;testdummy:1;testdummy:1:2:3:4;testdummy:x:2;testdummy::2;testdummy:1:;testdummy:1:2:
testdummy:1:2:y;testdummy:1:9223372036854775808;testdummy:-9223372036854775809:5;testdummy:+1:2;Testdummy:1:2
:1:2;x:1:2;x:y:2;testdummy:1:2:3000000000;testdummy:-1:-2:-3;taproot:5:6"""
WHITELIST = """oops@127.0.0.1;noban,oops@127.0.0.1;noban;@;noban@;noban@127.0.0.1/33;noban@127.0.0.1/
noban@127.0.0;noban@localhost;noban@::1/129;noban@[::1];in@127.0.0.1;out@127.0.0.1;in,out@127.0.0.1
noban, relay@127.0.0.1;NOBAN@127.0.0.1;noban@127.0.0.1@5;noban@1.2.3.4/255.0.255.0
noban@1.2.3.4/255.255.0.0"""
WHITEBIND = """oops@127.0.0.1:6;noban@127.0.0.1;127.0.0.1;;noban@;noban@127.0.0.1:0;noban@127.0.0.1:99999
noban@nohost.invalid:5;in@127.0.0.1:1234;out@127.0.0.1:1234;noban,out@127.0.0.1:1234;noban@[::1]
noban@127.0.0.1:x;noban@1.2.3.4:18999"""


def values(text: str) -> list[str]:
    return text.replace("\n", ";").split(";")


def outcome(kind: type[Daemon], folder: Path, option: str) -> tuple[int, str, Any]:
    """Exit code and words, or 0 and what getdeploymentinfo says once the daemon serves."""
    with kind(folder, option) as node:
        deadline = time.monotonic() + 60
        while node.running and "Done loading" not in node.log:
            assert time.monotonic() < deadline, f"{option}: neither up nor down"
            time.sleep(0.02)
        if not node.running:
            return node.process.wait(), node.stderr, None
        node.wait_ready()
        found = node.call("getdeploymentinfo")["deployments"]
        node.stop_well()
        return 0, "", found


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("testactivationheight", HEIGHTS),
        ("vbparams", VBPARAMS),
        ("whitelist", WHITELIST),
        ("whitebind", WHITEBIND),
    ],
)
def test_same_words(bitcoind: Path, tmp_path: Path, option: str, given: str) -> None:
    differences, started = [], 0
    chosen = values(given)
    with ThreadPoolExecutor(2) as pool:
        for number, value in enumerate(chosen):
            words = f"-{option}={value}"
            core, ours = pool.map(
                lambda kind, n=number, words=words: outcome(kind, tmp_path / f"{kind.__name__}{n}", words),
                (CoreDaemon, Daemon),
            )
            started += core[0] == 0
            if core != ours:
                differences.append(f"{words}\n   core {core}\n   ours {ours}")
    print(f"-{option}: {len(chosen)} values, with {started} of them both start")
    assert not differences, "\n".join(differences)
    assert 0 < started < len(chosen) or option == "whitebind"


@pytest.mark.parametrize(
    "value",
    [
        "127.0.0.1",
        "noban@127.0.0.1",
        "all@127.0.0.1",
        "bloomfilter,relay@127.0.0.0/8",
        "bloom,in@127.0.0.1",
        "forcerelay@127.0.0.1",
        "mempool,download,addr@127.0.0.1",
        "out,noban@127.0.0.1",
        "@127.0.0.1",
        "noban@127.0.0.2",
        "noban,,relay@127.0.0.1",
    ],
)
def test_permissions_of_a_peer(bitcoind: Path, tmp_path: Path, value: str) -> None:
    """What getpeerinfo says of somebody who connects from 127.0.0.1."""
    said = []
    for kind in (CoreDaemon, Daemon):
        with kind(tmp_path / kind.__name__, f"-whitelist={value}") as node:
            node.wait_ready()
            with socket.create_connection(("127.0.0.1", node.ports["p2p"])):
                node.until("the peer", lambda node=node: node.call("getpeerinfo"))  # type: ignore[misc]
                said.append(node.call("getpeerinfo")[0]["permissions"])
            node.stop_well()
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("option", "conf"),
    [
        ("-pid=/nowhere/pid", ""),
        ("-server", "testnet4=1\n"),
        ("-server", "[nosuch\n"),
        ("-server", "oops\n"),
        ("-dbcache", "regtest.signet=1\n[regtest]\nconnect\n"),
    ],
)
def test_same_words_before_the_start(bitcoind: Path, tmp_path: Path, option: str, conf: str) -> None:
    told = []
    for kind in (CoreDaemon, Daemon):
        (tmp_path / "bitcoin.conf").write_text(conf)
        told.append(outcome(kind, tmp_path, option))
    assert told[0] == told[1]
    assert told[0][0] == 1

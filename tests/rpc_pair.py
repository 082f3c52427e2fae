"""Our daemon beside Bitcoin Core's on regtest: the same calls to both, the answers compared to the letter.

Numbers are compared as they are written, objects with the order of their keys. Nothing is left out but what
`DIFFERENT` names.
"""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node_process import Daemon

DIFFERENT = {
    "getblockchaininfo": {
        "size_on_disk": "our blocks are in SQLite",
        "warnings": "Core says that it is a pre-release build",
    },
    "getmininginfo": {"warnings": "as above"},
    "getnetworkinfo": {
        "warnings": "as above",
        "subversion": "we have our own name",
        "localservices": "BIP 324 is not spoken yet",
        "localservicesnames": "as above",
        "networks": "Core finds its own i2p and onion options",
    },
    "getnettotals": {"timemillis": "the real time"},
    "getchainstates": {"chainstates": "other caches"},
    "getmempoolinfo": {"usage": "memory is used otherwise"},
    "gettxoutsetinfo": {"disk_size": "coins are in SQLite"},
    "getrpcinfo": {"active_commands": "microseconds", "logpath": "two directories"},
    "getmemoryinfo": {"locked": "Python locks no memory"},
    "getblocktemplate": {"longpollid": "Core counts the genesis block as a change of the mempool"},
}
"""Method to members that may differ, and why."""


class Number(str):
    """A number as it was written."""


Pairs = tuple[tuple[str, Any], ...]


def _parse(text: bytes) -> Any:
    return json.loads(
        text, parse_int=Number, parse_float=Number, object_pairs_hook=lambda pairs: Members(pairs)
    )


class Members(dict[str, Any]):
    """An object that also compares the order of its keys."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Members) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Answer:
    """status: of HTTP. error: (code, message) or None."""

    status: int
    result: Any
    error: tuple[str, str] | None

    def __str__(self) -> str:
        return f"error {self.error}" if self.error else json.dumps(self.result)[:3000]


@dataclass
class Client:
    port: int
    cookie: Path
    connection: http.client.HTTPConnection | None = field(default=None)

    def ask(self, method: str, params: Any = ()) -> Answer:
        body = json.dumps({"method": method, "params": params, "id": 1})
        auth = base64.b64encode(self.cookie.read_bytes()).decode()
        headers = {"Authorization": "Basic " + auth, "Content-Type": "application/json"}
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.connection.request("POST", "/", body, headers)
        response = self.connection.getresponse()
        answer = _parse(response.read())
        error = answer["error"]
        return Answer(response.status, answer["result"], error and (str(error["code"]), error["message"]))

    def call(self, method: str, *params: Any) -> Any:
        answer = self.ask(method, params)
        assert answer.error is None, f"{method}: {answer.error}"
        return answer.result

    def close(self) -> None:
        if self.connection:
            self.connection.close()
            self.connection = None


def start_core(program: Path, datadir: Path, *options: str) -> tuple[subprocess.Popen[bytes], Client]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    datadir.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [
            str(program),
            "-regtest",
            f"-datadir={datadir}",
            f"-rpcport={port}",
            "-listen=0",
            "-connect=0",
            "-server",
            "-printtoconsole=0",
            *options,
        ]
    )
    client = Client(port, datadir / "regtest" / ".cookie")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if client.ask("getblockcount").error is None:
                return process, client
        except (OSError, http.client.HTTPException, ValueError):
            client.close()
        time.sleep(0.05)
    raise AssertionError("Core's daemon did not start")


def _explain(core: Answer, ours: Answer) -> str:
    if core.error is None and ours.error is None:
        return "\n".join(f"   {line}" for line in _paths("", core.result, ours.result))
    return f"   core: {core}\n   ours: {ours}"


def _paths(path: str, core: Any, ours: Any) -> Iterator[str]:
    """Where two answers differ."""
    if isinstance(core, Members) and isinstance(ours, Members):
        if list(core) != list(ours) and set(core) == set(ours):
            yield f"{path or 'result'}: other order: core {list(core)}, ours {list(ours)}"
        for key in {**core, **ours}:
            if key not in core or key not in ours:
                yield f"{path}.{key}: only {'core' if key in core else 'ours'}"
            elif core[key] != ours[key]:
                yield from _paths(f"{path}.{key}", core[key], ours[key])
    elif isinstance(core, list) and isinstance(ours, list) and len(core) == len(ours):
        for i, (one, other) in enumerate(zip(core, ours, strict=True)):
            if one != other:
                yield from _paths(f"{path}[{i}]", one, other)
    else:
        yield f"{path or 'result'}: core {str(core)[:300]}, ours {str(ours)[:300]}"


class Pair:
    """Both daemons. `same` asks both and compares; what differs is collected in `differences`."""

    def __init__(self, program: Path, folder: Path, *options: str) -> None:
        self.process, self.core = start_core(program, folder / "core", *options)
        try:
            self.daemon = Daemon(folder / "ours", "-connect=0", *options).wait_ready()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.ours = Client(self.daemon.ports["rpc"], folder / "ours" / "regtest" / ".cookie")
        self.differences: list[str] = []
        self.asked = 0

    def close(self) -> None:
        self.core.close()
        self.ours.close()
        self.process.terminate()
        with self.daemon:  # kills it, and closes its file
            self.process.wait(60)

    def same(self, method: str, *params: Any, named: dict[str, Any] | None = None) -> Any:
        """Core's result, None after an error."""
        asked: Any = params if named is None else named
        core, ours = self.core.ask(method, asked), self.ours.ask(method, asked)
        self.asked += 1
        if core.error is None and ours.error is None:
            for key in DIFFERENT.get(method, ()):
                for answer in (core, ours):
                    if isinstance(answer.result, dict) and key in answer.result:
                        answer.result[key] = "(differs)"
        if (core.status, core.result, core.error) != (ours.status, ours.result, ours.error):
            self.differences.append(f"{method} {json.dumps(asked)[:300]}\n{_explain(core, ours)}")
        return core.result

    def both(self, method: str, *params: Any) -> None:
        """An order to both, without a look at the answer."""
        self.core.ask(method, params)
        self.ours.ask(method, params)

    def all_same(self, calls: Iterable[tuple[Any, ...]]) -> None:
        for call in calls:
            self.same(*call)

    def check(self) -> None:
        """Fails with all that differed since the last check."""
        differences, self.differences = self.differences, []
        assert not differences, f"{len(differences)} differ:\n" + "\n".join(differences[:40])

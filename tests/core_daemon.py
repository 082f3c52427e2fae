"""Bitcoin Core's daemon on regtest, fed with a scene; for tests that ask it for the truth."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from scene import Scene


class Core:
    """A daemon that has the blocks of the scene."""

    def __init__(
        self, program: Path, datadir: Path, scene: Scene, *more: str, chain: str = "regtest"
    ) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.datadir, self.log = datadir, datadir / chain / "debug.log"
        options = [
            f"-chain={chain}",
            f"-datadir={datadir}",
            f"-rpcport={self.port}",
            "-listen=0",
            "-connect=0",
        ]
        options += ["-debug=validation", "-server", "-printtoconsole=0"]
        if chain == "regtest":
            options.append(f"-mocktime={scene.now}")
        options += more
        self.process = subprocess.Popen([str(program), *options])
        cookie = datadir / chain / ".cookie"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if cookie.exists():
                self.auth = base64.b64encode(cookie.read_bytes()).decode()
                try:
                    self.call("getblockcount")
                    break
                except (OSError, AssertionError):
                    pass
            time.sleep(0.1)
        for block in scene.blocks:
            answer = self.call("submitblock", block.raw.hex())
            if answer is not None:
                self.stop()
                raise AssertionError(f"Core refuses a block of the scene: {answer}")

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"method": method, "params": params, "id": 1}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/", body)
        request.add_header("Authorization", "Basic " + self.auth)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)

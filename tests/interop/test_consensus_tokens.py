"""Bitcoin Core's own daemon says the tokens that the templates of invalid blocks and transactions carry."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from invalid_blocks import INVALID_BLOCKS, InvalidBlock
from invalid_transactions import INVALID_TRANSACTIONS, InvalidTransaction
from scene import Scene, make_scene

pytestmark = pytest.mark.interop


class Core:
    """A regtest daemon that has the blocks of the scene."""

    def __init__(self, program: Path, datadir: Path, scene: Scene) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.datadir, self.log = datadir, datadir / "regtest" / "debug.log"
        options = ["-regtest", f"-datadir={datadir}", f"-rpcport={self.port}", "-listen=0", "-connect=0"]
        options += ["-debug=validation", "-server", "-printtoconsole=0", f"-mocktime={scene.now}"]
        self.process = subprocess.Popen([str(program), *options])
        cookie = datadir / "regtest" / ".cookie"
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
            assert self.call("submitblock", block.raw.hex()) is None

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


@pytest.fixture(scope="module")
def core(bitcoind: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    daemon = Core(bitcoind, tmp_path_factory.mktemp("core"), make_scene())
    yield daemon
    daemon.stop()


@pytest.mark.parametrize(
    "template", [t for t in INVALID_BLOCKS if t.on_wire and t.by_rpc], ids=lambda t: t.name
)
def test_blocks(core: Core, template: InvalidBlock) -> None:
    scene = make_scene()
    before = core.log.stat().st_size
    answer = core.call("submitblock", template.build(scene).raw.hex())
    assert answer == template.reason
    text = f"{template.reason}, {template.detail}" if template.detail else template.reason
    with core.log.open("rb") as log:
        log.seek(before)
        assert text in log.read().decode()
    assert core.call("getblockcount") == scene.tip.height


@pytest.mark.parametrize("template", [t for t in INVALID_TRANSACTIONS if t.on_wire], ids=lambda t: t.name)
def test_transactions(core: Core, template: InvalidTransaction) -> None:
    (answer,) = core.call("testmempoolaccept", [template.build(make_scene()).raw.hex()])
    assert answer["allowed"] is False
    assert answer["reject-reason"] == template.in_mempool


def test_the_scene_is_valid(core: Core) -> None:
    """Last, since it moves the tip."""
    scene = make_scene()
    first = scene.spend(scene.mature[0])
    (answer,) = core.call("testmempoolaccept", [first.raw.hex()])
    assert answer["allowed"] is True
    block = scene.block(first, scene.spend(scene.output(first)), coinbase=scene.coinbase(fees=2000))
    assert core.call("submitblock", block.raw.hex()) is None
    assert core.call("getbestblockhash") == block.hash[::-1].hex()

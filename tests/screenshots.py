"""The pictures of docs/explorer.md: a local network in the middle of its life, seen by a headless Chromium.

Usage: scripts/screenshots. Writes docs/explorer/*.png; CHROMIUM names a browser that is not on the path.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser import Browser, Page, find_chromium

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "explorer"
WIDTH, HEIGHT = 1120, 760


class Network:
    """`pybitcoin-localnet`, told what to do from a second terminal."""

    def __init__(self, folder: Path) -> None:
        self.command = [sys.executable, "-m", "pybitcoind.node.localnet.main", "--dir", str(folder)]

    def say(self, *words: str) -> str:
        done = subprocess.run(
            [*self.command, *words], check=True, capture_output=True, text=True, timeout=120
        )
        return done.stdout.strip()

    @contextmanager
    def up(self, *options: str) -> Iterator[None]:
        """Running from its first plain line on that says so."""
        with subprocess.Popen(
            [*self.command, "up", "--plain", *options], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if "page" in line:
                        break
                yield
            finally:
                process.terminate()
                process.communicate(timeout=60)


def shoot(page: Page, name: str) -> None:
    page.call("Emulation.setScrollbarsHidden", hidden=True)
    picture = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
    (FOLDER / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))
    print(FOLDER.relative_to(ROOT) / f"{name}.png", os.path.getsize(FOLDER / f"{name}.png") // 1024, "kB")


def pay(network: Network, count: int) -> None:
    """Payments at all kinds of feerates: a mempool worth looking at."""
    address = network.say("cli", "spv1", "getnewaddress")
    for n in range(count):
        fee_rate = 1 + n * n % 37 * (1 + n % 5)
        order = (
            "sendtoaddress",
            f"address={address}",
            f"amount={0.05 * (n + 1):.2f}",
            f"fee_rate={fee_rate}",
        )
        network.say("cli", f"full{n % 4 + 1}", "-named", *order)


def main() -> None:
    chromium = find_chromium()
    if chromium is None:
        sys.exit("no Chromium here; CHROMIUM names one")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = Network(folder / "net")
        nodes = "--full", "4", "--miners", "1", "--spv", "1", "--interval", "600"
        with network.up(*nodes), Browser.start(chromium, folder / "profile") as browser:
            network.say("mine", "3")
            network.say("partition", "full3,full4")
            network.say("cli", "full3", "-generate", "2")
            network.say("mine", "1")
            page = browser.open(network.say("open"), width=WIDTH, height=HEIGHT)
            page.until("document.querySelectorAll('.wire.cut').length > 0")
            shoot(page, "network")
            network.say("heal")
            pay(network, 60)
            window = page.js("[...document.querySelectorAll('table a')].find(a => a.text == 'full1').href")
            shoot(browser.open(f"{window}mempool", width=WIDTH, height=HEIGHT), "mempool")
            txid = json.loads(network.say("cli", "full1", "getrawmempool"))[0]
            shoot(browser.open(f"{window}tx/{txid}", width=WIDTH, height=HEIGHT, dark=True), "transaction")


if __name__ == "__main__":
    main()

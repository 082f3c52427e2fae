"""A chain of one's own as real processes: all roles, the command line, difficulty that follows the miners."""

from __future__ import annotations

import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
from node_process import Daemon, command, environment, run_to_end

CHAIN = """
name = "own"
magic = "0a0b0c0d"
ports.p2p = 28999
ports.rpc = 28998
pow.limit = "003fff"     # 1,024 hashes
pow.spacing = 10
pow.interval = 10
pow.no_retargeting = false
pow.allow_min_difficulty = false
addresses.hrp = "own"
"""
FLOOR = 1024


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN)
    return path


class OwnDaemon(Daemon):
    """A node on the chain that a file describes."""

    def __init__(self, datadir: Path, chain: Path, *options: str) -> None:
        self._chain = chain
        super().__init__(datadir, *options, network="own")

    def _command(self, network: str) -> list[str]:
        return command(self.datadir, str(self._chain))


def work(daemon: Daemon) -> float:
    """Hashes that the next block takes on average."""
    bits = int(daemon.call("getmininginfo")["next"]["bits"], 16)
    return (1 << 256) / (((bits & 0xFFFFFF) << 8 * ((bits >> 24) - 3)) + 1)


def test_difficulty_follows_the_miners(tmp_path: Path, chain: Path) -> None:
    """Blocks come as they would if so and so many miners looked for them: by their work, in mocked time.

    A period is measured over nine of its ten gaps (the off-by-one that is consensus), so difficulty settles
    where a block takes 10/9 of the spacing.
    """
    one_miner, settled = 300, 10 * 10 / 9
    with OwnDaemon(tmp_path / "node", chain) as daemon:
        daemon.wait_ready()
        now = float(daemon.call("getblockheader", daemon.call("getbestblockhash"))["time"])

        def mine(periods: int, hash_rate: float) -> float:
            """Mines whole periods; the work of a block after them."""
            nonlocal now
            for _ in range(periods * 10):
                now += max(work(daemon) / hash_rate, 0.2)
                daemon.call("setmocktime", int(now))
                daemon.call("generatetodescriptor", 1, "raw(51)")
            return work(daemon)

        assert work(daemon) == pytest.approx(FLOOR, rel=0.01)
        for miners, periods in ((1, 3), (2, 3), (1, 2)):
            assert mine(periods, miners * one_miner) == pytest.approx(
                miners * one_miner * settled, rel=0.1
            ), f"{miners} miners"
        assert mine(6, 1) == pytest.approx(FLOOR, rel=0.01), "no easier than the limit"


def test_the_miner_is_slowed_down_by_difficulty_alone(tmp_path: Path, chain: Path) -> None:
    """At full speed, periods are over at once until a block takes real work."""
    with OwnDaemon(tmp_path / "node", chain, "-role=miner") as daemon:
        daemon.wait_ready()
        daemon.until("difficulty to rise", lambda: work(daemon) > 60 * FLOOR)
        height = daemon.call("getblockcount")
        assert 30 <= height < 60, "times four each ten blocks, no faster"
        assert daemon.call("getnewaddress", wallet="miner").startswith("own1q")
        assert daemon.call("getblockchaininfo")["chain"] == "own"


def test_all_roles_and_the_command_line(tmp_path: Path, chain: Path) -> None:
    with (
        OwnDaemon(tmp_path / "full", chain, "-blockfilterindex", "-peerblockfilters") as full,
        OwnDaemon(tmp_path / "spv", chain, "-role=spv") as spv,
    ):
        full.wait_ready()
        spv.wait_ready()
        assert full.call("getblockchaininfo")["chain"] == spv.call("getblockchaininfo")["chain"] == "own"
        spv.call("createwallet", "light")
        address = spv.call("getnewaddress")
        spv.call("addnode", f"127.0.0.1:{full.ports['p2p']}", "add")
        full.call("setmocktime", int(time.time()) - 1100)  # at full speed, difficulty would rise
        for i in range(101):
            full.call("setmocktime", int(time.time()) - 1100 + 11 * i)
            full.call("generatetoaddress", 1, address)
        full.call("setmocktime", 0)
        spv.until("the first coinbase", lambda: spv.call("getbalances")["mine"]["trusted"] == Decimal(50))

        options = [f"-datadir={tmp_path / 'full'}", f"-chain={chain}", f"-rpcport={full.ports['rpc']}"]
        assert cli(*options, "getblockcount") == (0, "101", "")
        assert cli(*options[:2], "getblockcount") == (0, "101", ""), "by ports.json"
        full.stop_well()
        spv.stop_well()
        assert (tmp_path / "full" / "own" / "blocks").is_dir()
        code, _, errors = cli(*options[:2], "getblockcount")
        assert code == 1 and "127.0.0.1:28998" in errors, "the file's port"


def cli(*words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pybitcoind.node.cli", *words],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_from_the_configuration_file_with_a_section(tmp_path: Path, chain: Path) -> None:
    """A relative path begins at the data directory there; [own] is the chain's section."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "sub").mkdir()
    chain.rename(folder / "sub" / "chain.toml")
    (folder / "bitcoin.conf").write_text("chain=sub/chain.toml\n[own]\nuacomment=hello\n[else]\nport=1\n")
    program = [*command(folder)[:3], f"-datadir={folder}", "-printtoconsole=0"]
    ended = subprocess.run(
        [*program, "-port=0", "-rpcport=0", "-stopafterblockimport", "-loadblock=/dev/null"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0
    assert ended.stderr.splitlines() == [
        f"Warning: {folder / 'bitcoin.conf'}:4 Section [else] is not recognized."
    ]
    log = (folder / "own" / "debug.log").read_text()
    assert f"Chain own of {folder / 'sub' / 'chain.toml'}: genesis " in log
    assert 'Config file arg: [own] uacomment="hello"' in log


def test_another_definition_of_the_same_name_is_refused(tmp_path: Path, chain: Path) -> None:
    with OwnDaemon(tmp_path / "node", chain) as daemon:
        daemon.wait_ready().stop_well()
    chain.write_text(CHAIN.replace("28999", "28997"))
    with OwnDaemon(tmp_path / "node", chain) as daemon:  # ports may change
        daemon.wait_ready().stop_well()
    chain.write_text(CHAIN.replace("spacing = 10", "spacing = 11"))
    code, stderr = run_to_end(tmp_path / "node", network=str(chain))
    assert code == 1 and stderr.count("\n") == 1
    assert stderr.startswith("Error: blocks/index.sqlite holds data of network own/")
    assert stderr.endswith(": another definition of own. Use another data directory (-datadir).\n")


def test_wrong_files(tmp_path: Path, chain: Path) -> None:
    chain.write_text(CHAIN.replace('limit = "003fff"', 'limit = "7fff"'))
    code, stderr = run_to_end(tmp_path / "node", network=str(chain))
    assert code == 1 and stderr.count("\n") == 1
    assert stderr.startswith(f"Error: {chain}: pow.limit: 7fffffff") and "at most 00a3d70a3d70a3d" in stderr
    chain.write_bytes(b"\xff")
    assert run_to_end(tmp_path / "node", network=str(chain)) == (1, f"Error: {chain}: not TOML: no UTF-8\n")
    chain.write_text(CHAIN + f"genesis.time = {int(time.time()) + 8000}\n")
    code, stderr = run_to_end(tmp_path / "node", network=str(chain))
    assert code == 1 and stderr.startswith(f"Error: {chain}: genesis.time: ") and "in the future" in stderr
    missing = tmp_path / "none.toml"
    expected = f"-chain: {missing}: No such file or directory"
    assert run_to_end(tmp_path / "node", network=str(missing)) == (1, f"Error: {expected}\n")
    assert cli(f"-datadir={tmp_path}", f"-chain={missing}", "getblockcount") == (1, "", f"Error: {expected}")
    assert run_to_end(tmp_path / "node", network="nosuch") == (1, "Error: Unknown chain nosuch.\n")

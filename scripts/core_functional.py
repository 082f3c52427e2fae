"""Runs Bitcoin Core's functional tests, unmodified, against pybitcoind; writes the table of results.

Core's framework takes the daemon's path from BITCOIND and the tool's from BITCOINCLI. It needs a config.ini,
which is written to a directory of our own together with two small scripts that start this checkout's code.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "core-functional.md"
CONFIG = """[environment]
CLIENT_NAME=Bitcoin Core
CLIENT_BUGREPORT=none
SRCDIR={core}
BUILDDIR={work}
EXEEXT=
RPCAUTH={core}/share/rpcauth/rpcauth.py
[components]
ENABLE_BITCOIND=true
{components}
"""
COMPONENTS = ("wallet", "cli", "zmq")
HEAD = """# Bitcoin Core's functional tests against pybitcoind

Written by `scripts/core-functional CORE_TREE --list FILE --table`; the tests are Core's, unmodified.
A test that fails has the end of its complaint beside it. "skipped" is the test's own decision.

{summary}

| test | result | seconds | why |
|---|---|---|---|
"""
KNOWN_REASONS = {
    "feature_assumeutxo.py": (
        "A fatal internal error oc",
        "file layout: writes into chainstate_snapshot/, and looks for blk files by name; all else passes",
    ),
    "rpc_blockchain.py": (
        "rev00000.dat",
        "file layout: renames rev00000.dat and blk00000.dat; without these two steps all of it passes",
    ),
    "rpc_getblockstats.py": (
        "blk00000.dat",
        "file layout: its last step renames blk00000.dat; all else passes",
    ),
    "rpc_net.py": (
        "peers.dat",
        "file layout: deletes peers.dat; behind that it expects the places of addresses in Core's book",
    ),
    "feature_port.py": (
        "Invalid port specified in",
        "ours: -port=0 takes a free port",
    ),
    "interface_rest.py": (
        "Expected: 500, Got: 200",
        "file layout: renames blk*.dat and then expects a failure; all before that passes",
    ),
    "feature_asmap.py": ("Opened asmap file", "-asmap has no effect yet"),
    "feature_config_args.py": (
        "opencon thread start",
        "no fixed seeds; behind that -i2psam and testnet3, which are not supported",
    ),
    "feature_fee_estimation.py": ("KeyError: 'feerate'", "fees are not estimated yet"),
    "feature_proxy.py": ("-i2psam", "I2P is not spoken (-i2psam)"),
    "wallet_keypool_topup.py": ("wallet.dat", "file layout: copies wallet.dat"),
    "wallet_listtransactions.py": ("wallet.dat", "file layout: copies wallet.dat"),
    "wallet_startup.py": ("wallet.dat", "file layout: moves wallet.dat"),
    "wallet_multiwallet.py": ("not(False == True)", "file layout: looks for wallet.dat"),
    "wallet_musig.py": ("not(False == True)", "descriptors with musig() are not known"),
    "wallet_miniscript.py": ("AssertionError", "descriptors with miniscript are not known"),
    "wallet_miniscript_decaying_multisig_descriptor_psbt.py": (
        "A function is needed within P2WSH",
        "descriptors with miniscript are not known",
    ),
    "wallet_crosschain.py": ("leads outside", "wallets cannot lie outside of the wallet directory"),
    "p2p_private_broadcast.py": ("-i2psam", "I2P is not spoken (-i2psam)"),
    "p2p_v2_encrypted.py": ("Predicate", "encrypted transport (BIP 324) is not spoken"),
    "p2p_v2_misbehaving.py": ("IndexError", "encrypted transport (BIP 324) is not spoken"),
}
"""Why a test cannot pass, found by reading and running it: what its complaint then contains, and our words.

A complaint without that text is another failure, and is shown as it is.
"""
FRAME = re.compile(
    r'functional/(?:\w+|test_framework/(?:test_framework|wallet_util))\.py", line \d+, in \w+\n(.*)\n( *\^+)?'
)
"""A line of a test in a traceback, and the marks below its part that failed."""
ROW = re.compile(r"\| (\S+) \| (\S+) \| (\S*) \| (.*) \|")


@dataclass
class Result:
    name: str
    outcome: str
    """passed, failed, skipped or timeout; "-" if it was not run."""
    seconds: str = ""
    why: str = ""

    def row(self) -> str:
        return f"| {self.name} | {self.outcome} | {self.seconds} | {self.why} |"


class Bench:
    """The directory that tests run in."""

    def __init__(
        self, core: Path, work: Path, enabled: list[str], timeout: float, options: list[str]
    ) -> None:
        self.core, self.work, self.timeout, self.options = core, work, timeout, options
        self.cache = work / "cache"
        self._link_package()
        components = "\n".join(f"ENABLE_{name.upper()}=true" for name in enabled)
        (work / "config.ini").write_text(CONFIG.format(core=core, work=work, components=components))
        self._script("pybitcoind", "pybitcoind.node.main")
        self._script("pybitcoin-cli", "pybitcoind.node.cli")

    @staticmethod
    def _link_package() -> None:
        link = ROOT / "build" / "typing" / "pybitcoind"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to("../..")

    def _script(self, name: str, module: str) -> None:
        path = self.work / name
        path.write_text(
            f'#!/bin/sh\nPYTHONPATH="{ROOT}/build/typing" exec "{sys.executable}" -m {module} "$@"\n'
        )
        path.chmod(0o755)

    def run(self, name: str, seed: int) -> Result:
        """One test in a session of its own, so that a timeout ends its daemons too."""
        folder = self.work / "tests" / name.removesuffix(".py")
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        command = [
            sys.executable,
            str(self.core / "test" / "functional" / name),
            f"--configfile={self.work}/config.ini",
            f"--cachedir={self.cache}",
            f"--tmpdir={folder}",
            f"--portseed={seed}",
            *self.options,
        ]
        env = {
            **os.environ,
            "BITCOIND": str(self.work / "pybitcoind"),
            "BITCOINCLI": str(self.work / "pybitcoin-cli"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        started = time.monotonic()
        log = self.work / "tests" / f"{name}.txt"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                status = None
            _end_session(process.pid)
            process.wait()
        seconds = f"{time.monotonic() - started:.0f}"
        text = log.read_text(errors="replace")
        if status == 0:
            return Result(name, "passed", seconds)
        if status == 77:
            return Result(name, "skipped", seconds, text.rpartition("Test Skipped: ")[2].split("\n")[0][:120])
        why = known_reason(name, reason(text))
        return Result(name, "timeout" if status is None else "failed", seconds, why)


def _end_session(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def reason(output: str) -> str:
    """The last exception that the framework reports, in one short line fit for a table."""
    if "'Method not found'" in output and (method := missing_method(output)):
        return f"no method {method}"
    found = re.findall(r"^(?:\S*Error|\S*Exception|\S*Failed\S*)(?::? .*)?$", output, re.MULTILINE)
    lines = found or [line for line in output.splitlines() if "ERROR" in line] or output.splitlines() or [""]
    text = re.sub(r"/\S*/|^[a-z_.]*\.(?=[A-Z])", "", lines[-1] if found else lines[0])
    text = re.sub(r"[|`\s]+", " ", text).strip()
    return text if len(text) <= 120 else text[:117] + "..."


def missing_method(output: str) -> str:
    """The method that a test called when its traceback begins, as far as its line shows that."""
    frames = FRAME.findall(output)
    if not frames:
        return ""
    line, marks = frames[-1]
    part = line[marks.index("^") : len(marks)] if marks else line
    try:
        tree = ast.parse(part.strip())
    except SyntaxError:  # the call goes on in the lines that follow
        calls = re.findall(r"\.(\w+)\(", line)
        return calls[-1] if calls else ""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        refused = isinstance(call.func, ast.Name) and call.func.id == "assert_raises_rpc_error"
        for node in call.args if refused else [call.func]:
            if isinstance(node, ast.Attribute):
                return node.attr
    return ""


def known_reason(name: str, complaint: str) -> str:
    """complaint, or our words for it."""
    mark, words = KNOWN_REASONS.get(name, ("", ""))
    return words if mark and mark in complaint else complaint


def listed(path: Path) -> list[str]:
    """Names of a file with one test a line; words before the name are its class."""
    return [line.split()[-1] for line in path.read_text().splitlines() if line.strip()]


def known_results() -> dict[str, Result]:
    """The rows of the table as it is."""
    if not TABLE.exists():
        return {}
    rows = [ROW.fullmatch(line) for line in TABLE.read_text().splitlines()]
    return {row[1]: Result(*row.groups()) for row in rows if row and row[1] != "test"}


def write_table(names: list[str], results: dict[str, Result]) -> None:
    """All of names, with the results of this run and, for tests it left out, those of earlier ones."""
    rows = {**known_results(), **results}
    shown = [rows.get(name, Result(name, "-")) for name in sorted(set(names) | set(rows))]
    counts = {
        kind: sum(r.outcome == kind for r in shown) for kind in ("passed", "failed", "skipped", "timeout")
    }
    told = ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    TABLE.parent.mkdir(exist_ok=True)
    summary = f"Of {len(shown)} tests: {told or 'none was run'}."
    TABLE.write_text(HEAD.format(summary=summary) + "\n".join(r.row() for r in shown) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("core", type=Path, help="a source tree of Bitcoin Core")
    parser.add_argument("tests", nargs="*", help="names such as rpc_uptime.py")
    parser.add_argument("--list", type=Path, help="file that names tests, one a line")
    parser.add_argument("--table", action="store_true", help=f"write {TABLE.relative_to(ROOT)}")
    parser.add_argument("--again", action="store_true", help="only tests that the table has not as passed")
    parser.add_argument("--jobs", type=int, default=1, help="tests at a time")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for a test")
    parser.add_argument(
        "--without", action="append", default=[], choices=COMPONENTS, help="as not compiled in"
    )
    parser.add_argument("--option", action="append", default=[], help="passed on to each test")
    parser.add_argument("--keep", type=Path, help="run in this directory and leave it")
    options = parser.parse_intermixed_args()
    names = options.tests or (listed(options.list) if options.list else [])
    if options.again:
        known = known_results()
        names = [n for n in names if n not in known or known[n].outcome not in ("passed", "skipped")]
    if not names:
        parser.error("name tests, or a --list")
    missing = [n for n in names if not (options.core / "test" / "functional" / n).is_file()]
    if missing:
        parser.error(f"{options.core} has no test {missing[0]}")
    enabled = [name for name in COMPONENTS if name not in [*options.without, "zmq"]]
    work = options.keep or Path(tempfile.mkdtemp(prefix="core-functional-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        bench = Bench(options.core.resolve(), work.resolve(), enabled, options.timeout, options.option)
        results = run_all(bench, names, options.jobs)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    if options.table:
        write_table(listed(options.list) if options.list else names, results)
    passed = sum(r.outcome in ("passed", "skipped") for r in results.values())
    print(f"{passed} of {len(names)} passed")
    return 0 if passed == len(names) else 1


def run_all(bench: Bench, names: list[str], jobs: int) -> dict[str, Result]:
    """Tests alone until one has made the cached chain that the others share, then jobs at a time."""
    results: dict[str, Result] = {}

    def run(numbered: tuple[int, str]) -> None:
        result = bench.run(numbered[1], numbered[0])
        results[result.name] = result
        print(f"{result.outcome:8} {result.seconds:>4} s  {result.name}  {result.why}", flush=True)

    first = os.getpid() * 7 % 400  # of some 415 port ranges: another run beside this one has others
    work = list(enumerate(names, first))
    while work and not bench.cache.exists():
        run(work.pop(0))
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        list(pool.map(run, work))
    return results


if __name__ == "__main__":
    sys.exit(main())

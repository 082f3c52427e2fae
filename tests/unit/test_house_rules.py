"""The house keeps its own rules: lint, types, floors, and nothing reached for that should be handed in."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest

from pybitcoind.chain import native

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chain", "p2p", "wallet", "node")

FORBIDDEN = {
    "time": "use Ports.clock",
    "random": "use Ports.random",
    "logging": "use Ports.log",
    "socket": "use Ports.network",
}
FORBIDDEN_ASYNCIO = {
    "sleep",
    "timeout",
    "timeout_at",
    "wait_for",
    "to_thread",
    "open_connection",
    "start_server",
}


def python_files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(*command: str, **env: str) -> None:
    result = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=os.environ | env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_ruff_check() -> None:
    run("-m", "ruff", "check", ".")


def test_ruff_format() -> None:
    run("-m", "ruff", "format", "--check", ".")


@pytest.mark.timeout(300)
def test_mypy() -> None:
    link = ROOT / "build" / "typing" / "pybitcoind"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../..")
    packages = [argument for package in PACKAGES for argument in ("-p", f"pybitcoind.{package}")]
    flags = ("--config-file", "setup.cfg", "--namespace-packages", "--explicit-package-bases")
    run("-m", "mypy", *flags, *packages, MYPYPATH=str(link.parent))


def test_floors() -> None:
    run("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")


EDGES = {
    "node/checks.py",  # looks at the machine's time before a start
    "node/cli.py",
    "node/explorer/site.py",  # listens
    "node/log.py",
    "node/daemon.py",
    "node/ports.py",
    "node/progress.py",  # draws on a terminal
    "node/rpc/addresses.py",  # inet_aton, which opens none
    "node/rpc/network.py",  # getnettotals tells the machine's time
    "node/rpc/server.py",
    "node/worker_processes.py",  # threads that wait for them
}
"""Of node/, but for localnet and testing, which are programs of their own."""


def inner_files() -> list[Path]:
    node = [path for path in python_files("node") if path.parent.name not in ("localnet", "testing")]
    return python_files("chain", "p2p", "wallet") + [path for path in node if name_of(path) not in EDGES]


@pytest.mark.parametrize("path", inner_files(), ids=name_of)
def test_nothing_reached_for(path: Path) -> None:
    """But at the edges, time, randomness, sockets, threads and the log come from Ports."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [f"import {a.name}: {FORBIDDEN[a.name]}" for a in node.names if a.name in FORBIDDEN]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module in FORBIDDEN:
            found.append(f"from {node.module}: {FORBIDDEN[node.module]}")
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "asyncio"
            and node.attr in FORBIDDEN_ASYNCIO
        ):
            found.append(f"line {node.lineno}: asyncio.{node.attr}: use Ports")
        elif isinstance(node, ast.Attribute) and node.attr in ("call_later", "run_in_executor"):
            found.append(f"line {node.lineno}: .{node.attr}: use Ports")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", python_files(*PACKAGES), ids=name_of)
def test_size(path: Path) -> None:
    """Past 800 lines a file wants a seam; the script interpreter may be an exception."""
    if path.name != "interpreter.py":
        assert len(path.read_text().splitlines()) <= 800


def test_the_part_in_c_is_of_this_source() -> None:
    """An editable installation keeps what was built when it was made."""
    if native.part is None:
        pytest.skip("the part in C is not built: no C compiler")
    sources = sorted((ROOT / "chain" / "native").glob("*.[ch]"))
    wanted = crc32(b"".join(path.read_bytes() for path in sources))
    assert wanted == native.part.SOURCES, "chain/native has changed since it was built: pip install -e ."


def compiled_files() -> list[Path]:
    """What setup.py has mypyc compile where it is asked to."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED":
            rooms = ast.literal_eval(node.value).items()
            return [ROOT / "chain" / room / f"{name}.py" for room, names in rooms for name in names]
    raise AssertionError("setup.py names no COMPILED")


@pytest.mark.parametrize("path", compiled_files(), ids=name_of)
def test_classes_can_be_compiled(path: Path) -> None:
    """mypyc makes C structs of classes: none may be derived from by what is interpreted, so each is final,
    and none may derive from one whose instances are more than that (threading.local's had one state for all
    threads)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base) for base in node.bases}
            assert bases <= {"NamedTuple", "Protocol", "ValueError"}, f"{node.name} derives from {bases}"
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            assert bases or marks & {"final", "dataclass"}, f"{node.name} is not final"


def test_map() -> None:
    """Every file has its place in the map of docs/architecture.md, and what the map names is there."""
    named: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "architecture.md").read_text().splitlines():
        room = re.match(r"\| ([\w/]+)", line)
        if room and room[1].split("/")[0] in PACKAGES:
            folder = ROOT / room[1] if (ROOT / room[1]).is_dir() else (ROOT / room[1]).parent
            named.setdefault(name_of(folder), set()).update(re.findall(r"\w+", line))
    for path in python_files(*PACKAGES):
        if path.stem != "__init__":
            assert path.stem in named[name_of(path.parent)], f"{name_of(path)} is not on the map"
    for folder_name, words in named.items():
        stems = {path.stem for path in (ROOT / folder_name).glob("*.py")}
        assert {word for word in words if "_" in word} <= stems, folder_name

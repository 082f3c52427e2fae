"""The compiled part under the compiler's sanitizers: no byte is read or written that is not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pybitcoind.chain import native

ROOT = Path(__file__).parents[4]
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
FLAGS += ["-fno-sanitize-recover=all"]
SECONDS = 40
SEED = "20261127"


def compile_with(arguments: list[str]) -> str:
    """Runs the compiler and returns its path; skips where there is none that can."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    made = subprocess.run([compiler, *FLAGS, *arguments], capture_output=True, text=True)
    if made.returncode and "asan" in made.stderr:
        pytest.skip("the C compiler has no sanitizers")
    assert made.returncode == 0, made.stderr
    return compiler


def build(folder: Path) -> tuple[Path, str]:
    """The library and what to load before it."""
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        pytest.skip("no headers of Python")
    library = folder / "_part.so"
    sources = [str(path) for path in sorted((ROOT / "chain" / "native").glob("*.c"))]
    compiler = compile_with(["-fPIC", "-shared", f"-I{include}", *sources, "-o", str(library), "-ldl"])
    runtime = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    return library, runtime.stdout.strip()


@pytest.mark.slow
def test_the_lottery_finds_nothing(tmp_path: Path) -> None:
    """Without Python, whose bytes end in a zero more: see lottery.c."""
    program = tmp_path / "lottery"
    source = Path(__file__).with_name("lottery.c")
    compile_with([f"-I{ROOT / 'chain' / 'native'}", str(source), "-o", str(program)])
    done = subprocess.run([program, SEED, str(SECONDS)], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-4000:]
    read, proved = map(int, done.stdout.split())
    print(f"seed {SEED}: {read} transactions read, {proved} inputs proved")
    assert read > 1000 and proved > 100


@pytest.mark.slow
@pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    library, runtime = build(tmp_path)
    environment = os.environ | {
        "LD_PRELOAD": runtime,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",  # so that each object has fences of its own
        "PYTHONPATH": str(ROOT / "tests"),
    }
    command = [sys.executable, str(ROOT / "tests" / "sanitized.py"), str(library), str(SECONDS), SEED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr[-4000:]
    read, proved, spent = map(int, done.stdout.split())
    print(f"seed {SEED}: {read} transactions read, {proved} inputs proved, {spent} blocks spent")
    assert read > 1000 and proved > 100 and spent > 100

"""What a build compiles, by PYBITCOIND_COMPILE; docs/performance.md tells what it gives.

- not set: the part in C (chain/native), if there is a C compiler with Python's headers; what it does, Python
  does without it.
- 1: that part, and the modules that blocks spend their time in, by mypyc from the same source; both must be.
- 0: nothing.

All else about the package is in setup.cfg.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError

COMPILED = {
    "": ["coins_cache"],
    "primitives": ["hashes", "serialize", "transaction", "block", "merkle"],
    "script": ["encoding", "script", "secp", "sighash", "taproot", "templates", "templates_taproot"],
    "consensus": ["limits", "sigops", "transactions", "witness_commitment", "blocks", "connect"],
}
"""Files by their place in chain/. Compiled code keeps the interpreter's lock until it returns or C lets go of
it: so it may run over an input or the parts of a block, but what runs scripts is interpreted.
"""

LIBRARY = "pybitcoind.chain.compiled"
MYPYC = "mypy ~= 2.4"
BASES = Path("build/typing")
"""Holds a link by which mypy finds chain/ as pybitcoind.chain."""


def extensions() -> list[Extension]:
    try:
        from mypyc.build import mypycify
    except ImportError:
        raise SystemExit(f"PYBITCOIND_COMPILE needs mypyc, which is in {MYPYC}") from None
    BASES.mkdir(parents=True, exist_ok=True)
    if not (BASES / "pybitcoind").is_symlink():
        (BASES / "pybitcoind").symlink_to("../..")
    os.environ["MYPYPATH"] = str(BASES)
    flags = ["--config-file=", "--namespace-packages", "--explicit-package-bases", "--ignore-missing-imports"]
    flags += ["--follow-imports=silent"]  # what is not compiled is not this build's to judge
    chain = BASES / "pybitcoind" / "chain"
    paths = [str(chain / room / f"{name}.py") for room, names in COMPILED.items() for name in names]
    made: list[Extension] = mypycify([*flags, *paths], group_name=LIBRARY, target_dir="build/mypyc")
    return made


class Compile(build_ext):
    """Knows what there is to build only when it builds: before, mypyc may not be installed."""

    def finalize_options(self) -> None:
        self.distribution.ext_modules = [NATIVE, *extensions()]
        super().finalize_options()

    def run(self) -> None:
        # What an older list had compiled would stay, and be imported before its source.
        for place in ("chain", self.build_lib) if self.inplace else (self.build_lib,):
            for old in Path(place).rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")):
                old.unlink()
        try:
            super().run()
        except (CCompilerError, ExecError) as error:
            raise SystemExit(f"PYBITCOIND_COMPILE needs a C compiler and Python's headers: {error}") from None


SOURCES = sorted(Path("chain/native").glob("*.[ch]"))
"""Their checksum goes into what is built, so that a test finds it stale."""
WANTED = os.environ.get("PYBITCOIND_COMPILE", "")
NATIVE = Extension(
    "pybitcoind.chain.native._part",
    [str(path) for path in SOURCES if path.suffix == ".c"],
    depends=[str(path) for path in SOURCES],
    define_macros=[("SOURCES", str(crc32(b"".join(path.read_bytes() for path in SOURCES))) + "u")],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    optional=not WANTED,
)

if WANTED == "0":
    setup()
elif not WANTED:
    setup(ext_modules=[NATIVE])
else:
    setup(
        setup_requires=[MYPYC],
        ext_modules=[NATIVE, Extension(LIBRARY, [])],
        cmdclass={"build_ext": Compile},
    )

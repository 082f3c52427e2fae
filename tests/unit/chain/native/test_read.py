"""The compiled part reads transactions as Python does, or leaves them to it; and takes no odd arguments.

That it proves only what is right is proved with the templates, by the vectors and by the oracles
(tests/both_ways.py).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from oracle.spends import make_spend
from starving import resident, starve

from pybitcoind.chain import native
from pybitcoind.chain.consensus.sigops import _count_legacy
from pybitcoind.chain.primitives.hashes import sha256d
from pybitcoind.chain.primitives.serialize import DecodeError
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

SEED = 20261127
pytestmark = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


def in_python(raw: bytes, pos: int, allow_witness: bool) -> tuple[Transaction, int] | None:
    try:
        return Transaction._parse(raw, pos, allow_witness)
    except (DecodeError, ValueError, IndexError, ArithmeticError):
        return None
    except Exception as error:  # struct.error has no better base
        assert type(error).__name__ == "error", error
        return None


def compare(raw: bytes, pos: int = 0, allow_witness: bool = True) -> bool:
    """Whether C reads it; if so all is as Python has it, and Python reads what there is to read."""
    assert native.part is not None
    fields, wanted = native.part.transaction(raw, pos, allow_witness), in_python(raw, pos, allow_witness)
    if fields is None:
        return False
    assert wanted is not None, raw.hex()
    tx, end = wanted
    again, its_end = Transaction.parse(raw, pos, allow_witness=allow_witness)
    assert its_end == end == pos + len(again.raw)
    for name in ("version", "vin", "vout", "locktime", "raw", "vin_at", "vout_at", "_strip", "witness"):
        assert getattr(again, name) == getattr(tx, name), (name, raw.hex())
    assert (again.txid, again.wtxid) == (sha256d(tx.stripped), sha256d(tx.raw))
    assert again.sigops == _count_legacy(tx)
    return True


def test_spends_whole_cut_and_changed() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    read = 0
    for _ in range(400):
        raw = make_spend(rng)[1].raw
        assert compare(raw)
        assert compare(b"\xff" * 7 + raw + b"\0\1\2", 7)
        compare(raw, 0, False)
        for _ in range(20):
            odd = bytearray(raw)
            for _ in range(rng.choice((1, 1, 2, 4))):
                odd[rng.randrange(len(odd))] = rng.choice((0, 1, 252, 253, 254, 255, rng.randrange(256)))
            if rng.random() < 0.3:
                del odd[rng.randrange(len(odd)) :]
            read += compare(bytes(odd), 0, rng.random() < 0.9)
    assert read > 1000


def test_kinds_of_values() -> None:
    """What comes from C are the same types as from Python, the values at the ends of their ranges too."""
    tx = Transaction.make(
        [TxIn(OutPoint(bytes(range(32)), n), b"x" * n, 0xFFFFFFFF - n) for n in range(5)],
        [TxOut(-1, b""), TxOut(2**63 - 1, b"\xac" * 300), TxOut(-(2**63), b"\x6a")],
        version=0xFFFFFFFF,
        locktime=0xFFFFFFFF,
        witness=[[], [b"a", b""], [], [], [b"y" * 70_000]],
    )
    assert compare(tx.raw)
    again = Transaction.decode(tx.raw)
    assert repr(again.vin) == repr(tx.vin) and repr(again.vout) == repr(tx.vout)
    assert again.witness == tx.witness and again.witness is again.witness
    assert again.sigops == 300
    assert [hash(each) for each in again.vin + again.vout] == [hash(each) for each in tx.vin + tx.vout]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(10),
        bytes(4) + b"\0\1\0\0" + bytes(4),
        bytes(4) + b"\0\2" + bytes(60),
        bytes(4) + b"\xff" * 9 + bytes(60),
        bytes(4) + b"\xfe\xff\xff\xff\xff" + bytes(60),
        bytes(4) + b"\xfd\1\0" + bytes(60),
    ],
)
def test_what_is_left_to_python(raw: bytes) -> None:
    assert not compare(raw)


def test_positions_outside() -> None:
    assert native.part is not None
    for pos in (-1, 11, 2**62):
        assert native.part.transaction(bytes(10), pos, True) is None


def test_the_switch() -> None:
    """PYBITCOIND_NATIVE=0 leaves it alone."""
    code = "from pybitcoind.chain import native; print(native.part is None)"
    for value, wanted in (("0", "True"), ("1", "False")):
        environment = os.environ | {native.SWITCH: value}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == wanted


def fake_openssl(folder: Path) -> Path:
    """A library with the functions, which do nothing."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    names = [f"{kind}_{step}" for kind in ("SHA256", "RIPEMD160") for step in ("Init", "Update", "Final")]
    source, library = folder / "fake.c", folder / "fake.so"
    source.write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in names))
    subprocess.run([compiler, "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    return library


@pytest.mark.parametrize("file", ["none", "fake", "not text"])
def test_an_openssl_that_does_not_serve(file: str, tmp_path: Path) -> None:
    """Where hashlib's is a part of Python's program, or refuses to hash, or has an odd place: all goes on."""
    change = {
        "none": "del _hashlib.__file__",
        "fake": f"_hashlib.__file__ = {str(fake_openssl(tmp_path)) if file == 'fake' else ''!r}",
        "not text": "_hashlib.__file__ = '/no/such/\\udcff'",
    }[file]
    code = (
        f"import _hashlib\n{change}\n"
        "from pybitcoind.chain import native\n"
        "from pybitcoind.chain.primitives.hashes import sha256d\n"
        "print(native.part, sha256d(b'').hex()[:8])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "5df6e0e2"]


def test_before_it_is_bound() -> None:
    code = (
        "from pybitcoind.chain.native import _part\n"
        "for call in (lambda: _part.sha256d(b''), lambda: _part.transaction(bytes(70), 0, 1),\n"
        "             lambda: _part.prove([], 0)):\n"
        "    try: call()\n"
        "    except RuntimeError as error: print(error)"
    )
    environment = os.environ | {native.SWITCH: "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count("not bound") == 3


SHORT_OF_MEMORY = """
import resource
from pybitcoind.chain.primitives.serialize import compact_size
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

short = Transaction.make([TxIn(OutPoint(bytes(32), 0))], [TxOut(1, b"")], witness=[[b""]]).raw
tx = Transaction.decode(short[:-6] + compact_size(3_000_000) + bytes(3_000_000) + bytes(4))
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize"))
_, most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used * 1024, most))
try:
    told = tx.witness is None
except MemoryError:
    told = "no memory"
resource.setrlimit(resource.RLIMIT_AS, (most, most))
print(told, len(tx.witness[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by Linux's means")
def test_a_witness_without_memory() -> None:
    """A transaction is not without witness because there is no room for it just now."""
    done = subprocess.run([sys.executable, "-c", SHORT_OF_MEMORY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["no", "memory", "3000000"]


def test_whatever_allocation_fails() -> None:
    """All of a transaction is made, or MemoryError is raised; then it can be made."""
    part = native.part
    assert part is not None
    tx = Transaction.make(
        [TxIn(OutPoint(bytes([n]) * 32, 1000 + n), b"x" * 5, 1000 * n) for n in range(4)],
        [TxOut(10**9 + n, b"y" * (5 + n)) for n in range(4)],
        witness=[[b"abc", b"defg"]] * 4,
    )
    makers = {
        "inputs": lambda: part.inputs(tx.raw),
        "outputs": lambda: part.outputs(tx.raw),
        "witness": lambda: part.witness(tx.raw),
        "transaction": lambda: part.transaction(b"1" + tx.raw, 1, True),
        "vin": lambda: Transaction.decode(tx.raw).vin,
    }
    for name, make in makers.items():
        assert starve(make, make()) > 3, name


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_nothing_is_kept() -> None:
    part = native.part
    assert part is not None
    vin = [TxIn(OutPoint(bytes(32), n)) for n in range(40)]
    raw = Transaction.make(vin, [TxOut(1, b"")], witness=[[b"x"]] * 40).raw
    for make in (part.inputs, part.outputs, part.witness, lambda raw: part.transaction(raw, 0, True)):
        for times in (100, 1000):
            before = resident()
            for _ in range(times):
                make(raw)
        assert resident() - before < 1_000_000  # a list of the inputs alone is twice that


def test_wrong_arguments() -> None:
    part = native.part
    assert part is not None
    with pytest.raises(TypeError):
        part.transaction("text", 0, True)
    with pytest.raises(TypeError):
        part.sha256d(bytearray(3))
    with pytest.raises(TypeError):
        part.witness(None)
    with pytest.raises(TypeError):
        part.bind_types(OutPoint, TxIn, TxOut)
    for n in range(4):
        with pytest.raises(TypeError, match="int is no tuple"):
            part.bind_types(*[int if n == at else TxIn for at in range(4)])
    for method in (part.inputs, part.outputs):
        with pytest.raises(TypeError, match="is bytes"):
            method(None)
        assert method(b"") is None
    with pytest.raises(ValueError, match="addresses"):
        part.bind_curve((1, 2))
    with pytest.raises(ImportError, match="SHA256_Init"):
        part.bind_hashing("libm.so.6")
    with pytest.raises(ImportError, match=r"no/such/file"):
        part.bind_hashing("/no/such/file.so")
    for runs in ([None], [(b"", (), 0)], [("", (), 0, 1)], [(b"", 5, 0, 1)], [(b"", [(1,)], 0, 1)], (), None):
        with pytest.raises(TypeError):
            part.prove(runs, 0)
    with pytest.raises(OverflowError):
        part.prove([(b"", [(2**63, b"")], 0, 1)], 0)


class Clearing:
    """A number that empties a list when it is asked for."""

    def __init__(self, victim: list[object], value: int) -> None:
        self.victim, self.value = victim, value

    def __index__(self) -> int:
        self.victim.clear()
        return self.value


def test_lists_that_change_while_they_are_read() -> None:
    """Nothing is read that is gone."""
    part = native.part
    assert part is not None
    raw = Transaction.make([TxIn(OutPoint(bytes(32), 0))] * 3, [TxOut(1, b"")]).raw
    spent: list[object] = []
    spent += [(Clearing(spent, 1), b"\x41" * 30_000) for _ in range(3)]
    with pytest.raises(TypeError, match="value and its script"):
        part.prove([(raw, spent, 0, 3)], 0)
    runs: list[object] = []
    runs += [(raw, [(1, b"")] * 3, Clearing(runs, 1), 3) for _ in range(1000)]
    assert len(part.prove(runs, 0)) == 2000


def test_runs_that_do_not_fit() -> None:
    """What is no transaction, or has other outputs to spend, or other inputs, is not proved."""
    part = native.part
    assert part is not None
    raw = Transaction.make([TxIn(OutPoint(bytes(32), 0))], [TxOut(1, b"")]).raw
    spent = [(1, b"\x51")]
    assert part.prove([(b"", spent * 2, 0, 2), (raw, spent, 0, 1), (raw, spent * 3, 1, 2)], 0) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (2, 1),
    ]
    assert part.prove([(raw, spent, 1, 1)], 0) == part.prove([], 0) == []
    for start, stop in ((0, 2), (-1, 1), (1, 0), (0, 2**62)):
        with pytest.raises(ValueError, match="spent outputs"):
            part.prove([(raw, spent, start, stop)], 0)

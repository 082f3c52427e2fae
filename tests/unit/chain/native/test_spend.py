"""What a block does to the coins, in C: the same as by Python's rule, or it is left to that.

The templates of invalid blocks and whole chains go both ways as well: tests/spent_both_ways.py.
"""

from __future__ import annotations

import gc
import random
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from drawn_blocks import SHAPES, DrawnBlock, counting_script, draw_block, draw_spending, hostile, near
from scene import make_scene
from spent_both_ways import COUNT, Caches, by_python, compare, exact, read_anew, unknown
from starving import resident, starve

from pybitcoind.chain import native
from pybitcoind.chain.coins_cache import look_up
from pybitcoind.chain.consensus import sigops
from pybitcoind.chain.consensus.connect import BlockSpend, spend_block, spend_block_in_c, spent_outpoints
from pybitcoind.chain.consensus.errors import BlockInvalid, TxInvalid
from pybitcoind.chain.consensus.transactions import check_transaction
from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.transaction import MAX_MONEY, Coin, OutPoint, Transaction, TxIn, TxOut

SEED = 20261129
COUNT_OF_BLOCKS = 1200
MANY_BLOCKS = 30_000
GOOD = {
    "nothing odd",
    "a chain inside",
    "coinbase at 100",
    "as much out as in",
    "coins at the ends",
    "fees of all there is",
    "locked until now",
    "coinbase takes less",
    "sigops at the limit",
}
REASONS = {
    "outside coin twice": "bad-txns-inputs-missingorspent",
    "coin twice in one": "bad-txns-inputs-missingorspent",
    "inside coin twice": "bad-txns-inputs-missingorspent",
    "before it is made": "bad-txns-inputs-missingorspent",
    "missing coins": "bad-txns-inputs-missingorspent",
    "other output of a transaction": "bad-txns-inputs-missingorspent",
    "coinbase too young": "bad-txns-premature-spend-of-coinbase",
    "its own coinbase": "bad-txns-premature-spend-of-coinbase",
    "what is never kept": "bad-txns-inputs-missingorspent",
    "scripts of ten thousand": "bad-txns-inputs-missingorspent",
    "one more out than in": "bad-txns-in-belowout",
    "coin out of range": "bad-txns-inputvalues-outofrange",
    "sum of coins one over": "bad-txns-inputvalues-outofrange",
    "fees one over": "bad-txns-accumulated-fee-outofrange",
    "locked": "bad-txns-nonfinal",
    "locked coin of the block": "bad-txns-nonfinal",
    "coinbase takes more": "bad-cb-amount",
    "null outpoint": "bad-txns-inputs-missingorspent",
    "sigops one over": "bad-blk-sigops",
}
pytestmark = pytest.mark.skipif(native.part is None, reason="the compiled part is not built: no C compiler")


# --- blocks by lot ------------------------------------------------------------------------------------------


def lay(rng: random.Random, drawn: DrawnBlock) -> tuple[Caches, dict[OutPoint, Coin]]:
    """The coins of drawn by lot in dictionaries, earlier ones over later ones, and in the store."""
    caches: Caches = tuple({} for _ in range(COUNT))
    store: dict[OutPoint, Coin] = {}
    hidden = rng.random() < 0.1
    in_store = rng.choice((0.0, 0.0, 0.2, 1.0))
    for outpoint, coin in drawn.coins.items():
        at = rng.randrange(COUNT)
        if rng.random() < in_store:
            store[outpoint] = coin
            continue
        caches[at][outpoint] = coin
        for later in caches[at + 1 :]:
            if rng.random() < 0.3:
                later[outpoint] = rng.choice((None, coin._replace(value=coin.value + 1)))
        if hidden and at and rng.random() < 0.2:
            caches[rng.randrange(at)][outpoint] = None
    for cache in caches:
        if rng.random() < 0.5:
            cache[OutPoint(rng.randbytes(32), 0)] = rng.choice((None, Coin(1, b"", 1, False)))
    return caches, store


def both_ways(rng: random.Random, drawn: DrawnBlock) -> tuple[str, bool]:
    """The reason why drawn is refused, "" where it is not; and whether C took it itself."""
    caches, store = lay(rng, drawn)
    outpoints = spent_outpoints(drawn.block)
    coins, missing = look_up(outpoints, caches)
    for n in missing:
        coins[n] = store.get(outpoints[n])
    rule = drawn.prev, drawn.params, drawn.flags
    block = read_anew(drawn.block) if rng.random() < 0.7 else drawn.block
    told = by_python(drawn.block, coins, *rule)
    if any(outpoint in store for outpoint in outpoints):
        first = spend_block_in_c(block, caches, *rule)
        if isinstance(first, list):
            assert repr(first) == repr(unknown(block, caches))
            caches[2].update((outpoint, store[outpoint]) for outpoint in first if outpoint in store)
        else:
            assert first is None and isinstance(told, BlockInvalid), "it cannot know"
    in_c = compare(told, block, caches, *rule, is_checked(block))
    return told.reason if isinstance(told, BlockInvalid) else "", isinstance(in_c, BlockSpend)


def is_checked(block: Block) -> bool:
    """Whether what comes before the coins has been kept."""
    try:
        for tx in block.vtx:
            check_transaction(tx)
    except TxInvalid:
        return False
    return True


def draw_all(count: int, seed: int) -> None:
    print("seed", seed)
    rng = random.Random(seed)
    told: dict[str, Counter[str]] = {name: Counter() for name in SHAPES}
    names = list(SHAPES)
    for n in range(count):
        name = names[n % len(names)]
        try:
            reason, in_c = both_ways(rng, draw_block(rng, name))
        except AssertionError:
            print("block", n, name)
            raise
        told[name][reason] += 1
        told[name]["in C"] += in_c
    for name in SHAPES:
        assert told[name][REASONS.get(name, "")] > count // len(names) // 20, (name, told[name])
        assert name in GOOD or name in REASONS
    assert sum(counts["in C"] for counts in told.values()) > count // 3


def test_blocks_by_lot() -> None:
    draw_all(COUNT_OF_BLOCKS, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("more", range(1, 4))
def test_many_blocks_by_lot(more: int) -> None:
    draw_all(MANY_BLOCKS // 3, SEED + more)


def test_values_of_outputs() -> None:
    """Those that check_transaction refuses are left to Python, be it asked before or not."""
    part, scene = native.part, make_scene()
    assert part is not None
    outpoint, coin = OutPoint(b"\x01" * 32, 0), Coin(MAX_MONEY, b"\x51", 1, False)
    for values, good in (
        ([0], True),
        ([MAX_MONEY], True),
        ([MAX_MONEY - 1, 1], True),
        ([-1], False),
        ([2, -1], False),
        ([MAX_MONEY + 1], False),
        ([MAX_MONEY, 1], False),
        ([MAX_MONEY, MAX_MONEY], False),
        ([2**63 - 1] * 2, False),
        ([-(2**63)] * 2, False),
    ):
        outputs = [TxOut(value, b"\x51") for value in values]
        tx = Transaction.decode(Transaction.make([TxIn(outpoint)], outputs).raw)
        coinbase = Transaction.decode(Transaction.make(scene.coinbase().vin, outputs).raw)
        assert (part.spend((coinbase,), (), 131, 0) is not None) is good, values
        told = part.spend((read_anew(scene.block()).vtx[0], tx), ({outpoint: coin},), 131, 0)
        assert (told is not None) is good, values


def test_what_stands_behind_an_empty_script() -> None:
    """Is not its first byte, be it that of OP_RETURN."""
    part, scene = native.part, make_scene()
    assert part is not None
    tx = Transaction.make([TxIn(scene.mature[0][0])], [TxOut(1, b""), TxOut(0x6A, b"")], locktime=0x6A)
    block = read_anew(scene.block(tx))
    _, changes, _, _, _ = part.spend(block.vtx, (dict(scene.mature),), 131, 0)
    assert [OutPoint(tx.txid, n) in changes for n in range(2)] == [True, True]


# --- signature operations -----------------------------------------------------------------------------------


def draw_input(rng: random.Random) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """A script, and the script_sig and the witness of the input that spends it, which need not fit."""
    script, sig, stack = draw_spending(rng)
    if rng.random() < 0.3:
        return script, sig, stack
    kind = rng.randrange(4)
    if kind == 0:
        program = rng.choice(
            (b"\x00\x14" + bytes(20), b"\x00\x20" + bytes(32), b"\xa9\x14" + bytes(20) + b"\x87")
        )
        script = near(rng, program) if rng.random() < 0.5 else program
    elif kind == 1:
        script = hostile(rng, rng.choice((22, 23, 34)))
    if rng.random() < 0.5:
        sig = rng.choice((hostile, lambda rng, _: counting_script(rng)))(rng, rng.randrange(12))
    if rng.random() < 0.5:
        stack = tuple(hostile(rng, rng.randrange(8)) for _ in range(rng.randrange(3)))
    return script, sig, stack


def compare_sigops(rng: random.Random, inputs: int) -> int:
    """The cost of one transaction with so many inputs, by C and by Python; returns it."""
    drawn = [draw_input(rng) for _ in range(inputs)]
    outpoints = [OutPoint(bytes(32), n) for n in range(inputs)]
    stacks = [stack for _, _, stack in drawn]
    vin = [TxIn(outpoint, sig, 0xFFFFFFFF) for outpoint, (_, sig, _) in zip(outpoints, drawn, strict=True)]
    outputs = [TxOut(0, script) for script in (counting_script(rng), drawn[0][0])]
    raw = Transaction.make(vin, outputs, witness=stacks if any(stacks) else ()).raw
    tx, again = Transaction.decode(raw), Transaction._parse(raw, 0, True)[0]
    caches = (
        {outpoint: Coin(0, each[0], 1, False) for outpoint, each in zip(outpoints, drawn, strict=True)},
    )
    flags = rng.choice((1 | 1 << 11, 1, 1 << 11, 0, 2**21 - 1))
    parts = [sigops.input_sigops(script, again, n, flags) for n, (script, _, _) in enumerate(drawn)]
    coinbase = Transaction.decode(make_scene().coinbase().raw)
    _, _, _, cost, _ = native.part.spend((coinbase, tx), caches, 1, flags)  # type: ignore[union-attr]
    assert tx.sigops == sigops._count_legacy(again)
    if inputs == 1:
        assert cost == 4 * tx.sigops + parts[0], (raw.hex(), drawn[0][0].hex(), flags)
    assert cost == 4 * tx.sigops + sum(parts), "one of many"
    return sum(parts)


def test_signature_operations_by_lot() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    assert sum(compare_sigops(rng, 1) > 0 for _ in range(5000)) > 300


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_signature_operations_of_two_million_inputs() -> None:
    print("seed", SEED)
    rng, done = random.Random(SEED + 1), 0
    while done < 2_000_000:
        inputs = rng.choice((1, 20, 100))
        compare_sigops(rng, inputs)
        done += inputs


# --- odd coins ----------------------------------------------------------------------------------------------


class Whole(int):
    """A number of a kind of its own."""


class Text(bytes):
    """Bytes of a kind of their own."""


GOOD_COIN = Coin(5000, b"\x51", 7, False)
ODD_VALUES: Sequence[Any] = (
    None,
    -1,
    2**31,
    2**32,
    2**63,
    2**64 + 1,
    -(2**70),
    1.0,
    "1",
    b"1",
    True,
    (),
    Whole(9),
)
ODD_SCRIPTS: Sequence[Any] = (
    None,
    "",
    bytearray(b"\x51"),
    memoryview(b"\x51"),
    5,
    (),
    Text(b"\x51"),
    bytes(22),
)
ODD_COINS: Sequence[Any] = (
    *(GOOD_COIN._replace(value=value) for value in ODD_VALUES),
    *(GOOD_COIN._replace(script_pubkey=script) for script in ODD_SCRIPTS),
    *(GOOD_COIN._replace(height=height, coinbase=who) for height in ODD_VALUES for who in (True, False)),
    *(
        GOOD_COIN._replace(height=height, coinbase=who)
        for height in (7, 100)
        for who in (0, 1, 2, None, "", "x", Whole(0))
    ),
    *(tuple(GOOD_COIN)[:size] for size in range(4)),
    (*GOOD_COIN, 1),
    tuple(GOOD_COIN),
    list(GOOD_COIN),
    "coin",
    b"coin",
    0,
    None,
    {},
)


def block_over(*outpoints: OutPoint, version: int = 2, sequence: int = 0xFFFFFFFF) -> Block:
    scene = make_scene()
    vin = [TxIn(outpoint, b"", sequence) for outpoint in outpoints]
    return read_anew(scene.block(Transaction.make(vin, [TxOut(0, b"\x51")], version=version)))


@pytest.mark.parametrize("n", range(len(ODD_COINS)))
@pytest.mark.parametrize("version", [1, 2])
def test_coins_that_are_damaged(n: int, version: int) -> None:
    """Never taken where Python does not, and nothing is raised."""
    scene, coin = make_scene(), ODD_COINS[n]
    outpoint, other = OutPoint(b"\x01" * 32, 0), OutPoint(b"\x02" * 32, 0)
    block = block_over(other, outpoint, version=version, sequence=5)
    caches: Any = ({outpoint: coin}, {other: GOOD_COIN})
    rule = scene.tip, scene.params, 1
    try:
        told = exact(spend_block(block, [GOOD_COIN, coin], *rule))
    except Exception as error:
        told = repr(type(error))
    try:
        in_c = spend_block_in_c(block, caches, *rule)
    except Exception as error:  # of the locks, which Python looks at
        assert told == repr(type(error))
        return
    assert not isinstance(in_c, list)
    assert in_c is None or exact(in_c) == told


def test_a_coin_that_is_not() -> None:
    scene, outpoint = make_scene(), OutPoint(b"\x01" * 32, 0)
    told = spend_block_in_c(block_over(outpoint), ({outpoint: GOOD_COIN},), scene.tip, scene.params, 1)
    assert isinstance(told, BlockSpend) and told.undo == [[GOOD_COIN]]


class Odd:
    """A transaction that has not all attributes, or other ones than there are."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


# --- memory -------------------------------------------------------------------------------------------------


def calls() -> list[tuple[str, Callable[[], object]]]:
    """Of every end that spend can come to."""
    part, scene = native.part, make_scene()
    assert part is not None
    first = scene.spend(*scene.mature[:20], version=2, sequence=5)
    second = scene.spend(
        scene.output(first), scene.mature[20], outputs=[TxOut(1, b"\xac" * 40 * n) for n in range(9)]
    )
    block = read_anew(scene.block(first, second))
    coins = dict(scene.mature)
    last = scene.mature[20][0]
    hidden = {last: None}
    young = coins | {last: coins[last]._replace(height=130)}
    no_raw = Odd(_txid=b"", sigops=0)
    twice = (*block.vtx, block.vtx[-1])
    cases: list[tuple[str, tuple[object, ...], tuple[object, ...]]] = [
        ("good", block.vtx, ({}, coins, {}, {})),
        ("missing", block.vtx, ({}, {}, {last: coins[last]}, {})),
        ("spent", block.vtx, (hidden, coins)),
        ("spent twice", twice, (coins,)),
        ("too young", block.vtx, (young,)),
        ("no transaction", (*block.vtx, no_raw), (coins,)),
        ("odd transaction", (*block.vtx, Odd(raw=b"x", _txid=b"", sigops=0)), (coins,)),
    ]
    return [
        (name, lambda vtx=vtx, caches=caches: part.spend(vtx, caches, 131, 2049))
        for name, vtx, caches in cases
    ]


CALLS = [name for name, *_ in calls()] if native.part is not None else []


def many_locks() -> tuple[Callable[[], object], list[int]]:
    """A call with relative locks behind the 256 numbers that are always there, and their places."""
    part, scene = native.part, make_scene()
    assert part is not None
    coin = scene.mature[0]
    txs = [scene.spend(coin, fee=0, sequence=0, version=2, witness=[])]
    for _ in range(264):
        txs.append(scene.spend(scene.output(txs[-1]), fee=0, sequence=0, version=2, witness=[]))
    block = read_anew(scene.block(*txs))
    return lambda: part.spend(block.vtx, (dict([coin]),), 131, 1), list(range(1, 266))


def test_numbers_of_transactions_that_have_to_be_made() -> None:
    """Are given back, and if there is no memory for one, that is told."""
    testcapi = pytest.importorskip("_testcapi", reason="no Python for tests")
    call, places = many_locks()

    def fails(start: int, stop: int) -> bool:
        testcapi.set_nomemory(start, stop)
        try:
            return call() is None
        except MemoryError:
            return True
        finally:
            testcapi.remove_mem_hooks()

    assert call()[-1] == places  # type: ignore[index]
    enough = bisect_left(range(1_000_000), True, key=lambda n: not fails(n, 0))
    assert 1000 < enough < 1_000_000
    for n in range(enough - 60, enough):
        fails(n, n + 1)
    blocks = sys.getallocatedblocks()
    for _ in range(30):
        call()
    assert sys.getallocatedblocks() - blocks < 100


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_kept(name: str) -> None:
    """Neither Python's memory nor C's, and no reference."""
    call = dict(calls())[name]
    held = [None, True, False, *call.__defaults__[0], *call.__defaults__[1]]  # type: ignore[attr-defined]
    held += [value for cache in call.__defaults__[1] for pair in cache.items() for value in pair]  # type: ignore[attr-defined]
    held += [part for tx in held if isinstance(tx, Transaction) for part in (tx.raw, tx.txid, tx.sigops)]

    def run(times: int) -> None:
        for _ in range(times):
            try:
                call()
            except AttributeError:
                continue

    run(50)
    gc.collect()
    counts, blocks, pages = [sys.getrefcount(each) for each in held], sys.getallocatedblocks(), resident()
    run(1500)
    gc.collect()
    now = [sys.getrefcount(each) for each in held]
    assert sys.getallocatedblocks() - blocks < 300
    assert all(abs(a - b) < 100 for a, b in zip(now, counts, strict=True)), (counts, now)
    assert resident() - pages < 1_000_000  # a list of the inputs alone is twice that


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_nothing_is_kept_of_a_hundred_thousand() -> None:
    each = calls()
    for times in (500, 100_000 // len(each)):
        before = resident()
        for _ in range(times):
            for _, call in each:
                try:
                    call()
                except AttributeError:
                    continue
    assert resident() - before < 1_000_000


def test_without_memory() -> None:
    """Whatever allocation fails: the same comes out, or MemoryError."""
    for name, call in calls():
        wanted = AttributeError if name == "no transaction" else call()
        assert starve(call, wanted) > 3, name


# --- odd arguments ------------------------------------------------------------------------------------------


def odd_transactions(tx: Transaction) -> list[Any]:
    good: dict[str, object] = {"raw": tx.raw, "_txid": tx.txid, "sigops": 0}
    odd: list[Any] = [Odd(**{key: good[key] for key in good if key != name}) for name in good]
    for name, values in {
        "raw": (None, "", bytearray(tx.raw), b"", tx.raw[:-1], tx.raw + b"\0", bytes(60), Text(b"")),
        "_txid": (None, "", bytearray(32), 5, Text(32)),
        "sigops": (None, -1, 80_001, 2**31, 2**62, 2**64, -(2**64), 0.0, "0", b""),
    }.items():
        odd += [Odd(**(good | {name: value})) for value in values]
    return [*odd, None, 5, object(), type]


def test_transactions_that_are_none() -> None:
    """What has no such attribute is an error, all other oddness is left to Python."""
    part, scene = native.part, make_scene()
    assert part is not None
    block = read_anew(scene.block(scene.spend(scene.mature[0])))
    caches = (dict(scene.mature),)
    coinbase, tx = block.vtx
    assert part.spend((coinbase, Odd(raw=tx.raw, _txid=tx.txid, sigops=0)), caches, 131, 1) is not None
    for odd in odd_transactions(tx):
        for vtx in ((coinbase, odd), (odd, tx), (coinbase, tx, odd)):
            has_all = all(hasattr(odd, name) for name in ("raw", "_txid", "sigops"))
            if has_all:
                assert part.spend(vtx, caches, 131, 1) is None, vars(odd)
            else:
                with pytest.raises(AttributeError):
                    part.spend(vtx, caches, 131, 1)


def test_an_error_is_told_before_anything_else_is_asked() -> None:
    asked = []

    class Failing:
        @property
        def raw(self) -> bytes:
            raise KeyError("no raw")

        @property
        def _txid(self) -> bytes:
            asked.append("_txid")
            return bytes(32)

        @property
        def sigops(self) -> int:
            asked.append("sigops")
            raise ValueError("no sigops")

    assert native.part is not None
    with pytest.raises(KeyError, match="no raw"):
        native.part.spend((Failing(),), (), 1, 0)
    assert not asked


class Shy(bytes):
    """Bytes that empty a dictionary when they are hashed or compared."""

    victim: dict[Any, Any] | None = None

    def __hash__(self) -> int:
        self.empty()
        return bytes.__hash__(self)

    def __eq__(self, other: object) -> bool:
        self.empty()
        return bytes.__eq__(self, other)

    def empty(self) -> None:
        if self.victim is not None:
            self.victim.clear()


class Emptying:
    """A transaction that empties a dictionary when it is asked for its bytes."""

    sigops = 0

    def __init__(self, tx: Transaction, victim: dict[Any, Any]) -> None:
        self._tx, self._txid, self._victim = tx, tx.txid, victim

    @property
    def raw(self) -> bytes:
        self._victim.clear()
        return bytes(bytearray(self._tx.raw))


def test_dictionaries_that_change_while_they_are_looked_at() -> None:
    """Nothing is read that is gone: by what a transaction runs when it is asked, or by keys with code."""
    part, scene = native.part, make_scene()
    assert part is not None
    coinbase, tx = read_anew(scene.block(scene.spend(*scene.mature[:3], witness=[]))).vtx
    outpoints = [outpoint for outpoint, _ in scene.mature[:3]]
    cache: dict[Any, Any] = {outpoint: Coin(*scene.utxo[outpoint]) for outpoint in outpoints}
    assert part.spend((coinbase, Emptying(tx, cache)), (cache,), 131, 1) == outpoints and not cache

    shy = [OutPoint(Shy(outpoint.txid), outpoint.vout) for outpoint in outpoints]
    cache |= {key: Coin(*scene.utxo[key]) for key in shy}
    for key in shy:
        key.txid.victim = cache  # type: ignore[attr-defined]
    assert part.spend((coinbase, tx), (cache,), 131, 1)[-2:] == outpoints[-2:] and not cache

    txid = Shy(tx.txid)
    txid.victim = cache
    assert (
        part.spend((coinbase, Odd(raw=tx.raw, _txid=txid, sigops=0)), (dict(scene.mature),), 131, 1) is None
    )


def test_the_collector_may_run_anywhere() -> None:
    """And run Python's code, by which coins are gone of a sudden: from there on they are missing."""
    part, scene = native.part, make_scene()
    assert part is not None
    vtx = read_anew(scene.block(*[scene.spend(coin, witness=[]) for coin in scene.mature[:5]])).vtx
    spent = [outpoint for outpoint, _ in scene.mature[:5]]
    cache: dict[OutPoint, Coin | None] = {}
    left = 0

    def collecting(phase: str, _: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            cache.clear()

    threshold, told = gc.get_threshold(), []
    gc.callbacks.append(collecting)
    try:
        for n in range(1, 60):
            cache.update((outpoint, Coin(*scene.utxo[outpoint])) for outpoint in spent)
            gc.set_threshold(1)
            left = n
            told.append(part.spend(vtx, (cache,), 131, 1))
            left = 0
            gc.set_threshold(*threshold)
    finally:
        gc.callbacks.remove(collecting)
        gc.set_threshold(*threshold)
    missing = [each for each in told if isinstance(each, list)]
    assert all(each == spent[-len(each) :] for each in missing)
    assert all(isinstance(each, list | tuple) for each in told)
    if sys.version_info < (3, 12):  # later ones collect between two steps of Python's
        assert len({len(each) for each in missing}) == 5


class Sullen(bytes):
    """Bytes that do not compare."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


def test_an_error_of_a_dictionary_is_told() -> None:
    """Though the next dictionary knows the coin."""
    part, scene = native.part, make_scene()
    assert part is not None
    block = read_anew(scene.block(scene.spend(scene.mature[0], witness=[])))
    outpoint, coin = scene.mature[0]
    for behind in ({}, {outpoint: coin}):
        with pytest.raises(ZeroDivisionError):
            part.spend(
                block.vtx, ({}, {OutPoint(Sullen(outpoint.txid), outpoint.vout): coin}, behind), 131, 1
            )


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ([], (), 1, 0),
        ((), [], 1, 0),
        ((), ({}, None), 1, 0),
        ((), ([],), 1, 0),
        ((), (), 1.0, 0),
        ((), (), None, 0),
        ((), (), 1, None),
        ((), (), 1),
        ((), (), 1, 0, 0),
        (None, None, None, None),
    ],
)
def test_wrong_arguments(arguments: tuple[object, ...]) -> None:
    assert native.part is not None
    with pytest.raises(TypeError):
        native.part.spend(*arguments)


def test_heights_and_empty_blocks() -> None:
    part = native.part
    assert part is not None
    assert part.spend((), (), 1, 0) == ([], {}, 0, 0, [])
    assert part.spend((), (), 2**31 - 1, 2**32 - 1) == ([], {}, 0, 0, [])
    for height in (-1, 2**31, 2**64, -(2**64)):
        assert part.spend((), (), height, 0) is None

"""The fee estimator, from outside: small histories by hand, targets, decay, and what comes of its data."""

from __future__ import annotations

from random import Random

import msgpack
import pytest
from ports import ListLog

from pybitcoind.chain.mempool.entry import MempoolEntry
from pybitcoind.chain.mempool.fee_estimator import FeeEstimator, FeeFileError, OldFeeFile, whole
from pybitcoind.chain.mempool.fee_horizon import BUCKETS, LONG, MEDIUM, SHORT, HorizonKind, bucket_of
from pybitcoind.chain.policy.fee_calculation import FeeReason
from pybitcoind.chain.primitives.transaction import OutPoint, Transaction, TxIn, TxOut

KINDS = (SHORT, MEDIUM, LONG)
VSIZE = 1000


class History:
    """Transactions of 1,000 vbytes and blocks, told to an estimator."""

    def __init__(self) -> None:
        self.log = ListLog()
        self.estimator = FeeEstimator(self.log)
        self.height = 100
        self.estimator.block_came(self.height, [])
        self._made = 0

    def pay(self, feerate: int, count: int = 1, *, telling: bool = True) -> list[MempoolEntry]:
        """count transactions that enter the mempool now."""
        entries = []
        for _ in range(count):
            self._made += 1
            txin = TxIn(OutPoint(self._made.to_bytes(32, "little"), 0), b"", 0)
            tx = Transaction.make((txin,), (TxOut(1, b""),))
            entry = MempoolEntry(tx, feerate, feerate, 0, self.height, 0, 0, VSIZE * 4, False)
            self.estimator.transaction_came(tx.txid, self.height, feerate, telling=telling)
            entries.append(entry)
        return entries

    def block(self, *entries: MempoolEntry) -> None:
        self.height += 1
        self.estimator.block_came(self.height, entries)

    def blocks(self, count: int) -> None:
        for _ in range(count):
            self.block()

    def raw(self, target: int, threshold: float, kind: HorizonKind) -> int:
        return self.estimator.estimate_raw(target, threshold, kind)[0]

    def smart(self, target: int, *, conservative: bool = False) -> tuple[int, int]:
        found = self.estimator.estimate_smart(target, conservative=conservative)
        return found.feerate, found.target

    def busy(self, blocks: int, feerate: int = 10_000) -> None:
        """Every block takes ten transactions that came after the one before."""
        for _ in range(blocks):
            self.block(*self.pay(feerate, 10))


def answers(estimator: FeeEstimator) -> list[object]:
    raw = [
        estimator.estimate_raw(target, threshold, kind)
        for kind in KINDS
        for target in (1, 2, 5, kind.max_target)
        for threshold in (0.1, 0.85, 0.95)
    ]
    targets = (*range(1, 60, 7), 100, 1008)
    smart = [estimator.estimate_smart(t, conservative=c) for t in targets for c in (True, False)]
    return [*raw, *smart]


def test_buckets() -> None:
    assert BUCKETS[:3] == (100.0, 105.0, 110.25) and BUCKETS[-1] == 1e99
    assert 9.5e6 < BUCKETS[-2] <= 1e7 and list(BUCKETS) == sorted(BUCKETS)
    assert [bucket_of(feerate) for feerate in (0, 100, 101, 105, 106, 110, 111)] == [0, 0, 1, 1, 2, 2, 3]
    assert bucket_of(10**12) == len(BUCKETS) - 1


def test_whole_feerates() -> None:
    assert [whole(value) for value in (-1.0, 0.0, 0.49999999999999994, 0.5, 1.5, 2.5)] == [0, 0, 0, 1, 2, 3]


def test_nothing_is_known_at_first() -> None:
    history = History()
    feerate, estimate = history.estimator.estimate_raw(6, 0.95, SHORT)
    assert feerate == 0 and (estimate.failed.start, estimate.failed.end) == (0.0, 1e99)
    assert (estimate.decay, estimate.scale, estimate.passed.start) == (0.962, 1, -1)
    for target in (1, 2, 1008):
        assert history.smart(target) == (0, 0)
    for target in (0, 1009):
        assert history.smart(target) == (0, target)


def test_all_are_confirmed_at_once() -> None:
    history = History()
    history.busy(3)
    feerate, estimate = history.estimator.estimate_raw(1, 0.95, SHORT)
    passed = estimate.passed
    assert feerate == 10_000 and passed.start < 10_000 <= passed.end
    assert passed.total_confirmed == (10 * 0.962 + 10) * 0.962 + 10
    assert passed.within_target == passed.total_confirmed
    assert (passed.in_mempool, passed.left_mempool) == (0, 0)
    assert (estimate.failed.start, estimate.failed.end) == (0.0, passed.start), "nothing paid less"


def test_averages_decay_until_they_say_nothing() -> None:
    history = History()
    history.busy(1)
    total = 10.0
    enough = 0.5 / (1 - 0.962)
    while True:
        history.block()
        total *= 0.962
        feerate, estimate = history.estimator.estimate_raw(3, 0.95, SHORT)
        if not feerate:
            break
        assert estimate.passed.total_confirmed == total >= enough
    assert total < enough and estimate.failed.total_confirmed == total


def test_who_waits_longer_counts_against_a_target() -> None:
    history = History()
    waiting: list[MempoolEntry] = []
    for _ in range(8):
        waiting += history.pay(1000, 10)
        history.block(*history.pay(20_000, 30))
    history.blocks(2)
    feerate, estimate = history.estimator.estimate_raw(2, 0.95, SHORT)
    assert feerate == 20_000
    history.block(*waiting)  # after 3 to 10 blocks
    assert history.raw(12, 0.95, SHORT) == 1000
    assert history.raw(5, 0.95, SHORT) == 20_000
    feerate, estimate = history.estimator.estimate_raw(10, 0.95, SHORT)
    assert feerate == 20_000 or estimate.passed.within_target <= estimate.passed.total_confirmed
    half = [history.raw(target, 0.5, SHORT) for target in range(1, 13)]
    assert half == sorted(half, reverse=True)


def test_who_leaves_unconfirmed_failed() -> None:
    history = History()
    cheap = history.pay(1000, 20)
    history.block(*history.pay(1000, 30))
    history.blocks(4)
    for entry in cheap[:10]:
        history.estimator.transaction_went(entry.txid)
    _, estimate = history.estimator.estimate_raw(3, 0.95, SHORT)
    assert (estimate.failed.left_mempool, estimate.failed.in_mempool) == (10, 10)
    assert history.estimator.estimate_raw(5, 0.95, SHORT)[1].failed.left_mempool == 10, "after 5 blocks"
    assert history.estimator.estimate_raw(6, 0.95, SHORT)[1].failed.left_mempool == 0
    assert history.estimator.give_up_waiting() == 10 and len(history.estimator) == 0
    assert history.estimator.estimate_raw(3, 0.95, SHORT)[1].failed.left_mempool == 20


def test_targets_that_can_be_answered() -> None:
    history = History()
    history.busy(2)
    assert history.smart(6) == (0, 0), "half of one block"
    for seen in range(3, 40):
        history.busy(1)
        usable = (seen - 1) // 2
        wanted = (10_000, min(6, usable)) if usable > 1 else (0, usable)
        assert history.smart(6) == wanted
    assert history.smart(1) == (10_000, 2), "for the very next block nobody can tell"
    assert history.smart(1008) == (10_000, 19)


def test_conservative_estimates_look_further_back() -> None:
    history = History()
    history.busy(12, 500_000)
    history.busy(4, 100_000)
    assert history.smart(1, conservative=True) == (500_000, 2)
    history.busy(20, 100_000)
    assert history.smart(1) == (100_000, 2)


def test_reasons() -> None:
    history = History()
    history.busy(40)
    found = history.estimator.estimate_smart(6, conservative=False)
    assert (found.feerate, found.reason, found.desired) == (10_000, FeeReason.HALF_ESTIMATE, 6)
    assert found.describe().startswith(
        'Tgt:6 (requested 6) Reason:"Half Target 60% Threshold" Decay 0.96200:'
    )


def test_what_tells_nothing() -> None:
    history = History()
    entries = history.pay(10_000, 50, telling=False)
    history.height += 1  # a block that the estimator has not heard of
    entries += history.pay(10_000, 50)
    history.height -= 1
    assert len(history.estimator) == 0
    history.block(*entries)
    assert history.raw(1, 0.5, SHORT) == 0
    counted = history.pay(10_000, 50)
    history.estimator.block_came(history.height, counted)  # no higher than the last one
    assert history.raw(1, 0.5, SHORT) == 0
    assert history.log.find(
        "updated by 0 of 100 block txs, since last block 0 of 50 tracked, mempool map size 0"
    )


def test_a_short_chain_counts_some_twice() -> None:
    """Heights below zero wrap round at 32 bits, as in Core, and 2**32 is 256 more than a multiple of 1008:
    who came at height 0 is met at once, and 256 blocks further back."""
    history = History()
    history.estimator = FeeEstimator(history.log)
    history.height = 0
    history.pay(1000)
    for blocks, counted in ((60, 2), (690, 2), (10, 1)):
        history.blocks(blocks)
        _, estimate = history.estimator.estimate_raw(1, 1.0, LONG)
        assert estimate.failed.in_mempool == counted


def test_the_file_keeps_everything_but_who_waits() -> None:
    history = History()
    rng = Random(5)
    for _ in range(120):
        came = [entry for _ in range(6) for entry in history.pay(rng.randrange(100, 10**6))]
        history.block(*rng.sample(came, 4))
    history.estimator.give_up_waiting()
    data = history.estimator.pack()
    other = FeeEstimator(ListLog())
    other.unpack(data)
    assert answers(other) == answers(history.estimator)
    assert other.pack() == data


def test_history_of_the_file_counts_for_six_weeks() -> None:
    history = History()
    history.busy(41)
    other = History()
    other.estimator.unpack(history.estimator.pack())
    other.height = history.height
    assert other.smart(1008) == (10_000, 20)
    other.blocks(6 * 1008)
    assert other.smart(1008)[1] == 20
    other.block()
    assert other.smart(1008)[1] == 0


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [(2, FeeFileError, r"File version \(2\) too high to be read."), (0, OldFeeFile, "Version: 0")],
)
def test_other_versions(version: int, error: type[Exception], words: str) -> None:
    estimator = FeeEstimator(ListLog())
    with pytest.raises(error, match=words):
        estimator.unpack(msgpack.packb({"version": version}))


def test_damaged_data_changes_nothing() -> None:
    history = History()
    history.busy(30)
    history.pay(1000, 5)
    history.blocks(3)
    data = history.estimator.pack()
    rng = Random(7)
    estimator = FeeEstimator(ListLog())
    for _ in range(400):
        damaged = bytearray(data)
        kind = rng.randrange(3)
        if kind == 0:
            del damaged[rng.randrange(len(damaged)) :]
        elif kind == 1:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        else:
            damaged = bytearray(rng.randbytes(rng.randrange(40)))
        before = estimator.pack()
        try:
            estimator.unpack(bytes(damaged))
        except FeeFileError as error:
            assert str(error)
            assert estimator.pack() == before
        estimator.estimate_smart(6, conservative=True)


@pytest.mark.parametrize(
    "change",
    [
        {"best_height": -1},
        {"best_height": 50},
        {"history": [120, 110]},
        {"history": [1]},
        {"horizons": {}},
        {"horizons": {"short": [], "medium": [], "long": [[237, 1.0, 1.0, [0.0] * 42, [0.0] * 42]]}},
        {"horizons": {"short": [], "medium": [], "long": [[3, 1.0, 1.0, [0.0] * 41, [0.0] * 42]]}},
        {"horizons": {"short": [], "medium": [], "long": [[3, -1.0, 1.0, [0.0] * 42, [0.0] * 42]]}},
        {"horizons": {"short": [], "medium": [], "long": [[3, 1.0, float("inf"), [0.0] * 42, [0.0] * 42]]}},
        {"horizons": {"short": [[0, 1.0, 1.0, ["x"] * 12, [0.0] * 12]], "medium": [], "long": []}},
    ],
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    history = History()
    history.busy(10)
    record = msgpack.unpackb(history.estimator.pack())
    with pytest.raises(FeeFileError):
        FeeEstimator(ListLog()).unpack(msgpack.packb({**record, **change}))

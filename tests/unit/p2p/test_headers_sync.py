"""Headers sync as a state machine: whom to ask, low-work chains, peers that lag."""

from __future__ import annotations

import pytest
from p2p_chains import SeededRandom, headers_on, new_tree

from pybitcoind.chain.header_tree import HeaderNode
from pybitcoind.chain.params import regtest
from pybitcoind.p2p.headers_sync import (
    HeadersSync,
    LagVerdict,
    LowWorkSync,
    Phase,
    anti_dos_threshold,
    are_continuous,
)

NOW = 1_700_000_000.0


def low_work(minimum_work: int, seed: int = 1) -> LowWorkSync:
    _, nodes = new_tree()
    return LowWorkSync(regtest(), nodes[0], minimum_work, NOW, SeededRandom(seed))


def batches(headers: list) -> list[tuple[list, bool]]:
    return [(headers[i : i + 2000], len(headers) - i > 2000) for i in range(0, len(headers), 2000)]


def test_a_chain_with_enough_work_comes_out_whole_after_the_second_download() -> None:
    headers = headers_on(regtest().genesis.header, 7000)
    sync = low_work(2 + 2 * 6900)
    for batch, full in batches(headers)[:-1]:
        progress = sync.process(batch, full=full)
        assert progress.success and progress.request_more and not progress.headers
        assert sync.buffered == 0
    assert sync.process(batches(headers)[-1][0], full=False).request_more
    assert sync.phase is Phase.REDOWNLOAD and sync.asked_from == regtest().genesis.hash
    out = []
    for batch, full in batches(headers):
        progress = sync.process(batch, full=full)
        assert progress.success
        assert sync.buffered <= 2000
        out += progress.headers
    assert out == headers and sync.phase is Phase.FINAL


def test_a_chain_without_enough_work_leaves_nothing() -> None:
    sync = low_work(10**9)
    headers = headers_on(regtest().genesis.header, 2500)
    assert sync.process(headers[:2000], full=True).request_more
    progress = sync.process(headers[2000:], full=False)
    assert not progress.headers and not progress.request_more and sync.phase is Phase.FINAL


def test_another_chain_in_the_second_download_is_noticed() -> None:
    genesis = regtest().genesis.header
    sync = low_work(2 + 2 * 3900)
    for batch, full in batches(headers_on(genesis, 4000)):
        assert sync.process(batch, full=full or len(batch) == 2000).request_more
    out = []
    for batch, _ in batches(headers_on(genesis, 4000, salt=9)):
        progress = sync.process(batch, full=True)
        out += progress.headers
        if not progress.success:
            break
    assert not progress.success and not out and sync.phase is Phase.FINAL


def test_headers_that_do_not_go_on_end_the_sync() -> None:
    sync = low_work(10**9)
    headers = headers_on(regtest().genesis.header, 10)
    assert not sync.process(headers[5:], full=True).success
    assert sync.phase is Phase.FINAL


def test_continuity_and_threshold() -> None:
    _, nodes = new_tree(200)
    headers = [node.header for node in nodes[1:]]
    assert are_continuous(headers) and not are_continuous(headers[:3] + headers[4:6])
    assert anti_dos_threshold(nodes[0], 0) == 0
    assert anti_dos_threshold(nodes[200], 0) == nodes[200].chainwork - 144 * 2
    assert anti_dos_threshold(nodes[200], 10**6) == 10**6


def test_one_sync_peer_at_first_then_all() -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    for peer in (1, 2):
        sync.add_peer(peer)
    old = int(NOW) - 30 * 86400
    assert not sync.should_start(1, preferred=False, best_header_time=old, now=NOW)
    assert sync.should_start(1, preferred=True, best_header_time=old, now=NOW)
    sync.start(1, best_header_time=old, now=NOW)
    assert not sync.should_start(1, preferred=True, best_header_time=old, now=NOW)
    assert not sync.should_start(2, preferred=True, best_header_time=old, now=NOW)
    assert sync.should_start(2, preferred=False, best_header_time=int(NOW) - 3600, now=NOW)
    sync.remove_peer(1)
    assert sync.should_start(2, preferred=True, best_header_time=old, now=NOW)


def test_getheaders_waits_for_its_answer() -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    sync.add_peer(1)
    assert sync.may_ask(1, NOW) and not sync.may_ask(1, NOW + 120)
    sync.answered(1)
    assert sync.may_ask(1, NOW + 1)
    assert sync.may_ask(1, NOW + 1 + 120.5)


def test_the_only_sync_peer_times_out_if_others_wait() -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    sync.add_peer(1)
    old = int(NOW) - 600_000
    sync.start(1, best_header_time=old, now=NOW)
    late = NOW + 900 + 1 + 1  # 15 minutes and 1 ms for each of 1000 expected headers
    args = {"best_header_time": old, "other_preferred": 1}
    assert not sync.timed_out(1, now=NOW + 900, **args)
    assert sync.timed_out(1, now=late, **args)
    assert not sync.timed_out(1, now=late, best_header_time=old, other_preferred=0)
    assert not sync.timed_out(1, now=late, best_header_time=int(late) - 60, other_preferred=1)
    assert not sync.timed_out(1, now=late, **args), "once caught up it is never tested again"


def test_a_block_inv_adds_one_peer_a_block() -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    for peer in (1, 2, 3):
        sync.add_peer(peer)
    sync.start(3, best_header_time=0, now=NOW)
    a, b = b"a" * 32, b"b" * 32
    assert sync.block_inv(1, a) and not sync.block_inv(1, b)
    assert not sync.block_inv(2, a) and sync.block_inv(2, b)
    assert sync.block_inv(3, a) and sync.block_inv(3, a)


def test_unconnecting_headers_are_counted() -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    sync.add_peer(1)
    assert [sync.unconnecting(1) for _ in range(3)] == [1, 2, 3]
    sync.connected(1)
    assert sync.unconnecting(1) == 1


@pytest.mark.parametrize("catches_up", [False, True])
def test_an_outbound_peer_that_lags_is_asked_once_then_dropped(catches_up: bool) -> None:
    sync = HeadersSync(regtest(), SeededRandom())
    _, nodes = new_tree(10)
    sync.add_peer(1)
    sync.start(1, best_header_time=0, now=NOW)
    known: HeaderNode | None = nodes[3]
    check = lambda at: sync.check_lag(1, known, nodes[10], at)  # noqa: E731
    assert check(NOW) is LagVerdict.FINE and check(NOW + 1200) is LagVerdict.FINE
    assert check(NOW + 1201) is LagVerdict.ASK
    assert sync.peers[1].lag_header is nodes[10]
    assert check(NOW + 1300) is LagVerdict.FINE
    if catches_up:
        known = nodes[10]
    assert check(NOW + 1322) is (LagVerdict.FINE if catches_up else LagVerdict.DISCONNECT)

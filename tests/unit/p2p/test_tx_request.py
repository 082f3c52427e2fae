"""Which announced transaction is asked of which peer, and when."""

from __future__ import annotations

from pybitcoind.p2p.tx_request import GenTxid, TxRequestTracker

KEY = bytes(16)


def w(n: int) -> GenTxid:
    return GenTxid(n.to_bytes(32, "little"), True)


def tracker(*announcements: tuple[int, int, bool, float]) -> TxRequestTracker:
    requests = TxRequestTracker(KEY)
    for peer, n, preferred, when in announcements:
        requests.received_inv(peer, w(n), preferred=preferred, when=when)
    return requests


def test_not_before_its_time() -> None:
    requests = tracker((1, 7, True, 10.0))
    assert requests.requestable(1, 9.9) == ([], [])
    assert requests.requestable(1, 10.0) == ([w(7)], [])
    assert requests.next_time() is None


def test_preferred_first_and_one_at_a_time() -> None:
    requests = tracker((1, 7, False, 0), (2, 7, True, 0), (3, 7, False, 0))
    assert requests.requestable(1, 1)[0] == [] and requests.requestable(2, 1)[0] == [w(7)]
    requests.requested(2, w(7).hash, 61)
    assert requests.count_in_flight(2) == 1
    for peer in (1, 2, 3):
        assert requests.requestable(peer, 2)[0] == []
    candidates, expired = requests.requestable(1, 61)
    assert expired == [(2, w(7))]
    others = candidates + requests.requestable(3, 61)[0]
    assert others == [w(7)] and requests.requestable(2, 61)[0] == []
    assert requests.count_in_flight(2) == 0


def test_never_twice_of_the_same_peer_until_all_failed() -> None:
    requests = tracker((1, 7, True, 0), (2, 7, True, 0))
    first = next(peer for peer in (1, 2) if requests.requestable(peer, 1)[0])
    requests.requested(first, w(7).hash, 61)
    requests.received_response(first, w(7).hash)
    requests.received_inv(first, w(7), preferred=True, when=0)
    assert requests.requestable(first, 2)[0] == []
    requests.requested(3 - first, w(7).hash, 61)
    requests.received_response(3 - first, w(7).hash)
    assert len(requests) == 0, "only failures were left, all are forgotten"
    requests.received_inv(first, w(7), preferred=True, when=0)
    assert requests.requestable(first, 3)[0] == [w(7)]


def test_order_of_announcement_is_kept() -> None:
    requests = tracker((1, 3, True, 5.0), (1, 1, True, 0.0), (1, 2, True, 1.0))
    assert requests.requestable(1, 9)[0] == [w(3), w(1), w(2)]


def test_disconnect_frees_the_request_and_forget_clears_all() -> None:
    requests = tracker((1, 7, True, 0), (2, 7, False, 0), (1, 8, True, 0))
    requests.requestable(1, 1)
    requests.requested(1, w(7).hash, 61)
    requests.disconnected(1)
    assert requests.count(1) == 0 and requests.count_in_flight(1) == 0
    assert requests.requestable(2, 2)[0] == [w(7)]
    assert requests.candidates(w(7).hash) == [2]
    requests.forget(w(7).hash)
    assert len(requests) == 0


def test_equal_candidates_are_chosen_by_the_secret_key() -> None:
    chosen = set()
    for seed in range(64):
        requests = TxRequestTracker(bytes([seed]) * 16)
        for peer in (1, 2, 3):
            requests.received_inv(peer, w(7), preferred=True, when=0)
        chosen.add(next(peer for peer in (1, 2, 3) if requests.requestable(peer, 1)[0]))
    assert chosen == {1, 2, 3}

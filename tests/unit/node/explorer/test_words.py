"""How the pages say amounts, times and hashes."""

from __future__ import annotations

import re

import pytest

from pybitcoind.node.explorer import words
from pybitcoind.node.rpc.amounts import Amount


def plain(markup: str) -> str:
    return re.sub("<[^>]*>", "", markup)


@pytest.mark.parametrize(
    ("satoshis", "text"),
    [
        (0, "0.00000000 BTC"),
        (1, "0.00000001 BTC"),
        (150_000_000, "1.50000000 BTC"),
        (2_100_000_000_000_000, "21,000,000.00000000 BTC"),
        (-1, "-0.00000001 BTC"),
        (-150_000_000, "-1.50000000 BTC"),
        (Amount(12_345_678), "0.12345678 BTC"),
        (None, "unknown"),
    ],
)
def test_amounts_have_eight_decimals(satoshis: int | Amount | None, text: str) -> None:
    assert plain(words.btc(satoshis)) == text


def test_feerates() -> None:
    assert words.feerate(1000, 400) == "10.00"
    assert words.feerate(1, 561) == "0.01"
    assert words.feerate(5, 0) == "0.00"
    assert words.feerate_per_kvb(100) == "0.1"
    assert words.feerate_per_kvb(Amount(1_000_000)) == "1,000"


@pytest.mark.parametrize("seconds", [0, 1_700_000_000, 2**32 - 1])
def test_moments(seconds: int) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", words.moment(seconds))
    assert words.iso(seconds)[:10] == words.moment(seconds)[:10]


def test_moments_that_no_calendar_has() -> None:
    assert words.moment(2**62) == f"{2**62} s"
    assert words.iso(2**62) == ""
    assert "ahead" in words.ago(2**32, 1_700_000_000)


def test_spans_and_sizes() -> None:
    spans = [words.span(n) for n in (0, 1, 119, 120, 7200, 172_800)]
    assert spans == ["0 seconds", "1 second", "119 seconds", "2 minutes", "2 hours", "2 days"]
    sizes = [words.size(n) for n in (999, 1000, 2_500_000, 3 * 10**9)]
    assert sizes == ["999 B", "1.00 kB", "2.50 MB", "3.00 GB"]


def test_hashes_by_their_ends_with_the_whole_at_hand() -> None:
    text = "0123456789abcdef" * 4
    assert words.short(text) == "01234567…89abcdef"
    markup = words.hash_text(text, "/block/x", "block hash")
    assert plain(markup) == "01234567…89abcdef"
    assert f'data-copy="{text}"' in markup and f'title="{text}"' in markup


def test_what_is_said_is_escaped() -> None:
    evil = '"><script>'
    for markup in (words.hash_text(evil, evil, evil), words.ago(0, 0)):
        assert "<script" not in markup


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x04\xff\xff\x00\x1d\x01\x04EThe Times", "EThe Times"),
        (b"\x00ab\x00abcd\x00\x01efghi", "abcd efghi"),
        (b"\xff\xfe\xfd", ""),
        ("grüße".encode(), "grüße"),
        (b"\xe2\x80\xae" + b"evil", "evil"),
    ],
)
def test_text_in_scripts(data: bytes, text: str) -> None:
    """Runs of what can be printed; marks that turn the reading direction round cannot."""
    assert words.visible(data) == text


@pytest.mark.parametrize(
    ("sequence", "version", "text"),
    [
        (0xFFFFFFFF, 2, "final"),
        (0xFFFFFFFE, 2, "lock time counts"),
        (0xFFFFFFFD, 2, "replaceable"),
        (144, 2, "relative lock of 144 blocks"),
        (1, 2, "relative lock of 1 block"),
        (1 << 22 | 10, 2, "relative lock of 85 minutes"),
        (144, 1, "replaceable"),
    ],
)
def test_sequences(sequence: int, version: int, text: str) -> None:
    assert words.sequence_words(sequence, version) == text


def test_lock_times() -> None:
    assert words.locktime_words(0) == "none"
    assert words.locktime_words(499_999_999) == "block 499,999,999"
    assert words.locktime_words(500_000_000) == "1985-11-05 00:53:20 UTC"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (b"\x6a\x4b" + b"x" * 75, "x" * 75),  # OP_RETURN and a size that is a K
        (b"\x6a\x4c\x50" + b"y" * 80, "y" * 80),
        (b"\x6a\x05hello\x05there", "hello there"),
        (b"\x01\x65/a pool/", "/a pool/"),  # 0x2f pushes more than there is
        (b"\x6a", ""),
    ],
)
def test_text_is_what_is_pushed(script: bytes, text: str) -> None:
    assert words.pushed_text(script) == text

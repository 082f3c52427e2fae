"""How the pages say amounts, feerates, hashes, sizes and times: the one place that formats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from pybitcoind.chain.script.script import LOCKTIME_THRESHOLD, ScriptParseError, read_op

from ..rpc.amounts import Amount, Real, format_amount

if TYPE_CHECKING:
    from jinja2 import Environment

SHORT = 28
"""Text up to this length is shown whole."""


def satoshis(value: int | Amount) -> int:
    return value.satoshis if isinstance(value, Amount) else value


def btc(value: int | Amount | None) -> Markup:
    """BTC with eight decimals; zeros at the end stand back."""
    if value is None:
        return Markup('<span class="none">unknown</span>')
    text = format_amount(satoshis(value))
    shown = text.rstrip("0")
    if shown.endswith("."):
        shown += "00"
    whole, _, decimals = shown.partition(".")
    rest = text[len(shown) :]
    faint = Markup('<span class="zeros">{}</span>').format(rest) if rest else ""
    return Markup('<span class="amount">{}.{}{} <span class="unit">BTC</span></span>').format(
        grouped(int(whole)) if whole not in ("-0",) else "-0", decimals, faint
    )


def feerate(fee: int, weight: int) -> str:
    """Satoshis per vbyte with two decimals, weight unrounded."""
    return f"{fee * 4 / weight:,.2f}" if weight else "0.00"


def feerate_per_kvb(value: int | Amount) -> str:
    """Satoshis per vbyte from satoshis per 1000."""
    return f"{satoshis(value) / 1000:,.3f}".rstrip("0").rstrip(".")


def grouped(value: object) -> str:
    """12,345; other things as they are."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def short(text: str, head: int = 8, tail: int = 8) -> str:
    """A long hash by its two ends. The pages hold the whole one beside it."""
    return text if len(text) <= SHORT else f"{text[:head]}…{text[-tail:]}"


def moment(seconds: int) -> str:
    """2026-11-26 13:05:09 UTC. Times that no calendar has (a header may say anything) stay seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"


def iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return ""


def span(seconds: float) -> str:
    """How long something takes or took, in one unit."""
    whole = int(abs(seconds))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if whole >= 2 * size:
            return f"{whole // size} {unit}s"
    return f"{whole} second" + ("" if whole == 1 else "s")


def ago(seconds: int, now: int) -> Markup:
    """An age, with the moment for who wants it exactly; the pages' script keeps it true."""
    difference = now - seconds
    text = (
        "just now" if 0 <= difference < 2 else f"{span(difference)} {'ago' if difference >= 0 else 'ahead'}"
    )
    return Markup('<time datetime="{}" title="{}" data-ago="{}">{}</time>').format(
        iso(seconds), moment(seconds), seconds, text
    )


def size(count: int) -> str:
    """Bytes in the unit that suits."""
    if count < 1000:
        return f"{count} B"
    for factor, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= factor:
            return f"{count / factor:.2f} {unit}"
    raise AssertionError("unreachable")


def locktime_words(locktime: int) -> str:
    """What a lock time says (consensus: a height below 500,000,000, seconds from there on)."""
    if locktime == 0:
        return "none"
    if locktime < LOCKTIME_THRESHOLD:
        return f"block {locktime:,}"
    return moment(locktime)


def sequence_words(sequence: int, version: int) -> str:
    """What an input's sequence number asks for (BIP 68, BIP 125)."""
    if sequence == 0xFFFFFFFF:
        return "final"
    if sequence == 0xFFFFFFFE:
        return "lock time counts"
    if not sequence & 1 << 31 and version >= 2:
        value = sequence & 0xFFFF
        if sequence & 1 << 22:
            return f"relative lock of {span(value * 512)}"
        return f"relative lock of {value:,} block" + ("" if value == 1 else "s")
    return "replaceable"


def visible(data: bytes) -> str:
    """The text in data as far as there is any: runs of four and more printable characters."""
    runs, run = [], ""
    for char in data.decode("utf-8", "replace"):
        if char.isprintable() and char != "\ufffd":
            run += char
            continue
        if len(run) >= 4:
            runs.append(run)
        run = ""
    if len(run) >= 4:
        runs.append(run)
    return " ".join(runs)


def pushed_text(script: bytes) -> str:
    """The text in what a script pushes: the sizes before it may look like letters. From a push that is cut
    short on (a coinbase may hold anything), the bytes as they are."""
    parts, begin, end = list[bytes](), 0, len(script)
    try:
        while begin < end:
            _, data, begin = read_op(script, begin)
            parts.append(data or b"")
    except ScriptParseError:
        parts.append(script[begin:])
    return " ".join(filter(None, map(visible, parts)))


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "0%"


def number(value: object) -> str:
    """Numbers of the RPC's JSON."""
    return f"{value.value:,.4g}" if isinstance(value, Real) else grouped(value)


def hash_text(text: str, href: str = "", label: str = "") -> Markup:
    """A hash by its ends, linked, with a button (the script makes it) to copy the whole."""
    shown = Markup('<span class="hash" title="{}">{}</span>').format(text, short(text))
    if href:
        shown = Markup('<a href="{}">{}</a>').format(href, shown)
    return Markup('<span class="copyable" data-copy="{}" data-what="{}">{}</span>').format(
        text, label or "value", shown
    )


def install(environment: Environment) -> None:
    """As filters of the templates."""
    environment.filters |= {
        "btc": btc,
        "grouped": grouped,
        "short": short,
        "moment": moment,
        "span": span,
        "bytes": size,
        "number": number,
        "perkvb": feerate_per_kvb,
        "visible": visible,
    }
    environment.globals |= {
        "ago": ago,
        "feerate": feerate,
        "hash": hash_text,
        "locktime_words": locktime_words,
        "sequence_words": sequence_words,
        "percent": percent,
    }


__all__ = ["escape", "install"]

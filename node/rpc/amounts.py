"""JSON in and out: numbers come in as int or Decimal, amounts go out with eight decimals.

Nothing in between is a float: amounts are int satoshis inside, `Amount` marks the ones to be written as BTC.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, Final, TypeAlias

from pybitcoind.chain.primitives.transaction import COIN

from .errors import RpcError, type_error

Json: TypeAlias = Any
"""None, bool, int, Decimal (parsed), Amount, Real (to write), str, list, dict."""

MAX_MONEY: Final = 21_000_000 * COIN


class Amount:
    """Satoshis that are written as BTC: Amount(1) becomes 0.00000001."""

    __slots__ = ("satoshis",)

    def __init__(self, satoshis: int) -> None:
        self.satoshis = satoshis

    def __str__(self) -> str:
        return format_amount(self.satoshis)

    def __repr__(self) -> str:
        return f"Amount({self.satoshis})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and other.satoshis == self.satoshis

    def __hash__(self) -> int:
        return hash(self.satoshis)


class Real:
    """A floating point number written as Core does: 16 significant digits, no ".0" (difficulty, progress)."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"{self.value:.16g}"

    def __repr__(self) -> str:
        return f"Real({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Real) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


def format_amount(satoshis: int) -> str:
    """BTC with eight decimals: "-0.00000001"."""
    whole, rest = divmod(abs(satoshis), COIN)
    return f"{'-' if satoshis < 0 else ''}{whole}.{rest:08d}"


_FIXED_POINT = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")


def parse_fixed_point(text: str, decimals: int) -> int | None:
    """text times 10**decimals as int; None unless text is a JSON number that is a whole one then.

    The bound on the exponent keeps "1e999999999" from becoming a gigabyte of digits.
    """
    match = _FIXED_POINT.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups(default="")
    digits = whole + fraction
    mantissa = digits.rstrip("0")
    if not mantissa:
        return 0
    if len(exponent) > 10 or len(mantissa.lstrip("0")) > 18:
        return None
    shift = int(exponent or 0) - len(fraction) + len(digits) - len(mantissa) + decimals
    if not 0 <= shift < 18:
        return None
    value: int = int(mantissa) * 10**shift
    if value >= 10**18:
        return None
    return -value if sign else value


def amount_from_value(value: Json, decimals: int = 8) -> int:
    """Satoshis from a JSON number or string in BTC (decimals=8). RpcError -3 in Core's words."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal, str)):
        raise type_error("Amount is not a number or string")
    amount = parse_fixed_point(str(value), decimals)
    if amount is None:
        raise type_error("Invalid amount")
    if not 0 <= amount <= MAX_MONEY:
        raise type_error("Amount out of range")
    return amount


def feerate_from_value(value: Json) -> int:
    """Satoshis per 1000 vbytes from a number or string in BTC/kvB."""
    feerate = amount_from_value(value)
    if feerate >= COIN:
        raise RpcError(-8, "Fee rates larger than or equal to 1BTC/kvB are not accepted")
    return feerate


class JsonObject(dict[str, Json]):
    """An object in which a key came twice. As in Core the first value counts; `repeated` names the rest."""

    repeated: tuple[str, ...] = ()


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    result = JsonObject()
    repeated = []
    for key, value in pairs:
        if key in result:
            repeated.append(key)
        else:
            result[key] = value
    result.repeated = tuple(repeated)
    return result


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Decimal, parse_constant=_no_constant)
_LONG_NUMBERS = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_constant
)
"""For integers of more digits than int() takes; no method takes them either, but JSON they are."""
_MANY_DIGITS = re.compile(r"[0-9]{640}")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
MAX_DEPTH = 512
"""Arrays and objects inside of each other (Core MAX_JSON_DEPTH)."""


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in re.findall(r"[\[{\]}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")


def read_json(body: bytes) -> Json:
    """The value in body; ValueError if it is not JSON (or nested too deep, or not Unicode)."""
    text = body.decode("utf-8")
    _check_depth(text)
    value = (_LONG_NUMBERS if _MANY_DIGITS.search(text) else _DECODER).decode(text)
    if "\\u" in text:  # an escaped half of a surrogate pair is no character
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    return value


# Halves of surrogate pairs cannot occur in text (read_json refuses them, UTF-8 has none), so they mark
# numbers in the output of the fast encoder, which would quote them.
_OPEN, _CLOSE = "\udc00", "\udc01"


def _number(value: object) -> str:
    if isinstance(value, (Amount, Real, Decimal)):
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
        return _OPEN + text + _CLOSE
    raise TypeError(f"{type(value).__name__} in a JSON answer")


def write_json(value: Json) -> str:
    """JSON text on one line without blanks, as Core's server writes it."""
    text = json.dumps(value, default=_number, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace(f'"{_OPEN}', "").replace(f'{_CLOSE}"', "")

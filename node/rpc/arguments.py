"""From JSON values to what a method takes: types of arguments, with Core's messages when they do not fit.

A method whose own order of checks matters declares STR, HEX_TEXT or ANY and calls the parse functions itself.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from .amounts import Amount, Json, Real, amount_from_value
from .errors import invalid_parameter, misc_error, type_error

Convert = Callable[[Json, str], Json]
"""From the JSON value and the argument's first name; raises RpcError."""


def json_type(value: Json) -> str:
    """Core's name of a JSON value's type (uvTypeName)."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (int, float, Decimal, Amount, Real)):
        return "number"
    if isinstance(value, dict):
        return "object"
    return "array"


def expect_type(value: Json, expected: str) -> None:
    """RpcError -3 unless value has this JSON type (UniValue's checkType)."""
    if json_type(value) != expected:
        raise type_error(f"JSON value of type {json_type(value)} is not of expected type {expected}")


def parse_int(value: Json, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """An integer in [low, high] that was written as one: 1.0 is out of range, as in Core."""
    expect_type(value, "number")
    if not isinstance(value, int) or not low <= value <= high:
        raise misc_error("JSON integer out of range")
    return value


def parse_bool(value: Json) -> bool:
    expect_type(value, "bool")
    return bool(value)


def parse_str(value: Json) -> str:
    expect_type(value, "string")
    return str(value)


def parse_hash(value: Json, name: str) -> bytes:
    """A hash in internal order from display hex."""
    text = parse_str(value)
    if (length := len(text.encode())) != 64:
        raise invalid_parameter(f"{name} must be of length 64 (not {length}, for '{text}')")
    data = from_hex(text)
    if data is None:
        raise invalid_parameter(f"{name} must be hexadecimal string (not '{text}')")
    return data[::-1]


def from_hex(text: str) -> bytes | None:
    """The bytes of hex digits, an even and positive number of them; None if text is anything else."""
    try:
        return unhexlify(text) or None  # bytes.fromhex would allow blanks
    except ValueError:
        return None


def is_hex(text: str) -> bool:
    """As `from_hex` takes it."""
    return from_hex(text) is not None


def parse_hex(value: Json, name: str) -> bytes:
    text = value if isinstance(value, str) else ""
    data = from_hex(text)
    if data is None:
        raise invalid_parameter(f"{name} must be hexadecimal string (not '{text}')")
    return data


def parse_verbosity(value: Json, default: int, allow_bool: bool = True) -> int:
    if value is None:
        return default
    if isinstance(value, bool):
        if not allow_bool:
            raise type_error("Verbosity was boolean but only integer allowed")
        return int(value)
    return parse_int(value, -(2**31), 2**31 - 1)


def parse_descriptor_range(value: Json) -> tuple[int, int]:
    """(first, last), both included, of END or [BEGIN,END]."""
    if json_type(value) == "number":
        low, high = 0, parse_int(value)
    elif isinstance(value, list) and len(value) == 2 and all(json_type(v) == "number" for v in value):
        low, high = parse_int(value[0]), parse_int(value[1])
        if low > high:
            raise invalid_parameter("Range specified as [begin,end] must not have begin after end")
    else:
        raise invalid_parameter("Range must be specified as end or as [begin,end]")
    if low < 0:
        raise invalid_parameter("Range should be greater or equal than 0")
    if high >> 31:
        raise invalid_parameter("End of range is too high")
    if high >= low + 1_000_000:
        raise invalid_parameter("Range is too large")
    return low, high


def check_object(
    value: Json, expected: dict[str, str | None], *, allow_null: bool = False, strict: bool = False
) -> None:
    """Core's RPCTypeCheckObj: expected maps each key to a JSON type, None for any."""
    for key, kind in sorted(expected.items()):
        found = value.get(key)
        if found is None and not allow_null:
            raise type_error(f"Missing {key}")
        if kind is not None and json_type(found) != kind and not (allow_null and found is None):
            raise type_error(
                f"JSON value of type {json_type(found)} for field {key} is not of expected type {kind}"
            )
    if strict:
        for key in value:
            if key not in expected:
                raise type_error(f"Unexpected key {key}")


@dataclass(frozen=True, slots=True, eq=False)
class ArgType:
    """json: the JSON type that is checked before the call, None for no check. words: for the help text.

    example: how a value is written in the one-line summary; "" where the argument's name stands for it.
    """

    json: str | None
    words: str
    example: str = ""
    convert: Convert | None = None
    is_text: bool = False
    """bitcoin-cli passes it on as a string."""


STR = ArgType("string", "string", '"str"', is_text=True)
HEX_TEXT = ArgType("string", "string", '"hex"', is_text=True)
"""Hex that the method decodes itself, with its own error; given as str."""
HEX = ArgType("string", "string", '"hex"', parse_hex, is_text=True)
"""Given as bytes in the order written."""
HASH = ArgType("string", "string", '"hex"', parse_hash, is_text=True)
"""Given as bytes in internal order."""


def hash_called(name: str) -> ArgType:
    """HASH whose errors call it by another name than the argument's."""
    return ArgType("string", "string", '"hex"', lambda value, _: parse_hash(value, name), is_text=True)


NUM = ArgType("number", "numeric", "n", lambda value, name: parse_int(value))
"""64 bits, signed."""
INT = ArgType("number", "numeric", "n", lambda value, name: parse_int(value, -(2**31), 2**31 - 1))
"""32 bits, signed: what Core reads with getInt<int>."""
UINT = ArgType("number", "numeric", "n", lambda value, name: parse_int(value, 0, 2**32 - 1))
UINT64 = ArgType("number", "numeric", "n", lambda value, name: parse_int(value, 0, 2**64 - 1))
REAL = ArgType("number", "numeric", "n")
"""Given as int or Decimal."""
AMOUNT = ArgType(None, "numeric or string", "amount", lambda value, name: amount_from_value(value))
"""Given as int satoshis."""
AMOUNT_TEXT = ArgType(None, "numeric or string", "amount")
"""An amount or feerate that the method converts itself; given as parsed."""
RANGE = ArgType(None, "numeric or array", "n or [n,n]")
"""Given as parsed; `parse_descriptor_range` reads it."""
ANY_NUM = ArgType(None, "numeric", "n")
"""Not checked (Core's skip_type_check on a number)."""
BOOL = ArgType("bool", "boolean", "bool")
VERBOSITY = ArgType(None, "numeric", "n", lambda value, name: parse_verbosity(value, 0))
"""A number, or a boolean for 0 and 1. Given as int."""
ARR = ArgType("array", "json array")
OBJ = ArgType("object", "json object")
OBJ_USER_KEYS = ArgType("object", "json object")
OBJ_NAMED_PARAMS = ArgType("object", "json object")
"""An options object whose members are also named arguments of the method."""
ANY_TEXT = ArgType(None, "string", '"str"', is_text=True)
"""Not checked (Core's skip_type_check on a string)."""

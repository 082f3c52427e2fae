"""JSON over several lines as Core's UniValue writes it: what bitcoin-cli prints and some error messages hold.

Imports nothing of ours, for pybitcoin-cli starts with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class NumberText(str):
    """A JSON number kept as it was written, so that amounts pass through unchanged."""

    __slots__ = ()


def read_keeping_numbers(text: str) -> Any:
    """Parses JSON with every number as NumberText. ValueError if it is not JSON."""
    return json.loads(text, parse_float=NumberText, parse_int=NumberText, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def compact(value: Any) -> str:
    """value on one line, its NumberText as it was."""
    if isinstance(value, NumberText):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{quote(str(k))}:{compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def pretty(value: Any, indent: int, level: int = 1) -> str:
    """value over several lines; an empty list is "[\\n]", as in Core. level: nesting depth, from 1."""
    if isinstance(value, NumberText):
        return str(value)
    if isinstance(value, dict):
        members = (f"{quote(str(k))}: {pretty(v, indent, level + 1)}" for k, v in value.items())
        return _block("{", members, "}", indent, level)
    if isinstance(value, (list, tuple)):
        return _block("[", (pretty(v, indent, level + 1) for v in value), "]", indent, level)
    return json.dumps(value, ensure_ascii=False)


def _block(opening: str, items: Iterable[str], closing: str, indent: int, level: int) -> str:
    inside = ",".join(f"\n{' ' * (indent * level)}{item}" for item in items)
    return f"{opening}{inside}\n{' ' * (indent * (level - 1))}{closing}"

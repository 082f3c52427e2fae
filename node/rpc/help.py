"""The help text of RPC methods, in Core's layout."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .amounts import write_json
from .arguments import ARR, OBJ, OBJ_NAMED_PARAMS, OBJ_USER_KEYS

if TYPE_CHECKING:
    from .registry import Arg, Method, Result

_OBJECTS = (OBJ, OBJ_USER_KEYS, OBJ_NAMED_PARAMS)


class _Columns:
    """Lines of two columns; the right one starts four blanks after the widest left one."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str]] = []
        self._widest = 0

    def add(self, left: str, right: str = "") -> None:
        self.rows.append((left, right))
        self._widest = max(self._widest, len(left))

    def drop_comma(self) -> None:
        """What follows closes the list, so the last line ends without its comma (which keeps its column)."""
        left, right = self.rows[-1]
        self.rows[-1] = (left[:-1], right)

    def text(self) -> str:
        width = self._widest + 4
        lines = []
        for left, right in self.rows:
            if not right:
                lines.append(left)
                continue
            first, *more = right.split("\n")
            lines.append(left.ljust(width) + first)
            lines += [" " * width + line.lstrip(" ") for line in more]
        return "".join(line + "\n" for line in lines)


def overview(methods: Iterable[Method]) -> str:
    """All methods' first lines under their categories."""
    lines: list[str] = []
    category = ""
    for m in sorted(methods, key=lambda m: m.category + m.name):
        if m.category == "hidden":
            continue
        if m.category != category:
            if category:
                lines.append("")
            category = m.category
            lines.append(f"== {category[:1].upper()}{category[1:]} ==")
        lines.append(m.help.split("\n", 1)[0])
    return "\n".join(lines)


def method_help(m: Method) -> str:
    """Summary line, description, arguments, results, examples."""
    shown = []
    for arg in m.args:
        if arg.hidden:
            break
        shown.append(arg)
    parts = [_summary(m.name, shown), f"\n\n{m.description.strip()}\n"]
    positional, named_only = _Columns(), _Columns()
    for position, arg in enumerate(shown, 1):
        positional.add(f"{position}. {arg.name}", _argument_words(arg, named=True))
        _add_argument(positional, arg, 5, "")
        if arg.type is OBJ_NAMED_PARAMS:
            for inner in arg.inner:
                named_only.add(inner.name, _argument_words(inner, named=True))
                _add_argument(named_only, inner, 5, "")
    if positional.rows:
        parts.append("\nArguments:\n" + positional.text())
    if named_only.rows:
        parts.append("\nNamed Arguments:\n" + named_only.text())
    for result in m.results:
        if result.type.name == "ANY":
            continue
        columns = _Columns()
        _add_result(columns, result, 0, "")
        title = f"Result ({result.condition})" if result.condition else "Result"
        parts.append(f"\n{title}:\n" + columns.text())
    if m.examples:
        parts.append("\nExamples:\n" + m.examples)
    return "".join(parts)


def _summary(name: str, args: list[Arg]) -> str:
    words, open_bracket = [name], False
    for arg in args:
        if arg.optional and not open_bracket:
            words.append("(")
        elif not arg.optional and open_bracket:
            words.append(")")
        open_bracket = arg.optional
        words.append(_value(arg, oneline=True))
    if open_bracket:
        words.append(")")
    return " ".join(words)


def _value(arg: Arg, oneline: bool) -> str:
    """How a value is written: its name, or its structure."""
    if oneline and arg.oneline:
        return arg.oneline
    if arg.type is ARR:
        return "[" + "".join(_value(inner, oneline) + "," for inner in arg.inner) + "...]"
    if arg.type in _OBJECTS:
        members = ",".join(_member(inner, oneline) for inner in arg.inner)
        return "{" + members + ("}" if arg.type is OBJ else ",...}")
    return f'"{arg.name}"' if arg.type.is_text else arg.name


def _member(arg: Arg, oneline: bool) -> str:
    """ "key":value with an example value."""
    key = f'"{arg.name}":' + ("" if oneline else " ")
    if arg.type is ARR:
        return key + "[" + "".join(_value(inner, oneline) + "," for inner in arg.inner) + "...]"
    return key + arg.type.example


def _argument_words(arg: Arg, named: bool) -> str:
    """(type, optional, default=...) and the description."""
    words = arg.type_words[1] if arg.type_words else arg.type.words
    if arg.hint:
        words += f", optional, default={arg.hint}"
    elif not arg.optional:
        words += ", required"
    elif arg.default_value is not None:
        words += f", optional, default={write_json(arg.default_value)}"
    elif named:
        words += ", optional"
    note = (
        " Options object that can be used to pass named arguments, listed below."
        if arg.type is OBJ_NAMED_PARAMS
        else ""
    )
    return f"({words}){note}" + (f" {arg.description}" if arg.description else "")


def _add_argument(columns: _Columns, arg: Arg, indent: int, outer: str) -> None:
    """The structure of arg, line by line. outer: "" at the top, else "object" or "array" around it."""
    blanks = " " * indent
    key = f'"{arg.name}": ' if outer == "object" else ""
    comma = "," if outer else ""
    if arg.type is ARR or arg.type in (OBJ, OBJ_USER_KEYS):
        inside, (opening, closing) = ("array", "[]") if arg.type is ARR else ("object", "{}")
        columns.add(blanks + key + opening, _argument_words(arg, named=bool(key)) if outer else "")
        for inner in arg.inner:
            _add_argument(columns, inner, indent + 2, inside)
        if arg.type is not OBJ:
            columns.add(blanks + "  ...")
        columns.add(blanks + closing + comma)
    elif outer:
        if arg.type_words and key:
            value = key + arg.type_words[0]
        else:
            value = _member(arg, oneline=False) if key else _value(arg, oneline=False)
        columns.add(f"{blanks}{value},", _argument_words(arg, named=bool(key)))


_PLAIN_RESULTS = {
    "STR": ('"str"', "string"),
    "STR_HEX": ('"hex"', "string"),
    "STR_AMOUNT": ("n", "numeric"),
    "NUM": ("n", "numeric"),
    "NUM_TIME": ("xxx", "numeric"),
    "BOOL": ("true|false", "boolean"),
}


def _add_result(columns: _Columns, result: Result, indent: int, outer: str) -> None:
    """The structure of a result, line by line. outer: "" at the top, else "object" or "array" around it."""
    blanks, comma = " " * indent, "," if outer else ""
    key = f'"{result.key}" : ' if outer == "object" else ""
    if result.elision is not None or result.type.name == "ELISION":
        text = result.description if result.elision is None else result.elision
        if result.elision != "":
            columns.add(f"{blanks}...{comma}", text)
        return

    def words(kind: str) -> str:
        optional = ", optional" if result.optional else ""
        return f"({kind}{optional})" + (f" {result.description}" if result.description else "")

    name = result.type.name
    if name in _PLAIN_RESULTS:
        value, kind = _PLAIN_RESULTS[name]
        columns.add(blanks + key + value + comma, words(kind))
    elif name == "NONE":
        columns.add(f"{blanks}null{comma}", words("json null"))
    elif name in ("OBJ", "OBJ_DYN") and not result.inner:
        columns.add(blanks + key + "{}", words("empty JSON object"))
    elif name in ("ARR", "ARR_FIXED", "OBJ", "OBJ_DYN"):
        array = name.startswith("ARR")
        opening, closing = "[]" if array else "{}"
        columns.add(blanks + key + opening, words("json array" if array else "json object"))
        for inner in result.inner:
            _add_result(columns, inner, indent + 2, "array" if array else "object")
        if name in ("ARR", "OBJ_DYN") and result.inner[-1].type.name != "ELISION":
            columns.add(blanks + "  ...")
        else:
            columns.drop_comma()
        columns.add(blanks + closing + comma)

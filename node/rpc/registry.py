"""RPC methods: one declaration gives name, category, arguments, result documentation and help text.

    @method("util", "Returns information about an address.\\n",
            args=(Arg("address", STR, "The address to validate"),),
            result=Result(OBJ, inner=(Result(BOOL, "isvalid", "If the address is valid"), ...)),
            examples=cli("validateaddress", '"bc1..."'))
    async def validateaddress(ctx: RpcContext, address: str) -> Json: ...

The handler gets the context and one value per argument, converted by the argument's type; an argument left
out arrives as its default, or None. What it returns is JSON with Amount and Real in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from . import help as help_text
from .amounts import Json, JsonObject
from .arguments import OBJ_NAMED_PARAMS, ArgType, json_type
from .errors import RpcCode, RpcError, internal_bug, invalid_parameter, misc_error, type_error
from .json_text import pretty

if TYPE_CHECKING:
    from .context import RpcContext

Handler = Callable[..., Awaitable[Json]]


class _Missing(Enum):
    """How an argument without default value is marked."""

    REQUIRED = "required"
    OPTIONAL = "optional"


REQUIRED: Final = _Missing.REQUIRED
OPTIONAL: Final = _Missing.OPTIONAL
"""As default: the argument may be left out and then is None."""


class Arg(NamedTuple):
    """One argument, or one member of an object or array argument.

    default: REQUIRED, OPTIONAL, or the JSON value that stands for a missing one (None: use `hint`).
    hint: text of a default that is no value, such as "wallet default"; makes the argument optional.
    aliases: further names. inner: members, for the help text and for named arguments (OBJ_NAMED_PARAMS).
    hidden: neither it nor what follows is in the help. oneline, type_words: replace parts of the help text.
    check: False leaves the type to the handler. positional: a named-only member that also is an argument.
    """

    name: str
    type: ArgType
    description: str = ""
    default: Any = REQUIRED
    hint: str = ""
    aliases: tuple[str, ...] = ()
    inner: tuple[Arg, ...] = ()
    hidden: bool = False
    oneline: str = ""
    type_words: tuple[str, str] | None = None
    check: bool = True
    positional: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def optional(self) -> bool:
        return self.default is not REQUIRED or bool(self.hint)

    @property
    def default_value(self) -> Json:
        return None if isinstance(self.default, _Missing) else self.default

    def mismatch(self, value: Json) -> str | None:
        """Core's words if value has the wrong JSON type."""
        if not self.check or self.type.json is None or (value is None and self.optional):
            return None
        found = json_type(value)
        if found == self.type.json:
            return None
        return f"JSON value of type {found} is not of expected type {self.type.json}"

    def convert(self, value: Json) -> Json:
        """What the handler gets for value."""
        if value is None:
            value = self.default_value
            if value is None:
                return None
        return value if self.type.convert is None else self.type.convert(value, self.name)


class ResultType(Enum):
    """value: the JSON type that -rpcdoccheck demands; None for any."""

    def __init__(self, json: str | None, *_: str) -> None:
        self.json = json

    ELISION = (None, "elision")
    ANY = (None, "any")
    NONE = ("null", "none")
    STR = ("string", "str")
    STR_HEX = ("string", "hex")
    STR_AMOUNT = ("number", "amount")
    NUM = ("number", "num")
    NUM_TIME = ("number", "time")
    BOOL = ("bool", "bool")
    ARR = ("array", "arr")
    ARR_FIXED = ("array", "fixed")
    OBJ = ("object", "obj")
    OBJ_DYN = ("object", "dyn")


class Result(NamedTuple):
    """What a method returns, or a part of it. key: its name in the object around it.

    condition: when this is the result ("verbose=true"), for methods with several.
    check: False leaves it out of -rpcdoccheck.
    elision: prints "..." with this text instead (an empty one prints nothing).
    """

    type: ResultType
    key: str = ""
    description: str = ""
    inner: tuple[Result, ...] = ()
    optional: bool = False
    condition: str = ""
    check: bool = True
    elision: str | None = None

    def mismatch(self, value: Json) -> Json:
        """None if value is as documented, else what differs: text, or an object of it by key."""
        if not self.check or self.type.json is None:
            return None
        found = json_type(value)
        if found != self.type.json:
            return f"returned type is {found}, but declared as {self.type.json} in doc"
        if found == "array" and self.inner:
            last = len(self.inner) - 1
            wrong = {str(i): self.inner[min(i, last)].mismatch(v) for i, v in enumerate(value)}
        elif found == "object" and self.inner and self.inner[0].type is not ResultType.ELISION:
            wrong = self._wrong_members(value)
        else:
            return None
        return {key: why for key, why in wrong.items() if why is not None} or None

    def _wrong_members(self, value: dict[str, Json]) -> dict[str, Json]:
        if self.type is ResultType.OBJ_DYN:
            return {key: self.inner[0].mismatch(v) for key, v in value.items()}
        documented = {part.key for part in self.inner}
        wrong: dict[str, Json] = {
            key: "key returned that was not in doc" for key in value if key not in documented
        }
        for part in self.inner:
            if part.key in value:
                wrong[part.key] = part.mismatch(value[part.key])
            elif not part.optional:
                wrong[part.key] = "key missing, despite not being optional in doc"
        return wrong


@dataclass(frozen=True)
class Method:
    """A declared method. Calling it calls the handler with ready values (tests, other methods)."""

    name: str
    category: str
    description: str
    args: tuple[Arg, ...]
    results: tuple[Result, ...]
    examples: str
    handler: Handler
    needs_chain: bool = False
    """An SPV node does not offer it."""
    _required: int = field(init=False)

    def __post_init__(self) -> None:
        required = max((i + 1 for i, arg in enumerate(self.args) if not arg.optional), default=0)
        object.__setattr__(self, "_required", required)

    def __call__(self, ctx: RpcContext, *values: Any, **named: Any) -> Awaitable[Json]:
        return self.handler(ctx, *values, **named)

    @property
    def help(self) -> str:
        return help_text.method_help(self)

    async def call(self, ctx: RpcContext, params: Json, *, check_result: bool = False) -> Json:
        """Calls with JSON params: None, a list, or an object of named arguments. Raises RpcError."""
        if self.needs_chain and ctx.node.role == "spv":
            raise misc_error("This node runs as SPV: it keeps no blocks. Ask a full node.")
        values = self.positional(params) if isinstance(params, dict) else list(params or ())
        if not self._required <= len(values) <= len(self.args):
            raise misc_error(self.help)
        given = len(values)
        values += [None] * (len(self.args) - given)
        wrong = {}
        for position, (arg, value) in enumerate(zip(self.args, values, strict=True), 1):
            if why := arg.mismatch(value):
                wrong[f"Position {position} ({'|'.join(arg.names)})"] = why
        if wrong:
            raise type_error(f"Wrong type passed:\n{pretty(wrong, 4)}")
        ready = [arg.convert(value) for arg, value in zip(self.args, values, strict=True)]
        result = await self.handler(ctx._replace(given=given), *ready)
        if check_result and self.results:
            self._check_result(result)
        return result

    def _check_result(self, result: Json) -> None:
        mismatches = []
        for documented in self.results:
            why = documented.mismatch(result)
            if why is None:
                return
            mismatches.append(why)
        explain = pretty(mismatches[0] if len(mismatches) == 1 else mismatches, 4)
        raise internal_bug(f'RPC call "{self.name}" returned incorrect type:\n{explain}')

    def positional(self, named: dict[str, Json]) -> list[Json]:
        """Named arguments in the order declared, mixed with the positional ones in "args".

        Holes in between are None; none are added at the end, as some methods act on the number of arguments.
        """
        if isinstance(named, JsonObject):
            raise invalid_parameter(f"Parameter {named.repeated[0]} specified multiple times")
        left = dict(named)
        out: list[Json] = []
        hole, first_hole, first_param = 0, 0, ""
        for arg in self.args:
            options: dict[str, Json] = {}
            if arg.type is OBJ_NAMED_PARAMS:
                for member in arg.inner:
                    name = next((n for n in member.names if n in left), None)
                    if name is not None:
                        options[name] = left.pop(name)
            name = next((n for n in arg.names if n in left), None)
            if not options and name is None:
                hole += 1
                if not out:
                    first_hole = hole
                continue
            out += [None] * hole
            hole = 0
            first_param = first_param or "|".join(arg.names)
            if name is not None:
                if options:
                    raise invalid_parameter(
                        f"Parameter {name} conflicts with parameter {next(iter(options))}"
                    )
                out.append(left.pop(name))
            else:
                out.append(options)
        first = left.pop("args", None)
        if isinstance(first, list):  # anything else by this name is left aside
            if first_hole < len(first) and first_param:
                raise invalid_parameter(
                    f"Parameter {first_param} specified twice both as positional and named argument"
                )
            out = first + out[len(first) :]
        if left:
            raise invalid_parameter(f"Unknown named parameter {next(iter(left))}")
        return out

    def argument_map(self) -> list[Json]:
        """[method, position, name, is text] of each name: for `help dump_all_command_conversions`."""
        rows: list[Json] = []
        for position, arg in enumerate(self.args):
            for name in arg.names:
                rows.append([self.name, position, name, arg.type.is_text])
                if arg.type is OBJ_NAMED_PARAMS:
                    for inner in arg.inner:
                        rows += [[self.name, position, n, inner.type.is_text] for n in inner.names]
        return rows


def method(
    category: str,
    description: str,
    *,
    args: Sequence[Arg] = (),
    result: Result | Sequence[Result] = (),
    examples: str = "",
    name: str = "",
    needs_chain: bool = False,
) -> Callable[[Handler], Method]:
    """Declares the function below as an RPC method of its name (or `name`)."""

    def declare(handler: Handler) -> Method:
        results = (result,) if isinstance(result, Result) else tuple(result)
        return Method(
            name or handler.__name__,
            category,
            description,
            tuple(args),
            results,
            examples,
            handler,
            needs_chain,
        )

    return declare


def cli(name: str, arguments: str = "") -> str:
    """A line of examples for the command line."""
    return f"> bitcoin-cli {name} {arguments}\n"


def curl(name: str, arguments: str = "") -> str:
    """A line of examples for curl; arguments: the inside of the params array."""
    return (
        '> curl --user myusername --data-binary \'{"jsonrpc": "2.0", "id": "curltest", '
        f'"method": "{name}", "params": [{arguments}]}}\' '
        "-H 'content-type: application/json' http://127.0.0.1:8332/\n"
    )


class Registry:
    """The methods a node offers, by name; a module is imported when a method of it is first wanted."""

    def __init__(self, declared: Mapping[str, str]) -> None:
        """declared: method to the module that declares it (methods.py)."""
        self._declared = declared
        self._methods: dict[str, Method] = {}

    def add(self, method: Method) -> None:
        """One more, or another one of that name."""
        self._methods[method.name] = method

    def find(self, name: str) -> Method:
        found = self._methods.get(name) or self._import(name)
        if found is None:
            raise RpcError(RpcCode.METHOD_NOT_FOUND, "Method not found")
        return found

    def _import(self, name: str) -> Method | None:
        module = self._declared.get(name)
        if module is None:
            return None
        for found in methods_of(import_module(module)):
            self._methods.setdefault(found.name, found)
        return self._methods[name]

    def all(self) -> list[Method]:
        """Every method; imports what was not yet."""
        return [self.find(name) for name in dict.fromkeys((*self._declared, *self._methods))]

    def help(self, command: str = "") -> str:
        """The list of all methods, or the help of one."""
        if not command:
            return help_text.overview(self.all())
        known = command in self._methods or command in self._declared
        return self.find(command).help if known else f"help: unknown command: {command}"

    def argument_maps(self) -> list[Json]:
        return [row for m in sorted(self.all(), key=lambda m: m.name) for row in m.argument_map()]


def methods_of(module: ModuleType) -> list[Method]:
    """What module declares."""
    return [value for value in vars(module).values() if isinstance(value, Method)]

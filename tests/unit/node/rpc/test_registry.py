"""Declarations of RPC methods: types, named arguments, help text; messages as Core 31.99 gives them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pybitcoind.node.rpc import control, methods
from pybitcoind.node.rpc.amounts import Amount, Json, Real, amount_from_value, read_json, write_json
from pybitcoind.node.rpc.arguments import (
    ARR,
    BOOL,
    HASH,
    INT,
    OBJ_NAMED_PARAMS,
    STR,
    VERBOSITY,
    parse_descriptor_range,
    parse_hex,
)
from pybitcoind.node.rpc.context import RpcContext
from pybitcoind.node.rpc.errors import RpcError
from pybitcoind.node.rpc.json_text import pretty
from pybitcoind.node.rpc.registry import (
    OPTIONAL,
    Arg,
    Registry,
    Result,
    ResultType,
    cli,
    method,
    methods_of,
)

R = ResultType
CTX = RpcContext(None)  # type: ignore[arg-type]


@method(
    "test",
    "Does a thing.\n",
    args=(
        Arg("blockhash", HASH, "The hash"),
        Arg("verbosity", VERBOSITY, "How much\nof it", 1, aliases=("verbose",)),
        Arg(
            "options",
            OBJ_NAMED_PARAMS,
            "",
            OPTIONAL,
            inner=(
                Arg("deep", BOOL, "Go deep", False),
                Arg("labels", ARR, "", OPTIONAL, inner=(Arg("l", STR),)),
            ),
        ),
    ),
    result=Result(R.OBJ, "", "", (Result(R.STR, "a", "first"), Result(R.NUM, "b", "second", optional=True))),
    examples=cli("thing", "1"),
)
async def thing(ctx: RpcContext, blockhash: bytes, verbosity: int, options: dict[str, Json] | None) -> Json:
    return [blockhash, verbosity, options, ctx.given]


HEX = "00" * 31 + "01"


async def failure(params: Json, m: Any = thing) -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        await m.call(CTX, params)
    return error.value.code, error.value.message


async def test_defaults_and_conversion() -> None:
    assert await thing.call(CTX, [HEX]) == [b"\x01" + bytes(31), 1, None, 1]
    assert await thing.call(CTX, [HEX, True]) == [b"\x01" + bytes(31), 1, None, 2]
    assert await thing.call(CTX, [HEX, None]) == [b"\x01" + bytes(31), 1, None, 2]
    assert (await thing.call(CTX, [HEX, 2, {"deep": True}]))[2] == {"deep": True}


async def test_wrong_types_are_told_by_position() -> None:
    assert await failure([1, 2, "x"]) == (
        -3,
        "Wrong type passed:\n{\n"
        '    "Position 1 (blockhash)": "JSON value of type number is not of expected type string",\n'
        '    "Position 3 (options)": "JSON value of type string is not of expected type object"\n}',
    )
    assert await failure([None]) == (
        -3,
        "Wrong type passed:\n{\n"
        '    "Position 1 (blockhash)": "JSON value of type null is not of expected type string"\n}',
    )
    assert await failure(["ab"]) == (-8, "blockhash must be of length 64 (not 2, for 'ab')")
    assert await failure(["g" * 64]) == (-8, f"blockhash must be hexadecimal string (not '{'g' * 64}')")
    assert await failure([HEX, "1"]) == (-3, "JSON value of type string is not of expected type number")
    assert await failure([HEX, 2**31]) == (-1, "JSON integer out of range")


async def test_wrong_number_of_arguments_gives_the_help() -> None:
    code, text = await failure([])
    assert code == -1
    assert text == (
        'thing "blockhash" ( verbosity {"deep":bool,"labels":["l",...],...} )\n'
        "\n"
        "Does a thing.\n"
        "\n"
        "Arguments:\n"
        "1. blockhash    (string, required) The hash\n"
        "2. verbosity    (numeric, optional, default=1) How much\n"
        "                of it\n"
        "3. options      (json object, optional) Options object that can be used to pass named arguments, "
        "listed below.\n"
        "\n"
        "Named Arguments:\n"
        "deep           (boolean, optional, default=false) Go deep\n"
        "labels         (json array, optional)\n"
        "     [\n"
        '       "l",    (string, required)\n'
        "       ...\n"
        "     ]\n"
        "\n"
        "Result:\n"
        "{                 (json object)\n"
        '  "a" : "str",    (string) first\n'
        '  "b" : n         (numeric, optional) second\n'
        "}\n"
        "\n"
        "Examples:\n"
        "> bitcoin-cli thing 1\n"
    )
    assert (await failure([HEX, 1, {}, 4]))[0] == -1


async def test_named_arguments() -> None:
    assert (await thing.call(CTX, {"blockhash": HEX, "verbose": 0}))[1:] == [0, None, 2]
    assert (await thing.call(CTX, {"args": [HEX], "deep": True}))[1:] == [1, {"deep": True}, 3]
    assert (await thing.call(CTX, {"args": [HEX, 2]}))[1:] == [2, None, 2]
    assert (await thing.call(CTX, {"args": 5, "blockhash": HEX}))[1:] == [1, None, 1]
    assert await failure({"blockhash": HEX, "x": 1}) == (-8, "Unknown named parameter x")
    assert await failure({"args": [HEX], "blockhash": HEX}) == (
        -8,
        "Parameter blockhash specified twice both as positional and named argument",
    )
    assert await failure({"blockhash": HEX, "options": {}, "deep": True}) == (
        -8,
        "Parameter options conflicts with parameter deep",
    )
    twice = read_json(b'{"blockhash": "a", "blockhash": "b"}')
    assert await failure(twice) == (-8, "Parameter blockhash specified multiple times")


async def test_documented_results_are_checked() -> None:
    @method(
        "test",
        "x",
        result=Result(R.OBJ, inner=(Result(R.NUM, "n"), Result(R.STR_AMOUNT, "m", optional=True))),
    )
    async def shape(ctx: RpcContext) -> Json:
        return answer

    answer: Json = {"n": 1, "m": Amount(5)}
    assert await shape.call(CTX, None, check_result=True) == answer
    answer = {"m": "text", "z": 1}
    with pytest.raises(RpcError, match="Internal bug detected") as error:
        await shape.call(CTX, None, check_result=True)
    assert '"z": "key returned that was not in doc"' in error.value.message
    assert '"n": "key missing, despite not being optional in doc"' in error.value.message
    assert '"m": "returned type is string, but declared as number in doc"' in error.value.message


def test_registry_lists_methods_under_their_categories() -> None:
    registry = Registry(dict.fromkeys(methods.NODE["control"].split(), control.__name__))
    overview = registry.help()
    assert overview.startswith('== Control ==\ngetmemoryinfo ( "mode" )\ngetrpcinfo\nhelp ( "command" )\n')
    assert "setmocktime" not in overview
    assert registry.help("nothing") == "help: unknown command: nothing"
    assert registry.help("stop").startswith(
        "stop\n\nRequest a graceful shutdown of Bitcoin Core.\n\nResult:\n"
    )
    with pytest.raises(RpcError, match="Method not found"):
        registry.find("nothing")
    assert ["setmocktime", 0, "timestamp", False] in registry.argument_maps()


def test_the_list_of_methods_is_what_the_files_declare() -> None:
    found = {}
    for file in Path(methods.__file__).parent.glob("*.py"):
        module = import_module(f"pybitcoind.node.rpc.{file.stem}")
        for declared in methods_of(module):
            assert found.setdefault(declared.name, module.__name__) == module.__name__, declared.name
    assert methods.declared() == found
    listed = [name for names in (methods.NODE | methods.WALLET).values() for name in names.split()]
    assert len(listed) == len(set(listed))
    assert set(found) - set(methods.declared(wallets=False)) == set(" ".join(methods.WALLET.values()).split())


def test_a_file_is_imported_when_a_method_of_it_is_wanted() -> None:
    code = """
import sys
from pybitcoind.node.rpc.methods import declared
from pybitcoind.node.rpc.registry import Registry
registry = Registry(declared())
assert registry.find("uptime").name == "uptime" and registry.help("stop").startswith("stop")
assert registry.help("pizza") == "help: unknown command: pizza"
imported = {module for module in set(declared().values()) if module in sys.modules}
assert imported == {"pybitcoind.node.rpc.control"}, imported
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_echo_gives_back_what_was_passed() -> None:
    assert await control.echo.call(CTX, [1, None, "x", None]) == [1, None, "x", None]
    with pytest.raises(RpcError, match="Internal bug detected"):
        await control.echo.call(CTX, {"arg9": "trigger_internal_bug"})


@pytest.mark.parametrize(
    ("text", "satoshis"),
    [
        ("1", 100_000_000),
        ("0.00000001", 1),
        ("1e-8", 1),
        ("0.1e1", 100_000_000),
        ('"20999999.99999999"', 2_099_999_999_999_999),
        ('"0.000000010"', 1),
        ("0e500", 0),
    ],
)
def test_amounts_come_in_exactly(text: str, satoshis: int) -> None:
    assert amount_from_value(read_json(text.encode())) == satoshis


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.000000001", "Invalid amount"),
        ('"1e999999999999"', "Invalid amount"),
        ('" 1"', "Invalid amount"),
        ('".5"', "Invalid amount"),
        ('"01"', "Invalid amount"),
        ("-1", "Amount out of range"),
        ("21000000.00000001", "Amount out of range"),
        ("true", "Amount is not a number or string"),
    ],
)
def test_bad_amounts(text: str, message: str) -> None:
    with pytest.raises(RpcError, match=message) as error:
        amount_from_value(read_json(text.encode()))
    assert error.value.code == -3


def test_json_out() -> None:
    value = {
        "a": Amount(1),
        "b": [Amount(-150_000_000), None, True],
        "c": 'ä"\n',
        "d": Real(4.656542373906925e-10),
    }
    assert write_json(value) == (
        '{"a":0.00000001,"b":[-1.50000000,null,true],"c":"ä\\"\\n","d":4.656542373906925e-10}'
    )
    assert write_json(Real(1.0)) == "1"
    with pytest.raises(TypeError):
        write_json(b"bytes")


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"[1,]", b"\xff", b'"\\ud800"', b"[" * 100_000, b"1 2"])
def test_what_is_no_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        read_json(body)


def test_pretty_is_written_as_in_core() -> None:
    assert pretty({"a": [], "b": {}, "c": [1, {"d": None}]}, 2) == (
        '{\n  "a": [\n  ],\n  "b": {\n  },\n  "c": [\n    1,\n    {\n      "d": null\n    }\n  ]\n}'
    )


def test_ranges_and_hex() -> None:
    assert parse_descriptor_range(5) == (0, 5)
    assert parse_descriptor_range([2, 5]) == (2, 5)
    for value, message in (
        ([5, 2], "Range specified as \\[begin,end\\] must not have begin after end"),
        ("x", "Range must be specified as end or as \\[begin,end\\]"),
        ([-1, 5], "Range should be greater or equal than 0"),
        (-1, "End of range is too high"),
        (2**31, "End of range is too high"),
        (1_000_000, "Range is too large"),
    ):
        with pytest.raises(RpcError, match=message):
            parse_descriptor_range(value)
    with pytest.raises(RpcError, match="data must be hexadecimal string \\(not 'a b'\\)"):
        parse_hex("a b", "data")


def test_int_is_no_bool() -> None:
    assert Arg("n", INT).mismatch(True) == "JSON value of type bool is not of expected type number"

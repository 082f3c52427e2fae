#!/usr/bin/env python3
"""Writes node/testing/rpc_methods.py and rpc_wallet_methods.py: the RPC methods as typed coroutines.

Usage: scripts/testing_methods.py

Made from the declarations of the methods, so that names, order of arguments and types are theirs. Methods
that came since can be called all the same, by `rpc.call`; run this to give them types.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from pybitcoind.node.rpc import arguments as a
from pybitcoind.node.rpc.methods import declared
from pybitcoind.node.rpc.registry import Arg, Method, Registry, Result
from pybitcoind.node.rpc.registry import ResultType as R

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "node" / "testing"
HEAD = '''"""{title}

Written by scripts/testing_methods.py from the declarations in node/rpc: do not edit.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

Amount = Decimal | int | float | str
"""BTC."""
Object = dict[str, Any]


class {name}:
    """{about}"""

    async def call(self, method: str, *args: Any, **named: Any) -> Any:
        """Any method, by name: its result, numbers that are not whole as Decimal. Raises RpcFailure."""
        raise NotImplementedError
'''
NOT_WHOLE = ("getdifficulty", "getnetworkhashps")
BY_TYPE = {
    a.AMOUNT: "Amount",
    a.AMOUNT_TEXT: "Amount",
    a.REAL: "Decimal | int | float",
    a.RANGE: "int | list[int]",
    a.ANY_NUM: "int | str",
    a.VERBOSITY: "int | bool",
}
BY_JSON = {"string": "str", "number": "int", "bool": "bool", "array": "list[Any]", "object": "Object"}
RESULTS = {
    R.NONE: "None",
    R.STR: "str",
    R.STR_HEX: "str",
    R.STR_AMOUNT: "Decimal",
    R.NUM: "int",
    R.NUM_TIME: "int",
    R.BOOL: "bool",
    R.OBJ: "Object",
    R.OBJ_DYN: "Object",
}


def argument_type(arg: Arg) -> str:
    if arg.type in BY_TYPE:
        return BY_TYPE[arg.type]
    if arg.type.is_text:
        return "str"
    return BY_JSON.get(arg.type.json or "", "Any")


def one_result(result: Result) -> str:
    if result.type is R.ARR:
        inner = {RESULTS.get(part.type, "Any") for part in result.inner}
        return f"list[{inner.pop() if len(inner) == 1 else 'Any'}]"
    return RESULTS.get(result.type, "Any")


def result_type(method: Method) -> str:
    if method.name in NOT_WHOLE:
        return "Decimal | int"
    kinds = list(dict.fromkeys(one_result(result) for result in method.results)) or ["None"]
    if "Any" in kinds or len(kinds) > 2 or (len(kinds) == 2 and "None" not in kinds):
        return "Any"
    return " | ".join(sorted(kinds, key=lambda kind: kind == "None"))


def first_sentence(text: str) -> str:
    line = " ".join(text.strip().split("\n\n")[0].split()).replace("\\", "\\\\").replace('"', "'")
    end = line.find(". ")
    return (line[: end + 1] if end > 0 else line) or "Undocumented."


def declaration(method: Method) -> str:
    args = list(method.args)
    last_required = max((i for i, arg in enumerate(args) if not arg.optional), default=-1)
    parameters, values = ["self"], []
    for i, arg in enumerate(args):
        kind = argument_type(arg)
        if arg.optional and kind != "Any":
            kind += " | None"
        name = arg.name if arg.name.isidentifier() else arg.name.replace("-", "_")
        parameters.append(f"{name}: {kind}" + (" = None" if i > last_required else ""))
        values.append(name)
    doc = "\n        ".join(textwrap.wrap(first_sentence(method.description), 95))
    call = ", ".join([f'"{method.name}"', *values])
    result = result_type(method)
    keep = f"result: {result} = " if result not in ("Any", "None") else ""
    body = [f"    async def {method.name}({', '.join(parameters)}) -> {result}:", f'        """{doc}"""']
    if result == "None":
        body.append(f"        await self.call({call})")
    elif result == "Any":
        body.append(f"        return await self.call({call})")
    else:
        body += [f"        {keep}await self.call({call})", "        return result"]
    return "\n".join(body)


def write(path: Path, title: str, name: str, about: str, chosen: Iterable[Method]) -> None:
    text = HEAD.format(title=title, name=name, about=about)
    text += "".join(f"\n{declaration(method)}\n" for method in chosen)
    path.write_text(text)
    subprocess.run([sys.executable, "-m", "ruff", "format", "-q", str(path)], check=True)


def main() -> None:
    known = Registry(declared()).all()
    hidden = [method for method in known if method.name in ("generate",)]
    node = [method for method in known if method.category != "wallet" and method not in hidden]
    wallet = [method for method in known if method.category == "wallet"]
    write(
        FOLDER / "rpc_methods.py",
        "The RPC methods of a node as typed coroutines.",
        "NodeMethods",
        "Arguments by Core's names and in Core's order; None leaves one out.",
        node,
    )
    write(
        FOLDER / "rpc_wallet_methods.py",
        "The RPC methods of a wallet as typed coroutines.",
        "WalletMethods",
        "Arguments by Core's names and in Core's order; None leaves one out.",
        wallet,
    )


if __name__ == "__main__":
    main()

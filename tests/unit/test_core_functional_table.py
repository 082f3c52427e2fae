"""scripts/core_functional.py: what its table says of a test that fails."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "core_functional.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("core_functional", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # for its dataclass
    spec.loader.exec_module(module)
    return module


def test_a_known_reason_stands_for_the_complaint_it_explains_only(script: ModuleType) -> None:
    for name, (mark, words) in script.KNOWN_REASONS.items():
        assert script.known_reason(name, f"FileNotFoundError: '{mark}' -> 'x'") == words
        assert script.known_reason(name, "ValueError: 1 == 2") == "ValueError: 1 == 2"
        assert len(words) <= 120 and "|" not in words
    assert script.known_reason("rpc_uptime.py", "AssertionError") == "AssertionError"


@pytest.mark.parametrize(
    ("line", "marked", "method"),
    [
        ("self.nodes[1].encryptwallet(PASS)", "", "encryptwallet"),
        ("x = node.get_wallet_rpc('w').send(outputs=[w.getnewaddress()])", "", "send"),
        (
            "assert_equal(node.bumpfee(node.getnewaddress()), 1)",
            "node.bumpfee(node.getnewaddress())",
            "bumpfee",
        ),
        ("psbt = node.walletcreatefundedpsbt(", "", "walletcreatefundedpsbt"),
        ('assert_raises_rpc_error(-5, "No", node.importprunedfunds, tx.hex(), 1)', "", "importprunedfunds"),
        ("self.check()", "", "check"),
        ("x = y", "", ""),
    ],
)
def test_a_missing_method_is_named(script: ModuleType, line: str, marked: str, method: str) -> None:
    marks = " " * (4 + line.index(marked)) + "^" * len(marked) + "\n" if marked else ""
    output = (
        'Traceback (most recent call last):\n  File "/functional/wallet_x.py", line 7, in run_test\n'
        f'    {line}\n{marks}  File "/functional/test_framework/authproxy.py", line 1, in __call__\n'
        "    raise JSONRPCException\n"
        "JSONRPCException: {'code': -32601, 'message': 'Method not found'} [http_status=200]\n"
    )
    assert script.missing_method(output) == method
    expected = f"no method {method}" if method else "JSONRPCException: {'code': -32601"
    assert script.reason(output).startswith(expected)

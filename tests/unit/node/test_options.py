"""The table of options tells the truth about itself."""

from __future__ import annotations

import re
from pathlib import Path

import pybitcoind.node
from pybitcoind.node.options import OPTIONS

READ_BY_CONFIG_ITSELF = {
    *("?", "h", "help", "chain", "regtest", "signet", "testnet", "testnet4"),
    *("datadir", "conf", "includeconf", "allowignoredconf", "blocksdir"),
}


def test_options_with_effect_are_read_and_the_others_are_not() -> None:
    folder = Path(next(iter(pybitcoind.node.__path__)))
    files = [path for path in folder.rglob("*.py") if path.name not in ("options.py", "cli.py")]
    sources = "".join(path.read_text() for path in files)
    read = set(re.findall(r'"([a-z0-9-]+)"', sources))
    for option in OPTIONS.values():
        if option.effect:
            assert option.name in read | READ_BY_CONFIG_ITSELF, f"-{option.name} is read nowhere"
    called = set(re.findall(r'(?:flag|number|text|values|path|is_set)\("([a-z0-9-]+)"', sources))
    silent = {option.name for option in OPTIONS.values() if not option.effect}
    checked_only = {"listenonion"}
    assert silent & called <= checked_only

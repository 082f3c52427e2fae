"""docs/consensus.md names, for each rule, code and a test that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_rules() -> None:
    rows = re.findall(
        r"^\| (.+) \| (\S+) \| (\S+)::(\w+) \|$", (ROOT / "docs/consensus.md").read_text(), re.M
    )
    assert len(rows) > 50
    for rule, code, path, test in rows:
        assert (ROOT / code).exists(), rule
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.M), rule
    rules = " ".join(rule for rule, *_ in rows)
    for bip in (9, 16, 30, 34, 65, 66, 68, 94, 112, 113, 141, 143, 147, 325, 340, 341, 342):
        assert re.search(rf"\b{bip}\b", rules), bip

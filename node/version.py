"""What we are, and whom we follow."""

from __future__ import annotations

VERSION = "0.1.0"
CORE_VERSION_TEXT = "31.99.0"


def version_line(program: str) -> str:
    """program: "daemon" or "RPC client"."""
    return f"pybitcoind {program} version v{VERSION} (follows Bitcoin Core v{CORE_VERSION_TEXT})\n"

"""-chain=FILE: a chain of one's own, read from its file; the rules are in chain/custom_chain.py."""

from __future__ import annotations

from pathlib import Path

from pybitcoind.chain.custom_chain import ChainDefinitionError, parse_chain
from pybitcoind.chain.params import ChainParams

from .config import ChainFileError

MAX_SIZE = 1 << 20


def read_chain(path: Path) -> ChainParams:
    """The network that the file describes; ChainFileError with file and key otherwise."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SIZE + 1)
        if len(data) > MAX_SIZE:
            raise ChainFileError(f"{path}: no description of a chain has more than {MAX_SIZE} bytes")
        return parse_chain(data.decode())
    except OSError as error:
        raise ChainFileError(f"-chain: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ChainFileError(f"{path}: not TOML: no UTF-8") from None
    except ChainDefinitionError as error:
        raise ChainFileError(f"{path}: {error}") from None

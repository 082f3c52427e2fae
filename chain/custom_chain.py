"""A chain of one's own, described in TOML: text in, `ChainParams` out.

    name = "difficulty"
    magic = "d1ffc0de"
    [pow]
    limit = "0000ffff"         # leading digits of the largest target
    no_retargeting = false
    interval = 10              # blocks between retargets
    spacing = 2                # seconds a block should take

What a description leaves out is as on regtest. docs/custom-chain.md names all keys;
configs/chains/example.toml shows them.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import TypeVar

from .consensus.pow import block_work, check_proof_of_work, derive_target, target_to_bits
from .nonce_search import grind
from .params import (
    GENESIS_PUBKEY,
    GENESIS_TEXT,
    NEVER_ACTIVE,
    NO_TIMEOUT,
    Bip9Deployment,
    ChainParams,
    make_genesis,
    regtest,
)
from .primitives.block import Block
from .primitives.transaction import COIN, MAX_MONEY

T = TypeVar("T")

TAKEN_NAMES = (
    *("main", "mainnet", "test", "testnet", "testnet3", "testnet4", "signet", "regtest"),
    *("blocks", "chainstate", "indexes", "wallets", "filters"),
)
"""The built-in networks, and the folders that mainnet has beside the other networks' own."""
MAX_MINED_WORK = 1 << 22
"""Hashes, on average, that a genesis block without a nonce may take; some seconds."""
MAX_TEXT = 91
"""Bytes: a coinbase script has at most 100, of which 9 stand before the text."""
MAX_HEIGHT = 2**31 - 1
_BURIED = ("bip34", "bip65", "bip66", "csv", "segwit")


class ChainDefinitionError(ValueError):
    """What is wrong with a description: "key: problem"."""


def parse_chain(text: str) -> ChainParams:
    """The network that text describes. ChainDefinitionError names the first key that is wrong."""
    try:
        root = _Table(tomllib.loads(text), "")
    except (ValueError, RecursionError) as error:  # ValueError: also a number of too many digits
        raise ChainDefinitionError(f"not TOML: {error}") from None
    name = root.take("name", _name)
    params = replace(
        regtest(),
        name=name,
        subdir=name,
        magic=root.take("magic", _hex(4)),
        dns_seeds=(),
        halving_interval=root.take("halving_interval", _integer(1, MAX_HEIGHT), regtest().halving_interval),
    )
    params = _ports(root.table("ports"), params)
    params = _proof_of_work(root.table("pow"), params)
    params = replace(params, genesis=_genesis(root.table("genesis"), params))
    params = _deployments(root.table("deployments"), params)
    params = _addresses(root.table("addresses"), params)
    root.finish()
    return replace(params, definition=_definition(params))


# Tables and values


class _Bad(ValueError):
    """Text: what the value should be."""


Reader = Callable[[object], T]


class _Table:
    """One table of the text: keys are taken, and what is left at the end is unknown."""

    def __init__(self, data: object, name: str) -> None:
        if not isinstance(data, dict):
            raise ChainDefinitionError(f"{name}: {_shown(data)} is not a table")
        self.name, self._left = name, dict(data)
        self._known: list[str] = []

    def path(self, key: str) -> str:
        key = key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key)
        return f"{self.name}.{key}" if self.name else key

    def take(self, key: str, reader: Reader[T], default: T | None = None) -> T:
        """The value of key; without a default it must be there."""
        self._known.append(key)
        if key not in self._left:
            if default is None:
                raise ChainDefinitionError(f"{self.path(key)}: is missing")
            return default
        value = self._left.pop(key)
        try:
            return reader(value)
        except _Bad as error:
            raise ChainDefinitionError(f"{self.path(key)}: {_shown(value)} is not {error}") from None

    def table(self, key: str) -> _Table:
        """The table key, empty if it is not there."""
        self._known.append(key)
        return _Table(self._left.pop(key, {}), self.path(key))

    def tables(self) -> list[tuple[str, _Table]]:
        """All tables that are left, with their names."""
        found = [key for key, value in self._left.items() if isinstance(value, dict)]
        return [(key, _Table(self._left.pop(key), self.path(key))) for key in found]

    def finish(self) -> None:
        for key in self._left:
            raise ChainDefinitionError(f"{self.path(key)}: unknown key; there are {', '.join(self._known)}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else str(value)
    return text if len(text) <= 70 else text[:67] + "..."


def _integer(low: int, high: int) -> Reader[int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Bad(f"a whole number from {low} to {high}")
        return value

    return read


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Bad("true or false")
    return value


def _hex(*sizes: int) -> Reader[bytes]:
    def read(value: object) -> bytes:
        if isinstance(value, str) and re.fullmatch("(?:[0-9a-fA-F]{2})*", value) and len(value) // 2 in sizes:
            return bytes.fromhex(value)
        raise _Bad(f"{' or '.join(map(str, sizes))} bytes as hex in quotes")

    return read


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z][a-z0-9_-]{0,31}", value):
        raise _Bad("a name: 1 to 32 of a-z, 0-9, _ and -, a letter first, in quotes")
    if value in TAKEN_NAMES:
        raise _Bad(f"free; taken are {', '.join(TAKEN_NAMES)}")
    return value


def _hrp(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z][a-z0-9]{0,15}", value):
        raise _Bad("1 to 16 of a-z and 0-9, a letter first, in quotes")
    return value


def _text(value: object) -> bytes:
    data = value.encode() if isinstance(value, str) else b""
    if not isinstance(value, str) or len(data) > MAX_TEXT:
        raise _Bad(f"text of at most {MAX_TEXT} bytes in quotes")
    return data


def _target(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F]{1,64}", value):
        raise _Bad("the leading digits, 64 at most, of a target as hex in quotes")
    return int(value.ljust(64, "f"), 16)


# Parts of a chain


def _ports(table: _Table, params: ChainParams) -> ChainParams:
    port = _integer(1, 65535)
    params = replace(
        params,
        port=table.take("p2p", port, params.port),
        rpc_port=table.take("rpc", port, params.rpc_port),
    )
    table.finish()
    if params.port == params.rpc_port:
        raise ChainDefinitionError(f"ports.rpc: {params.port} is ports.p2p as well")
    return params


def _proof_of_work(table: _Table, params: ChainParams) -> ChainParams:
    limit = table.take("limit", _target, params.pow_limit)
    fixed = table.take("no_retargeting", _flag, params.pow_no_retargeting)
    spacing = table.take("spacing", _integer(1, 10**6), params.pow_target_spacing)
    # One block a period would measure nothing: a period's time is that from its first block to its last.
    interval = table.take("interval", _integer(1 if fixed else 2, 10**6), params.difficulty_interval)
    params = replace(
        params,
        pow_limit=limit,
        pow_target_spacing=spacing,
        pow_target_timespan=spacing * interval,
        pow_no_retargeting=fixed,
        pow_allow_min_difficulty=table.take("allow_min_difficulty", _flag, params.pow_allow_min_difficulty),
        enforce_bip94=table.take("bip94", _flag, params.enforce_bip94),
    )
    table.finish()
    timespan = params.pow_target_timespan
    if not fixed and timespan < 4:
        raise ChainDefinitionError(f"pow.spacing: {spacing} is too short, a period must last 4 s at least")
    # A retarget multiplies in 256 bits by up to four timespans; beyond, easy would become hard.
    highest = regtest().pow_limit if fixed else ((1 << 256) - 1) // (4 * timespan)
    if limit > highest:
        raise ChainDefinitionError(
            f"pow.limit: {limit:064x} is too high; with these times at most {highest:064x}"
        )
    if derive_target(target_to_bits(limit), limit) is None:
        raise ChainDefinitionError(f"pow.limit: {limit:064x} is no target")
    return params


def _genesis(table: _Table, params: ChainParams) -> Block:
    default_bits = target_to_bits(params.pow_limit).to_bytes(4, "big")
    bits = int.from_bytes(table.take("bits", _hex(4), default_bits), "big")
    target = derive_target(bits, params.pow_limit)
    if target is None:
        raise ChainDefinitionError(f"genesis.bits: {bits:08x} is no target, or is above pow.limit")
    nonce = table.take("nonce", _integer(0, 2**32 - 1), -1)

    block = make_genesis(
        table.take("time", _integer(1, 2**32 - 1), regtest().genesis.header.time),
        max(nonce, 0),
        bits,
        text=table.take("text", _text, GENESIS_TEXT),
        pubkey=table.take("key", _hex(33, 65), GENESIS_PUBKEY),
        version=table.take("version", _integer(-(2**31), 2**31 - 1), 1),
        reward=table.take("reward", _integer(0, MAX_MONEY), 50 * COIN),
    )
    table.finish()
    if nonce < 0:
        return _mined(block, target)
    if not check_proof_of_work(block.hash, bits, params):
        raise ChainDefinitionError(
            f"genesis.nonce: {nonce} gives a block that does not meet the target of {bits:08x}; "
            "without nonce one is looked for"
        )
    return block


def _mined(block: Block, target: int) -> Block:
    """block with the first nonce that does it."""
    work = block_work(block.header.bits)
    if work > MAX_MINED_WORK:
        raise ChainDefinitionError(
            f"genesis.nonce: is missing, and to find one would take some {work} hashes"
        )
    nonce, _ = grind(block.header.raw, target)
    if nonce is None:  # one chance in e^1000
        raise ChainDefinitionError("genesis.nonce: none meets the target; change time")
    old = block.header
    header = type(old)(old.version, old.prev_hash, old.merkle_root, old.time, old.bits, nonce)
    return Block(header, block.vtx)


def _deployments(table: _Table, params: ChainParams) -> ChainParams:
    """Buried ones by height; each table is one signalled by version bits."""
    heights = {
        f"{name}_height": table.take(name, _integer(0, MAX_HEIGHT), getattr(params, f"{name}_height"))
        for name in _BURIED
    }
    signalled = dict(params.deployments)
    for name, row in table.tables():
        if not re.fullmatch("[a-z][a-z0-9_]{0,31}", name):
            raise ChainDefinitionError(f"{row.name}: a deployment's name has 1 to 32 of a-z, 0-9 and _")
        signalled[name] = _deployment(row)
    table.finish()
    bits: dict[int, str] = {}
    for name, deployment in signalled.items():
        if deployment.start_time == NEVER_ACTIVE:
            continue
        if other := bits.get(deployment.bit):
            raise ChainDefinitionError(f"deployments.{name}.bit: {deployment.bit} is {other}'s")
        bits[deployment.bit] = name
    return replace(params, deployments=MappingProxyType(signalled), **heights)


def _deployment(table: _Table) -> Bip9Deployment:
    period = table.take("period", _integer(1, 10**6), 144)
    deployment = Bip9Deployment(
        bit=table.take("bit", _integer(0, 28)),
        start_time=table.take("start", _integer(NEVER_ACTIVE, NO_TIMEOUT), 0),
        timeout=table.take("timeout", _integer(0, NO_TIMEOUT), NO_TIMEOUT),
        min_activation_height=table.take("min_activation_height", _integer(0, MAX_HEIGHT), 0),
        threshold=table.take("threshold", _integer(1, period), max(1, period * 3 // 4)),
        period=period,
    )
    table.finish()
    return deployment


def _addresses(table: _Table, params: ChainParams) -> ChainParams:
    def prefix(key: str, default: bytes) -> bytes:
        return bytes((table.take(key, _integer(0, 255), default[0]),))

    params = replace(
        params,
        pubkey_prefix=prefix("pubkey", params.pubkey_prefix),
        script_prefix=prefix("script", params.script_prefix),
        secret_prefix=prefix("secret", params.secret_prefix),
        xpub_prefix=table.take("xpub", _hex(4), params.xpub_prefix),
        xprv_prefix=table.take("xprv", _hex(4), params.xprv_prefix),
        bech32_hrp=table.take("hrp", _hrp, params.bech32_hrp),
    )
    table.finish()
    if params.pubkey_prefix == params.script_prefix:
        raise ChainDefinitionError(f"addresses.script: {params.script_prefix[0]} is addresses.pubkey as well")
    if params.xpub_prefix == params.xprv_prefix:
        raise ChainDefinitionError(f"addresses.xprv: {params.xprv_prefix.hex()} is addresses.xpub as well")
    return params


def _definition(params: ChainParams) -> str:
    """16 hex digits that differ where data of one chain cannot be read as another's; ports do not count.

    The facts are listed one by one: a parameter that is added some day must not make folders foreign.
    """
    facts = {
        "magic": params.magic.hex(),
        "genesis": params.genesis.hash.hex(),
        "halving_interval": params.halving_interval,
        "limit": f"{params.pow_limit:x}",
        "times": [params.pow_target_spacing, params.pow_target_timespan],
        "rules": [params.pow_no_retargeting, params.pow_allow_min_difficulty, params.enforce_bip94],
        "buried": [getattr(params, f"{name}_height") for name in _BURIED],
        "signalled": {name: tuple(row) for name, row in params.deployments.items()},
        "prefixes": [params.pubkey_prefix.hex(), params.script_prefix.hex(), params.secret_prefix.hex()],
        "keys": [params.xpub_prefix.hex(), params.xprv_prefix.hex(), params.bech32_hrp],
    }
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


__all__ = ["ChainDefinitionError", "parse_chain"]

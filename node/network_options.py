"""The parameters of the chosen network as options change them. Source: Core's src/chainparams.cpp (31.99)."""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType

from pybitcoind.chain.params import ChainParams, signet

from .config import Config, ConfigError
from .rpc.arguments import is_hex

_BURIED = {
    "bip34": "bip34_height",
    "cltv": "bip65_height",
    "dersig": "bip66_height",
    "csv": "csv_height",
    "segwit": "segwit_height",
}
TEST_OPTIONS = ("addrman", "reindex_after_failure_noninteractive_yes", "bip94")


def network_params(config: Config) -> ChainParams:
    """Raises ConfigError with Core's words."""
    params = config.base_params
    if params.name == "signet":
        params = _signet(config, params)
    if params.name == "regtest":
        params = _regtest(config, params)
    if config.is_set("minimumchainwork"):
        text = config.text("minimumchainwork")
        work = user_hash(text)
        if work is None:
            raise ConfigError(f"Invalid minimum work specified ({text}), must be up to 64 hex digits")
        params = replace(params, minimum_chainwork=int.from_bytes(work, "little"))
    if config.is_set("assumevalid"):
        text = config.text("assumevalid")
        block_hash = user_hash(text)
        if block_hash is None:
            raise ConfigError(
                f"Invalid assumevalid block hash specified ({text}), must be up to 64 hex digits (or 0 to "
                "disable)"
            )
        params = replace(params, assume_valid=block_hash)
    return params


def user_hash(text: str) -> bytes | None:
    """A hash in internal order from up to 64 digits of display hex, "0x" allowed."""
    digits = text.removeprefix("0x")
    if len(digits) > 64 or not re.fullmatch("[0-9a-fA-F]*", digits):
        return None
    return bytes.fromhex(digits.zfill(64))[::-1]


def _signet(config: Config, params: ChainParams) -> ChainParams:
    challenges = config.values("signetchallenge")
    if challenges:
        if len(challenges) != 1:
            raise ConfigError("-signetchallenge cannot be multiple values.")
        if challenges[0] and not is_hex(challenges[0]):
            raise ConfigError(f"-signetchallenge must be hex, not '{challenges[0]}'.")
        params = signet(bytes.fromhex(challenges[0]))
    seeds = config.values("signetseednode")
    return replace(params, dns_seeds=tuple(seeds)) if seeds else params


def _regtest(config: Config, params: ChainParams) -> ChainParams:
    if "bip94" in config.values("test"):
        params = replace(params, enforce_bip94=True)
    if config.flag("fastprune"):
        params = replace(params, prune_after_height=100)
    for text in config.values("testactivationheight"):
        name, at, height = text.partition("@")
        if not at:
            raise ConfigError(f"Invalid format ({text}) for -testactivationheight=name@height.")
        if not _is_int(height) or not 0 <= int(height) < 2**31 - 1:
            raise ConfigError(f"Invalid height value ({text}) for -testactivationheight=name@height.")
        if name not in _BURIED:
            raise ConfigError(f"Invalid name ({text}) for -testactivationheight=name@height.")
        params = replace(params, **{_BURIED[name]: int(height)})  # type: ignore[arg-type]
    for text in config.values("vbparams"):
        params = _version_bits(config, params, text)
    return params


def _is_int(text: str) -> bool:
    return re.fullmatch("-?[0-9]+", text) is not None


def _version_bits(config: Config, params: ChainParams, text: str) -> ChainParams:
    fields = text.split(":")
    if not 3 <= len(fields) <= 4:
        raise ConfigError(
            "Version bits parameters malformed, expecting deployment:start:end[:min_activation_height]"
        )
    numbers = []
    for what, field in zip(("nStartTime", "nTimeout", "min_activation_height"), fields[1:], strict=False):
        if not _is_int(field) or not -(2**63) <= int(field) < 2**63:
            raise ConfigError(f"Invalid {what} ({field})")
        numbers.append(int(field))
    start, timeout, height = (*numbers, 0)[:3]
    height = (height + 2**31) % 2**32 - 2**31  # Core reads 64 bits and keeps 32
    deployment = params.deployments.get(fields[0])
    if deployment is None:
        raise ConfigError(f"Invalid deployment ({fields[0]})")
    config.notes.append(
        (
            "info",
            f"Setting version bits activation parameters for {fields[0]} to start={start}, "
            f"timeout={timeout}, "
            f"min_activation_height={height}",
        )
    )
    changed = deployment._replace(start_time=start, timeout=timeout, min_activation_height=height)
    return replace(params, deployments=MappingProxyType({**params.deployments, fields[0]: changed}))

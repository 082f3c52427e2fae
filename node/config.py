"""Options from the command line, settings.json and bitcoin.conf, with Core's precedence and messages.

Order, strongest first: soft-set values, command line, settings.json, the network's section of bitcoin.conf,
its top section. On the command line the last value counts, in the file the first. Source:
src/common/{args,settings,config}.cpp of Core 31.99.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pybitcoind.chain.storage.files import replace_file

from .options import OPTIONS, Option
from .rpc.json_text import pretty

if TYPE_CHECKING:
    from pybitcoind.chain.params import ChainParams

Value = str | bool
"""False: negated (-noX); True: negated twice (-noX=0); else the text."""

SECTIONS = ("main", "test", "testnet4", "signet", "regtest")
SUBDIRS = {"main": "", "testnet4": "testnet4", "signet": "signet", "regtest": "regtest"}
"""Directories of the networks we support; here, beside ChainParams, so that pybitcoin-cli starts fast."""
CONF_NAME = "bitcoin.conf"
PORTS_FILE = "ports.json"
"""In the network's directory: where the running node listens."""
CHAIN_FILE_SUFFIX = ".toml"
"""What ends so, or has a "/" in it, is for -chain a file."""


AND_ERROR = "Error: "
"""Begins each further line of a ConfigError that is an error of its own."""


class ConfigError(Exception):
    """The node cannot start with these options; the text follows "Error: "."""


class ChainError(ConfigError):
    """The options do not say which chain it is."""


class ChainFileError(ChainError):
    """-chain=FILE: no such file, or no chain; the text names file and key."""


class RebuildNeeded(ConfigError):
    """What is stored does not fit; -reindex makes it anew. Core writes this without "Error: " before it."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}.\nPlease restart with -reindex or -reindex-chainstate to recover.")


def as_int(text: str) -> int:
    """The number that text begins with, 0 if none: Core's LocaleIndependentAtoi, clamped to 64 bits."""
    match = re.match(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", text)
    return max(-(2**63), min(2**63 - 1, int(match[1]))) if match else 0


def as_bool(text: str) -> bool:
    """-x and -x= are true; "true" is no number and so is false, as in Core."""
    return text == "" or as_int(text) != 0


def _text(value: Value) -> str:
    return "0" if value is False else "1" if value is True else value


class _Values:
    """The values of one option from one source; those before the last negation do not count."""

    def __init__(self, values: Sequence[Value]) -> None:
        negated = max((i + 1 for i, value in enumerate(values) if value is False), default=0)
        self.negated = negated > 0
        self.last_negated = bool(values) and values[-1] is False
        self.left = list(values[negated:])


def _split_key(key: str) -> tuple[str, str, bool]:
    """section, name, negated of "regtest.nolisten"."""
    section, dot, name = key.partition(".")
    if not dot:
        section, name = "", key
    if name.startswith("no"):
        return section, name[2:], True
    return section, name, False


class Config:
    """All options. Reading: `flag`, `number`, `text`, `values`, `is_set`, `negated`."""

    def __init__(self, options: dict[str, Option] = OPTIONS) -> None:
        self.options = options
        self.forced: dict[str, list[Value]] = {}
        self.command_line: dict[str, list[Value]] = {}
        self.settings: dict[str, object] = {}
        self.file: dict[str, dict[str, list[Value]]] = {}
        self.sections_seen: list[tuple[str, str, int]] = []
        self.network = ""
        self.own_chain: ChainParams | None = None
        """Of -chain=FILE."""
        self.own_chain_path: Path | None = None
        self.conf_path: Path | None = None
        self.command: list[str] = []
        """What follows the options on the command line (pybitcoin-cli's method and arguments)."""
        self.notes: list[tuple[str, str]] = []
        """("info" or "warning", text) for the log, which opens later."""
        self.stderr_notes: list[str] = []

    # Parsing

    def parse_command_line(self, arguments: Sequence[str], commands: bool = False) -> None:
        """arguments: without the program's name. commands: a word without "-" ends the options (the CLI)."""
        for position, argument in enumerate(arguments):
            key, equals, value = argument.partition("=")
            if argument == "-":
                break
            if not key.startswith("-"):
                if not commands:
                    raise ConfigError(
                        f"Command line contains unexpected token '{argument}', "
                        "see pybitcoind -h for a list of options."
                    )
                self.command = list(arguments[position:])
                break
            key = key[2:] if key.startswith("--") else key[1:]
            section, name, negated = _split_key(key)
            option = self.options.get(name)
            if option is None or section:
                raise ConfigError(f"Error parsing command line arguments: Invalid parameter {argument}")
            try:
                parsed = self._interpret(option, negated, value if equals else None)
            except ConfigError as error:
                raise ConfigError(f"Error parsing command line arguments: {error}") from None
            self.command_line.setdefault(name, []).append(parsed)
        included = _Values(self.command_line.get("includeconf", ())).left
        if included:
            raise ConfigError(
                "Error parsing command line arguments: -includeconf cannot be used from commandline; "
                f"-includeconf={json.dumps(included[0], ensure_ascii=False)}"
            )

    def _interpret(self, option: Option, negated: bool, value: str | None) -> Value:
        if negated:
            if not option.negatable:
                raise ConfigError(f"Negating of -{option.name} is meaningless and therefore forbidden")
            if value is not None and not as_bool(value):
                self.notes.append(
                    ("warning", f"Parsed potentially confusing double-negative -{option.name}={value}")
                )
                return True
            return False
        if value is None and not option.elidable:
            raise ConfigError(
                f"Can not set -{option.name} with no value. Please specify value with -{option.name}=value."
            )
        return value or ""

    def read_files(self) -> None:
        """bitcoin.conf and what it includes; then the network is known. Raises ConfigError."""
        if not self._datadir_exists():
            raise ConfigError(f'Specified data directory "{self.text("datadir")}" does not exist.')
        first_datadir = self.datadir
        self.conf_path = self._path_below(first_datadir, "conf", CONF_NAME)
        try:
            if self.conf_path is not None:
                self._read_conf_file(self.conf_path)
            if not self._datadir_exists():
                raise ConfigError(f'specified data directory "{self.text("datadir")}" does not exist.')
        except ChainError:
            raise
        except ConfigError as error:
            raise ConfigError(f"Error reading configuration file: {error}") from None
        self.network = self.select_chain()
        self._check_ignored_conf(first_datadir)

    def _read_conf_file(self, path: Path) -> None:
        if path.is_dir():
            raise ConfigError(f'Config file "{path}" is a directory.')
        try:
            content = path.read_text("utf-8", "surrogateescape")
        except OSError:
            if self.is_set("conf"):
                raise ConfigError(f'specified config file "{path}" could not be opened.') from None
            return
        self._read_conf(content, str(path))
        if "includeconf" in self.command_line:
            return
        chain = self.chain_name()
        names = self._includes(chain) + self._includes("")
        counts = {section: len(self._include_values(section)) for section in (chain, "")}
        for name in names:
            included = self._absolute(self.datadir, name)
            if included.is_dir():
                raise ConfigError(f'Included config file "{included}" is a directory.')
            try:
                content = included.read_text("utf-8", "surrogateescape")
            except OSError:
                raise ConfigError(f"Failed to include configuration file {name}") from None
            self._read_conf(content, name)
            self.notes.append(("info", f"Included configuration file {name}"))
        nested = self._includes(chain, counts[chain]) + self._includes("", counts[""])
        if self.chain_name() != chain:
            nested += self._includes(self.chain_name())
        for name in nested:
            self.stderr_notes.append(
                f"warning: -includeconf cannot be used from included files; ignoring -includeconf={name}"
            )

    def _include_values(self, section: str) -> list[Value]:
        return self.file.get(section, {}).get("includeconf", [])

    def _includes(self, section: str, skip: int = 0) -> list[str]:
        values = self._include_values(section)
        first = max((i + 1 for i, value in enumerate(values) if value is False), default=0)
        return [_text(value) for value in values[max(first, skip) :]]

    def _read_conf(self, content: str, name: str) -> None:
        for key, value in self._conf_lines(content, name):
            section, option_name, negated = _split_key(key)
            if option_name == "conf":
                raise ConfigError(
                    "conf cannot be set in the configuration file; use includeconf= if you want to include "
                    "additional config files"
                )
            if option_name == "reindex":
                self.notes.append(("warning", _REINDEX_IN_FILE))
            option = self.options.get(option_name)
            if option is None:
                self.notes.append(("warning", f"Ignoring unknown configuration value {key}"))
                continue
            parsed = self._interpret(option, negated, value)
            self.file.setdefault(section, {}).setdefault(option_name, []).append(parsed)

    def _conf_lines(self, content: str, file: str) -> Iterator[tuple[str, str]]:
        """("section.key", value) of each line that has one."""
        prefix = ""
        for number, line in enumerate(content.split("\n"), 1):
            line, hash_sign, _ = line.partition("#")
            line = line.strip(" \t\r\n")
            if not line:
                continue
            if line[0] == "[" and line[-1] == "]":
                self.sections_seen.append((line[1:-1], file, number))
                prefix = line[1:-1] + "."
            elif line[0] == "-":
                raise ConfigError(
                    f"parse error on line {number}: {line}, options in configuration file must be specified "
                    "without leading -"
                )
            elif "=" in line:
                key, _, value = line.partition("=")
                key = prefix + key.strip(" \t\r\n")
                if hash_sign and "rpcpassword" in key:
                    raise ConfigError(
                        f"parse error on line {number}, using # in rpcpassword can be ambiguous and should "
                        "be avoided"
                    )
                if len(prefix) <= (dot := key.rfind(".")):
                    self.sections_seen.append((key[:dot], file, number))
                yield key, value.strip(" \t\r\n")
            else:
                hint = ""
                if line.startswith("no"):
                    hint = f", if you intended to specify a negated option, use {line}=1 instead"
                raise ConfigError(f"parse error on line {number}: {line}{hint}")

    def _check_ignored_conf(self, first_datadir: Path) -> None:
        """A bitcoin.conf in the data directory that is not the one read is an error."""
        here = self.datadir / CONF_NAME
        if not here.exists():
            return
        if self.conf_path is None:
            self.notes.append(
                (
                    "info",
                    f'Data directory "{self.datadir}" contains a "{CONF_NAME}" file which is explicitly '
                    "ignored using -noconf.",
                )
            )
            return
        if self.conf_path.exists() and self.conf_path.samefile(here):
            return
        given = self.text("conf")
        source = f'command line argument "-conf={given}"' if given else f'data directory "{first_datadir}"'
        message = (
            f'Data directory "{self.datadir}" contains a "{CONF_NAME}" file which is ignored, because a '
            "different "
            f'configuration file "{self.conf_path}" from {source} is being used instead. Possible ways to '
            "address "
            f'this would be to:\n- Delete or rename the "{CONF_NAME}" file in data directory '
            f'"{self.datadir}".\n'
            "- Change datadir= or conf= options to specify one configuration file, not two, and use "
            "includeconf= to "
            "include any other configuration files."
        )
        if not self.flag("allowignoredconf"):
            raise ConfigError(
                f"{message}\n- Set allowignoredconf=1 option to treat this condition as a warning, not an "
                "error."
            )
        self.notes.append(("warning", message))

    # Reading

    def _sources(self, name: str, section: str) -> Iterator[tuple[str, _Values]]:
        if name in self.forced:
            yield "forced", _Values(self.forced[name])
        if name in self.command_line:
            yield "command line", _Values(self.command_line[name])
        if name in self.settings:
            yield "settings", _Values(_setting_values(self.settings[name]))
        if section and name in self.file.get(section, {}):
            yield "section", _Values(self.file[section][name])
        if name in self.file.get("", {}):
            yield "top", _Values(self.file[""][name])

    def _uses_top_section(self, name: str) -> bool:
        option = self.options.get(name)
        return self.network in ("", "main") or option is None or not option.network_only

    def _get(self, name: str, *, for_chain: bool = False) -> Value | None:
        section = "" if for_chain else self.network
        for source, values in self._sources(name, section):
            from_file = source in ("section", "top")
            if (
                source == "top"
                and not for_chain
                and not self._uses_top_section(name)
                and not values.last_negated
            ):
                continue
            if for_chain and values.last_negated:
                continue  # as in Core: -noregtest does not undo regtest=1 of the file
            if values.left:
                return values.left[0 if from_file and not for_chain else -1]
            if values.last_negated:
                return False
        return None

    def values(self, name: str) -> list[str]:
        """All values of an option that may be given more than once; empty if it is negated."""
        found: list[Value] = []
        done = negated_empty = False
        for source, values in self._sources(name, self.network):
            from_file = source in ("section", "top")
            if source == "top" and not self._uses_top_section(name):
                continue
            if not done or (from_file and not negated_empty):
                found += values.left
            done = done or values.negated or source == "forced"
            negated_empty = negated_empty or (values.last_negated and not found)
        return [_text(value) for value in found]

    def is_set(self, name: str) -> bool:
        return self._get(name) is not None

    def negated(self, name: str) -> bool:
        return self._get(name) is False

    def text(self, name: str, default: str = "") -> str:
        value = self._get(name)
        return default if value is None else _text(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._get(name)
        return default if value is None else value if isinstance(value, bool) else as_bool(value)

    def number(self, name: str, default: int = 0) -> int:
        value = self._get(name)
        return default if value is None else int(value) if isinstance(value, bool) else as_int(value)

    def soft_set(self, name: str, value: str) -> bool:
        """Sets an option that nobody set; tells whether it did."""
        if self._get(name) is not None:
            return False
        self.forced[name] = [value]
        return True

    # The chain and the paths

    def chain_name(self) -> str:
        """main, test, testnet4, signet, regtest, an own chain's, or an unknown name that -chain gave.

        Raises ConfigError.
        """
        picked = []
        for name in ("regtest", "signet", "testnet", "testnet4"):
            value = self._get(name, for_chain=True)
            if value is not None and (value if isinstance(value, bool) else as_bool(value)):
                picked.append("test" if name == "testnet" else name)
        chain = self._get("chain")
        if len(picked) + (chain is not None) > 1:
            raise ChainError(
                "Invalid combination of -regtest, -signet, -testnet, -testnet4 and -chain. Can use at most "
                "one."
            )
        if chain is None:
            return picked[0] if picked else "main"
        return self._own_chain_name(_text(chain)) or _text(chain)

    def _own_chain_name(self, given: str) -> str:
        """The name of the chain that the file `given` describes; "" if that is no path but a name.

        A relative path begins at the working directory; one in bitcoin.conf at the data directory.
        """
        if "/" not in given and not given.endswith(CHAIN_FILE_SUFFIX):
            return ""
        from .chain_file import read_chain

        folder = Path.cwd() if "chain" in self.command_line else self.datadir
        path = self._absolute(folder, given)
        if self.own_chain is None or path != self.own_chain_path:
            self.own_chain, self.own_chain_path = read_chain(path), path
        return self.own_chain.name

    def select_chain(self) -> str:
        name = self.chain_name()
        if self.own_chain is not None and name == self.own_chain.name:
            return name
        if name not in SECTIONS:
            raise ConfigError(f"Unknown chain {name}.")
        if name not in SUBDIRS:
            raise ConfigError("testnet3 is not supported. Consider using -testnet4.")
        return name

    @property
    def base_params(self) -> ChainParams:
        """The network's parameters before options change them (see node/network_options.py)."""
        if self.own_chain is not None:
            return self.own_chain
        from pybitcoind.chain.params import NETWORKS

        return NETWORKS[self.network]()

    def _datadir_exists(self) -> bool:
        given = self.text("datadir")
        return not given or Path(given).is_dir()

    @property
    def datadir(self) -> Path:
        """The base directory; -datadir must exist, the default is made."""
        given = self.text("datadir")
        if given:
            return Path(os.path.abspath(given))
        return Path(os.environ.get("HOME") or "/") / ".pybitcoind"

    @property
    def net_dir(self) -> Path:
        """The network's directory below datadir."""
        return self.datadir / self._subdir

    @property
    def _subdir(self) -> str:
        return SUBDIRS[self.network] if self.own_chain is None else self.own_chain.subdir

    @property
    def blocks_root(self) -> Path:
        """What blocks/ lies below: net_dir, or the network's part of -blocksdir. Raises ConfigError."""
        if not self.is_set("blocksdir"):
            return self.net_dir
        given = Path(os.path.abspath(self.text("blocksdir")))
        if not given.is_dir():
            raise ConfigError(f'Specified blocks directory "{self.text("blocksdir")}" does not exist.')
        return given / self._subdir

    @property
    def wallet_dir(self) -> Path:
        """Where the wallets are: wallets/ below net_dir, or -walletdir. Raises ConfigError."""
        if not self.is_set("walletdir"):
            return self.net_dir / "wallets"
        text = self.text("walletdir")
        given = Path(text)
        if not text or not given.exists():
            raise ConfigError(f'Specified -walletdir "{text}" does not exist')
        if not given.is_dir():
            raise ConfigError(f'Specified -walletdir "{text}" is not a directory')
        if not given.is_absolute():
            raise ConfigError(f'Specified -walletdir "{text}" is a relative path')
        return given.resolve()

    def path(self, name: str, default: str) -> Path | None:
        """A file option, relative to the network's directory; None if negated."""
        return self._path_below(self.net_dir, name, default)

    def _path_below(self, folder: Path, name: str, default: str) -> Path | None:
        if self.negated(name):
            return None
        return self._absolute(folder, self.text(name) or default)

    @staticmethod
    def _absolute(folder: Path, name: str) -> Path:
        return Path(os.path.normpath(folder / name))

    # Checks and what follows from one option for others

    def unsuitable_section_options(self) -> list[str]:
        """Network-only options that stand in the top section only and so would be ignored."""
        if self.network in ("", "main"):
            return []
        found = []
        for name in sorted(o.name for o in self.options.values() if o.network_only):
            sources = {source for source, values in self._sources(name, self.network) if values.left}
            if sources == {"top"}:
                found.append(name)
        return found

    def unknown_sections(self) -> list[str]:
        return [
            f"{file}:{line} Section [{section}] is not recognized."
            for section, file, line in self.sections_seen
            if section not in SECTIONS and section != self.network
        ]

    def apply_interactions(self) -> None:
        """Options that follow from others, each noted for the log as Core words it."""

        def soft(name: str, value: str, why: str) -> None:
            if self.soft_set(name, value):
                self.notes.append(("info", f"parameter interaction: {why} -> setting -{name}={value}"))

        self.soft_set("server", "1")
        if self.values("bind"):
            soft("listen", "1", "-bind set")
        if self.values("whitebind"):
            soft("listen", "1", "-whitebind set")
        if self.values("connect") or self.negated("connect") or self.number("maxconnections", 125) <= 0:
            soft("dnsseed", "0", "-connect or -maxconnections=0 set")
            soft("listen", "0", "-connect or -maxconnections=0 set")
        if self.text("proxy") not in ("", "0"):
            for name in ("listen", "natpmp", "discover"):
                soft(name, "0", "-proxy set")
        if not self.flag("listen", True):
            for name in ("natpmp", "discover", "listenonion", "i2pacceptincoming"):
                soft(name, "0", "-listen=0")
        if self.values("externalip"):
            soft("discover", "0", "-externalip set")
        if self.flag("blocksonly"):
            soft("whitelistrelay", "0", "-blocksonly=1")
            soft("maxmempool", "5", "-blocksonly=1")
        if self.flag("whitelistforcerelay"):
            soft("whitelistrelay", "1", "-whitelistforcerelay=1")
        nets = self.values("onlynet")
        if nets and not {"ipv4", "ipv6"} & {net.lower() for net in nets}:
            soft("dnsseed", "0", "-onlynet excludes IPv4 and IPv6")

    def log_lines(self) -> list[str]:
        """What was set where, for the log; secrets as "****"."""
        lines = []
        for section, options in sorted(self.file.items()):
            where = f"[{section}] " if section else ""
            lines += [f"Config file arg: {where}{line}" for line in self._set_lines(options)]
        for name, value in sorted(self.settings.items()):
            lines.append(f"Setting file arg: {name} = {json.dumps(value, ensure_ascii=False)}")
        lines += [f"Command-line arg: {line}" for line in self._set_lines(self.command_line)]
        return lines

    def _set_lines(self, options: dict[str, list[Value]]) -> Iterator[str]:
        for name, values in sorted(options.items()):
            for value in values:
                secret = self.options[name].sensitive
                yield f"{name}={'****' if secret else json.dumps(value, ensure_ascii=False)}"

    # settings.json

    def read_settings(self) -> None:
        """settings.json, made at run time (wallets to load). Raises ConfigError."""
        path = self.path("settings", "settings.json")
        if path is None or not path.exists():
            return
        failed = "Settings file could not be read"
        try:
            values = json.loads(path.read_text("utf-8"))
        except OSError:
            raise ConfigError(f"{failed}:\n- {path}. Please check permissions.") from None
        except ValueError:
            raise ConfigError(
                f"{failed}:\n- Settings file {path} does not contain valid JSON. This is probably caused by "
                "disk "
                "corruption or a crash, and can be fixed by removing the file, which will reset settings to "
                "default values."
            ) from None
        if not isinstance(values, dict):
            raise ConfigError(
                f"{failed}:\n- Found non-object value {json.dumps(values)} in settings file {path}"
            )
        values.pop("_warning_", None)
        self.settings = values
        for name in values:
            if _split_key(name)[1] not in self.options:
                self.notes.append(("warning", f"Ignoring unknown rw_settings value {name}"))

    def write_settings(self) -> None:
        """Replaces settings.json; does nothing with -nosettings. Raises ConfigError."""
        path = self.path("settings", "settings.json")
        if path is None:
            return
        content = {"_warning_": _SETTINGS_WARNING, **self.settings}
        temporary = path.with_name(path.name + ".tmp")
        try:
            replace_file(path, (pretty(content, 4) + "\n").encode(), beside=".tmp")
        except OSError:
            raise ConfigError(
                "Settings file could not be written:\n"
                f"- Error: Unable to open settings file {temporary} for writing"
            ) from None


def _setting_values(value: object) -> list[Value]:
    values = value if isinstance(value, list) else [value]
    return [v if isinstance(v, (str, bool)) else str(v) for v in values]


_SETTINGS_WARNING = (
    "This file is automatically generated and updated by Bitcoin Core. Please do not edit this file while "
    "the node "
    "is running, as any changes might be ignored or overwritten."
)
_REINDEX_IN_FILE = (
    "reindex=1 is set in the configuration file, which will significantly slow down startup. Consider "
    "removing or "
    "commenting out this option for better performance, unless there is currently a condition which makes "
    "rebuilding the indexes necessary"
)

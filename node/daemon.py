"""The daemon, from its options to its exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import warnings as python_warnings
from collections.abc import Callable, Sequence

from pybitcoind.chain import native
from pybitcoind.chain.storage.files import make_folders

from .app import Node
from .checks import check, check_connections, warnings
from .config import Config, ConfigError
from .interpreter import is_compiled
from .lock import DirectoryLock
from .log import DebugLog
from .options import help_message
from .ports import SystemClock
from .version import version_line

_ABOUT = (
    "\nThe pybitcoind daemon is a headless program that connects to the Bitcoin network to validate and "
    "relay transactions\nand blocks, as well as relaying addresses. It plays one of three roles: full node, "
    "miner or SPV node.\n\nUsage: pybitcoind [options]\n\n"
)
_LICENCE = (
    "Copyright (C) The pybitcoind developers\n\nDistributed under the MIT software license, see the "
    "accompanying file LICENSE.\n"
)


def help_wanted(config: Config) -> bool:
    return any(config.is_set(name) for name in ("?", "h", "help", "help-debug"))


def run(arguments: Sequence[str]) -> int:
    """Runs the daemon; the exit code. Nothing but errors and warnings goes to stderr."""
    os.umask(0o077)
    config = Config()
    try:
        config.parse_command_line(arguments)
        if help_wanted(config) or config.flag("version"):
            print(_usage(config), end="")
            return 0
        config.read_files()
        return _run(config)
    except ConfigError as error:
        return _init_error(str(error))
    except OSError as error:  # a disk that is full or read-only, a file where a directory should be
        return _init_error(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _usage(config: Config) -> str:
    if config.flag("version"):
        return version_line("daemon") + _LICENCE
    return version_line("daemon") + _ABOUT + help_message(config.flag("help-debug"))


def _init_error(message: str) -> int:
    sys.stderr.write(f"Error: {message.rstrip()}\n")
    return 1


def _run(config: Config) -> int:
    """From options to exit code. Raises ConfigError while nothing has started yet."""
    clock = SystemClock()
    log = DebugLog(lambda: clock.mock_time)
    log.info(version_line("daemon").rstrip())
    if native.part is not None:
        log.info("Transactions are read and common inputs proved by the part in C")
    if is_compiled():
        log.info("Blocks are read and checked by compiled modules")
    _make_directories(config)
    config.read_settings()
    config.write_settings()
    config.apply_interactions()
    for text in config.stderr_notes:
        sys.stderr.write(f"{text}\n")
    params = check(config)
    for text in warnings(config):
        sys.stderr.write(f"Warning: {text}\n")
        config.notes.append(("warning", text))
    log.configure(config)
    clock.set_mock_time(config.number("mocktime"))
    started: Callable[[bool], None] = _nobody_waits
    if config.flag("daemon") or config.flag("daemonwait"):
        from .daemonize import daemonize

        print("pybitcoind starting", flush=True)
        started = daemonize(wait=config.flag("daemonwait"))
    try:
        blocks = config.blocks_root / "blocks"
        make_folders(blocks)
        with DirectoryLock(config.net_dir), DirectoryLock(blocks), _PidFile(config, log) as pid_file:
            pid_file.write()
            _open_log(config, log)
            try:
                check_connections(config)
                node = Node(config, params, log, clock)
            except ConfigError as error:
                log.error(str(error))
                raise
            return _run_node(node, lambda: started(True))
    finally:
        started(False)
        log.close()


def _nobody_waits(success: bool) -> None:
    """Without -daemon."""


def _make_directories(config: Config) -> None:
    """A new data directory gets an empty wallets/, as in Core, whether or not there are wallets."""
    for folder in (config.datadir, config.net_dir):
        if not folder.is_dir():
            try:
                make_folders(folder / "wallets")
            except OSError as error:
                raise ConfigError(f"Cannot create directory '{folder}': {error.strerror}") from None


class _PidFile:
    """-pid, there as long as the node is: what is written within `with` is gone behind it, whenever a signal
    comes."""

    def __init__(self, config: Config, log: DebugLog) -> None:
        self._path, self._log = config.path("pid", "bitcoind.pid"), log
        self._written = False

    def __enter__(self) -> _PidFile:
        return self

    def write(self) -> None:
        """ConfigError where that cannot be."""
        if self._path is None:
            return
        self._written = True
        try:
            self._path.write_text(f"{os.getpid()}\n")
        except OSError as error:
            self._written = False
            reason = f"{error.strerror} ({error.errno})"
            raise ConfigError(f"Unable to create the PID file '{self._path}': {reason}") from None

    def __exit__(self, *_: object) -> None:
        if self._path is None or not self._written:
            return
        try:
            self._path.unlink()
        except OSError as error:
            reason = f"{error.strerror} ({error.errno})"
            self._log.warning(f"Unable to remove PID file ({self._path}): {reason}")


def _open_log(config: Config, log: DebugLog) -> None:
    for level, text in config.notes:
        (log.warning if level == "warning" else log.info)(text)
    try:
        log.open(shrink=config.flag("shrinkdebugfile", not any(log.categories().values())))
    except OSError:
        raise ConfigError(f"Could not open debug log file {log.path}") from None
    log.info(f"Using data directory {config.net_dir}")
    if config.conf_path is None:
        log.info("Config file: <disabled>")
    elif config.conf_path.exists():
        log.info(f"Config file: {config.conf_path}")
    else:
        log.info(f"Config file: {config.conf_path} (not found, skipping)")
    for line in config.log_lines():
        log.info(line)


def _run_node(node: Node, on_ready: Callable[[], None]) -> int:
    """The event loop's life. What a library wants to say goes to the log, never to stderr."""
    log = node.debug_log
    logging.lastResort = None
    handler = _LibraryMessages(log)
    logging.getLogger().addHandler(handler)

    def show_warning(message: object, category: type, filename: str, line: int, *_: object) -> None:
        log.warning(f"{filename}:{line}: {category.__name__}: {message}")

    python_warnings.showwarning = show_warning  # type: ignore[assignment]
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        code = loop.run_until_complete(node.run(on_ready))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()  # does not wait for a name that is still being looked up, as asyncio.run would
        for number in (signal.SIGINT, signal.SIGTERM):  # the loop has forgotten them, and the end is near
            signal.signal(number, signal.SIG_IGN)
    if node.error is not None:
        sys.stderr.write(f"{node.error_prefix}{node.error}\n")
    return code


class _LibraryMessages(logging.Handler):
    """asyncio's and other libraries' warnings and errors, for debug.log."""

    def __init__(self, log: DebugLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warning(f"{record.name}: {self.format(record)}")

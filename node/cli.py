"""pybitcoin-cli: one RPC call from the command line, with Core's options, output and exit codes.

Starts fast: nothing is imported but the options and http.client.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from . import cli_info
from .cli_params import Param, by_name, by_position
from .config import PORTS_FILE, Config, ConfigError
from .options import Category, Option, help_message
from .rpc.json_text import compact, pretty, read_keeping_numbers
from .stdout import reader_gone
from .version import version_line

RPC_PORTS = {"main": 8332, "testnet4": 48332, "signet": 38332, "regtest": 18443}
DEFAULT_TIMEOUT = 900
_METHOD_NOT_FOUND, _IN_WARMUP, _WALLET_NOT_SPECIFIED = -32601, -28, -19

_OPTIONS = (
    ("addrinfo", "", "Number of addresses known to the node, by network", Category.OPTIONS),
    ("chain", "<chain>", "Chain to use: main, testnet4, signet, regtest, or a file (TOML)", Category.CHAIN),
    ("color", "<when>", "Colours in -getinfo: always, auto, never (default: auto)", Category.OPTIONS),
    ("conf", "<file>", "Configuration file, relative to the data directory", Category.OPTIONS),
    ("datadir", "<dir>", "Data directory", Category.OPTIONS),
    ("generate", "", "Generate blocks to a new address of the wallet", Category.OPTIONS),
    ("getinfo", "", "General information from the server, readable", Category.OPTIONS),
    ("help", "", "Print this help message and exit (also -h or -?)", Category.OPTIONS),
    ("named", "", "Pass named instead of positional arguments (default: 0)", Category.OPTIONS),
    ("netinfo", "", "Connections of the server, readable; -netinfo 1 to 4 lists the peers", Category.OPTIONS),
    ("regtest", "", "Same as -chain=regtest", Category.CHAIN),
    (
        "rpcclienttimeout",
        "<n>",
        "Seconds to wait for the answer, 0: no limit (default: 900)",
        Category.OPTIONS,
    ),
    ("rpcconnect", "<ip>", "Send commands to this node (default: 127.0.0.1)", Category.OPTIONS),
    ("rpccookiefile", "<loc>", "Cookie file, relative to the network's directory", Category.OPTIONS),
    ("rpcid", "<id>", "Id of the request (default: 1)", Category.OPTIONS),
    ("rpcpassword", "<pw>", "Password for RPC", Category.OPTIONS),
    (
        "rpcport",
        "<port>",
        "Port of the server (default: what the node of the data directory reports, else the network's)",
        Category.OPTIONS,
    ),
    ("rpcuser", "<user>", "User name for RPC", Category.OPTIONS),
    ("rpcwait", "", "Wait for the server to start", Category.OPTIONS),
    ("rpcwaittimeout", "<n>", "Seconds to wait for the server, 0: no limit (default: 0)", Category.OPTIONS),
    ("rpcwallet", "<walletname>", "Wallet that the call is for", Category.OPTIONS),
    ("signet", "", "Same as -chain=signet", Category.CHAIN),
    ("stdin", "", "Read further arguments from standard input, one a line", Category.OPTIONS),
    ("stdinrpcpass", "", "Read the password for RPC from standard input", Category.OPTIONS),
    ("stdinwalletpassphrase", "", "Read the wallet's passphrase from standard input", Category.OPTIONS),
    ("testnet", "", "Same as -chain=test, which is not supported: use -testnet4", Category.CHAIN),
    ("testnet4", "", "Same as -chain=testnet4", Category.CHAIN),
    ("version", "", "Print version and exit", Category.OPTIONS),
)
_HIDDEN = ("h", "?", "signetchallenge", "signetseednode", "includeconf", "ipcconnect")
_NOT_NEGATABLE = ("color", "datadir", "rpcid", "rpcwaittimeout")
_COMMANDS = ("addrinfo", "generate", "getinfo", "netinfo")
_ABOUT = """
The pybitcoin-cli utility provides a command line interface to interact with a pybitcoind RPC server.

Use the "help" command to list all commands. Use "help <command>" to show help for that command.
The -named option allows you to specify parameters using the key=value format, eliminating the need to pass
unused positional parameters.

Usage: pybitcoin-cli [options] <command> [params]
or:    pybitcoin-cli [options] -named <command> [name=value]...
or:    pybitcoin-cli [options] help
or:    pybitcoin-cli [options] help <command>

"""


class CliError(Exception):
    """Ends the program with code 1; the text follows "error: "."""


class NotConnected(CliError):
    """The server cannot be reached, or is not ready; -rpcwait tries again."""


def options() -> dict[str, Option]:
    table = {}
    for name, param, text, category in _OPTIONS:
        table[name] = Option(
            name,
            f"={param}" if param else "",
            text,
            category,
            network_only=name == "rpcport",
            negatable=name not in _NOT_NEGATABLE,
            elidable=name != "rpcid",
        )
    for name in _HIDDEN:
        table[name] = Option(name, "", "", Category.HIDDEN)
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    config = Config(options())
    try:
        config.parse_command_line(arguments, commands=True)
    except ConfigError as error:
        return _complain(str(error))
    if not arguments or config.flag("version") or any(config.is_set(name) for name in ("h", "?", "help")):
        print(version_line("RPC client"), end="")
        if not config.flag("version"):
            print(_ABOUT + help_message(options=config.options), end="")
        return 0 if arguments else _complain("Error: too few parameters")
    try:
        config.read_files()
    except ConfigError as error:
        text = str(error)
        return _complain(text if text.startswith("Error reading") else f"Error: {text}")
    try:
        code, text = Cli(config).run()
    except CliError as error:
        code, text = 1, f"error: {error}"
    except KeyboardInterrupt:
        return 130
    if text:
        try:
            print(text, file=sys.stderr if code else sys.stdout, flush=True)
        except BrokenPipeError:
            return reader_gone()
    return code


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


class Cli:
    """One run."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._args = list(config.command)
        self._password = config.text("rpcpassword")
        self._wallet = (
            None
            if config.negated("rpcwallet") or not config.is_set("rpcwallet")
            else config.text("rpcwallet")
        )

    def run(self) -> tuple[int, str]:
        """Exit code and what to print."""
        self._read_stdin()
        commands = [name for name in _COMMANDS if self._config.is_set(name)]
        if len(commands) > 1:
            raise CliError(f"Only one of {', '.join('-' + name for name in commands)} may be specified.")
        if self._config.flag("getinfo"):
            return self._get_info()
        if self._config.flag("netinfo"):
            return self._net_info()
        if self._config.flag("generate"):
            return self._generate()
        if self._config.flag("addrinfo"):
            return self._address_info()
        if not self._args:
            raise CliError("too few parameters (need at least command)")
        method, *args = self._args
        return _printed(self._call(method, self._params(method, args)))

    def _read_stdin(self) -> None:
        config = self._config
        if config.flag("stdinrpcpass"):
            self._password = _line("RPC password> ", "-stdinrpcpass")
        if config.flag("stdinwalletpassphrase"):
            if not self._args or not self._args[0].startswith("walletpassphrase"):
                raise CliError("-stdinwalletpassphrase is only applicable for walletpassphrase(change)")
            self._args.insert(1, _line("Wallet passphrase> ", "-stdinwalletpassphrase"))
        if config.flag("stdin"):
            self._args += sys.stdin.read().splitlines()

    # Arguments

    def _params(self, method: str, args: list[str]) -> Any:
        if self._config.flag("named"):
            return _named_params(method, args)
        return [_converted(by_position(method, i), text) for i, text in enumerate(args)]

    # The server

    def _call(self, method: str, params: Any) -> dict[str, Any]:
        request_id = self._config.text("rpcid", "1")
        reply = self._request({"method": method, "params": params, "id": request_id, "jsonrpc": "2.0"})
        if not isinstance(reply, dict) or not reply:
            raise CliError("expected reply to have result, error and id properties")
        return reply

    def _batch(self, *methods: str) -> list[dict[str, Any]]:
        calls = [
            {"method": method, "params": None, "id": i, "jsonrpc": "2.0"} for i, method in enumerate(methods)
        ]
        reply = self._request(calls)
        if not isinstance(reply, list):
            raise CliError("Batch must be an array")
        found = {str(member.get("id")): member for member in reply}
        return [found.get(str(i), {}) for i in range(len(methods))]

    def _request(self, content: Any) -> Any:
        """Sends one request; with -rpcwait again and again until the server is there and warm."""
        config = self._config
        wait, limit = config.flag("rpcwait"), config.number("rpcwaittimeout", 0)
        deadline = time.monotonic() + limit
        while True:
            try:
                reply = self._send(content)
                if wait and isinstance(reply, dict) and _code(reply) == _IN_WARMUP:
                    raise NotConnected("server in warmup")
                return reply
            except NotConnected as error:
                if not wait or (limit > 0 and time.monotonic() >= deadline):
                    raise NotConnected(f"timeout on transient error: {error}") from None
            time.sleep(1)

    def _send(self, content: Any) -> Any:
        host, port = self._endpoint()
        credentials, trouble = self._credentials()
        headers = {
            "Content-Type": "application/json",
            "Connection": "close",
            "Authorization": "Basic " + b64encode(credentials.encode("utf-8", "surrogateescape")).decode(),
        }
        timeout = self._config.number("rpcclienttimeout", DEFAULT_TIMEOUT)
        connection = http.client.HTTPConnection(host, port, timeout=timeout if timeout > 0 else None)
        path = "/" if self._wallet is None else f"/wallet/{quote(self._wallet, safe='')}"
        body = (compact(content) + "\n").encode("utf-8", "surrogateescape")
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            status, text = response.status, response.read().decode("utf-8", "replace")
        except TimeoutError:
            raise NotConnected(_cannot_connect(host, port, ' (error code 0 - "timeout reached")')) from None
        except http.client.HTTPException:
            raise NotConnected(_cannot_connect(host, port, ' (error code 1 - "EOF reached")')) from None
        except OSError:
            raise NotConnected(_cannot_connect(host, port, "")) from None
        finally:
            connection.close()
        if status == 401:
            raise CliError(
                f"Authorization failed: {trouble} Configuration file: ({self._config.conf_path or ''})"
            )
        if status == 503:
            raise CliError(f"Server response: {text}")
        if status >= 400 and status not in (400, 404, 500):
            raise CliError(f"server returned HTTP error {status}")
        if not text:
            raise CliError("no response from server")
        try:
            return read_keeping_numbers(text)
        except ValueError:
            raise CliError("couldn't parse reply from server") from None

    def _endpoint(self) -> tuple[str, int]:
        given = self._config.text("rpcconnect", "127.0.0.1")
        host, port = _split(given)
        reported = None if self._config.is_set("rpcconnect") else self._reported_port()
        if reported and self._config.text("rpcport", "0") == "0":
            return host, reported
        if self._config.is_set("rpcport"):
            text = self._config.text("rpcport")
            if not text.isdecimal() or not 0 < int(text) < 65536:
                raise CliError(f"Invalid port provided in -rpcport: {text}")
            if port:
                print(
                    f"Warning: Port specified in both -rpcconnect and -rpcport. Using -rpcport {text}",
                    file=sys.stderr,
                )
            port = int(text)
        own = self._config.own_chain
        return host, port or (RPC_PORTS[self._config.network] if own is None else own.rpc_port)

    def _reported_port(self) -> int | None:
        """Where the node of this data directory says that it listens: it may have taken a free port."""
        try:
            ports = json.loads((self._config.net_dir / PORTS_FILE).read_text())
        except (OSError, ValueError):
            return None
        return port if isinstance(ports, dict) and isinstance(port := ports.get("rpc"), int) else None

    def _credentials(self) -> tuple[str, str]:
        """user:password, and what to say if they are refused."""
        if self._password:
            return (
                f"{self._config.text('rpcuser')}:{self._password}",
                "Incorrect rpcuser or rpcpassword were specified.",
            )
        path = self._config.path("rpccookiefile", ".cookie")
        if path is None:
            return "", "Cookie file was disabled via -norpccookiefile and no rpcpassword was specified."
        try:
            cookie = path.read_text().split("\n")[0]
        except OSError:
            return "", "Failed to read cookie file and no rpcpassword was specified."
        return cookie, "Cookie file credentials were invalid and no rpcpassword was specified."

    # Commands of our own

    def _get_info(self) -> tuple[int, str]:
        if self._args:
            raise CliError("-getinfo takes no arguments")
        network, chain, wallet, balances = self._batch(
            "getnetworkinfo", "getblockchaininfo", "getwalletinfo", "getbalances"
        )
        for reply in (network, chain):
            if reply.get("error"):
                return _printed(reply)
        by_wallet: dict[str, str] = {}
        if self._wallet is None:
            names = self._call("listwallets", []).get("result") or []
            if len(names) > 1:
                for name in names:
                    self._wallet = name
                    by_wallet[name] = self._call("getbalances", [])["result"]["mine"]["trusted"]
        color = self._config.text("color", "auto")
        if color not in ("always", "auto", "never"):
            raise CliError("Invalid value for -color option. Valid values: always, auto, never.")
        colors = color == "always" or (color == "auto" and os.isatty(1))
        return 0, cli_info.get_info(
            network["result"],
            chain["result"],
            wallet.get("result"),
            balances.get("result"),
            by_wallet,
            colors,
        )

    def _net_info(self) -> tuple[int, str]:
        if self._args[:1] in (["h"], ["help"]):
            return 0, cli_info.NETINFO_HELP
        hint = "For more information, run: pybitcoin-cli -netinfo help"
        level = 0
        if self._args:
            if not self._args[0].isdecimal() or int(self._args[0]) > 255:
                raise CliError(f"invalid -netinfo level argument: {self._args[0]}\n{hint}")
            level = min(int(self._args[0]), 4)
        outbound_only = False
        if len(self._args) > 1:
            if level == 0:
                raise CliError(
                    f"invalid -netinfo outonly argument: {self._args[1]}\nThe outonly argument is only valid "
                    "for a "
                    f"level greater than 0 (the first argument). {hint}"
                )
            if self._args[1] not in ("o", "outonly"):
                raise CliError(f"invalid -netinfo outonly argument: {self._args[1]}\n{hint}")
            outbound_only = True
        peers, network = self._batch("getpeerinfo", "getnetworkinfo")
        for reply in (peers, network):
            if reply.get("error"):
                return _printed(reply)
        return 0, cli_info.net_info(
            peers["result"], network["result"], self._config.network, level, outbound_only, time.time()
        )

    def _generate(self) -> tuple[int, str]:
        address = self._call("getnewaddress", [])
        if address.get("error"):
            return _printed(address)
        args = self._args
        if len(args) > 2:
            raise CliError("too many arguments (maximum 2 for nblocks and maxtries)")
        if args and args[0] == "0":
            raise CliError(
                "the first argument (number of blocks to generate, default: 1) must be an integer value "
                "greater than zero"
            )
        texts = [args[0] if args else "1", address["result"], *args[1:]]
        params = [_converted(by_position("generatetoaddress", i), text) for i, text in enumerate(texts)]
        reply = self._call("generatetoaddress", params)
        if reply.get("error"):
            return _printed(reply)
        return _printed({"result": {"address": address["result"], "blocks": reply["result"]}})

    def _address_info(self) -> tuple[int, str]:
        if self._args:
            raise CliError("-addrinfo takes no arguments")
        reply = self._call("getaddrmaninfo", [])
        if reply.get("error"):
            return _printed(reply)
        counts = {
            "total" if network == "all_networks" else network: numbers["total"]
            for network, numbers in reply["result"].items()
        }
        return _printed({"result": {"addresses_known": counts}})


def _converted(param: Param | None, text: str) -> Any:
    """An argument as JSON where the table says so, else as text. Raises CliError."""
    if param is None or param.format == "text":
        return text
    try:
        return read_keeping_numbers(text)
    except ValueError:
        if param.format == "either":
            return text
        raise CliError(f"Error parsing JSON: {text}") from None


def _named_params(method: str, args: list[str]) -> dict[str, Any]:
    """NAME=VALUE arguments, mixed with positional ones, which go to "args"."""
    named: dict[str, Any] = {}
    positional: list[Any] = []
    for text in args:
        name, equals, value = text.partition("=")
        here = by_position(method, len(positional))
        if not equals:
            positional.append(_converted(here, text))
            continue
        param = by_name(method, name)
        if param is None and here is not None:
            if here.format == "text":
                positional.append(text)
                continue
            if here.format == "json":
                try:
                    positional.append(read_keeping_numbers(text))
                    continue
                except ValueError:
                    pass
        named[name] = _converted(param, value)
    if positional:
        named["args"] = positional
    return named


def _split(text: str) -> tuple[str, int]:
    """Host and port (0: none given) of "host", "host:port" or "[host]:port"."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        return text.strip("[]"), 0
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise CliError(f"Invalid port provided in -rpcconnect: {text}")
    return host.strip("[]"), int(port)


def _line(prompt: str, option: str) -> str:
    """One line of standard input; asked for, unseen, on a terminal."""
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass(prompt)
    line = sys.stdin.readline()
    if not line:
        raise CliError(f"{option} specified but failed to read from standard input")
    return line.rstrip("\n")


def _code(reply: dict[str, Any]) -> int:
    error = reply.get("error")
    return int(error["code"]) if isinstance(error, dict) and "code" in error else 0


def _printed(reply: dict[str, Any]) -> tuple[int, str]:
    """Exit code and text for a reply."""
    error = reply.get("error")
    if error is None:
        result = reply.get("result")
        if result is None:
            return 0, ""
        is_text = isinstance(result, str) and type(result) is str
        return 0, result if is_text else pretty(result, 2)
    code = _code(reply)
    text = f"error code: {code}\nerror message:\n{error.get('message', '')}"
    if code == _WALLET_NOT_SPECIFIED:
        text += (
            ' Or for the CLI, specify the "-rpcwallet=<walletname>" option before the command (run '
            '"bitcoin-cli -h" '
            'for help or "bitcoin-cli listwallets" to see which wallets are currently loaded).'
        )
    return abs(code) & 0xFF, text


def _cannot_connect(host: str, port: int, detail: str) -> str:
    return (
        f"Could not connect to the server {host}:{port}{detail}\n\n"
        "Make sure the bitcoind server is running and that you are connecting to the correct RPC port.\n"
        'Use "bitcoin-cli -help" for more info.'
    )


if __name__ == "__main__":
    sys.exit(main())

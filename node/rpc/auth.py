"""Who may call: the cookie, rpcuser/rpcpassword, rpcauth, and which methods each user may call."""

from __future__ import annotations

import binascii
import hmac
import os
import secrets
from base64 import b64decode
from pathlib import Path

from pybitcoind.chain.ports import Log

from ..config import Config

COOKIE_USER = "__cookie__"
_COOKIE_MODES = {"owner": 0o600, "group": 0o640, "all": 0o644}


class AuthError(Exception):
    """The options for authentication are wrong, or the cookie cannot be written; the log has the details."""


def hashed(salt: str, password: str) -> str:
    """The hash of an rpcauth entry: HMAC-SHA256 of the password, with the salt's text as key."""
    return hmac.digest(salt.encode(), password.encode("utf-8", "surrogateescape"), "sha256").hex()


class Credentials:
    """Names and hashed passwords from the options; owns the cookie file while the server runs."""

    def __init__(self, config: Config, log: Log) -> None:
        self._users: list[tuple[str, str, str]] = []
        self._cookie: Path | None = None
        if config.text("rpcpassword"):
            log.info("Using rpcuser/rpcpassword authentication.")
            log.warning(
                "The use of rpcuser/rpcpassword is less secure, because credentials are configured in plain "
                "text. It is recommended that locally-run instances switch to cookie-based auth, or "
                "otherwise to use hashed rpcauth credentials. See share/rpcauth in the source directory for "
                "more information."
            )
            self._add(config.text("rpcuser"), config.text("rpcpassword"))
        else:
            self._write_cookie(config, log)
        entries = config.values("rpcauth")
        if entries:
            log.info("Using rpcauth authentication.")
        for entry in entries:
            try:
                self._add_rpcauth(entry)
            except AuthError:
                log.warning("Invalid -rpcauth argument.")
                self.remove_cookie(log)
                raise

    def _add(self, user: str, password: str) -> None:
        salt = secrets.token_hex(16)
        self._users.append((user, salt, hashed(salt, password)))

    def _add_rpcauth(self, entry: str) -> None:
        """USER:SALT$HASH."""
        fields = entry.split(":")
        salted = fields[-1].split("$")
        if len(fields) != 2 or len(salted) != 2:
            raise AuthError
        self._users.append((fields[0], salted[0], salted[1]))

    def _write_cookie(self, config: Config, log: Log) -> None:
        mode = 0o600
        if config.is_set("rpccookieperms"):
            word = config.text("rpccookieperms")
            if word not in _COOKIE_MODES:
                log.error(f"Invalid -rpccookieperms={word}; must be one of 'owner', 'group', or 'all'.")
                raise AuthError
            mode = _COOKIE_MODES[word]
        path = config.path("rpccookiefile", ".cookie")
        if path is None:
            log.info("RPC authentication cookie file generation is disabled.")
            return
        password = secrets.token_hex(32)
        temporary = path.with_name(path.name + ".tmp")
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(f"{COOKIE_USER}:{password}")
            temporary.chmod(mode)
            temporary.replace(path)
        except OSError:
            log.warning(f"Unable to open cookie authentication file {temporary} for writing")
            raise AuthError from None
        self._cookie = path
        self._add(COOKIE_USER, password)
        log.info(f"Generated RPC authentication cookie {path}")
        log.info(f"Permissions used for cookie: {_mode_text(mode)}")
        log.info("Using random cookie authentication.")

    def remove_cookie(self, log: Log) -> None:
        if self._cookie is not None:
            try:
                self._cookie.unlink()
            except OSError as error:
                log.warning(
                    f"Unable to remove random auth cookie file {self._cookie}: "
                    f"{os.strerror(error.errno or 0)}"
                )
            self._cookie = None

    def user(self, header: str) -> str | None:
        """The user whom an Authorization header proves; None if it proves nobody."""
        if not header.startswith("Basic "):
            return None
        try:
            text = b64decode(header[6:].strip(), validate=True).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return None
        user, colon, password = text.partition(":")
        if not colon:
            return None
        for name, salt, wanted in self._users:
            if hmac.compare_digest(
                name.encode("utf-8", "surrogateescape"), user.encode("utf-8", "surrogateescape")
            ):
                found = hashed(salt, password)
                if hmac.compare_digest(found.encode(), wanted.encode("utf-8", "surrogateescape")):
                    return user
        return None


def _mode_text(mode: int) -> str:
    return "".join(letter if mode >> (8 - i) & 1 else "-" for i, letter in enumerate("rwxrwxrwx"))


class Whitelist:
    """-rpcwhitelist=USER:method,method and -rpcwhitelistdefault."""

    def __init__(self, config: Config) -> None:
        entries = config.values("rpcwhitelist")
        self._default_closed = config.flag("rpcwhitelistdefault", bool(entries))
        self._methods: dict[str, frozenset[str]] = {}
        for entry in entries:
            user, colon, names = entry.partition(":")
            known = self._methods.get(user)
            if not colon:
                self._methods.setdefault(user, frozenset())
                continue
            methods = frozenset(names.replace(",", " ").split(" "))
            self._methods[user] = methods if known is None else known & methods

    def closed_for(self, user: str) -> bool:
        """This user may call nothing at all."""
        return self._default_closed and user not in self._methods

    def limits(self, user: str) -> bool:
        return user in self._methods

    def allows(self, user: str, method: str) -> bool:
        methods = self._methods.get(user)
        return method in methods if methods is not None else not self._default_closed

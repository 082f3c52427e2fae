"""Asks for web pages as a browser would, and looks at what comes: for tests of the explorer and the board."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class TooMany(Exception):
    """The server takes no further stream."""


@dataclass
class Page(HTMLParser):
    """A page as read: status, headers, body; text: what one reads; elements: (tag, attributes) in order."""

    status: int
    headers: dict[str, str]
    body: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What is not well-formed."""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        if "html" in self.headers.get("Content-Type", ""):
            self.feed(self.body)
            self.close()
            self.wrong += [f"<{tag}> stays open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self._open[-1:]}")
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    @property
    def links(self) -> list[str]:
        return [attrs["href"] for tag, attrs in self.elements if tag == "a" and "href" in attrs]

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and all(attrs.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


class WebClient:
    """One browser: it keeps cookies, and follows redirects where it is told to."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def ask(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, body: str | None = None
    ) -> Page:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = dict(headers or {})
            if self.cookies:
                sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            for cookie in answer.headers.get_all("Set-Cookie", []):
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
            content = answer.read().decode()
            return Page(answer.status, dict(answer.headers), content)
        finally:
            connection.close()

    def get(self, path: str, status: int = 200, *, follow: bool = True, **headers: str) -> Page:
        """A page with the status it must have; it is well-formed."""
        page = self.ask("GET", path, headers=headers)
        while follow and page.status in (302, 303):
            page = self.ask("GET", page.headers["Location"], headers=headers)
        assert page.status == status, f"{path[:200]}: {page.status}\n{page.text[:1000]}"
        assert not page.wrong, f"{path}: {page.wrong}"
        return page

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Page:
        sent = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        return self.ask("POST", path, headers=sent, body=urlencode(fields))

    @contextmanager
    def events(self, path: str = "/events") -> Iterator[Iterator[tuple[str, Any]]]:
        """The stream's events as (name, data), while the block lasts."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            connection.request("GET", path, headers={"Cookie": cookies} if cookies else {})
            answer = connection.getresponse()
            if answer.status == 503:
                raise TooMany(answer.read().decode())
            assert answer.status == 200, answer.read()[:2000]
            assert answer.headers["Content-Type"] == "text/event-stream"
            yield _events(answer)
        finally:
            connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, Any]]:
    name = ""
    while line := answer.readline():
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:])

"""A headless Chromium that does what a test says, over its debugging pipe: no driver, no port, no network.

with Browser.start(chromium, folder) as browser:
    page = browser.open("http://127.0.0.1:.../")
    page.press("Tab")
    assert page.js("document.activeElement.textContent") == "..."
    assert page.complaints == []
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

LIMIT = 60.0
"""Real seconds after which a wait fails: for broken code only."""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27}


def find_chromium() -> str | None:
    """CHROMIUM names it; else what is on the path."""
    return os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )


class Browser:
    """The process and its pipe. Messages without an answer's id are events, kept in order."""

    def __init__(self, process: subprocess.Popen[bytes], out: int, into: int) -> None:
        self._process, self._out, self._into = process, out, into
        self._rest = b""
        self._last_id = 0
        self.events: list[dict[str, Any]] = []

    @classmethod
    def start(cls, chromium: str, folder: Path) -> Self:
        """folder: for its profile; a new one."""
        read_end, out = os.pipe()
        into, write_end = os.pipe()
        low = read_end, write_end
        read_end, write_end = (
            fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in low
        )  # out of the way of 3 and 4
        for end in low:
            os.close(end)
        # Chromium wants the pipe at 3 and 4, the shell puts it there (sh knows no numbers above 9)
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{read_end} 4>&{write_end}', chromium, *FLAGS]
        process = subprocess.Popen(
            [*command, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(read_end, write_end),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read_end)
        os.close(write_end)
        return cls(process, out, into)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._out)
        os.close(self._into)

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """A command's result; AssertionError where the browser says no."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + LIMIT
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self, deadline: float) -> dict[str, Any]:
        """The next message; events are noted too."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._into], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._into, 1 << 20)
            assert data, "the browser ended"
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "id" not in message:
            self.events.append(message)
        return message

    def wait(self, what: str, condition: Callable[[], Any]) -> Any:
        """The first true value of condition, looked at after every message and now and then."""
        deadline = time.monotonic() + LIMIT
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited for {what}"
            if b"\0" in self._rest or select.select([self._into], [], [], 0.02)[0]:
                self._read(deadline)
        return value

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        """A new tab, loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.go(url)
        return page


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self._session, self._target = browser, session, target

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self.browser.call(method, self._session, **params)

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self._target)

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self.browser.events
            if event["method"] == method and event.get("sessionId") == self._session
        ]

    def go(self, url: str) -> None:
        before = len(self._events("Page.loadEventFired"))
        self.call("Page.navigate", url=url)
        self.browser.wait(f"{url} to load", lambda: len(self._events("Page.loadEventFired")) > before)

    def js(self, expression: str) -> Any:
        """The value of an expression; a promise is awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def until(self, expression: str) -> Any:
        """The first true value of the expression."""
        return self.browser.wait(expression, lambda: self.js(expression))

    def press(self, key: str) -> None:
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)

    def first_paint(self) -> float:
        """Milliseconds from the navigation to the first contents."""
        found = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        return float(self.until(found))

    def soonest_paint(self, wanted: float, tries: int = 15) -> float:
        """The best of some loads, up to one that is good enough: others use the machine too."""
        best = self.first_paint()
        while best >= wanted and tries > 0:
            self.go(str(self.js("location.href")))
            best, tries = min(best, self.first_paint()), tries - 1
        return best

    @property
    def complaints(self) -> list[str]:
        """What the console has of errors, and what failed to load."""
        found = [event["exceptionDetails"]["text"] for event in self._events("Runtime.exceptionThrown")]
        for event in self._events("Log.entryAdded"):
            if event["entry"]["level"] in ("error", "warning"):
                found.append(event["entry"]["text"])
        for event in self._events("Runtime.consoleAPICalled"):
            if event["type"] in ("error", "warning", "assert"):
                found.append(str(event["args"]))
        return found

    @property
    def asked_for(self) -> list[str]:
        """The addresses of all that was loaded."""
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]

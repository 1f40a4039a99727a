"""A headless Chromium that tests talk to over two pipes, with the standard library alone.

Speaks the DevTools protocol: a JSON message each way, ended by a zero byte. `Browser.open` gives back what the page
asked the network for and what it complained about, so that a test can say: nothing.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """One page in one browser, which ends with the `with` block."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900, seconds: float = 60.0) -> None:
        self.seconds, self.count, self.rest = seconds, 0, b""
        self.requests: list[str] = []
        self.complaints: list[str] = []
        theirs_in, self.to = os.pipe()
        self.answers, theirs_out = os.pipe()
        # The protocol is spoken on the descriptors 3 and 4, which a shell puts in place.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        arguments = [CHROMIUM or "chromium", *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", command, *arguments], pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self.to)
        os.close(self.answers)

    def ask(self, method: str, **parameters: object) -> dict:
        """What the browser answers to one call of the protocol."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self.count:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def _next(self) -> dict:
        end = time.monotonic() + self.seconds
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.answers], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the browser said nothing for {self.seconds:g} s"
            self.rest += os.read(self.answers, 2**20)
        raw, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(raw)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, told: dict) -> None:
        if event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(told["entry"]["text"])

    def open(self, page: Path | str) -> None:
        """Load a file, or what an address gives, and wait until its scripts have run."""
        url = page.as_uri() if isinstance(page, Path) else page
        self.ask("Page.navigate", url=url)
        end = time.monotonic() + self.seconds
        there = f"document.readyState + location.href.startsWith({json.dumps(url.split(':')[0])})"
        while self.run(there) != "completetrue":
            assert time.monotonic() < end, "the page did not load"

    def run(self, expression: str) -> object:
        """The value of an expression in the page; promises are waited for."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @contextmanager
    def phone(self) -> Iterator[None]:
        """While this lasts the window is as narrow as that of a phone."""
        self.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=1, mobile=False)
        try:
            yield
        finally:
            self.ask("Emulation.clearDeviceMetricsOverride")

    @contextmanager
    def renamed(self, selector: str, words: str) -> Iterator[None]:
        """While this lasts all elements of a selector have other words."""
        found = f"[...document.querySelectorAll({json.dumps(selector)})]"
        were = self.run(f"{found}.map(e => e.textContent)")
        self.run(f"{found}.forEach(e => e.textContent = {json.dumps(words)})")
        try:
            yield
        finally:
            self.run(f"{found}.forEach((e, at) => e.textContent = {json.dumps(were)}[at])")

    def fits(self) -> bool:
        """Whether nothing of the page lies beyond the sides of the window."""
        return bool(self.run("document.documentElement.scrollWidth <= innerWidth"))

    def prefer(self, colours: str) -> None:
        """Colours that the system is said to have: light, or dark."""
        feature = {"name": "prefers-color-scheme", "value": colours}
        self.ask("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str) -> None:
        """A key goes down and up."""
        self.key("keyDown", key)
        self.key("keyUp", key)

    def key(self, kind: str, key: str) -> None:
        """A key goes down (keyDown), or up (keyUp)."""
        text = {"text": key} if len(key) == 1 and kind == "keyDown" else {}
        self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """The left button goes down at one place of the window and up at another."""
        for kind, at in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.mouse(kind, at)

    def mouse(self, kind: str, at: tuple[float, float]) -> None:
        """The left button goes down (mousePressed) or up (mouseReleased), or the pointer moves with it."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", buttons=1, clickCount=1)

    def wheel(self, at: tuple[float, float], by: float) -> None:
        """The wheel turns by so many pixels, towards the hand where that is positive."""
        self.ask("Input.dispatchMouseEvent", type="mouseWheel", x=at[0], y=at[1], deltaX=0, deltaY=by)

    def screenshot(self, whole: bool = False) -> bytes:
        """The window, or the whole page, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

"""A real browser for tests: headless Chromium, driven over its DevTools pipe (JSON, NUL-terminated, on 3 and 4)."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .waiting import until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
#: Root has no user namespace of its own to make a sandbox in; nothing here speaks to the network beyond loopback.
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--force-prefers-reduced-motion",
    "--window-size=1280,1000",
)
#: Seconds within which the browser answers any command.
ANSWERS_WITHIN = 60.0
#: Elements of a CSS selector that a person sees, with this text if one is given.
SEEN = """
const seen = (selector, text) => [...document.querySelectorAll(selector)].filter(
  (e) => e.getClientRects().length && (text === null || e.textContent.trim() === text));
"""


def program() -> str | None:
    """The browser of this machine, if it has one."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class DevToolsError(Exception):
    """The browser refused a command, or a script in the page threw."""


class Browser:
    """One browser process with a profile of its own; each page has its own cookies."""

    def __init__(self, executable: str, profile: Path) -> None:
        commands, self._commands = _pipe()
        self._answers, answers = _pipe()
        # Bash, since dash cannot redirect to descriptors above 9.
        redirect = f'exec "$@" 3<&{commands} 4>&{answers} {commands}<&- {answers}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(commands, answers),
            # What it makes in the folder for temporary files it does not always take away.
            env={**os.environ, "HOME": str(profile), "TMPDIR": str(profile)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._rest = b""
        #: What scripts of pages threw and did not catch.
        self.errors: list[str] = []

    def page(self) -> Page:
        """A new page, as a person who was never here sees it."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        page.call("Page.enable")
        page.call("Runtime.enable")
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Give one command and return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:2000])
            if answer.get("id") == number:
                break
        if "error" in answer:
            raise DevToolsError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + ANSWERS_WITHIN
        while b"\0" not in self._rest:
            if not select.select([self._answers], [], [], max(0, end - time.monotonic()))[0]:
                raise DevToolsError("the browser does not answer")
            if not (more := os.read(self._answers, 1 << 20)):
                raise DevToolsError("the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        """End the browser and everything it started."""
        os.close(self._commands)
        os.close(self._answers)
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Page:
    """What a person does with a page: look, click, type. Everything waits until it can be done."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Go to an address; the page need not be whole yet."""
        failed = self.call("Page.navigate", url=url).get("errorText")
        if failed:
            raise DevToolsError(f"{url}: {failed}")

    def ask(self, script: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise DevToolsError(f"{script}: {json.dumps(found['exceptionDetails'])}")
        return found["result"].get("value")

    def when(self, script: str) -> Any:
        """The value of an expression once it is true; a page that is just being left counts as not yet."""

        def probe() -> Any:
            try:
                return self.ask(script)
            except DevToolsError:
                return None

        try:
            return until(script, probe)
        except pytest.fail.Exception as failure:
            shown = self.ask("location.href + '\\n' + document.body.innerText.slice(0, 2000)")
            pytest.fail(f"{failure}\nthe page shows {shown}")

    def look(self, selector: str, text: str | None = None) -> str:
        """Wait until such an element is to be seen; its text."""
        found = self.when(_seen(selector, text, "found.length ? [found[0].innerText] : null"))
        return found[0]

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements that are to be seen now."""
        return self.ask(_seen(selector, None, "found.map((e) => e.innerText)"))

    def click(self, selector: str, text: str | None = None) -> None:
        """Click where the element is, once nothing lies over it and it is enabled."""
        place = """
          const [e] = found; if (!e || e.disabled) return null;
          e.scrollIntoView({block: "center", behavior: "instant"});
          const box = e.getBoundingClientRect(), x = box.x + box.width / 2, y = box.y + box.height / 2;
          const top = document.elementFromPoint(x, y);
          return top && (e === top || e.contains(top)) ? [x, y] : null;"""
        x, y = self.when(f"(() => {{ {SEEN} const found = {_found(selector, text)}; {place} }})()")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Click into a field and type."""
        self.click(selector)
        self.when(f"document.activeElement === document.querySelector({json.dumps(selector)})")
        self.call("Input.insertText", text=text)

    def picture(self, selector: str) -> bytes:
        """A screenshot (PNG) of one element, once its image is complete."""
        whole = "found.length && found[0].complete && found[0].naturalWidth"
        self.when(_seen(selector, None, whole))
        box = self.ask(
            _seen(
                selector, None, "(({x, y, width, height}) => ({x, y, width, height}))(found[0].getBoundingClientRect())"
            )
        )
        shot = self.call("Page.captureScreenshot", format="png", clip={**box, "scale": 1})
        return base64.b64decode(shot["data"])


def _found(selector: str, text: str | None) -> str:
    return f"seen({json.dumps(selector)}, {json.dumps(text)})"


def _seen(selector: str, text: str | None, result: str) -> str:
    return f"(() => {{ {SEEN} const found = {_found(selector, text)}; return {result}; }})()"


def _pipe() -> tuple[int, int]:
    """Both ends above the descriptors that the browser wants."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends[0], ends[1]

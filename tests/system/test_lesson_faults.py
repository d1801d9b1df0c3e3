"""The fifth lesson: a slow and a failing catalogue, and what a person at the shop sees of it."""

from __future__ import annotations

import time

import pytest

from .browser import Browser
from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

SOCKS = "/catalogue/size"
#: Seconds: longer than a browser on a busy machine takes for the page.
DELAY = 9.0
#: Within this the shop answers when nothing delays it.
PROMPT = 4.0


def proxy_log(mesh: Mesh) -> str:
    """The access log of the sidecar that calls the catalogue."""
    return mesh.kubectl("logs", "-n", "sock-shop", "deploy/front-end-v1", "-c", "istio-proxy", "--tail=400").stdout


def healthy(mesh: Mesh) -> bool:
    return '"size":9' in mesh.curl(SOCKS, "--max-time", f"{PROMPT:.0f}").stdout


def test_with_a_delay_the_page_comes_at_once_and_the_socks_later(lesson: Mesh, browser: Browser) -> None:
    until("socks", lambda: healthy(lesson))
    given = (LESSONS / "catalogue-delay.yaml").read_text()
    assert "fixedDelay: 30s" in given
    lesson.kubectl("apply", "-f", "-", given=given.replace("30s", f"{DELAY:.0f}s"))
    # curl's limit is below the delay: what it gives up on is delayed.
    until("the delay", lambda: not healthy(lesson))
    page = browser.page()
    begun = time.monotonic()
    page.open(lesson.url("/"))
    page.look("#howdy-item, #login a")
    assert page.look(".brand img") == ""
    assert page.texts("#hot-slider h3") == [], "the page is there, its socks are not"
    page.look("#hot-slider h3", "Holy")
    assert time.monotonic() - begun >= DELAY
    until("flag DI", lambda: any(" DI " in line for line in proxy_log(lesson).splitlines() if SOCKS in line))


def test_with_an_abort_there_are_no_socks(lesson: Mesh, browser: Browser) -> None:
    until("socks", lambda: healthy(lesson))
    lesson.kubectl("apply", "-f", str(LESSONS / "catalogue-abort.yaml"))
    until("the abort", lambda: lesson.curl(SOCKS).stdout == "fault filter abort")
    assert lesson.code(SOCKS) == 200, "the front end passes on the text, not the status"
    page = browser.page()
    page.open(lesson.url("/"))
    assert page.look("#hot-slider .alert").startswith("The catalogue did not answer as it should:")
    assert page.texts("#hot-slider h3") == []
    aborted = [line for line in proxy_log(lesson).splitlines() if SOCKS in line and " FI " in line]
    assert aborted, "the 500 is in the caller's own access log"
    assert '" 500 FI ' in aborted[-1]
    assert "VirtualService/sock-shop/catalogue" in aborted[-1]
    assert "0" in lesson.kubectl(
        "get", "pods", "-n", "sock-shop", "-l", "name=front-end", "-o",
        "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ).stdout.split()  # fmt: skip

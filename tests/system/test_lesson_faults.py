"""The fifth lesson: a slow and a failing catalogue, and what a person at the shop sees of it."""

from __future__ import annotations

import pytest

from .browser import Browser
from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

SOCKS = "/catalogue/size"
#: In a page: when it was there, and when its first question to the catalogue was asked and answered, in milliseconds.
TIMES = """
(() => {
  const [page] = performance.getEntriesByType("navigation");
  const asked = performance.getEntriesByType("resource").filter((e) => new URL(e.name).pathname === "/catalogue");
  return [page.domContentLoadedEventEnd, asked[0].startTime, asked[0].responseEnd];
})()"""
#: Seconds: longer than the browser on a busy machine takes for the page.
DELAY = 12.0
#: Within this the shop answers when nothing delays it.
PROMPT = 8.0


def proxy_log(mesh: Mesh) -> str:
    """The access log of the sidecar that calls the catalogue."""
    return mesh.kubectl("logs", "-n", "sock-shop", "deploy/front-end-v1", "-c", "istio-proxy", "--tail=400").stdout


def in_effect(mesh: Mesh) -> None:
    """Wait until the rule for the catalogue holds."""
    mesh.kubectl("wait", "-n", "sock-shop", "--for=condition=Settled", "virtualservice/catalogue", "--timeout=180s")


def healthy(mesh: Mesh) -> bool:
    return '"size":9' in mesh.curl(SOCKS, "--max-time", f"{PROMPT:.0f}").stdout


def test_with_a_delay_the_page_comes_at_once_and_the_socks_later(lesson: Mesh, browser: Browser) -> None:
    until("socks", lambda: healthy(lesson))
    given = (LESSONS / "catalogue-delay.yaml").read_text()
    assert "fixedDelay: 30s" in given
    lesson.kubectl("apply", "-f", "-", given=given.replace("30s", f"{DELAY:.0f}s"))
    in_effect(lesson)
    # curl's limit is below the delay: what it gives up on is delayed.
    assert not healthy(lesson)
    page = browser.page()
    page.open(lesson.url("/"))
    page.look("#howdy-item, #login a")
    assert page.look(".brand img") == ""
    page.look("#hot-slider h3", "Holy")
    # By the browser's own clock, since who looks at it may come late.
    shown, asked, came = page.ask(TIMES)
    assert came - asked >= 1000 * DELAY
    assert shown < came, "the page is there before its socks"
    until("flag DI", lambda: any(" DI " in line for line in proxy_log(lesson).splitlines() if SOCKS in line))


def test_with_an_abort_there_are_no_socks(lesson: Mesh, browser: Browser) -> None:
    until("socks", lambda: healthy(lesson))
    lesson.kubectl("apply", "-f", str(LESSONS / "catalogue-abort.yaml"))
    in_effect(lesson)
    assert lesson.curl(SOCKS).stdout == "fault filter abort"
    assert lesson.code(SOCKS) == 200, "the front end passes on the text, not the status"
    page = browser.page()
    page.open(lesson.url("/"))
    assert page.look("#hot-slider .alert").startswith("The catalogue did not answer as it should:")
    assert page.texts("#hot-slider h3") == []

    def of_aborts() -> list[str]:
        return [line for line in proxy_log(lesson).splitlines() if SOCKS in line and " FI " in line]

    aborted = until("the 500 in the caller's own access log", of_aborts)
    assert '" 500 FI ' in aborted[-1]
    assert "VirtualService/sock-shop/catalogue" in aborted[-1]
    assert "0" in lesson.kubectl(
        "get", "pods", "-n", "sock-shop", "-l", "name=front-end", "-o",
        "jsonpath={.items[*].status.containerStatuses[*].restartCount}",
    ).stdout.split()  # fmt: skip

"""The second lesson: blue/green and canary, seen by the shop's logo."""

from __future__ import annotations

import hashlib
import http.client
from collections import Counter
from urllib.parse import urlsplit

import pytest

from .browser import Browser
from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

LOGO = "/img/logo.png"
CALLS = 2000
#: 6.7 standard deviations of a share of one in ten: by chance once in several 10^9 runs.
TOLERATED = 6.7 * (CALLS * 0.1 * 0.9) ** 0.5


def logos(mesh: Mesh, count: int) -> Counter[str]:
    """Digests of the logo over many requests; an answer that is not 200 counts as its status."""
    connection = http.client.HTTPConnection(urlsplit(mesh.url("/")).netloc, timeout=60)
    found: Counter[str] = Counter()
    for _ in range(count):
        connection.request("GET", LOGO)
        answer = connection.getresponse()
        body = answer.read()
        found[hashlib.sha256(body).hexdigest()[:12] if answer.status == 200 else str(answer.status)] += 1
    connection.close()
    return found


def only_logo(mesh: Mesh, *, unlike: str = "") -> str:
    """Wait until one version answers every request."""

    def settled() -> str | None:
        found = logos(mesh, 20)
        return next(iter(found)) if len(found) == 1 and unlike not in found else None

    return until("one version answers all requests", settled)


def test_blue_green_is_seen_in_the_browser(lesson: Mesh, browser: Browser) -> None:
    blue = only_logo(lesson)
    page = browser.page()
    page.open(lesson.url("/"))
    seen_blue = page.picture(".brand img")
    said = lesson.kubectl("apply", "-f", str(LESSONS / "blue-green.yaml"))
    assert said.stderr == ""
    green = only_logo(lesson, unlike=blue)
    page.call("Page.reload", ignoreCache=True)
    seen_green = until("another logo", lambda: (now := page.picture(".brand img")) != seen_blue and now)
    for _ in range(3):
        page.call("Page.reload", ignoreCache=True)
        assert page.picture(".brand img") == seen_green, "every page is of version 2"
    assert set(logos(lesson, 200)) == {green}


def test_a_canary_gets_its_share(lesson: Mesh) -> None:
    first = only_logo(lesson)
    lesson.kubectl("apply", "-f", str(LESSONS / "canary.yaml"))
    until("both versions answer", lambda: len(logos(lesson, 40)) == 2)
    found = logos(lesson, CALLS)
    assert len(found) == 2, f"versions 1 and 2, and no failure: {found}"
    assert abs(CALLS - found[first] - CALLS * 0.1) < TOLERATED, found

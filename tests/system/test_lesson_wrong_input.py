"""Wrong input of every kind gets its clear error, while people go on shopping."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from .conftest import LESSONS, Mesh, until

pytestmark = pytest.mark.system

WRONG = LESSONS / "wrong"
#: What kubectl says, and what plait says of the same file (with its line).
SAID = {
    "regex": (
        'The VirtualService "front-end" is invalid: spec.http[0].match[0].uri.regex: Invalid value: missing )',
        'regex.yaml:9: VirtualService sock-shop/front-end: spec.http[0].match[0].uri.regex: Invalid value: "/api/(v1"',
    ),
    "unknown-field": (
        'strict decoding error: unknown field "spec.http[0].retry"',
        "unknown-field.yaml:9: VirtualService sock-shop/front-end: spec.http[0].retry: unknown field",
    ),
    "wrong-type": (
        'spec.http[0].retries.attempts: Invalid value: "many": must be an integer, not a string',
        "wrong-type.yaml:9: VirtualService sock-shop/front-end: spec.http[0].retries.attempts: must be a whole number",
    ),
    "duration": (
        "spec.http[0].timeout: Invalid value: 'soon' is not a duration; a number with a unit: 500ms, 1.5s, 1m",
        "duration.yaml:9: VirtualService sock-shop/front-end: spec.http[0].timeout: Invalid value: 'soon'",
    ),
    "unparsable": (
        "unparsable.yaml: error converting YAML to JSON: yaml: line 9: did not find expected ',' or ']'",
        "unparsable.yaml:10:5: did not find expected ',' or ']'; nothing of this document can be read",
    ),
}


class Shoppers:
    """Asks for a page and for socks, over and over, each request on a connection of its own."""

    def __init__(self, netloc: str) -> None:
        self._netloc = netloc
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers: Counter[str] = Counter()
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.02):
            for path in ("/index.html", "/catalogue"):
                self.answers[self._ask(path)] += 1

    def _ask(self, path: str) -> str:
        connection = http.client.HTTPConnection(self._netloc, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{path}: {error!r}"
        finally:
            connection.close()
        whole = b"WeaveSocks" in body or b'"name":"Holy"' in body
        return "good" if answer.status == 200 and whole else f"{path}: {answer.status} {body[:100]!r}"

    def leave(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def shoppers(lesson: Mesh) -> Iterator[Shoppers]:
    """People in the shop, as soon as it is open; nobody may notice anything."""
    until("the shop", lambda: lesson.code("/index.html") == 200 and "Holy" in lesson.curl("/catalogue").stdout)
    made = Shoppers(urlsplit(lesson.url("/")).netloc)
    until("the first shoppers", lambda: made.answers["good"] > 10)
    yield made
    made.leave()


def unharmed(shoppers: Shoppers) -> None:
    """More requests than were under way have been answered since, and every one so far was good."""
    before = shoppers.answers["good"]
    until("shopping goes on", lambda: shoppers.answers["good"] > before + 10)
    assert set(shoppers.answers) == {"good"}, shoppers.answers


def test_wrong_configuration_is_refused_in_words_and_traffic_goes_on(lesson: Mesh, shoppers: Shoppers) -> None:

    def stored() -> tuple[int, object]:
        """What of it users write; who judges it writes its status."""
        found = lesson.get("virtualservice", "front-end", "-n", "sock-shop")
        return found["metadata"]["generation"], found["spec"]

    before = stored()
    for name, (by_kubectl, by_plait) in SAID.items():
        file = str(WRONG / f"{name}.yaml")
        assert by_kubectl in lesson.kubectl("apply", "-f", file, code=1).stderr
        said = lesson.plait("apply", "-f", file, code=1).stderr
        assert by_plait in said
        assert "nothing was changed" in said
    assert stored() == before
    unharmed(shoppers)


def test_an_unknown_image_says_what_to_do_and_traffic_goes_on(lesson: Mesh, shoppers: Shoppers) -> None:
    lesson.kubectl("apply", "-f", str(WRONG / "unknown-image.yaml"))
    pod = ("pod/stranger", "-n", "sock-shop")
    reason = "{.status.containerStatuses[?(@.name=='stranger')].state.waiting.reason}"
    lesson.kubectl("wait", *pod, f"--for=jsonpath={reason}=ImagePullBackOff", "--timeout=180s")
    events = ("events", "-n", "sock-shop", "--for", "pod/stranger")
    for words in ("no entry of the image table matches it", "plait image add example/stranger:3 -- COMMAND"):
        until(words, lambda words=words: words in lesson.kubectl(*events).stdout)
    lesson.kubectl("delete", *pod, "--grace-period=1")
    unharmed(shoppers)

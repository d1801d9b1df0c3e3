import urllib.error
import urllib.request

import pytest

from plait.load.echo import Call, answer, pick


def get(url: str, data: bytes | None = None, **headers: str):
    return urllib.request.urlopen(urllib.request.Request(url, data=data, headers=headers), timeout=60)


def asked(target: str, **more):
    return answer(Call(method="GET", target=target, version="HTTP/1.1", headers=[], **more), up=1.0, host="h")


def test_it_echoes_what_is_posted(echo) -> None:
    with get(f"{echo}/any/path", b"hello", **{"Content-Type": "text/x"}) as reply:
        assert (reply.status, reply.read(), reply.headers["Content-Type"]) == (200, b"hello", "text/x")


def test_it_shows_a_request_as_it_arrives(echo) -> None:
    with get(f"{echo}/debug?x=1", **{"X-Seen": "yes"}) as reply:
        text = reply.read().decode()
    assert "GET /debug?x=1 HTTP/1.1" in text
    assert "X-Seen: yes" in text.replace("X-seen", "X-Seen")


def test_it_answers_as_the_query_says(echo) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        get(f"{echo}/?status=503")
    assert error.value.code == 503
    error.value.close()
    with get(f"{echo}/?size=2048&header=X-One:1&header=X-Two:2") as reply:
        assert len(reply.read()) == 2048
        assert (reply.headers["X-One"], reply.headers["X-Two"]) == ("1", "2")
    with get(f"{echo}/?close=true") as reply:
        assert reply.headers["Connection"] == "close"


def test_there_is_a_page_for_people(echo) -> None:
    with get(f"{echo}/fortio/") as reply:
        assert b"fortio load" in reply.read()


def test_delays_are_capped_and_lists_add_up_to_a_hundred() -> None:
    assert asked("/?delay=20s").delay == 1.5
    assert asked("/?delay=150us").delay == pytest.approx(0.00015)
    assert asked("/?delay=-1s").delay == 0
    assert asked("/?status=503:100").status == 503
    assert asked("/?status=503:60,404:60").status == 200, "above a hundred in all: void"
    assert asked("/?status=abc").status == 200
    assert pick("1:0,2:100", int, 9) == 2


def test_headers_cannot_be_smuggled_in() -> None:
    assert asked("/?header=A:1%0d%0aB:2").headers == ()


def test_calls_without_a_query_get_the_servers() -> None:
    call = Call(method="GET", target="/x", version="HTTP/1.1", headers=[])
    assert answer(call, up=0, host="h", defaults="status=418").status == 418

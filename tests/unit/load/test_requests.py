import pytest

from plait.load.target import Request, Target, TargetError, fresh_uuids, has_uuids
from plait.load.version import USER_AGENT

TARGET = Target.of("http://shop:8080/a/b?c=d#e")


def test_a_plain_request_is_host_and_agent() -> None:
    assert Request().render(TARGET) == (
        f"GET /a/b?c=d HTTP/1.1\r\nHost: shop:8080\r\nUser-Agent: {USER_AGENT}\r\n\r\n".encode()
    )


def test_headers_are_sorted_and_spelt_as_go_does() -> None:
    request = Request(
        headers=(("foo", "bar"), ("x-A", "c"), ("Host", "virtual")), payload=b"abc", credentials="a:b"
    ).render(TARGET)
    assert request.decode().split("\r\n") == [
        "POST /a/b?c=d HTTP/1.1",
        "Host: virtual",
        "Authorization: Basic YTpi",
        "Content-Length: 3",
        "Content-Type: application/octet-stream",
        "Foo: bar",
        f"User-Agent: {USER_AGENT}",
        "X-A: c",
        "",
        "abc",
    ]


def test_method_and_connection_as_asked() -> None:
    lines = Request(method="PUT", keepalive=False).render(TARGET).decode().split("\r\n")
    assert lines[0].startswith("PUT ")
    assert "Connection: close" in lines
    assert b"Host" not in Request(http10=True).render(TARGET)
    assert Request(content_type="text/plain").verb == "POST"


def test_each_uuid_is_new_and_lengths_hold() -> None:
    request = Request(payload=b'{"id":"{uuid}"}').render(Target.of("http://h/{uuid}"))
    assert has_uuids(request)
    one, two = fresh_uuids(request), fresh_uuids(request)
    assert one != two
    assert len(one) == len(request)
    assert b"uuid" not in one
    head, _, body = one.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "http://h:99999/", "http://h/a b", "http://h/\x01", "nothing"])
def test_what_cannot_be_called_is_refused(url) -> None:
    with pytest.raises(TargetError):
        Target.of(url)


def test_ports_follow_the_scheme() -> None:
    assert (Target.of("http://h").port, Target.of("https://h").port, Target.of("http://[::1]:7/x").host) == (
        80,
        443,
        "::1",
    )

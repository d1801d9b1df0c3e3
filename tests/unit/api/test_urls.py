"""URLs as Go's net/url reads them; the rows were asked of it."""

from __future__ import annotations

import pytest

from plait.api.urls import url_scheme


@pytest.mark.parametrize(
    ("text", "scheme", "request_scheme"),
    [
        ("http://a.com", "http", "http"),
        ("OCI://a.com:5000/x?y#z", "oci", "oci"),
        ("a.com:5000/x", "a.com", "a.com"),
        ("a.com/x", "", None),
        ("/x", "", ""),
        ("//a.com:80/x", "", ""),
        ("//a b/x", None, ""),
        ("*", "", ""),
        ("", "", None),
        ("mailto:%zz", "mailto", "mailto"),
        ("http://a:x", None, None),
        ("http://a:", "http", "http"),
        ("http://a b", None, None),
        ("http://a/b c", "http", "http"),
        ("http://a/%zz", None, None),
        ("http://a/#%zz", None, None),
        ("http://%41", None, None),
        ("http://%c3%a9", "http", "http"),
        ("http://[::1]:80", "http", "http"),
        ("http://[::1", None, None),
        ("http://[fe80::1%25eth0]", "http", "http"),
        ("http://[fe80::1%eth0]", None, None),
        ("http://u:p@a", "http", "http"),
        ("http://u p@a", None, None),
        ("127.0.0.1:80/x", None, None),
        (":x", None, None),
        ("a\nb", None, None),
    ],
)
def test_urls_are_read_as_go_reads_them(text: str, scheme: str | None, request_scheme: str | None) -> None:
    assert url_scheme(text) == scheme
    assert url_scheme(text, request=True) == request_scheme

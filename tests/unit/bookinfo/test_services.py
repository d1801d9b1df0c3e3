"""Bookinfo's programs answer as the sample's do: the same documents, the same words where something is missing."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.serving import served

from bookinfo import web
from bookinfo.details import Details
from bookinfo.httpbin import HttpBin
from bookinfo.productpage import ProductPage, signed_in
from bookinfo.ratings import Ratings
from bookinfo.reviews import Reviews

Run = Callable[[web.Service], str]


def get(target: str, **headers: str) -> web.Request:
    return web.Request("GET", target, {name.replace("_", "-"): value for name, value in headers.items()})


def value(reply: web.Reply) -> Any:
    return json.loads(reply.body)


@pytest.fixture
def run() -> Iterator[Run]:
    """Serves on a free port of loopback; returns the port."""

    def start(service: web.Service) -> str:
        server = web.Server(service, 0)
        stack.enter_context(served(server))
        return str(server.server_port)

    with ExitStack() as stack:
        yield start


def place(name: str, port: str) -> dict[str, str]:
    return {f"{name.upper()}_HOSTNAME": "127.0.0.1", f"{name.upper()}_SERVICE_PORT": port}


def test_details_are_of_the_book_that_is_asked_for() -> None:
    details = Details({})
    assert value(details(get("/details/0"))) == {
        "id": 0,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
    refused = details(get("/details/x"))
    assert (refused.status, value(refused)) == (400, {"error": "please provide numeric product id"})


def test_ratings_can_be_replaced() -> None:
    ratings = Ratings()
    assert value(ratings(get("/ratings/0"))) == {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}
    given = web.Request("POST", "/ratings/0", {}, b'{"Reviewer1": 1}')
    assert value(ratings(given)) == {"id": 0, "ratings": {"Reviewer1": 1}}
    assert value(ratings(get("/ratings/0")))["ratings"] == {"Reviewer1": 1}
    assert ratings(web.Request("POST", "/ratings/0", {}, b"{")).status == 400


def test_reviews_have_no_stars_or_those_of_ratings_or_say_that_there_are_none(run: Run) -> None:
    plain = value(Reviews({})(get("/reviews/0")))
    assert plain["id"] == "0"
    assert [set(review) for review in plain["reviews"]] == [{"reviewer", "text"}] * 2
    asked: list[web.Request] = []
    ratings = Ratings()
    port = run(lambda request: asked.append(request) or ratings(request))
    red = {"ENABLE_RATINGS": "true", "STAR_COLOR": "red", **place("ratings", port)}
    rated = value(Reviews(red)(get("/reviews/0", end_user="jason", x_request_id="1", x_other="2")))
    assert [review["rating"] for review in rated["reviews"]] == [
        {"stars": 5, "color": "red"},
        {"stars": 4, "color": "red"},
    ]
    (request,) = asked
    assert (request.headers["end-user"], request.headers["x-request-id"]) == ("jason", "1")
    assert "x-other" not in request.headers
    broken = {**red, **place("ratings", run(lambda _: web.text("fault filter abort", 500)))}
    (first, _) = value(Reviews(broken)(get("/reviews/0")))["reviews"]
    assert first["rating"] == {"error": "Ratings service is currently unavailable"}


def test_the_page_shows_what_it_was_told_and_says_what_is_missing(run: Run) -> None:
    asked: list[web.Request] = []

    def failing(request: web.Request) -> web.Reply:
        asked.append(request)
        return web.text("no", 503)

    page = ProductPage({**place("details", run(Details({}))), **place("reviews", run(failing))})
    text = page(get("/productpage")).body.decode()
    assert "<title>Simple Bookstore App</title>" in text
    assert "<dd>PublisherA</dd>" in text
    assert "Error fetching product reviews!" in text
    assert "Sorry, product reviews are currently unavailable for this book." in text
    assert len(asked) == 2, "the flaw that the lesson on delays is about"
    assert page(get("/api/v1/products/0/reviews")).status == 503
    assert value(page(get("/api/v1/products/0")))["pages"] == 200


def test_sign_in_is_remembered_by_a_cookie_and_handed_on_as_a_header(run: Run) -> None:
    asked: list[web.Request] = []

    def empty(request: web.Request) -> web.Reply:
        asked.append(request)
        return web.document({"reviews": [], "podname": "<b>"})

    page = ProductPage({**place("details", run(empty)), **place("reviews", run(empty))})
    reply = page(web.Request("POST", "/login", {}, b"username=jason&passwd=x"))
    assert (reply.status, reply.headers["location"]) == (302, "/productpage")
    cookie = reply.headers["set-cookie"].partition(";")[0]
    text = page(get("/productpage", cookie=cookie)).body.decode()
    assert "jason (<a" in text
    assert "&lt;b&gt;" in text
    assert {request.headers["end-user"] for request in asked} == {"jason"}


@pytest.mark.parametrize(
    "cookie", ["", "session", "session=x", "session=eyJ1c2VyIjogImEKYiJ9", "session=W10", "session=eyJ1c2VyIjogMX0"]
)
def test_a_session_that_is_none_is_nobody(cookie: str) -> None:
    assert signed_in(get("/productpage", cookie=cookie)) == ""


def test_httpbin_tells_what_was_sent(run: Run) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", int(run(HttpBin())), timeout=60)
    connection.request("POST", "/post?a=b", body=iter([b"hel", b"lo"]), headers={"x-one": "1"}, encode_chunked=True)
    told = json.loads(connection.getresponse().read())
    assert (told["data"], told["args"], told["headers"]["X-One"]) == ("hello", {"a": ["b"]}, ["1"])
    connection.request("HEAD", "/get")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.request("GET", "/status/418")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (418, b"I'm a teapot!\n")
    connection.close()
    assert value(HttpBin(strings=True)(get("/headers", host="x"))) == {"headers": {"Host": "x"}}
    assert HttpBin()(get("/delay/nan")).status == 400
    assert HttpBin()(get("/status/99")).status == 400
    assert HttpBin()(get("/post")).status == 405

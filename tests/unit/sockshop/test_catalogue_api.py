"""The catalogue's answers byte for byte, over a shelf that needs no database."""

import json

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from sockshop.catalogue.api import Catalogue
from sockshop.catalogue.shelf import DatabaseError, NotFoundError
from sockshop.catalogue.sock import Sock

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"


def sock(number, *tags):
    return Sock(
        id=f"s{number}",
        name=f"Sock {number}",
        description="<b>",
        price=17.32,
        count=number,
        image_urls=("/a", "/b"),
        tags=tags,
    )


class Shelf:
    """Socks in memory."""

    def __init__(self):
        self.down = False
        self.kept = [sock(number, "blue" if number % 2 else "red") for number in range(1, 13)]

    async def open(self):
        pass

    async def close(self):
        pass

    def check(self):
        if self.down:
            raise DatabaseError("down")

    async def socks(self, tags):
        self.check()
        return [kept for kept in self.kept if not tags or set(tags) & set(kept.tags)]

    async def size(self, tags):
        return len(await self.socks(tags))

    async def sock(self, sock_id):
        self.check()
        for kept in self.kept:
            if kept.id == sock_id:
                return kept
        raise NotFoundError(sock_id)

    async def tags(self):
        self.check()
        return ["blue", "red"]

    async def alive(self):
        return not self.down


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "x.jpeg").write_bytes(b"0123456789")
    (tmp_path / "secret.jpeg").write_bytes(b"secret")
    return folder


@pytest.fixture(params=[False])
async def ask(request, shelf, images):
    app = Catalogue(shelf, images=images, breakers=request.param).app()
    async with TestServer(app) as server, aiohttp.ClientSession(skip_auto_headers=["Accept-Encoding"]) as session:

        async def send(path, method="GET", **options):
            async with session.request(method, server.make_url("/").join(server.make_url(path)), **options) as response:
                return response.status, response.headers, await response.read()

        yield send


async def test_a_sock_has_its_keys_in_order_its_price_short_and_ends_the_line(ask):
    status, headers, body = await ask("/catalogue/s1")
    assert (status, headers["Content-Type"]) == (200, JSON)
    assert body == (
        b'{"id":"s1","name":"Sock 1","description":"\\u003cb\\u003e","imageUrl":["/a","/b"],'
        b'"price":17.32,"count":1,"tag":["blue"]}\n'
    )


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", range(1, 11)),
        ("?size=3", [1, 2, 3]),
        ("?size=5&page=3", [11, 12]),
        ("?page=9", []),
        ("?page=0", []),
        ("?size=x", []),
        ("?sort=price&size=2", [1, 2]),
        ("?tags=red&size=2", [2, 4]),
        ("?tags=red,blue&size=2", [1, 2]),
        ("?tags=", range(1, 11)),
    ],
)
async def test_lists_are_bare_arrays_by_page_and_tags(ask, query, ids):
    status, headers, body = await ask(f"/catalogue{query}")
    assert (status, headers["Content-Type"]) == (200, JSON)
    assert [one["id"] for one in json.loads(body)] == [f"s{number}" for number in ids]


async def test_nothing_matched_is_null(ask):
    assert (await ask("/catalogue?tags=smelly"))[2] == b"null\n"


async def test_size_and_tags_carry_an_err_of_null(ask):
    assert (await ask("/catalogue/size"))[2] == b'{"size":12,"err":null}\n'
    assert (await ask("/catalogue/size?tags=red"))[2] == b'{"size":6,"err":null}\n'
    assert (await ask("/tags"))[2] == b'{"tags":["blue","red"],"err":null}\n'


async def test_a_negative_page_closes_the_connection(ask):
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await ask("/catalogue?page=-1")


async def test_an_unknown_sock_is_json_that_calls_itself_text(ask):
    status, headers, body = await ask("/catalogue/nope")
    assert (status, headers["Content-Type"]) == (404, TEXT)
    assert body == b'{"error":"not found","status_code":404,"status_text":"Not Found"}\n'


async def test_without_the_database_lists_fail_and_socks_are_not_found(ask, shelf):
    shelf.down = True
    failure = b'{"error":"database connection error","status_code":500,"status_text":"Internal Server Error"}\n'
    for path in ("/catalogue", "/catalogue/size", "/tags"):
        status, headers, body = await ask(path)
        assert (status, headers["Content-Type"], body) == (500, TEXT, failure)
    assert (await ask("/catalogue/s1"))[0] == 404
    status, _, body = await ask("/health")
    states = [(one["service"], one["status"]) for one in json.loads(body)["health"]]
    assert (status, states) == (200, [("catalogue", "OK"), ("catalogue-db", "err")])


async def test_health_has_gos_time(ask):
    _, headers, body = await ask("/health")
    assert headers["Content-Type"] == JSON
    first, second = json.loads(body)["health"]
    assert first["time"] == second["time"]
    assert first["time"].endswith(" +0000 UTC")
    assert list(first) == ["service", "status", "time"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nope"),
        ("POST", "/catalogue"),
        ("HEAD", "/catalogue"),
        ("GET", "/catalogue/"),
        ("DELETE", "/tags"),
    ],
)
async def test_what_is_not_served_is_gos_404(ask, method, path):
    status, headers, body = await ask(path, method)
    assert (status, headers["Content-Type"]) == (404, TEXT)
    assert body == (b"" if method == "HEAD" else b"404 page not found\n")


async def test_pictures_come_with_type_date_and_ranges(ask):
    status, headers, body = await ask("/catalogue/images/x.jpeg")
    assert (status, headers["Content-Type"], body) == (200, "image/jpeg", b"0123456789")
    assert "Last-Modified" in headers
    status, headers, body = await ask("/catalogue/images/x.jpeg", headers={"Range": "bytes=2-4"})
    assert (status, headers["Content-Range"], body) == (206, "bytes 2-4/10", b"234")
    date = headers["Last-Modified"]
    for sent, status, body in (
        ({"Range": "bytes=-3"}, 206, b"789"),
        ({"Range": "bytes=8-"}, 206, b"89"),
        ({"Range": "bytes=50-"}, 416, b""),
        ({"Range": "bytes=1-2,4-5"}, 200, b"0123456789"),
        ({"Range": "bytes=x"}, 200, b"0123456789"),
        ({"If-Modified-Since": date}, 304, b""),
        ({"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, b"0123456789"),
    ):
        answer = await ask("/catalogue/images/x.jpeg", headers=sent)
        assert (answer[0], answer[2]) == (status, body), sent


@pytest.mark.parametrize("path", ["none.jpeg", "", "../secret.jpeg", "..%2fsecret.jpeg", "%2e%2e/secret.jpeg"])
async def test_a_missing_picture_or_one_outside_the_folder_is_404(ask, path):
    assert (await ask(f"/catalogue/images/{path}"))[0] == 404


async def test_requests_are_measured_by_route_template(ask):
    for path in (
        "/catalogue",
        "/catalogue/s1",
        "/catalogue/nope",
        "/tags",
        "/health",
        "/nope",
        "/catalogue/images/x.jpeg",
    ):
        await ask(path)
    _, headers, body = await ask("/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for route, code in (
        ("catalogue", 200), ("catalogue_id", 200), ("catalogue_id", 404), ("tags", 200),
        ("health", 200), ("other", 404), ("catalogue_images", 200),
    ):  # fmt: skip
        series = f'request_duration_seconds_count{{method="GET",route="{route}",status_code="{code}",isWS="false"}} 1'
        assert series in body.decode(), series


@pytest.mark.parametrize("ask", [True], indirect=True)
async def test_with_breakers_six_unknown_socks_take_the_known_ones_away(ask):
    for _ in range(6):
        assert (await ask("/catalogue/nope"))[0] == 404
    status, headers, body = await ask("/catalogue/s1")
    assert (status, headers["Content-Type"]) == (500, TEXT)
    assert body == b'{"error":"circuit breaker is open","status_code":500,"status_text":"Internal Server Error"}\n'
    assert (await ask("/catalogue"))[0] == 200


async def test_without_breakers_unknown_socks_change_nothing(ask):
    for _ in range(8):
        await ask("/catalogue/nope")
    assert (await ask("/catalogue/s1"))[0] == 200

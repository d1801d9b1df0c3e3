"""Keys of issuers: when they are fetched, what becomes of failures, and what a fetch refuses."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from tests.tokens import SigningKey, key_set

from plait.kit.certificates import draft, key_pem, make_root, name, new_key, pem
from plait.kube.backoff import Backoff
from plait.snapshot.tokens import KeySource, KeysWanted
from plait.sources.key_fetching import KeyFetcher
from plait.sources.keys import Fetched, FetchError, KeyKeeper, Rhythm

SOURCE, OTHER = KeySource("http://a/keys"), KeySource("http://b/keys")


def wanted(source: KeySource, patience: str = "", name: str = "tokens") -> KeysWanted:
    return KeysWanted(source, "shop", name, "spec.jwtRules[0].jwksUri", patience)


class Issuers:
    """Answers fetches as it is told, and lets time pass when it is asked to."""

    def __init__(self) -> None:
        self.answers: dict[KeySource, Fetched | FetchError] = {}
        self.asked: list[tuple[str, float]] = []
        self.told: list[tuple[str, str | None]] = []
        self.gone: list[str] = []
        self.news = 0
        self.waits: list[float] = []
        self._sleepers: list[asyncio.Event] = []
        self._moved = asyncio.Event()
        self.keeper = KeyKeeper(
            self, came=lambda source, keys: self.told.append((source.url, keys)),
            gone=lambda source: self.gone.append(source.url), news=self._news,
            rhythm=Rhythm(again=Backoff(first=1.0, most=4.0)), sleep=self._sleep,
        )  # fmt: skip

    def _news(self) -> None:
        self.news += 1

    async def __call__(self, source: KeySource, *, within: float) -> Fetched:
        self.asked.append((source.url, within))
        answer = self.answers[source]
        if isinstance(answer, FetchError):
            raise answer
        return answer

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        woken = asyncio.Event()
        self._sleepers.append(woken)
        self._moved.set()
        await woken.wait()

    async def resting(self, count: int = 1) -> None:
        """Until so many sources wait for their next time."""
        while len(self._sleepers) < count:
            self._moved.clear()
            await self._moved.wait()

    async def later(self) -> None:
        """Their next time."""
        sleepers, self._sleepers = self._sleepers, []
        for woken in sleepers:
            woken.set()
        await self.resting(len(sleepers))


@asynccontextmanager
async def running() -> AsyncIterator[Issuers]:
    issuers = Issuers()
    task = asyncio.create_task(issuers.keeper.run())
    try:
        async with asyncio.timeout(60):
            yield issuers
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_keys_are_fetched_once_for_all_who_want_them_and_again_after_a_while() -> None:
    async with running() as issuers:
        issuers.answers[SOURCE] = Fetched(keys="1")
        issuers.keeper.want((wanted(SOURCE, "2s"), wanted(SOURCE, "7s", name="other")))
        await issuers.resting()
        assert issuers.asked == [(SOURCE.url, 7.0)]
        assert issuers.told == [(SOURCE.url, "1")]
        await issuers.later()
        assert issuers.told == [(SOURCE.url, "1")]
        issuers.answers[SOURCE] = Fetched(keys="2", fresh=60.0)
        await issuers.later()
        assert issuers.told == [(SOURCE.url, "1"), (SOURCE.url, "2")]
        issuers.answers[SOURCE] = Fetched(keys="2", fresh=0.0)
        await issuers.later()
        assert issuers.waits == [1200.0, 1200.0, 60.0, 5.0]


async def test_what_came_stays_when_it_cannot_be_had_any_more() -> None:
    async with running() as issuers:
        issuers.answers[SOURCE] = Fetched(keys="1")
        issuers.keeper.want((wanted(SOURCE),))
        await issuers.resting()
        issuers.answers[SOURCE] = FetchError("gone")
        await issuers.later()
        assert issuers.told == [(SOURCE.url, "1")]
        ((_, standing),) = issuers.keeper.standing()
        assert (standing.keys, standing.problem) == ("1", "gone")


async def test_failures_are_tried_again_ever_more_seldom_and_told_once() -> None:
    async with running() as issuers:
        issuers.answers[SOURCE] = FetchError("shut")
        issuers.keeper.want((wanted(SOURCE),))
        await issuers.resting()
        before = issuers.news
        for _ in range(3):
            await issuers.later()
        assert issuers.news == before
        assert issuers.told == [(SOURCE.url, None)]
        ranges = ((0.5, 1), (1, 2), (2, 4), (2, 4))
        assert all(low <= wait <= high for wait, (low, high) in zip(issuers.waits, ranges, strict=True))
        issuers.answers[SOURCE] = Fetched(keys="1")
        await issuers.later()
        assert issuers.told == [(SOURCE.url, None), (SOURCE.url, "1")]
        ((_, standing),) = issuers.keeper.standing()
        assert standing.problem == ""


async def test_what_nobody_wants_is_forgotten() -> None:
    async with running() as issuers:
        issuers.answers = {SOURCE: Fetched(keys="1"), OTHER: Fetched(keys="2")}
        issuers.keeper.want((wanted(SOURCE), wanted(OTHER)))
        await issuers.resting(2)
        issuers.keeper.want((wanted(OTHER),))
        while not issuers.gone:
            await asyncio.sleep(0)
        assert issuers.gone == [SOURCE.url]
        assert [each.source for each, _ in issuers.keeper.standing()] == [OTHER]


async def test_who_starts_waits_until_all_was_looked_for() -> None:
    async with running() as issuers:
        await issuers.keeper.looked(within=10.0)
        issuers.answers = {SOURCE: Fetched(keys="1"), OTHER: FetchError("shut")}
        issuers.keeper.want((wanted(SOURCE), wanted(OTHER)))
        await issuers.keeper.looked(within=10.0)
        assert sorted(issuers.told, key=str) == [(SOURCE.url, "1"), (OTHER.url, None)]


KEYS = key_set(SigningKey("RS256", "a"), SigningKey("ES256", "b"))


@asynccontextmanager
async def serving(
    tls: ssl.SSLContext | None = None, **answers: Callable[[web.Request], web.StreamResponse]
) -> AsyncIterator[str]:
    """A server on loopback: path -> answer. Its address."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return answers[request.path.strip("/").replace("/", "_").replace(".", "_").replace("-", "_")](request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    finally:
        await runner.cleanup()


async def fetched(url: str, *, discovery: bool = False, blocked: str = "", within: float = 60.0) -> Fetched:
    fetcher = KeyFetcher(blocked=[ip_network(blocked)] if blocked else [])
    async with fetcher.open():
        return await fetcher(KeySource(url, discovery), within=within)


async def test_a_set_of_keys_is_fetched_and_made_plain() -> None:
    private = json.loads(KEYS)
    private["keys"][0]["d"] = "AQAB"
    private["keys"].append({"kty": "RSA"})

    def keys(_: web.Request) -> web.Response:
        return web.Response(text=json.dumps(private, indent=2), headers={"Cache-Control": "public, max-age=90"})

    async with serving(keys=keys) as url:
        found = await fetched(f"{url}/keys")
    assert found == Fetched(keys=KEYS.replace(": ", ":").replace(", ", ","), fresh=90.0)


async def test_certificates_of_the_given_authorities_are_trusted_and_no_others(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    root_key, root = make_root(name("root"), now)
    key = new_key()
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    day = dt.timedelta(days=1)
    leaf = draft(name("issuer"), root.subject, key.public_key(), begins=now - day, ends=now + day)
    chain = tmp_path / "issuer.pem"
    chain.write_bytes(pem(leaf.add_extension(here, critical=False).sign(root_key, SHA256())) + key_pem(key))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    async with serving(tls, keys=lambda _: web.Response(text=KEYS)) as url:
        trusting = KeyFetcher(roots=lambda: pem(root).decode())
        async with trusting.open():
            assert (await trusting(KeySource(f"{url}/keys"), within=60.0)).keys
        with pytest.raises(FetchError, match="its certificate is not trusted"):
            await fetched(f"{url}/keys")


async def test_a_document_says_where_the_keys_are() -> None:
    async with serving(
        _well_known_openid_configuration=lambda request: web.json_response({"jwks_uri": f"http://{request.host}/keys"}),
        keys=lambda _: web.Response(text=KEYS),
    ) as url:
        found = await fetched(f"{url}/.well-known/openid-configuration", discovery=True)
    assert json.loads(found.keys) == json.loads(KEYS)


@pytest.mark.parametrize("place", ["file:///etc/passwd", "unix:///run/keys", "//elsewhere/keys", "/keys", "", 5, None])
async def test_a_document_leads_to_nothing_but_a_server(place: object) -> None:
    async with serving(
        _well_known_openid_configuration=lambda _: web.json_response({"jwks_uri": place}),
        keys=lambda _: web.Response(text=KEYS),
    ) as url:
        with pytest.raises(FetchError, match="has no jwks_uri"):
            await fetched(f"{url}/.well-known/openid-configuration", discovery=True)


async def test_a_document_does_not_lead_to_what_is_never_asked() -> None:
    there = {"jwks_uri": "http://169.254.169.254/latest"}
    async with serving(_well_known_openid_configuration=lambda _: web.json_response(there)) as url:
        with pytest.raises(FetchError, match=r"169\.254\.169\.254 is an address that istiod does not ask for keys"):
            await fetched(f"{url}/.well-known/openid-configuration", discovery=True)


async def test_redirects_are_followed_a_few_times_and_to_servers_only() -> None:
    asked: list[str] = []

    def further(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        raise web.HTTPFound("/further")

    def away(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("file:///etc/passwd")

    async with serving(further=further, away=away) as url:
        with pytest.raises(FetchError, match="redirects too often"):
            await fetched(f"{url}/further")
        with pytest.raises(FetchError):
            await fetched(f"{url}/away")
    assert len(asked) <= 6


async def test_passwords_of_whoever_runs_istiod_are_sent_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[str | None] = []

    def keys(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response(text=KEYS)

    def again(request: web.Request) -> web.Response:
        keys(request)
        raise web.HTTPFound("/keys")

    async with serving(keys=keys, again=again) as url:
        await fetched(f"{url}/keys")
        await fetched(f"{url}/again")
        assert seen == [None, None, None]
        # What stands in the address is meant for its host.
        await fetched(f"{url.replace('://', '://a:b@')}/keys")
        assert seen[3:] == ["Basic YTpi"]


async def test_what_swells_when_it_is_unpacked_is_given_up() -> None:
    packed = gzip.compress(b" " * (64 << 20) + KEYS.encode())
    assert len(packed) < 1 << 20

    def bomb(_: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    async with serving(bomb=bomb) as url:
        with pytest.raises(FetchError, match="answered more than 1 MiB"):
            await fetched(f"{url}/bomb")


def redirect(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/again")


BAD: dict[str, tuple[Callable[[web.Request], web.StreamResponse], str]] = {
    "missing": (lambda _: web.Response(status=404), "answered 404 Not Found"),
    "page": (lambda _: web.Response(text="<html>"), "is no JSON Web Key Set: it is not JSON"),
    "object": (lambda _: web.Response(text="{}"), 'is no JSON Web Key Set: it has no list "keys"'),
    "none": (lambda _: web.Response(text='{"keys": []}'), "has no key that a proxy can use"),
    "bytes": (lambda _: web.Response(body=b"\xff\xfe"), "is not text"),
    "large": (lambda _: web.Response(body=b" " * (1 << 20) + b"{}"), "answered more than 1 MiB"),
    "again": (redirect, "redirects too often"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_set_of_keys_is_told(name: str) -> None:
    answer, words = BAD[name]
    async with serving(**{name: answer}) as url:
        with pytest.raises(FetchError, match=words.replace("(", r"\(")):
            await fetched(f"{url}/{name}")


async def test_who_does_not_answer_is_given_up() -> None:
    released = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchError, match=r"did not answer within 0\.1 s"):
        await fetched(f"http://127.0.0.1:{port}/", within=0.1)
    released.set()
    server.close()
    with pytest.raises(FetchError, match="cannot be reached: Connection refused"):
        await fetched(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    ("url", "blocked"),
    [
        ("http://169.254.169.254/latest", ""),
        ("http://[fe80::1]/", ""),
        ("http://[::ffff:169.254.169.254]/", ""),
        ("http://127.0.0.1:1/", "127.0.0.0/8"),
        ("http://localhost:1/", "127.0.0.0/8"),
    ],
)
async def test_some_addresses_are_never_asked(url: str, blocked: str) -> None:
    with pytest.raises(FetchError, match="is an address that istiod does not ask for keys"):
        await fetched(url, blocked=blocked)


async def test_a_redirect_does_not_lead_to_them_either() -> None:
    def away(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound("http://169.254.169.254/keys")

    async with serving(keys=away) as url:
        with pytest.raises(FetchError, match=r"169\.254\.169\.254 is an address that istiod does not ask for keys"):
            await fetched(f"{url}/keys")

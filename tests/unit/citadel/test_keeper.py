"""The authority's Secrets on a real API server."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import logging
from contextlib import asynccontextmanager

import pytest
from tests.unit.citadel.authorities import plugged_in

from plait.citadel.authority import Authority, BadAuthorityError, Pems, make_pems
from plait.citadel.keeper import PLUGGED_IN, SELF_MADE, Keeper, Kept, read_plugged_in, read_self_made
from plait.kube.kinds import SECRET

SYSTEM = "istio-system"


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Kepts:
    """What a keeper tells, to be waited for."""

    def __init__(self) -> None:
        self.took: asyncio.Queue[Kept] = asyncio.Queue()
        self.faults: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def next(self) -> Kept:
        async with asyncio.timeout(60):
            return await self.took.get()

    async def fault(self) -> tuple[str, str]:
        async with asyncio.timeout(60):
            return await self.faults.get()


@asynccontextmanager
async def keeping(client):
    told = Kepts()
    keeper = Keeper(
        client,
        SYSTEM,
        took=told.took.put_nowait,
        faulty=lambda obj, why: told.faults.put_nowait((obj["metadata"]["name"], why)),
    )
    keeper.begin("cluster.local")
    task = asyncio.create_task(keeper.run())
    try:
        yield keeper, told
    finally:
        task.cancel()
        await asyncio.wait({task})


def secret(pems: Pems, name: str = PLUGGED_IN) -> dict:
    files = {
        "ca-cert.pem": pems.certificate,
        "ca-key.pem": pems.key,
        "cert-chain.pem": pems.chain,
        "root-cert.pem": pems.roots,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": SYSTEM},
        "data": {key: base64.b64encode(text).decode() for key, text in files.items()},
    }


async def test_the_root_is_made_once_and_found_again(api) -> None:
    async with keeping(api) as (keeper, told):
        first = await told.next()
        assert first.secret == SELF_MADE
        assert keeper.problem == ""
    stored = await api.get(SECRET, SELF_MADE, SYSTEM)
    assert stored["type"] == "istio.io/ca-root"
    assert sorted(stored["data"]) == ["ca-cert.pem", "ca-key.pem"]
    assert read_self_made(stored) == first.pems
    async with keeping(api) as (_, told):
        assert (await told.next()).pems == first.pems


async def test_two_istiods_that_start_together_have_one_root(api) -> None:
    async with keeping(api) as (_, one), keeping(api) as (_, other), keeping(api) as (_, third):
        kept = await asyncio.gather(one.next(), other.next(), third.next())
        assert len({each.pems.certificate for each in kept}) == 1


async def test_a_plugged_in_authority_wins_and_is_taken_while_istiod_runs(api) -> None:
    async with keeping(api) as (_, told):
        made = await told.next()
        users = plugged_in(now())
        await api.create(SECRET, secret(users))
        kept = await told.next()
        assert (kept.secret, kept.pems) == (PLUGGED_IN, users)
        other = plugged_in(now())
        await api.replace(SECRET, secret(other))
        assert (await told.next()).pems == other
        await api.delete(SECRET, PLUGGED_IN, SYSTEM)
        assert (await told.next()).pems == made.pems


async def test_with_a_plugged_in_authority_none_is_made(api) -> None:
    await api.create(SECRET, secret(plugged_in(now())))
    async with keeping(api) as (_, told):
        assert (await told.next()).secret == PLUGGED_IN
        found = await api.list(SECRET, SYSTEM)
        assert [each["metadata"]["name"] for each in found.items] == [PLUGGED_IN]


async def test_a_bad_plugged_in_authority_is_told_and_the_one_before_stays(api, caplog) -> None:
    caplog.set_level(logging.DEBUG, logger="plait")
    async with keeping(api) as (keeper, told):
        await told.next()
        good, other = plugged_in(now()), plugged_in(now())
        await api.create(SECRET, secret(Pems(certificate=good.certificate, key=other.key, roots=good.roots)))
        name, why = await told.fault()
        assert name == PLUGGED_IN
        assert why.startswith("cannot be the mesh's authority: ca-key.pem: it does not belong to the certificate")
        assert keeper.problem == f"Secret istio-system/cacerts {why}"
        assert told.took.empty()
        await api.replace(SECRET, secret(good))
        assert (await told.next()).pems == good
        assert keeper.problem == ""
        assert "PRIVATE" not in caplog.text
        assert secret(other)["data"]["ca-key.pem"][40:80] not in caplog.text


async def test_a_bad_one_at_the_start_is_not_passed_over(api) -> None:
    await api.create(SECRET, secret(Pems(certificate=b"", key=b"", roots=b"")))
    async with keeping(api) as (keeper, told):
        _, why = await told.fault()
        assert "key ca-cert.pem is missing" in why
        assert told.took.empty()
        assert keeper.problem
        assert not [each for each in (await api.list(SECRET, SYSTEM)).items if each["metadata"]["name"] == SELF_MADE]


async def test_a_root_that_is_deleted_serves_until_istiod_ends(api) -> None:
    async with keeping(api) as (_, told):
        first = await told.next()
        users = plugged_in(now())
        await api.delete(SECRET, SELF_MADE, SYSTEM)
        await api.create(SECRET, secret(users))
        assert (await told.next()).pems == users
    await api.delete(SECRET, PLUGGED_IN, SYSTEM)
    async with keeping(api) as (_, told):
        assert (await told.next()).pems.certificate != first.pems.certificate


def test_a_secret_of_cert_manager_is_read() -> None:
    pems = plugged_in()
    data = {"tls.crt": pems.certificate + pems.chain, "tls.key": pems.key, "ca.crt": pems.roots}
    obj = {"metadata": {}, "data": {key: base64.b64encode(text).decode() for key, text in data.items()}}
    read = read_plugged_in(obj)
    authority = Authority.load(read, dt.datetime(2026, 5, 2, tzinfo=dt.UTC))
    assert len(authority.between) == 1


def test_a_secret_with_something_missing_says_what_there_is() -> None:
    pems = make_pems("x", now())
    obj = {"metadata": {}, "data": {"ca-cert.pem": base64.b64encode(pems.certificate).decode(), "other": "eA=="}}
    with pytest.raises(BadAuthorityError, match=r"key ca-key.pem is missing: there is ca-cert.pem, other"):
        read_self_made(obj)
    obj["data"]["ca-key.pem"] = "?"
    with pytest.raises(BadAuthorityError, match=r"key ca-key.pem is not base64"):
        read_self_made(obj)

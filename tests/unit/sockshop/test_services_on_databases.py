"""What carts, orders and user ask of their database: of the shop's own, and of FerretDB where that is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sockshop.carts.baskets import Baskets, NoItemError
from sockshop.mongo.client import Mongo
from sockshop.mongo.values import DateTime, ObjectId
from sockshop.orders.book import Book
from sockshop.user.people import People, RefusedError, UnauthorizedError

PATIENCE = 60.0


@dataclass(frozen=True)
class Database:
    """A server that runs; `user` is empty where it asks nobody who they are."""

    port: int
    user: str = ""

    def client(self) -> Mongo:
        password = "secret" if self.user else ""
        return Mongo("127.0.0.1", self.port, user=self.user, password=password, select_seconds=PATIENCE)


def own(port: int, data: Path) -> tuple[list[str], str]:
    """The shop's document store."""
    command = [sys.executable, "-m", "sockshop.documents", "--port", str(port), "--bind", "127.0.0.1"]
    return [*command, "--data", str(data)], ""


def ferretdb(port: int, data: Path) -> tuple[list[str], str]:
    """FerretDB 1.x over SQLite, with a user who logs in by SCRAM-SHA-256."""
    program = shutil.which("ferretdb")
    if program is None:
        pytest.skip("no ferretdb on the PATH: demo/sockshop/README.md says how to build it")
    store = ["--handler=sqlite", f"--sqlite-url=file:{data}/", f"--state-dir={data}", "--telemetry=disable"]
    login = ["--test-enable-new-auth", "--setup-database=admin", "--setup-username=shop", "--setup-password=secret"]
    return [program, f"--listen-addr=127.0.0.1:{port}", "--debug-addr=-", *store, *login], "shop"


@pytest.fixture(scope="module", params=[own, ferretdb], ids=["own", "ferretdb"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Database]:
    start: Callable[[int, Path], tuple[list[str], str]] = request.param
    port = free_port()
    command, user = start(port, tmp_path_factory.mktemp("data"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield Database(port, user)
    process.terminate()
    process.wait(60)


@asynccontextmanager
async def opened(database: Database) -> AsyncIterator[Mongo]:
    mongo = database.client()
    try:
        yield mongo
    finally:
        await mongo.close()


async def test_carts(database: Database) -> None:
    async with opened(database) as mongo:
        baskets = Baskets(mongo)
        assert await baskets.items("ann") == []
        await baskets.add("ann", "holy", 1, 99.99)
        await baskets.add("ann", "classic", 2, 12)
        again = await baskets.add("ann", "holy", 7, 1)
        assert (again["quantity"], again["unitPrice"]) == (2, pytest.approx(99.99, abs=1e-5))
        await baskets.change("ann", "classic", 5)
        await baskets.add("visit", "crossed", 1, 17.32)
        await baskets.merge("ann", "visit")
        found = [(item["itemId"], item["quantity"]) for item in await baskets.items("ann")]
        assert found == [("holy", 2), ("classic", 5), ("crossed", 1)]
        assert await baskets.items("visit") == []
        await baskets.remove("ann", "classic")
        assert [item["itemId"] for item in await baskets.items("ann")] == ["holy", "crossed"]
        with pytest.raises(NoItemError):
            await baskets.item("ann", "classic")
        await baskets.discard("ann")
        assert await baskets.items("ann") == []


async def test_orders(database: Database) -> None:
    async with opened(database) as mongo:
        book = Book(mongo)
        numbers = [ObjectId.new() for _ in range(5)]
        for place, number in enumerate(numbers):
            item = {"_id": ObjectId.new(), "itemId": "holy", "quantity": 1, "unitPrice": 18.0}
            order = {"_id": number, "customerId": f"c{place % 2}", "items": [item], "total": 22.99}
            await book.enter({**order, "date": DateTime.now()})
        assert [order["_id"] for order in await book.of_customer("c0")] == numbers[::2]
        one = await book.one(str(numbers[1]))
        assert one is not None
        assert one["items"][0]["itemId"] == "holy"
        page, total = await book.page(1, 2)
        assert ([order["_id"] for order in page], total) == (numbers[2:4], 5)
        assert await book.one("0" * 24) is None


async def test_users(database: Database) -> None:
    async with opened(database) as mongo:
        people = People(mongo)
        await people.open()
        ann = await people.add_customer({"username": "ann", "firstName": "Ann", "lastName": "Other"}, password="secret")
        with pytest.raises(RefusedError):
            await people.add_customer({"username": "ann"})
        assert str((await people.log_in("ann", "secret"))["_id"]) == ann
        with pytest.raises(UnauthorizedError):
            await people.log_in("ann", "wrong")
        with pytest.raises(RefusedError, match="not found"):
            await people.log_in("nobody", "secret")
        home = await people.add("addresses", {"street": "Whitelees Road", "number": "246"}, ann)
        await people.add("cards", {"longNum": "5544154011345918", "expires": "08/19", "ccv": "958"}, ann)
        assert [one["street"] for one in await people.of_customer(ann, "addresses")] == ["Whitelees Road"]
        await people.delete("addresses", home)
        assert await people.of_customer(ann, "addresses") == []
        assert len(await people.of_customer(ann, "cards")) == 1
        await people.delete("customers", ann)
        assert (await people.all("customers"), await people.all("cards")) == ([], [])


# The shop's own store asks nobody for a password.
@pytest.mark.parametrize("database", [ferretdb], indirect=True, ids=["ferretdb"])
def test_a_password_that_the_database_refuses_is_one_line(database: Database) -> None:
    address = ("-mongo-host", f"127.0.0.1:{database.port}", "-mongo-user", database.user, "-mongo-password", "wrong")
    command = [sys.executable, "-m", "sockshop.user", "-port", "0", *address]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"user: 127.0.0.1:{database.port}: authentication failed: ")
